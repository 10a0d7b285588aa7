"""What a quote promised is what its order earns: with what offers add, within limits, and back exactly by refunds."""

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.common.errors import Refusal
from services.loyalty.adapters.coupons import StoredCoupons
from services.loyalty.adapters.offers import StoredOffers
from services.loyalty.adapters.store import StoredEntries
from services.loyalty.domain.cart import Cart
from services.loyalty.domain.cart_order import SpentPoints
from services.loyalty.domain.earning_operations import SetEarningLimits
from services.loyalty.domain.earning_rule import PeriodLimit
from services.loyalty.domain.entry import Entry, EntryKind, Share
from services.loyalty.domain.merges import MergeTold
from services.loyalty.domain.offer import ActionKind
from services.loyalty.domain.quoted_points import QuotedPoints
from services.loyalty.domain.spending_policy import PointsPayment, SetSpendingPolicy, SpendingPolicy
from services.loyalty.domain.told_orders import QuotedOrder
from services.loyalty.domain.zones import Period
from services.loyalty.handlers.offers import keep_quote, quote_cart
from tests.loyalty.conftest import House
from tests.loyalty.making import BONUS, DOUBLE, TENANT, adding, by_rules, earning, order, refunding, request
from tests.loyalty.promoting import cart, line, where
from tests.loyalty.test_offers import offer
from tests.loyalty.test_quotes import commit, put_up, roll_back, shopping
from tests.loyalty.test_referrals import tell


async def boost(house: House, offer_id: str, share: int, **changed: Any) -> None:
    await put_up(house, offer(ActionKind.POINTS_MULTIPLIER, offer_id, share=share, stackable=True, **changed))


async def quoted(house: House, of: Cart | None = None) -> QuotedPoints:
    offers, coupons = StoredOffers(house.store), StoredCoupons(house.store)
    return (await quote_cart(house.ledger, offers, coupons, TENANT, shopping(of))).points[0]


async def entries_of(house: House, member_id: str) -> list[Entry]:
    return await StoredEntries(house.store).of_member(TENANT, await house.member(member_id))


async def limit(house: House, points: int) -> None:
    limits = SetEarningLimits(program_id="club", per_member=(PeriodLimit(Period.DAY, points),))
    await house.ledger.post(request("limit"), limits)


async def test_an_order_earns_what_its_cart_was_quoted_and_says_which_offer_gave_it(house: House) -> None:
    await boost(house, "double", 20_000)
    await boost(house, "bit", 10_500)
    of = cart(line("a", 10_000), shipping_minor=490)
    committed = await commit(house, "o1", of=of)
    assert [each.earned for each in committed.quote.points] == [205]
    await tell(house, order("o1", 10_490))
    (entry,) = await entries_of(house, "ann")
    assert (entry.kind, entry.points) == (EntryKind.ORDER, 205)
    assert entry.shares == (Share("", 0, 100), Share("offer:bit", 0, 5), Share("offer:double", 0, 100))
    assert (await house.audit()).violations == []


async def test_an_order_that_carries_its_quote_earns_what_that_promised(house: House) -> None:
    await boost(house, "triple", 30_000)
    offers, coupons = StoredOffers(house.store), StoredCoupons(house.store)
    kept = await keep_quote(house.ledger, offers, coupons, request("k"), shopping())
    told = replace(order("o1", 10_000), quoted=True)
    await tell(house, QuotedOrder("o1", kept.quote_id), told)
    assert (await house.member("ann")).balance == kept.quote.points[0].earned == 300
    assert (await house.audit()).violations == []


async def test_a_till_that_tells_the_order_gives_the_same(house: House) -> None:
    await boost(house, "double", 20_000)
    await commit(house, "o1")
    tried = await house.ledger.try_out(TENANT, by_rules(order("o1", 10_000)))
    earned = await house.ledger.post(request("e"), by_rules(order("o1", 10_000), "e"))
    again = await house.ledger.post(request("again"), by_rules(order("o1", 10_000), "again"))
    assert tried.outcome == earned.outcome == again.outcome
    assert (earned.outcome.points, (await house.member("ann")).balance) == (200, 200)
    assert (await house.audit()).violations == []


async def test_nobody_else_and_no_cart_that_was_rolled_back_earns_more(house: House) -> None:
    await boost(house, "double", 20_000)
    for order_id in ("another", "back", "later"):
        await commit(house, order_id)
    await roll_back(house, "back")
    await tell(house, order("another", 10_000, "bob"), order("back", 10_000))
    assert ((await house.member("bob")).balance, (await house.member("ann")).balance) == (100, 100)
    await tell(house, MergeTold("m", "cid", "ann"), order("later", 10_000, "cid"))
    assert (await house.member("cid")).balance == 300
    assert (await house.audit()).violations == []


async def test_limits_of_the_programme_hold_for_what_offers_add_and_the_quote_says_so(house: House) -> None:
    await boost(house, "tenfold", 100_000)
    await limit(house, 450)
    assert (await quoted(house)).earned == 450
    for order_id in ("o1", "o2"):
        await commit(house, order_id)
    await tell(house, order("o1", 10_000), order("o2", 10_000))
    assert (await house.member("ann")).balance == 450
    await house.ledger.post(request("r"), refunding("r", "o1"))
    assert ((await house.member("ann")).balance, (await quoted(house)).earned) == (0, 450)
    assert (await house.audit()).violations == []


async def test_what_points_pay_of_a_cart_is_quoted_within_limits_and_then_paid(house: House) -> None:
    limits = (PeriodLimit(Period.DAY, 700),)
    policy = SpendingPolicy("club", spent=limits, payment=PointsPayment(3, 10, points_min=100, cart_share_max=5000))
    await house.ledger.post(request("policy"), SetSpendingPolicy(policy=policy))
    await house.ledger.post(request("e"), earning("e", 90))
    assert (await quoted(house)).payable == 0
    await house.ledger.post(request("e2"), earning("e2", 4910))
    found = await quoted(house)
    assert (found.available, found.payable, found.payable_minor) == (5000, 700, 2333)
    small = await quoted(house, cart(line("a", 1000)))
    assert (small.payable, small.payable_minor) == (150, 500)
    for n, points in enumerate((99, 151)):
        with pytest.raises(Refusal) as refused:
            await commit(house, f"no{n}", of=cart(line("a", 1000)), spend=SpentPoints("club", points))
        assert refused.value.reason == "POINTS_NOT_PAYABLE"
    paid = await commit(house, "o1", spend=SpentPoints("club", found.payable))
    assert paid.spent is not None
    assert (paid.spent.amount_minor, (await quoted(house)).payable) == (2333, 0)
    assert (await house.audit()).violations == []


multipliers = st.lists(st.integers(10_001, 40_000), min_size=1, max_size=3)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), price=st.integers(1, 50_000), shipping=st.integers(0, 900), factors=multipliers)
async def test_any_quote_is_earned_and_any_refunds_take_back_exactly_all_of_it(
    house: House, data: st.DataObject, price: int, shipping: int, factors: list[int]
) -> None:
    """Each example is a customer and a currency's offers of their own, in one ledger."""
    offers = StoredOffers(house.store)
    n = await offers.count(TENANT)
    if not n:
        await house.ledger.post(request("double"), adding("double-all", DOUBLE))
        await house.ledger.post(request("bonus"), adding("bonus", BONUS))
        await limit(house, 2000)
    who = f"p{n}"
    for at, factor in enumerate(factors):
        await boost(house, f"{who}-{at}", factor, condition=where("customer.id", who))
    of = cart(line("a", price), customer_id=who, shipping_minor=shipping)
    committed = await commit(house, f"o-{who}", of=of)
    promised = sum(each.earned for each in committed.quote.points)
    total = price + shipping
    await tell(house, order(f"o-{who}", total, who))
    entries = await entries_of(house, who)
    assert sum(each.points for each in entries) == promised
    assert sum(share.points for share in entries[0].shares) == entries[0].points
    cuts = sorted({0, total, *data.draw(st.lists(st.integers(0, total), max_size=3))})
    for start, end in pairwise(cuts):
        refund = refunding(f"r-{who}-{start}", f"o-{who}", end - start)
        await house.ledger.post(request(refund.request_id), refund)
    assert (await house.member(who)).balance == 0
    assert (await house.audit()).violations == []
