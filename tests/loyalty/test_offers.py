"""What offers do to carts, and what must hold of any offers and any cart."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.errors import InvalidArgument
from services.common.rules import SegmentCondition
from services.common.rules.condition import Condition
from services.loyalty.domain.allocation import allocate
from services.loyalty.domain.books import Books
from services.loyalty.domain.cart import Cart, CartLine
from services.loyalty.domain.guesses import Guesser
from services.loyalty.domain.offer import (
    Action,
    ActionKind,
    BundlePart,
    Chosen,
    ItemPrice,
    Offer,
    OfferInvalid,
    TimeSlot,
    VolumeTier,
    check_offer,
)
from services.loyalty.domain.quote import Asked, Quote, QuoteCart
from tests.loyalty.making import NOW
from tests.loyalty.promoting import cart, line, where

SHOES = where("categories", "shoes")


def offer(kind: ActionKind, offer_id: str = "", **changed: Any) -> Offer:
    """An offer; what its action needs is told apart by name."""
    names = set(Action.__dataclass_fields__) - {"kind", "items"}
    action = {name: changed.pop(name) for name in list(changed) if name in names}
    if "of" in changed:
        action["items"] = changed.pop("of")
    made = Offer(
        offer_id=offer_id or kind.value, name=kind.value, currency="USD", action=Action(kind=kind, **action), **changed
    )
    check_offer(made)
    return made


def quote(of: Cart, *offers: Offer, now: int = NOW) -> Quote:
    """What the cart costs with these offers alone."""
    asked = Asked(cart=of, presented=(), offers=offers, guesser=Guesser("ann", "till"))
    return QuoteCart(asked=asked).apply(Books(), now)


def off(of: Cart, *offers: Offer) -> dict[str, int]:
    """What is off each line."""
    return {line.line_id: line.discount_minor for line in quote(of, *offers).lines}


def test_a_share_off_the_order_is_split_over_its_lines_to_the_last_cent() -> None:
    found = quote(cart(line("a", 333), line("b", 333), line("c", 334)), offer(ActionKind.ORDER_SHARE, share=1000))
    assert [each.discount_minor for each in found.lines] == [33, 33, 34]
    assert (found.list_minor, found.discount_minor, found.total_minor) == (1000, 100, 900)


def test_an_amount_off_the_order_never_takes_more_than_there_is() -> None:
    assert quote(cart(line("a", 300)), offer(ActionKind.ORDER_AMOUNT, amount_minor=500)).total_minor == 0


def test_lines_are_cheaper_by_a_share_an_amount_a_unit_a_price_or_a_list() -> None:
    of = cart(line("a", 1000, 2, categories=("shoes",)), line("b", 1000))
    assert off(of, offer(ActionKind.LINE_SHARE, share=2500, of=SHOES)) == {"a": 500, "b": 0}
    assert off(of, offer(ActionKind.LINE_AMOUNT, amount_minor=150)) == {"a": 300, "b": 150}
    assert off(of, offer(ActionKind.LINE_PRICE, amount_minor=800, of=SHOES)) == {"a": 400, "b": 0}
    assert off(of, offer(ActionKind.LINE_PRICE, amount_minor=1200)) == {"a": 0, "b": 0}
    assert off(of, offer(ActionKind.PRICE_LIST, prices=(ItemPrice("b", 700),))) == {"a": 0, "b": 300}


def test_more_units_are_cheaper_each_by_the_tier_that_is_reached() -> None:
    tiers = (VolumeTier(3, share=1000), VolumeTier(10, price_minor=50))
    assert off(cart(line("a", 100, 2)), offer(ActionKind.VOLUME, tiers=tiers)) == {"a": 0}
    assert off(cart(line("a", 100, 3)), offer(ActionKind.VOLUME, tiers=tiers)) == {"a": 30}
    two = cart(line("a", 100, 6), line("b", 80, 4))
    assert off(two, offer(ActionKind.VOLUME, tiers=tiers)) == {"a": 60, "b": 32}
    assert off(two, offer(ActionKind.VOLUME, tiers=tiers, across_items=True)) == {"a": 300, "b": 120}


def buy_get(buy: int, get: int, **changed: Any) -> Offer:
    return offer(ActionKind.BUY_GET, **({"buy_quantity": buy, "get_quantity": get, "share": 10_000} | changed))


def test_buying_some_gets_the_cheapest_the_same_or_others() -> None:
    of = cart(line("a", 900, 2), line("b", 500, 2), line("c", 100))
    assert off(of, buy_get(2, 1)) == {"a": 0, "b": 0, "c": 100}
    assert off(of, buy_get(1, 1)) == {"a": 0, "b": 500, "c": 100}
    assert off(of, buy_get(1, 1, times_max=1)) == {"a": 0, "b": 0, "c": 100}
    assert off(of, buy_get(1, 1, chosen=Chosen.SAME_ITEM, share=5000)) == {"a": 450, "b": 250, "c": 0}
    other = buy_get(1, 1, chosen=Chosen.OTHER_ITEMS, of=where("item_id", "a"), get_items=where("item_id", "b"))
    assert off(of, other) == {"a": 0, "b": 1000, "c": 0}


def test_a_bundle_takes_the_dearest_units_that_match_as_often_as_it_fits() -> None:
    parts = (BundlePart(1, SHOES), BundlePart(2))
    of = cart(line("a", 900, 3, categories=("shoes",)), line("b", 300, 3), line("c", 400, 2))
    found = quote(of, offer(ActionKind.BUNDLE, parts=parts, amount_minor=1000))
    assert found.discount_minor == 2 * 900 + 2 * 400 + 2 * 300 - 2 * 1000
    dear = offer(ActionKind.BUNDLE, parts=parts, amount_minor=9000)
    assert quote(of, dear).discount_minor == 0


def test_shipping_gifts_and_points_need_nothing_of_the_lines() -> None:
    of = cart(line("a", 100), shipping_minor=490)
    found = quote(
        of,
        offer(ActionKind.FREE_SHIPPING, stackable=True),
        offer(ActionKind.GIFT, gift_item_id="pen", get_quantity=2, stackable=True),
        offer(ActionKind.POINTS_MULTIPLIER, share=20_000, stackable=True),
    )
    assert (found.total_minor, found.shipping_discount_minor) == (100, 490)
    assert {(each.gift_item_id, each.gift_quantity) for each in found.applied} == {("", 0), ("pen", 2)}


def test_no_line_costs_less_than_its_floor() -> None:
    of = cart(line("a", 100, 2, floor_minor=60), line("b", 100))
    assert off(of, offer(ActionKind.ORDER_SHARE, share=10_000)) == {"a": 80, "b": 100}
    assert off(of, offer(ActionKind.LINE_SHARE, share=9000, floor_share=7000)) == {"a": 60, "b": 30}


def test_the_best_combination_is_taken_and_the_others_are_told_why() -> None:
    alone = offer(ActionKind.ORDER_SHARE, "alone", share=2000)
    small = offer(ActionKind.LINE_AMOUNT, "small", amount_minor=100, stackable=True, exclusivity_group="g")
    large = offer(ActionKind.LINE_AMOUNT, "large", amount_minor=150, stackable=True, exclusivity_group="g")
    more = offer(ActionKind.ORDER_AMOUNT, "more", amount_minor=60, stackable=True)
    of = cart(line("a", 1000))
    found = quote(of, alone, small, large, more)
    assert [each.offer_id for each in found.applied] == ["large", "more"]
    assert {each.offer_id: each.reason for each in found.missed} == {"alone": "OTHERS_BETTER", "small": "OTHERS_BETTER"}
    assert [each.offer_id for each in quote(of, alone, small, large).applied] == ["alone"]


def test_what_is_missing_is_told_where_more_in_the_cart_is_all_that_it_takes() -> None:
    of = cart(line("a", 1000, 2), shipping_minor=490)
    lacking = [
        offer(ActionKind.FREE_SHIPPING, min_order_minor=2950),
        offer(ActionKind.ORDER_SHARE, share=500, min_quantity=5),
        buy_get(2, 1),
        offer(ActionKind.VOLUME, tiers=(VolumeTier(6, share=100),)),
        offer(ActionKind.LINE_SHARE, share=500, condition=Condition(SegmentCondition("vip"))),
        offer(ActionKind.LINE_AMOUNT, amount_minor=5, coupon_campaign_id="secret"),
    ]
    found = quote(of, *lacking)
    assert {each.offer_id: (each.missing_minor, each.missing_quantity) for each in found.nearly} == {
        "free_shipping": (950, 0),
        "order_share": (0, 3),
        "buy_get": (0, 1),
        "volume": (0, 4),
    }
    assert [(each.offer_id, each.reason) for each in found.missed] == [("line_share", "CONDITION_NOT_MET")]


def test_an_offer_applies_in_its_hours_where_they_are() -> None:
    # NOW is a Sunday, 12:00 UTC, 13:00 in Vienna.
    lunch = offer(ActionKind.ORDER_SHARE, share=1000, slots=(TimeSlot((7,), 780, 840),), time_zone="Europe/Vienna")
    assert quote(cart(), lunch).discount_minor == 1000
    assert quote(cart(), lunch, now=NOW - 1).discount_minor == 0
    ended = offer(ActionKind.ORDER_SHARE, share=1000, end_time=NOW)
    assert quote(cart(), ended).discount_minor == 0


@pytest.mark.parametrize(
    ("kind", "changed"),
    [
        (ActionKind.ORDER_SHARE, {}),
        (ActionKind.ORDER_SHARE, {"share": 1, "end_time": 0}),
        (ActionKind.ORDER_SHARE, {"share": 1, "time_zone": "Nowhere/Else"}),
        (ActionKind.ORDER_SHARE, {"share": 1, "exclusivity_group": "g"}),
        (ActionKind.ORDER_SHARE, {"share": 1, "slots": (TimeSlot((8,)),)}),
        (ActionKind.VOLUME, {"tiers": (VolumeTier(5, share=1), VolumeTier(5, share=2))}),
        (ActionKind.VOLUME, {"tiers": (VolumeTier(5),)}),
        (ActionKind.BUY_GET, {"buy_quantity": 1, "get_quantity": 1, "share": 1, "get_items": SHOES}),
        (ActionKind.PRICE_LIST, {"prices": (ItemPrice("a", 1), ItemPrice("a", 2))}),
        (ActionKind.POINTS_MULTIPLIER, {"share": 10_000}),
        (ActionKind.GIFT, {}),
        (ActionKind.BUNDLE, {}),
    ],
)
def test_an_offer_that_contradicts_itself_is_refused(kind: ActionKind, changed: dict[str, Any]) -> None:
    with pytest.raises(InvalidArgument) as refused:
        offer(kind, **changed)
    assert isinstance(refused.value, OfferInvalid)


weights = st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(0, 10**6), min_size=1, max_size=8)


@given(st.integers(0, 10**7), weights, st.data())
def test_what_is_split_comes_to_the_whole_and_keeps_its_caps(
    total: int, parts: dict[str, int], data: st.DataObject
) -> None:
    caps = {key: data.draw(st.integers(0, weight)) for key, weight in parts.items()}
    given_ = allocate(total, parts, caps)
    assert all(0 <= given_[key] <= caps[key] for key in parts)
    assert sum(given_.values()) == min(total, sum(caps[key] for key in parts if parts[key]))
    assert allocate(total, dict(reversed(parts.items())), caps) == given_


lines = st.builds(
    lambda number, price, quantity, category, floor: CartLine(
        f"l{number}", f"i{number % 3}", quantity, price, (category,), {}, price * floor // 100
    ),
    st.integers(0, 5),
    st.integers(0, 5000),
    st.integers(1, 5),
    st.sampled_from(["shoes", "socks"]),
    st.sampled_from([0, 0, 50, 100]),
)
carts = st.lists(lines, min_size=1, max_size=5, unique_by=lambda each: each.line_id).map(
    lambda found: cart(*found, shipping_minor=490)
)
conditions = st.sampled_from([None, SHOES])
shares = st.integers(1, 10_000)
amounts = st.integers(1, 6000)
counts = st.integers(1, 3)
actions = st.one_of(
    st.builds(
        Action,
        kind=st.sampled_from([ActionKind.ORDER_SHARE, ActionKind.LINE_SHARE]),
        items=conditions,
        share=shares,
        max_minor=st.sampled_from([0, 0, 500]),
    ),
    st.builds(
        Action,
        kind=st.sampled_from([ActionKind.ORDER_AMOUNT, ActionKind.LINE_AMOUNT, ActionKind.LINE_PRICE]),
        items=conditions,
        amount_minor=amounts,
    ),
    st.builds(
        Action,
        kind=st.just(ActionKind.BUY_GET),
        items=conditions,
        share=shares,
        buy_quantity=counts,
        get_quantity=counts,
        chosen=st.sampled_from([Chosen.CHEAPEST, Chosen.SAME_ITEM]),
    ),
    st.builds(
        Action,
        kind=st.just(ActionKind.BUNDLE),
        parts=st.tuples(st.builds(BundlePart, counts, st.just(SHOES)), st.builds(BundlePart, counts)),
        amount_minor=amounts,
    ),
    st.builds(Action, kind=st.just(ActionKind.VOLUME), tiers=st.tuples(st.builds(VolumeTier, counts, shares))),
    st.just(Action(kind=ActionKind.FREE_SHIPPING)),
)


def _named(actions: Sequence[tuple[Action, bool, str, int, int, int]]) -> list[Offer]:
    return [
        Offer(
            offer_id=f"o{number}",
            name="",
            currency="USD",
            action=action,
            stackable=stackable,
            exclusivity_group=group if stackable else "",
            priority=priority,
            floor_share=floor,
            min_order_minor=least,
        )
        for number, (action, stackable, group, priority, floor, least) in enumerate(actions)
    ]


offers = st.lists(
    st.tuples(
        actions,
        st.booleans(),
        st.sampled_from(["", "", "g", "h"]),
        st.integers(0, 3),
        st.sampled_from([0, 0, 5000]),
        st.sampled_from([0, 3000]),
    ),
    min_size=1,
    max_size=6,
).map(_named)


@settings(max_examples=150, deadline=None)
@given(carts, offers)
def test_the_parts_of_a_quote_come_to_the_whole_and_no_line_is_below_its_floor(of: Cart, offers: list[Offer]) -> None:
    found = quote(of, *offers)
    by_id = {line.line_id: line for line in of.lines}
    for each in found.lines:
        assert each.discount_minor == sum(part.discount_minor for part in each.parts)
        assert each.total_minor >= by_id[each.line_id].floor_minor * each.quantity
    assert found.discount_minor == sum(each.discount_minor for each in found.applied)
    assert found.total_minor == of.list_minor + of.shipping_minor - found.discount_minor >= 0
    assert len([each for each in offers if not each.stackable and each.offer_id in _ids(found)]) in (0, 1)


def _ids(found: Quote) -> set[str]:
    return {each.offer_id for each in found.applied}


@settings(max_examples=100, deadline=None)
@given(carts, offers, st.randoms(use_true_random=False))
def test_the_order_of_lines_and_of_offers_says_nothing(of: Cart, offers: list[Offer], random: Any) -> None:
    shuffled_lines, shuffled = list(of.lines), list(offers)
    random.shuffle(shuffled_lines)
    random.shuffle(shuffled)
    again = cart(*shuffled_lines, shipping_minor=of.shipping_minor)
    assert quote(again, *shuffled) == quote(of, *offers)


@settings(max_examples=150, deadline=None)
@given(carts, offers)
def test_one_more_offer_never_makes_a_cart_dearer(of: Cart, offers: list[Offer]) -> None:
    fewer = quote(of, *offers[1:])
    assert fewer.exact
    assert quote(of, *offers).total_minor <= fewer.total_minor
