"""Memberships follow events, time and definitions; each transition is told once, in order."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.errors import Conflict
from services.common.rules import (
    Aggregate,
    AllOf,
    Comparison,
    EventCondition,
    Not,
    Operator,
    Rule,
    SegmentCondition,
    TimeWindow,
)
from services.segmentation.domain.membership import Standing, after, transitions
from services.segmentation.domain.segment import Segment, SegmentChanged, SegmentInUse, SegmentNotFound
from services.segmentation.handlers.create_segment import create_segment
from services.segmentation.handlers.delete_segment import delete_segment
from services.segmentation.handlers.update_segment import update_segment
from services.segmentation.ports import Request
from tests.segmentation.conftest import TENANT, House, recorded
from tests.segmentation.histories import DAY, NOW


def spent(amount: float, days: int = 28) -> EventCondition:
    window = TimeWindow(within=days * DAY)
    return EventCondition("Order Completed", Aggregate.SUM, Operator.AT_LEAST, (amount,), "total", window=window)


QUIET = EventCondition("Order Completed", Aggregate.COUNT, Operator.EQUALS, (0.0,), window=TimeWindow(within=7 * DAY))
LAPSING = AllOf((spent(100), QUIET))


async def create(house: House, segment_id: str, rule: Rule) -> Segment:
    return await create_segment(
        house.segments,
        house.evaluation,
        house.analytics,
        house.clock,
        lambda: segment_id,
        TENANT,
        Request("", ""),
        segment_id,
        "",
        rule,
    )


async def update(house: House, segment_id: str, rule: Rule, version: int = 0) -> Segment:
    return await update_segment(
        house.segments,
        house.evaluation,
        house.analytics,
        house.clock,
        TENANT,
        Request("", ""),
        segment_id,
        "renamed",
        "",
        rule,
        version,
    )


@asynccontextmanager
async def at_work(house: House) -> AsyncIterator[None]:
    """Within, things happen to a started service; leaving evaluates what they touched."""
    await house.evaluation.tick()
    yield
    while not house.evaluation.current(TENANT):
        await house.evaluation.work()


async def told(house: House) -> list[tuple[str, str, str]]:
    return [
        (change.customer_id, change.segment_id, "in" if change.entered else "out") for change in await house.changes()
    ]


async def test_customers_enter_and_leave_with_events_and_with_time(house: House) -> None:
    await create(house, "lapsing", LAPSING)
    async with at_work(house):
        await house.order("ann", NOW - 10 * DAY, 60)
        await house.order("bob", NOW - 5 * DAY, 500)
    assert await house.members("lapsing") == []
    async with at_work(house):
        await house.order("ann", NOW - 9 * DAY, 40)
    assert await house.members("lapsing") == ["ann"]
    house.clock.micros += 3 * DAY
    async with at_work(house):
        await house.evaluation.tick()
    assert await house.members("lapsing") == ["ann", "bob"]
    async with at_work(house):
        await house.order("ann", house.clock.micros, 1)
    assert await told(house) == [("ann", "lapsing", "in"), ("bob", "lapsing", "in"), ("ann", "lapsing", "out")]


async def test_an_event_that_was_still_to_come_counts_once_its_time_has_come(house: House) -> None:
    await create(house, "spent", spent(100))
    async with at_work(house):
        await house.order("ann", NOW + DAY // 48, 200)
    assert await house.members("spent") == []
    async with at_work(house):
        house.clock.micros += DAY // 48
        await house.evaluation.tick()
    assert await house.members("spent") == ["ann"]


async def test_a_batch_that_is_delivered_again_changes_nothing(house: House) -> None:
    await create(house, "spent", spent(100))
    change = recorded("ann", NOW, {"order_id": "o", "currency": "USD", "total": 60, "products": []}, "m1")
    async with at_work(house):
        await house.feed(change, cursor="c1")
        await house.feed(change, cursor="c1")
        await house.feed(change, cursor="c2")
    assert (await house.analytics.status(TENANT)).event_count == 1
    assert await told(house) == []


async def test_an_unreadable_order_is_an_event_without_an_amount(house: House) -> None:
    await house.feed(recorded("ann", NOW, {"order_id": "o", "products": [{"price": "cheap"}]}, "m1"))
    assert (await house.analytics.status(TENANT)).event_count == 1
    assert (await house.analytics.rfm(TENANT, "", None)).customers == {}


async def test_an_order_without_a_total_comes_to_the_sum_of_its_lines(house: House) -> None:
    lines = [
        {"product_id": "a", "price": 0.1, "quantity": 3},
        {"product_id": "b", "price": 9, "quantity": 1, "total": 7},
    ]
    await house.feed(recorded("ann", NOW, {"order_id": "o", "currency": "USD", "products": lines}, "m1"))
    await create(house, "spent", spent(7.3))
    async with at_work(house):
        pass
    assert await house.members("spent") == ["ann"]
    assert (await house.analytics.rfm(TENANT, "", None)).customers["ann"].monetary_minor == 730


async def test_segments_that_name_others_follow_them(house: House) -> None:
    await create(house, "rich", spent(100))
    await create(house, "poor", Not(SegmentCondition("rich")))
    async with at_work(house):
        await house.order("ann", NOW, 50)
    assert (await house.members("rich"), await house.members("poor")) == ([], ["ann"])
    async with at_work(house):
        await update(house, "rich", spent(50))
    assert (await house.members("rich"), await house.members("poor")) == (["ann"], [])


async def test_a_changed_trait_moves_its_customer_only(house: House) -> None:
    await create(house, "romans", Comparison("city", Operator.EQUALS, ("Rome",)))
    async with at_work(house):
        await house.identify("ann", NOW - 2, city="Rome")
        await house.identify("bob", NOW - 2, city="Rome")
    async with at_work(house):
        await house.identify("ann", NOW - 1, city=None)
        await house.identify("bob", NOW - 3, city="Bonn")
    assert await told(house) == [("ann", "romans", "in"), ("bob", "romans", "in"), ("ann", "romans", "out")]


async def test_after_a_crash_the_start_evaluates_everything(house: House) -> None:
    await create(house, "spent", spent(100))
    await house.order("ann", NOW, 200)
    again = House(house.store, house.analytics, house.clock, house.columnar)
    async with at_work(again):
        pass
    assert await again.members("spent") == ["ann"]
    async with at_work(House(house.store, house.analytics, house.clock, house.columnar)):
        pass
    assert await told(house) == [("ann", "spent", "in")]


async def test_two_evaluations_at_once_tell_a_transition_once(house: House) -> None:
    await create(house, "spent", spent(100))
    for number in range(30):
        await house.order(f"customer {number:02}", NOW, 200)
    others = [House(house.store, house.analytics, house.clock, house.columnar) for _ in range(3)]
    await asyncio.gather(*(other.evaluation.refresh(TENANT) for other in others))
    assert await told(house) == [(f"customer {number:02}", "spent", "in") for number in range(30)]


async def test_deleting_makes_the_members_leave_first(house: House) -> None:
    segment = await create(house, "spent", spent(100))
    async with at_work(house):
        await house.order("ann", NOW, 200)
    await delete_segment(
        house.segments, house.destinations, house.evaluation, TENANT, Request("", ""), segment.segment_id
    )
    assert await house.members("spent") == []
    assert await told(house) == [("ann", "spent", "in"), ("ann", "spent", "out")]
    with pytest.raises(SegmentNotFound):
        await delete_segment(house.segments, house.destinations, house.evaluation, TENANT, Request("", ""), "spent")


async def test_a_segment_that_is_used_keeps_its_members(house: House) -> None:
    await create(house, "rich", spent(100))
    await create(house, "poor", Not(SegmentCondition("rich")))
    async with at_work(house):
        await house.order("ann", NOW, 200)
    with pytest.raises(SegmentInUse, match="rule of segment poor"):
        await delete_segment(house.segments, house.destinations, house.evaluation, TENANT, Request("", ""), "rich")
    assert await house.members("rich") == ["ann"]
    assert await told(house) == [("ann", "rich", "in")]


async def test_an_update_of_another_version_is_a_conflict(house: House) -> None:
    await create(house, "spent", spent(100))
    assert (await update(house, "spent", spent(50), version=1)).version == 2
    with pytest.raises(SegmentChanged) as changed:
        await update(house, "spent", spent(10), version=1)
    assert changed.value.metadata == {"version": "2"}


async def test_of_many_updates_at_once_none_is_lost(house: House) -> None:
    await create(house, "spent", spent(100))
    updated = await asyncio.gather(*(update(house, "spent", spent(number)) for number in range(5)))
    assert sorted(segment.version for segment in updated) == [2, 3, 4, 5, 6]


async def test_two_segments_cannot_come_to_name_each_other_at_once(house: House) -> None:
    await create(house, "one", spent(1))
    await create(house, "two", spent(2))
    outcomes = await asyncio.gather(
        update(house, "one", SegmentCondition("two")),
        update(house, "two", SegmentCondition("one")),
        return_exceptions=True,
    )
    assert len([outcome for outcome in outcomes if isinstance(outcome, Exception)]) == 1


async def test_customers_of_other_tenants_are_never_members(house: House) -> None:
    await create(house, "spent", spent(100))
    order = {"order_id": "o", "currency": "USD", "total": 200, "products": []}
    async with at_work(house):
        await house.feed(recorded("eve", NOW, order, "m1", tenant="other"))
        await house.order("ann", NOW, 200)
    assert await house.members("spent") == ["ann"]
    assert (await house.analytics.status("other")).event_count == 1


async def test_a_failed_evaluation_is_made_up_for(house: House) -> None:
    await create(house, "spent", spent(100))
    record, failures = house.memberships.record, iter([Conflict("busy")] * 6)

    async def failing(*arguments: object) -> None:
        for failure in failures:
            raise failure
        await record(*arguments)  # type: ignore[arg-type]  # passed through

    house.memberships.record = failing  # type: ignore[assignment]  # a store that fails for a while
    async with at_work(house):
        await house.order("ann", NOW, 200)
    assert await told(house) == [("ann", "spent", "in")]


segment_sets = st.sets(st.sampled_from("abcd"))


@settings(deadline=None)
@given(segment_sets, segment_sets, segment_sets)
def test_after_its_transitions_a_customer_is_where_the_rules_say(
    before: set[str], evaluated: set[str], fulfilled: set[str]
) -> None:
    standing = Standing(dict.fromkeys(before, 1), 1)
    changes = transitions(standing, evaluated, fulfilled & evaluated)
    segments = after(standing, changes, 2)
    assert segments.keys() == (before - evaluated) | (fulfilled & evaluated)
    assert {name for name, time in segments.items() if time == 2} == (fulfilled & evaluated) - before
    assert transitions(Standing(segments, 2), evaluated, fulfilled & evaluated) == []
