"""Quotes and the orders made of them, over a real store: nothing kept by asking, nothing used twice, all given back."""

import asyncio
import json
import uuid
from collections import Counter
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from services.common.errors import Refusal
from services.common.store import Query
from services.common.store.mongo import MongoStore
from services.loyalty.adapters.coupons import StoredCoupons
from services.loyalty.adapters.documents import COLLECTIONS, ENTRIES, MEMBERS
from services.loyalty.adapters.ledger import StoredLedger
from services.loyalty.adapters.offers import StoredOffers
from services.loyalty.adapters.records import RECORDS
from services.loyalty.domain.cart import Cart
from services.loyalty.domain.cart_order import CartOrder, CartOrderState, SpentPoints
from services.loyalty.domain.earning import Line
from services.loyalty.domain.earning_operations import SetEarningLimits
from services.loyalty.domain.earning_rule import PeriodLimit
from services.loyalty.domain.offer import ActionKind, Offer
from services.loyalty.domain.orders import Order
from services.loyalty.domain.zones import Period
from services.loyalty.handlers.coupons import roll_back_coupons
from services.loyalty.handlers.offers import (
    Shopping,
    commit_cart,
    create_offer,
    forget_quotes,
    forget_quotes_of,
    keep_quote,
    kept_shopping,
    quote_cart,
    roll_back_cart,
)
from tests.loyalty.conftest import House, SetClock
from tests.loyalty.making import DAY, DOUBLE, NOW, TENANT, adding, by_rules, earning, opening, request
from tests.loyalty.promoting import cart, line, open_campaign, use, used, where
from tests.loyalty.test_offers import carts, offer
from tests.mongodb import mongodb_url

__all__ = ["mongodb_url"]

PUBLISHED = [*RECORDS.values(), ENTRIES, MEMBERS]


async def put_up(house: House, made: Offer) -> None:
    coupons, offers = StoredCoupons(house.store), StoredOffers(house.store)
    await create_offer(house.ledger, offers, coupons, request(f"offer-{made.offer_id}"), made)


def shopping(of: Cart | None = None, *codes: str, order_id: str = "") -> Shopping:
    return Shopping("till", of or cart(), codes, order_id)


async def commit(
    house: House, order_id: str, *codes: str, of: Cart | None = None, id: str = "", **given: Any
) -> CartOrder:
    given = {"expected_total_minor": None, "spend": None} | given
    coupons, offers = StoredCoupons(house.store), StoredOffers(house.store)
    asked = shopping(of, *codes, order_id=order_id)
    return await commit_cart(house.ledger, offers, coupons, request(id or f"commit-{order_id}"), asked, **given)


async def roll_back(house: House, order_id: str, id: str = "") -> CartOrder:
    return await roll_back_cart(house.ledger, StoredOffers(house.store), request(id or f"back-{order_id}"), order_id)


async def contents(house: House) -> str:
    """Everything that is kept but the answers to requests."""
    found = {}
    for collection in PUBLISHED:
        page = await house.store.find(TENANT, collection, Query(limit=1000))
        found[collection.name] = [(each.id, each.version, repr(each.body)) for each in page.documents]
    return json.dumps(found, sort_keys=True)


async def spring(house: House, **limits: Any) -> None:
    """A code that takes 10 % off."""
    await open_campaign(house, limits=limits)
    await put_up(house, offer(ActionKind.ORDER_SHARE, "tenth", share=1000, coupon_campaign_id="spring"))


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(of=carts)
async def test_asking_what_a_cart_costs_leaves_the_store_as_it_is(house: House, of: Cart) -> None:
    offers = StoredOffers(house.store)
    if not await offers.count(TENANT):
        await spring(house, total=5)
        await put_up(house, offer(ActionKind.FREE_SHIPPING, "shipping", stackable=True, total_limit=1))
    before = await contents(house)
    await quote_cart(house.ledger, offers, StoredCoupons(house.store), TENANT, shopping(of, "spring"))
    assert await contents(house) == before


async def test_a_quote_says_what_codes_are_worth_and_what_points_come_and_are_there(house: House) -> None:
    await house.ledger.post(request("e"), earning("e", 70))
    await spring(house)
    await put_up(house, offer(ActionKind.POINTS_MULTIPLIER, "double", share=20_000, stackable=True))
    coupons, offers = StoredCoupons(house.store), StoredOffers(house.store)
    found = await quote_cart(house.ledger, offers, coupons, TENANT, shopping(None, "Spring", "nothing"))
    assert found.total_minor == 9000
    assert [(each.offer_id, each.code) for each in found.applied] == [("tenth", "SPRING")]
    assert [(each.code, each.discount_minor, each.reason) for each in found.codes] == [
        ("SPRING", 1000, ""),
        ("NOTHING", 0, "COUPON_NOT_FOUND"),
    ]
    assert [(each.program_id, each.earned, each.available) for each in found.points] == [("club", 90, 70)]
    without = await quote_cart(house.ledger, offers, coupons, TENANT, shopping())
    assert [each.earned for each in without.points] == [200]
    assert without.missed == ()


async def test_a_quote_earns_what_the_order_will_by_the_rules_of_the_programme(house: House) -> None:
    rule = adding("double-shoes", DOUBLE, items=where("category", "shoes"))
    await house.ledger.post(request("rule"), rule)
    await spring(house)
    of = cart(line("a", 6_000, categories=("shoes",)), line("b", 4_000, categories=("hats",)))
    coupons, offers = StoredCoupons(house.store), StoredOffers(house.store)
    found = await quote_cart(house.ledger, offers, coupons, TENANT, shopping(of, "Spring"))
    assert found.total_minor == 9000
    (points,) = found.points
    told = Order(
        "o1",
        "ann",
        "USD",
        9000,
        NOW,
        lines=(Line(5400, 1, {"category": "shoes"}), Line(3600, 1, {"category": "hats"})),
    )
    simulated = await house.ledger.try_out(TENANT, by_rules(told))
    earned = await house.ledger.post(request("o1"), by_rules(told, "o1"))
    assert points.earned == simulated.outcome.points == earned.outcome.points == 90 + 54
    limits = SetEarningLimits(program_id="club", per_member=(PeriodLimit(Period.DAY, 100),))
    await house.ledger.post(request("limit"), limits)
    bobs = cart(*of.lines, customer_id="bob")
    limited = await quote_cart(house.ledger, offers, coupons, TENANT, shopping(bobs, "Spring"))
    assert [each.earned for each in limited.points] == [100]


async def test_a_code_that_no_offer_uses_is_not_used_up(house: House) -> None:
    await spring(house)
    await put_up(house, offer(ActionKind.ORDER_SHARE, "half", share=5000))
    order = await commit(house, "o1", "spring")
    assert order.codes == ()
    assert order.quote.codes[0].reason == "COUPON_NOT_NEEDED"
    assert await used(house) == (0, 0)


async def test_committing_uses_offers_codes_and_points_once_and_rolling_back_gives_back_all(house: House) -> None:
    await house.ledger.post(request("e"), earning("e", 70))
    await spring(house, per_customer=1)
    await put_up(house, offer(ActionKind.FREE_SHIPPING, "shipping", stackable=True, customer_limit=1))
    before = await house.member("ann")
    spend = SpentPoints("club", 50)
    for n in range(2):
        order = await commit(house, "o1", "spring", id=f"c{n}", spend=spend, expected_total_minor=9000)
        assert (order.state, order.codes) == (CartOrderState.COMMITTED, ("SPRING",))
    assert (await house.member("ann")).balance == 20
    assert await used(house) == (1, 1000)
    offers = StoredOffers(house.store)
    assert (await offers.get(TENANT, "tenth"))[1].discount_minor == 1000
    assert (await commit(house, "o2", "spring")).quote.codes[0].reason == "COUPON_CUSTOMER_LIMIT_REACHED"

    for n in range(2):
        assert (await roll_back(house, "o1", f"b{n}")).state is CartOrderState.ROLLED_BACK
    after = await house.member("ann")
    assert (after.lots, after.balance, after.spent, after.earned) == (before.lots, 70, 0, 70)
    assert await used(house) == (0, 0)
    usage = (await offers.get(TENANT, "tenth"))[1]
    assert (usage.uses, usage.discount_minor) == (0, 0)
    assert (await house.audit()).violations == []
    again = await commit(house, "o1", "spring", id="again", spend=spend)
    assert (again.state, (await house.member("ann")).balance) == (CartOrderState.COMMITTED, 20)
    assert (await house.audit()).violations == []


async def test_restored_points_pay_a_debt_first_and_expire_when_they_would_have(house: House) -> None:
    await house.ledger.post(request("e"), earning("e", 70))
    await commit(house, "o1", spend=SpentPoints("club", 70))
    house.clock.micros += 400 * DAY
    await roll_back(house, "o1")
    member = await house.member("ann")
    assert (member.balance, member.available(house.clock.micros)) == (70, 0)
    assert (await house.audit()).violations == []


async def test_a_commit_that_is_refused_uses_nothing(house: House) -> None:
    await spring(house)
    await house.ledger.post(request("e"), earning("e", 70))
    before = await contents(house)
    wrong: list[dict[str, Any]] = [{"expected_total_minor": 8999}, {"spend": SpentPoints("club", 71)}]
    for n, given_ in enumerate(wrong):
        with pytest.raises(Refusal) as refused:
            await commit(house, f"o{n}", "spring", **given_)
        assert refused.value.reason == ("QUOTE_CHANGED", "INSUFFICIENT_POINTS")[n]
    assert await contents(house) == before
    await commit(house, "o9")
    with pytest.raises(Refusal) as refused:
        await commit(house, "o9", of=cart(customer_id="bob"), id="bob")
    assert refused.value.reason == "CART_ORDER_OF_ANOTHER"
    with pytest.raises(Refusal) as refused:
        await roll_back(house, "nothing")
    assert refused.value.reason == "CART_ORDER_NOT_FOUND"


async def _rush(houses: list[House], count: int) -> list[CartOrder]:
    return await asyncio.gather(
        *(commit(houses[n % len(houses)], f"o{n}", of=cart(customer_id=f"p{n % 7}")) for n in range(count))
    )


def _applied(orders: list[CartOrder]) -> Counter[str]:
    return Counter(each.offer_id for order in orders for each in order.quote.applied)


async def _limited(house: House) -> None:
    kinds = {"stackable": True}
    await put_up(house, offer(ActionKind.ORDER_AMOUNT, "few", amount_minor=100, total_limit=9, **kinds))
    await put_up(house, offer(ActionKind.LINE_AMOUNT, "budget", amount_minor=70, budget_minor=1000, **kinds))
    await put_up(house, offer(ActionKind.LINE_SHARE, "each", share=100, customer_limit=2, **kinds))


async def test_limits_and_budgets_of_offers_hold_under_parallel_load(house: House) -> None:
    await _limited(house)
    orders = await _rush([house], 60)
    assert _applied(orders) == {"few": 9, "budget": 14, "each": 14}
    lucky = [order for order in orders if "few" in {each.offer_id for each in order.quote.applied}]
    for order in lucky[:3]:
        await roll_back(house, order.order_id)
    assert (await StoredOffers(house.store).get(TENANT, "few"))[1].uses == 6


async def test_limits_of_offers_hold_where_two_services_share_a_database(mongodb_url: str) -> None:
    database = f"loyalty_{uuid.uuid4().hex[:12]}"
    stores = [await MongoStore.open(mongodb_url, database, COLLECTIONS) for _ in range(2)]
    houses = [House(store, StoredLedger(store, clock := SetClock()), clock) for store in stores]
    await houses[0].ledger.post(request("open"), opening("club"))
    await _limited(houses[0])
    assert _applied(await _rush(houses, 24)) == {"few": 9, "budget": 14, "each": 14}
    for house in houses:
        await house.ledger.close()
        await house.store.close()


async def test_a_kept_quote_is_what_the_order_costs_or_nothing_is_used(house: House) -> None:
    await spring(house, total=1)
    coupons, offers = StoredCoupons(house.store), StoredOffers(house.store)
    kept = [
        await keep_quote(house.ledger, offers, coupons, request(f"k{n}"), shopping(None, "spring")) for n in range(2)
    ]
    assert kept[0].quote_id != kept[1].quote_id
    same = await keep_quote(house.ledger, offers, coupons, request("k0"), shopping(None, "spring"))
    assert same == kept[0]
    asked, total = await kept_shopping(offers, TENANT, kept[0].quote_id, "till", "o0")
    order = await commit_cart(house.ledger, offers, coupons, request("c0"), asked, total, None)
    assert order.quote.total_minor == 9000
    asked, total = await kept_shopping(offers, TENANT, kept[1].quote_id, "till", "o1")
    with pytest.raises(Refusal) as refused:
        await commit_cart(house.ledger, offers, coupons, request("c1"), asked, total, None)
    assert refused.value.reason == "QUOTE_CHANGED"
    assert refused.value.metadata == {"expected": "9000", "total": "10000"}


async def test_quotes_are_forgotten_with_time_and_with_the_customer(house: House) -> None:
    coupons, offers = StoredCoupons(house.store), StoredOffers(house.store)
    for n in range(3):
        of = cart(line("a", 100), customer_id="bob" if n == 2 else "ann")
        await keep_quote(house.ledger, offers, coupons, request(f"k{n}"), shopping(of))
        house.clock.micros += DAY
    assert len((await offers.quotes(TENANT, "ann", 10, ""))[0]) == 2
    assert await forget_quotes(house.ledger, offers, coupons, house.clock.micros - 2 * DAY) == 1
    assert await forget_quotes_of(house.ledger, offers, TENANT, "ann") == 1
    assert (await offers.quotes(TENANT, "ann", 10, ""))[0] == []
    assert len((await offers.quotes(TENANT, "bob", 10, ""))[0]) == 1


async def test_a_reserved_code_is_the_orders_own_when_it_commits(house: House) -> None:
    await spring(house, total=1)
    await use(house, "r", "spring", order_id="o1", reserve_for=DAY)
    assert (await commit(house, "o2", "spring", of=cart(customer_id="bob"))).codes == ()
    assert (await commit(house, "o1", "spring")).codes == ("SPRING",)
    await roll_back_coupons(house.ledger, StoredCoupons(house.store), request("rb"), "o1", [])
    assert (await roll_back(house, "o1")).state is CartOrderState.ROLLED_BACK
    assert await used(house) == (0, 0)
