"""Earning by rules in the ledger: once, within limits however many come at once, and given back by refunds."""

import asyncio
import tempfile
import uuid
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.common.rules import SegmentCondition
from services.common.rules.condition import Condition
from services.common.store.mongo import MongoStore
from services.common.store.sqlite import SqliteStore
from services.loyalty.adapters.documents import COLLECTIONS
from services.loyalty.adapters.ledger import StoredLedger
from services.loyalty.adapters.store import StoredEntries, StoredPrograms
from services.loyalty.adapters.stored_records import StoredEarningRules, StoredOccasions
from services.loyalty.domain.customer import MembershipTold, TraitsTold, month_and_day
from services.loyalty.domain.days import HOUR_MICROS
from services.loyalty.domain.earning_operations import (
    EarnedByRules,
    SetEarningLimits,
)
from services.loyalty.domain.earning_rule import Caps, Effect, EffectKind, PeriodLimit, Trigger
from services.loyalty.domain.entry import EntryKind, Share
from services.loyalty.domain.errors import ActivityExists, EarningRuleChanged
from services.loyalty.domain.orders import ApplyOrderEvents, Event
from services.loyalty.domain.zones import Period
from services.loyalty.handlers.celebrate_occasions import Celebrations
from tests.loyalty.conftest import House, SetClock
from tests.loyalty.making import (
    DAY,
    NOW,
    TENANT,
    adding,
    by_rules,
    changing,
    instant,
    opening,
    order,
    refunding,
    request,
    told_refund,
)
from tests.mongodb import mongodb_url

__all__ = ["mongodb_url"]


async def post(house: House, id: str, operation: Any) -> Any:
    return await house.ledger.post(request(id), operation)


async def given_points(house: House, rule_id: str) -> int:
    _, usage = await StoredEarningRules(house.store).of_program(TENANT, "club")
    return usage.rules.get(rule_id, (0, 0))[0]


async def test_an_order_told_by_a_till_and_by_profiles_earns_once(house: House) -> None:
    await post(house, "rule", adding("bonus"))
    first: EarnedByRules = await post(house, "till", by_rules(order("o1", 1000), "till"))
    assert first.outcome.shares == (Share("", 0, 10), Share("bonus", 1, 7))
    counts = await house.ledger.apply_order_events({TENANT: ApplyOrderEvents([order("o1", 1000)])}, "", "c1")
    assert counts.duplicate == 1
    again: EarnedByRules = await post(house, "till-again", by_rules(order("o1", 9000), "till-again"))
    assert (again.entry_id, again.outcome.points, again.balance) == (first.entry_id, 17, 17)
    with pytest.raises(ActivityExists):
        await post(house, "bob", by_rules(order("o1", 1000, "bob"), "bob"))
    assert (await house.audit()).violations == []


async def test_a_refund_gives_back_to_each_rule_what_it_gave(house: House) -> None:
    await post(house, "rule", adding("bonus", caps=Caps(per_member=(PeriodLimit(Period.DAY, 10),))))
    await post(house, "o1", by_rules(order("o1", 1000), "o1"))
    await post(house, "o2", by_rules(order("o2", 1000), "o2"))
    assert (await house.member("ann")).balance == 10 + 7 + 10 + 3
    half = await post(house, "back", refunding("back", "o1", 500))
    assert sum(share.points for share in half.entry.shares) == half.entry.points == 8
    rest = await post(house, "back2", refunding("back2", "o1"))
    back = [(share.rule_id, share.points) for entry in (half, rest) for share in entry.entry.shares]
    assert [sum(points for rule_id, points in back if rule_id == name) for name in ("", "bonus")] == [10, 7]
    assert await given_points(house, "bonus") == 3
    assert (await house.member("ann")).orders == 1
    third: EarnedByRules = await post(house, "o3", by_rules(order("o3", 1000), "o3"))
    assert third.outcome.points == 10 + 7
    assert (await house.audit()).violations == []


async def test_a_dry_run_answers_the_same_and_changes_nothing(house: House) -> None:
    await post(house, "rule", adding("bonus"))
    before = await StoredEntries(house.store).count(TENANT)
    tried = await house.ledger.try_out(TENANT, by_rules(order("o1", 1000)))
    assert await StoredEntries(house.store).count(TENANT) == before
    assert await given_points(house, "bonus") == 0
    assert (await post(house, "o1", by_rules(order("o1", 1000), "o1"))).outcome == tried.outcome


async def test_events_earn_by_the_rules_that_name_them_and_once(house: House) -> None:
    await post(house, "rule", adding("review", trigger=Trigger.EVENT, event_name="Review Written"))
    told = [Event("m1", "Review Written", "ann", NOW), Event("m2", "Page Viewed", "ann", NOW)]
    counts = await house.ledger.apply_order_events({TENANT: ApplyOrderEvents([*told, told[0]])}, "", "c1")
    assert counts.earned_events == 1
    await house.ledger.apply_order_events({TENANT: ApplyOrderEvents(told)}, "c1", "c2")
    member = await house.member("ann")
    assert (member.balance, member.entry_count, member.orders) == (7, 1, 0)
    [entry] = await StoredEntries(house.store).of_member(TENANT, member)
    assert (entry.kind, entry.event_id, entry.shares) == (EntryKind.EVENT, "m1", (Share("review", 1, 7),))
    assert (await house.audit()).violations == []


async def test_a_rule_asks_for_segments_as_segmentation_has_told_them(house: House) -> None:
    await post(house, "rule", adding("vip", condition=Condition(SegmentCondition("s1"))))
    told = {TENANT: ApplyOrderEvents([MembershipTold("ann", "s1", entered=True)])}
    await house.ledger.apply_order_events(told, "", "m1", "loyalty.memberships")
    await house.ledger.apply_order_events(
        {TENANT: ApplyOrderEvents([order("o1", 100), order("o2", 100, "bob")])}, "", "c1"
    )
    assert [(await house.member(name)).balance for name in ("ann", "bob")] == [8, 1]
    told = {TENANT: ApplyOrderEvents([MembershipTold("ann", "s1", entered=False)])}
    await house.ledger.apply_order_events(told, "m1", "m2", "loyalty.memberships")
    await house.ledger.apply_order_events({TENANT: ApplyOrderEvents([order("o3", 100)])}, "c1", "c2")
    assert (await house.member("ann")).balance == 9


async def test_a_changed_rule_is_a_new_version_and_what_it_gave_goes_on_counting(house: House) -> None:
    await post(house, "rule", adding("bonus", caps=Caps(budget=10)))
    await post(house, "o1", by_rules(order("o1", 100), "o1"))
    updating = changing("bonus", 1, Effect(EffectKind.FIXED, 20), caps=Caps(budget=10))
    changed = await post(house, "change", updating)
    assert changed.version == 2
    with pytest.raises(EarningRuleChanged):
        await post(house, "change-again", updating)
    second: EarnedByRules = await post(house, "o2", by_rules(order("o2", 100), "o2"))
    assert second.outcome.shares == (Share("", 0, 1), Share("bonus", 2, 3))
    rules = StoredEarningRules(house.store)
    versions, _ = await rules.versions(TENANT, "club", "bonus", 10, "")
    assert [version.version for version in versions] == [2, 1]


async def test_a_member_may_earn_no_more_often_than_the_limit_says(house: House) -> None:
    await post(house, "limit", SetEarningLimits(program_id="club", per_member=(PeriodLimit(Period.DAY, count=2),)))
    orders = [order(f"o{n}", 100) for n in range(4)] + [order("next", 100, time=NOW + DAY)]
    counts = await house.ledger.apply_order_events({TENANT: ApplyOrderEvents(orders)}, "", "c1")
    assert (counts.earned, counts.limited) == (3, 2)
    assert (await house.audit()).violations == []


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(1, 9), st.booleans()), min_size=1, max_size=30),
    st.integers(1, 60),
    st.integers(1, 20),
)
async def test_budgets_and_caps_hold_whatever_is_earned_and_refunded(
    steps: list[tuple[int, int, bool]], budget: int, daily: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = await SqliteStore.open(Path(folder) / "s.sqlite3", COLLECTIONS)
        house = House(store, StoredLedger(store, SetClock()), SetClock())
        await post(house, "open", opening("club"))
        caps = Caps(budget=budget, per_member=(PeriodLimit(Period.DAY, daily),))
        await post(house, "rule", adding("rate", Effect(EffectKind.RATE, 3), caps=caps))
        told: list[Any] = []
        for number, (who, amount, refund) in enumerate(steps):
            told.append(order(f"o{number}", amount * 100, f"m{who}"))
            if refund:
                told.append(told_refund(f"o{number // 2}", amount / 2))
        await house.ledger.apply_order_events({TENANT: ApplyOrderEvents(told)}, "", "c1")
        assert 0 <= await given_points(house, "rate") <= budget
        audit = await house.audit()
        assert audit.violations == []
        await house.ledger.close()
        await store.close()


async def test_a_budget_is_never_exceeded_by_two_services_on_one_database(mongodb_url: str) -> None:
    database = f"loyalty_{uuid.uuid4().hex[:12]}"
    stores = [await MongoStore.open(mongodb_url, database, COLLECTIONS) for _ in range(2)]
    ledgers = [StoredLedger(store, SetClock()) for store in stores]
    house = House(stores[0], ledgers[0], SetClock())
    await post(house, "open", opening("club"))
    await post(house, "rule", adding("bonus", caps=Caps(budget=100)))
    await asyncio.gather(
        *(ledgers[n % 2].post(request(f"r{n}"), by_rules(order(f"o{n}", 100, f"m{n % 9}"), f"r{n}")) for n in range(40))
    )
    assert await given_points(house, "bonus") == 100
    assert (await house.audit()).violations == []
    for ledger, store in zip(ledgers, stores, strict=True):
        await ledger.close()
        await store.close()


async def test_birthdays_and_anniversaries_are_given_once_a_year_and_made_up_for(house: House, clock: SetClock) -> None:
    await post(house, "b", adding("birthday", trigger=Trigger.BIRTHDAY))
    await post(house, "a", adding("anniversary", Effect(EffectKind.FIXED, 100), trigger=Trigger.ANNIVERSARY))
    traits = [TraitsTold(name, NOW, month_and_day("1990-06-01"), None) for name in ("ann", "nobody")]
    await house.ledger.apply_order_events({TENANT: ApplyOrderEvents([order("o1", 100), *traits])}, "", "c1")
    celebrations = Celebrations(
        StoredPrograms(house.store), StoredEarningRules(house.store), StoredOccasions(house.store), house.ledger
    )
    balances = []
    for time in (
        instant(2026, 5, 31),
        instant(2026, 6, 3),
        instant(2026, 6, 3) + HOUR_MICROS,
        instant(2027, 3, 14),
        instant(2027, 3, 15, 23),
        instant(2027, 6, 1),
    ):
        clock.micros = time
        await celebrations.tick(time)
        balances.append((await house.member("ann")).balance)
    assert balances == [1, 8, 8, 8, 108, 115]
    assert (await house.audit()).violations == []
