"""Referrals: both sides are rewarded once, after the time for returns, and nobody brings themselves."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

from services.common.errors import Refusal
from services.loyalty.adapters.coupons import StoredCoupons
from services.loyalty.adapters.offers import StoredOffers
from services.loyalty.adapters.referrals import StoredReferrals
from services.loyalty.adapters.store import StoredOrderFeed
from services.loyalty.domain.cart_order import CartOrderState
from services.loyalty.domain.offer import ActionKind
from services.loyalty.domain.orders import ApplyOrderEvents, Told
from services.loyalty.domain.referral import Advocate, Referral, ReferralCampaign, ReferralState
from services.loyalty.domain.referral_operations import FriendNamed
from services.loyalty.domain.referral_orders import FriendOrdered, ReferredOrderRefunded
from services.loyalty.domain.told_orders import CancelledOrder, QuotedOrder
from services.loyalty.handlers.offers import keep_quote
from services.loyalty.handlers.referrals import (
    attribute_referral,
    create_referral_campaign,
    get_referral_figures,
    issue_referral_code,
    settle_referrals,
)
from tests.loyalty.conftest import House
from tests.loyalty.making import DAY, TENANT, order, request
from tests.loyalty.promoting import open_campaign, use, used
from tests.loyalty.test_offers import offer
from tests.loyalty.test_quotes import put_up, shopping, spring

CONTRACT = Path(__file__).parents[2] / "protos/tessera/loyalty/v1/referral.proto"


async def campaign(house: House, campaign_id: str = "friends", **changed: Any) -> None:
    values = {"advocate_points": 50, "friend_points": 20, "min_order_minor": 1000, "waiting_time": 14 * DAY}
    made = ReferralCampaign(
        campaign_id=campaign_id, name="Friends", program_id="club", currency="USD", **{**values, **changed}
    )
    await create_referral_campaign(house.ledger, StoredCoupons(house.store), request(f"open-{campaign_id}"), made)


async def issue(house: House, customer_id: str, *identifiers: str, id: str = "") -> Advocate:
    asked = request(id or f"issue-{customer_id}")
    return await issue_referral_code(house.ledger, os.urandom, asked, "friends", customer_id, identifiers)


async def bring(house: House, code: str, friend_id: str, *identifiers: str, id: str = "") -> Referral:
    return await attribute_referral(house.ledger, request(id or f"bring-{friend_id}"), code, friend_id, identifiers)


async def tell(house: House, *told: Told) -> None:
    """What a feed tells."""
    after = await StoredOrderFeed(house.store).cursor()
    cursor = f"c{int(after[1:]) + 1}" if after else "c1"
    await house.ledger.apply_order_events({TENANT: ApplyOrderEvents(told)}, after, cursor)


def ordered(order_id: str, friend_id: str, amount_minor: int, code: str = "") -> list[Told]:
    """An order as the feed tells it."""
    named: list[Told] = [FriendNamed(code, friend_id)] if code else []
    return [*named, order(order_id, amount_minor, friend_id), FriendOrdered(order_id, friend_id, "USD", amount_minor)]


async def settle(house: House) -> int:
    stores = StoredReferrals(house.store), StoredCoupons(house.store)
    return await settle_referrals(house.ledger, *stores, house.clock.micros)


async def state(house: House, friend_id: str) -> ReferralState:
    (found,), _ = await StoredReferrals(house.store).page(TENANT, "", friend_id, 10, "")
    return found.state


async def test_both_sides_are_rewarded_once_when_the_order_can_be_returned_no_more(house: House) -> None:
    await campaign(house)
    code = (await issue(house, "ann")).code
    assert (await issue(house, "ann", id="again")).code == code
    await bring(house, code.lower(), "bob")
    await tell(house, *ordered("o1", "bob", 999))
    assert await state(house, "bob") is ReferralState.ATTRIBUTED
    await tell(house, *ordered("o2", "bob", 1000))
    assert await state(house, "bob") is ReferralState.QUALIFIED
    assert await settle(house) == 0
    house.clock.micros += 14 * DAY
    assert await settle(house) == 1
    assert await settle(house) == 0
    assert (await house.member("ann")).balance == 50
    assert (await house.member("bob")).balance == 9 + 10 + 20
    (found,), _ = await StoredReferrals(house.store).page(TENANT, "ann", "", 10, "")
    assert [step.state.value for step in found.history] == ["attributed", "qualified", "rewarded"]
    counts = await get_referral_figures(StoredReferrals(house.store), TENANT, "friends")
    assert (counts.codes, counts.attributed, counts.qualified, counts.rewarded) == (1, 0, 0, 1)
    assert (await house.audit()).violations == []


async def test_an_order_that_carries_the_code_attributes_and_qualifies_the_friend(house: House) -> None:
    await campaign(house, waiting_time=0)
    code = (await issue(house, "ann")).code
    await tell(house, *ordered("o1", "bob", 2000, code), *ordered("o2", "ann", 2000, code))
    assert await settle(house) == 1
    assert (await house.member("ann")).balance == 20 + 50
    assert (await StoredReferrals(house.store).page(TENANT, "", "ann", 10, ""))[0] == []


async def test_a_return_in_time_cancels_and_a_small_one_does_not(house: House) -> None:
    await campaign(house)
    code = (await issue(house, "ann")).code
    for friend in ("bob", "cid", "dan"):
        await bring(house, code, friend)
        await tell(house, *ordered(f"o-{friend}", friend, 2000))
    await tell(house, ReferredOrderRefunded("o-bob", None), ReferredOrderRefunded("o-cid", 1000))
    assert await state(house, "cid") is ReferralState.QUALIFIED
    await tell(house, ReferredOrderRefunded("o-cid", 1), ReferredOrderRefunded("unknown", None))
    house.clock.micros += 14 * DAY
    assert await settle(house) == 1
    found = [await state(house, friend) for friend in ("bob", "cid", "dan")]
    assert found == [ReferralState.CANCELLED, ReferralState.CANCELLED, ReferralState.REWARDED]
    assert (await house.member("ann")).balance == 50


async def test_an_advocate_is_rewarded_as_often_as_one_may_in_all_and_in_a_time(house: House) -> None:
    await campaign(house, waiting_time=0, advocate_limit=3, period_limit=2, period=30 * DAY)
    code = (await issue(house, "ann")).code
    for n in range(3):
        await tell(house, *ordered(f"o{n}", f"p{n}", 2000, code))
    await settle(house)
    house.clock.micros += 30 * DAY
    for n in range(3, 5):
        await tell(house, *ordered(f"o{n}", f"p{n}", 2000, code))
    await settle(house)
    assert (await house.member("ann")).balance == 150
    found = [(await state(house, f"p{n}")).value for n in range(5)]
    assert sorted(found) == ["limited", "limited", "rewarded", "rewarded", "rewarded"]
    assert (await house.audit()).violations == []


async def test_a_friend_who_orders_nothing_in_time_lapses(house: House) -> None:
    await campaign(house)
    await bring(house, (await issue(house, "ann")).code, "bob")
    house.clock.micros += 30 * DAY
    assert await settle(house) == 1
    assert await state(house, "bob") is ReferralState.LAPSED
    await tell(house, *ordered("o1", "bob", 5000))
    assert await state(house, "bob") is ReferralState.LAPSED


async def refused(house: House, code: str, friend_id: str, *identifiers: str) -> str:
    with pytest.raises(Refusal) as caught:
        await bring(house, code, friend_id, *identifiers, id=f"no-{friend_id}-{len(identifiers)}")
    return caught.value.reason


async def test_nobody_brings_themselves_their_household_whoever_brought_them_or_a_customer(house: House) -> None:
    await campaign(house)
    ann, bob = await issue(house, "ann", "mail:1", "home:7"), await issue(house, "bob")
    cid = await issue(house, "cid")
    documented = re.findall(r"^// +\d+\. [A-Z_]+ +([A-Z_]+)$", CONTRACT.read_text(), re.MULTILINE)
    assert await refused(house, ann.code, "eva", "home:7") == "REFERRAL_OF_ONESELF"
    await issue(house, "kin", "home:7")
    assert await refused(house, ann.code, "kin") == "REFERRAL_OF_ONESELF"
    await bring(house, ann.code, "bob")
    await bring(house, bob.code, "cid")
    await tell(house, *ordered("o1", "ann", 5000), *ordered("o2", "dan", 5000))
    # Each deserves what comes after it too, as far as it can: the first that the contract lists is told.
    told = [
        await refused(house, "NOTHING", "ann"),
        await refused(house, ann.code, "ann"),
        await refused(house, cid.code, "ann"),
        await refused(house, cid.code, "dan"),
        await refused(house, ann.code, "cid"),
    ]
    assert told == documented
    assert await refused(house, cid.code, "bob") == "REFERRAL_LOOP"
    assert (await bring(house, ann.code, "bob", id="same")).advocate_id == "ann"


async def test_a_told_order_uses_up_its_quote_and_its_cancellation_gives_all_back(house: House) -> None:
    await spring(house, total=1)
    await put_up(house, offer(ActionKind.FREE_SHIPPING, "shipping", stackable=True, total_limit=1))
    coupons, offers = StoredCoupons(house.store), StoredOffers(house.store)
    kept = await keep_quote(house.ledger, offers, coupons, request("k"), shopping(None, "spring"))
    await tell(house, order("o1", 9000), QuotedOrder("o1", kept.quote_id), QuotedOrder("o2", kept.quote_id))
    first, second = await offers.order(TENANT, "o1"), await offers.order(TENANT, "o2")
    assert first is not None
    assert (first.state, first.codes, second) == (CartOrderState.COMMITTED, ("SPRING",), None)
    assert await used(house) == (1, 1000)
    await tell(house, CancelledOrder("o1"), CancelledOrder("o1"), CancelledOrder("o9"))
    ended = await offers.order(TENANT, "o1")
    assert ended is not None
    assert (ended.state, await used(house)) == (CartOrderState.ROLLED_BACK, (0, 0))
    assert (await offers.get(TENANT, "tenth"))[1].uses == 0


async def test_a_cancelled_order_gives_back_codes_that_it_redeemed_by_themselves(house: House) -> None:
    await open_campaign(house, limits={"total": 1})
    await use(house, "o1", "spring", discount=5)
    await tell(house, CancelledOrder("o1"))
    assert await used(house) == (0, 0)
    await use(house, "o2", "spring")
