"""Tiers by policy in the ledger: entries say what became of them, the clock does its part, answers know it before."""

from typing import Any

from services.loyalty.adapters.store import StoredEntries, StoredMembers, StoredPrograms
from services.loyalty.domain.entry import EntryKind, TierChange
from services.loyalty.domain.orders import ApplyOrderEvents
from services.loyalty.domain.program import Tier
from services.loyalty.domain.tier_policy import Downgrade, Measure, QualifyingPeriod, TierPolicy
from services.loyalty.handlers.expire_due_points import expire_due_points
from services.loyalty.handlers.members import get_member
from tests.loyalty.conftest import House, SetClock
from tests.loyalty.making import TENANT, earning, instant, opening, order, refunding, request

TIERS = (Tier("base", "Base", 0), Tier("gold", "Gold", 3, ("free-shipping",)), Tier("black", "Black", 5))
YEARLY = TierPolicy(Measure.ORDERS, QualifyingPeriod.CALENDAR_YEAR, Downgrade.ONE_STEP, 10)


async def _open(house: House, policy: TierPolicy, **changed: Any) -> None:
    values = {"tiers": TIERS, "tier_policy": policy, "validity_months": 0, **changed}
    await house.ledger.post(request("t"), opening("t", **values))


async def _tick(house: House, clock: SetClock, time: int) -> None:
    clock.micros = time
    await expire_due_points(StoredPrograms(house.store), StoredMembers(house.store), house.ledger, time)


async def _answer(house: House, now: int) -> Any:
    return await get_member(StoredPrograms(house.store), StoredMembers(house.store), TENANT, "t", "ann", now)


async def test_orders_of_a_year_earn_a_tier_that_the_clock_announces_and_takes(house: House, clock: SetClock) -> None:
    await _open(house, YEARLY)
    orders = [order(f"o{number}", 100, time=instant(2026, 3, 15)) for number in range(5)]
    await house.ledger.apply_order_events({TENANT: ApplyOrderEvents(orders)}, "", "c1")
    found = await _answer(house, clock.micros)
    assert (found.tier.id, found.next_tier, found.holding.missing_to_keep) == ("black", None, 5)
    assert (found.holding.until, found.holding.lapse_time) == (instant(2028, 1, 1), instant(2028, 1, 11))
    before = await _answer(house, instant(2028, 1, 11))
    assert (before.tier.id, before.tier.perks) == ("gold", ("free-shipping",))
    for time in (
        instant(2027, 12, 1),
        instant(2027, 12, 2, 1),
        instant(2028, 1, 10),
        instant(2028, 1, 11),
        instant(2028, 12, 20),
        instant(2029, 1, 11),
    ):
        await _tick(house, clock, time)
    member = await house.member("ann", "t")
    assert [(step.change, step.tier_id) for step in member.tier_history] == [
        (TierChange.JOINED.value, "base"),
        (TierChange.UPGRADED.value, "gold"),
        (TierChange.UPGRADED.value, "black"),
        (TierChange.EXPIRING.value, "black"),
        (TierChange.DOWNGRADED.value, "gold"),
        (TierChange.EXPIRING.value, "gold"),
        (TierChange.DOWNGRADED.value, "base"),
    ]
    entries = await StoredEntries(house.store).of_member(TENANT, member)
    by_clock = [entry.tier_change for entry in entries if entry.kind is EntryKind.TIER]
    assert by_clock == ["expiring", "downgraded", "expiring", "downgraded"]
    assert (await house.audit()).violations == []


async def test_a_tier_that_is_earned_again_is_prolonged(house: House, clock: SetClock) -> None:
    await _open(house, TierPolicy(Measure.SPEND, QualifyingPeriod.JOIN_ANNIVERSARY), tiers=(Tier("vip", "VIP", 1000),))
    await house.ledger.apply_order_events({TENANT: ApplyOrderEvents([order("o1", 1000)])}, "", "c1")
    clock.micros = instant(2027, 5, 1)
    later = order("o2", 1500, time=clock.micros)
    await house.ledger.apply_order_events({TENANT: ApplyOrderEvents([later])}, "c1", "c2")
    await _tick(house, clock, instant(2028, 3, 15))
    member = await house.member("ann", "t")
    assert [(step.change, step.tier_id) for step in member.tier_history] == [
        ("joined", "vip"),
        ("prolonged", "vip"),
    ]
    await _tick(house, clock, instant(2029, 3, 15))
    assert (await house.member("ann", "t")).tier_history[-1] == (instant(2029, 3, 15), "left", "")
    assert (await house.audit()).violations == []


async def test_an_order_refunded_in_full_counts_no_more(house: House, clock: SetClock) -> None:
    await _open(house, YEARLY)
    orders = [order(f"o{number}", 100, time=clock.micros) for number in range(2)]
    await house.ledger.apply_order_events({TENANT: ApplyOrderEvents(orders)}, "", "c1")
    await house.ledger.post(request("back"), refunding("back", "o1", 40, "t"))
    assert (await _answer(house, clock.micros)).next_tier_amount == 1
    await house.ledger.post(request("back2"), refunding("back2", "o1", None, "t"))
    assert (await _answer(house, clock.micros)).next_tier_amount == 2
    assert (await house.audit()).violations == []


async def test_time_as_a_member_makes_a_tier_by_the_clock(house: House, clock: SetClock) -> None:
    policy = TierPolicy(Measure.MEMBERSHIP, QualifyingPeriod.LIFETIME)
    await _open(house, policy, tiers=(Tier("new", "New", 0), Tier("friend", "Friend", 30)))
    await house.ledger.post(request("e"), earning("e", 1, program_id="t"))
    await _tick(house, clock, instant(2026, 4, 13))
    assert (await house.member("ann", "t")).tier_id == "new"
    await _tick(house, clock, instant(2026, 4, 14))
    member = await house.member("ann", "t")
    assert (member.tier_id, member.tier_history[-1].change) == ("friend", "upgraded")
    assert (await house.audit()).violations == []
