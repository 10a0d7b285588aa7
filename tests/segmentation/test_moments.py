"""Memberships follow the clock to the moment, without an event: the moments that were looked up are all there are."""

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.common.rules import (
    Aggregate,
    AllOf,
    Comparison,
    EventCondition,
    Not,
    Operator,
    Rule,
    SegmentCondition,
    Span,
    TimeWindow,
)
from services.segmentation.adapters.analytics import ColumnarAnalytics
from services.segmentation.adapters.tables import Observed
from services.segmentation.domain.timing import Schedule, timing
from tests.segmentation import reference
from tests.segmentation.conftest import TENANT, House
from tests.segmentation.histories import CUSTOMERS, DAY, NOW, histories, journeys, moments, rules, sequences
from tests.segmentation.test_evaluation import at_work, create, told
from tests.segmentation.test_expressions import HISTORY, bought

_tenants = (f"moments{number}" for number in itertools.count())
YEAR = 365 * DAY


async def walk(
    analytics: ColumnarAnalytics, history: Sequence[Observed], asked: dict[str, Rule], instants: Sequence[int]
) -> None:
    """Between two instants somebody's verdict differs only if a moment of that customer was found between them."""
    tenant = next(_tenants)
    await analytics.append([replace(event, tenant=tenant) for event in history], tenant)
    known = timing(asked.values())
    for since, until in itertools.pairwise(instants):
        found = await analytics.upcoming(tenant, known, since, until)
        for customer in CUSTOMERS:
            end = found.get(customer, until + 1) - 1
            assert since <= end <= until
            verdicts = {verdict(asked, history, customer, at) for at in (since, (since + end) // 2, end)}
            assert len(verdicts) == 1, (customer, since, end)


def verdict(asked: dict[str, Rule], history: Sequence[Observed], customer: str, at: int) -> tuple[bool, ...]:
    return tuple(customer in reference.members(asked, name, history, at) for name in asked)


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    history=histories() | journeys(),
    whole=st.lists(rules(4) | sequences(), min_size=1, max_size=6),
    instants=st.lists(moments, min_size=2, max_size=6, unique=True).map(sorted),
)
def test_no_verdict_changes_between_the_moments_that_are_looked_up(
    analytics: ColumnarAnalytics, history: list[Observed], whole: list[Rule], instants: list[int]
) -> None:
    asyncio.run(walk(analytics, history, {f"rule {number}": rule for number, rule in enumerate(whole)}, instants))


async def test_the_moments_are_the_same_on_both_engines(engine: ColumnarAnalytics) -> None:
    await engine.append([replace(event, tenant="moments") for event in HISTORY], "moments")
    week = timing([bought(Aggregate.COUNT, Operator.EQUALS, 0.0, window=TimeWindow(within=7 * DAY))])
    assert await engine.upcoming("moments", week, NOW - 1, NOW) == {"ç3": NOW}
    assert await engine.upcoming("moments", week, NOW, NOW + 1) == {}
    assert await engine.upcoming("moments", week, NOW, NOW + DAY) == {"c2": NOW + DAY}, "its order was still to come"
    assert await engine.upcoming("moments", week, NOW - DAY, NOW + DAY, ["c1", "ç3"]) == {"ç3": NOW}
    renewing = timing([Comparison("renewal", Operator.WITHIN_NEXT, (Span(7 * DAY),))])
    renewal = 1_760_227_200_000_000
    assert await engine.upcoming("moments", renewing, NOW - 30 * DAY, NOW) == {
        "c1": NOW - 30 * DAY + 20 * DAY,
        "c2": NOW - 28 * DAY,
        "ç3": NOW - 7 * DAY,
    }
    assert await engine.upcoming("moments", renewing, NOW - DAY, renewal) == {"c2": min(NOW + DAY, renewal)}
    dated = EventCondition("Order Completed", Aggregate.LAST, Operator.AFTER_NEXT, (Span(DAY),), "store")
    assert await engine.upcoming("moments", timing([dated]), NOW, NOW + 1) == {}


WINDOWS = {
    "a minute": TimeWindow(within=60_000_000),
    "a month": TimeWindow(within=30 * DAY),
    "a year": TimeWindow(within=YEAR),
    "one to three months ago": TimeWindow(within=90 * DAY, before=30 * DAY),
}


@pytest.mark.parametrize("window", WINDOWS.values(), ids=WINDOWS)
async def test_members_come_and_go_at_the_very_moment(house: House, window: TimeWindow) -> None:
    seen = EventCondition("Order Completed", Aggregate.COUNT, Operator.AT_LEAST, (1.0,), window=window)
    await create(house, "seen", seen)
    await create(house, "unseen", Not(SegmentCondition("seen")))
    async with at_work(house):
        await house.order("ann", NOW, 1)
    for age, member in ((window.before, True), (window.within, False)):
        if age is not None:
            await pass_to(house, NOW + age - 1)
            assert await house.members("seen") == ([] if member else ["ann"])
            await pass_to(house, NOW + age)
            assert await house.members("seen") == (["ann"] if member else [])
            assert await house.members("unseen") == ([] if member else ["ann"])


async def pass_to(house: House, moment: int) -> None:
    """Let the time come, look ahead as the service does, and evaluate whose moment it is."""
    house.clock.micros = moment
    await house.evaluation.tick()
    while not house.evaluation.current(TENANT):
        await house.evaluation.work()


async def test_the_service_wakes_up_for_a_moment_by_itself(house: House) -> None:
    window = TimeWindow(within=YEAR)
    await create(
        house, "seen", EventCondition("Order Completed", Aggregate.COUNT, Operator.AT_LEAST, (1.0,), window=window)
    )
    async with at_work(house):
        await house.order("ann", NOW - YEAR + 30_000_000, 1)
    assert await house.members("seen") == ["ann"]
    house.clock.micros += 30_000_000
    keeping = asyncio.create_task(house.evaluation.keep_time())
    working = asyncio.create_task(house.evaluation.run(lambda: True))
    async for batch in house.memberships.changes("", TENANT):
        if not batch.changes[-1].entered:
            break
    keeping.cancel()
    working.cancel()
    assert await told(house) == [("ann", "seen", "in"), ("ann", "seen", "out")]


async def test_a_moment_is_kept_though_the_process_died_before_it(house: House) -> None:
    soon = EventCondition(
        "Order Completed", Aggregate.COUNT, Operator.AT_LEAST, (1.0,), window=TimeWindow(within=30_000_000)
    )
    await create(house, "soon", AllOf((soon,)))
    async with at_work(house):
        await house.order("ann", NOW, 1)
        await house.order("bob", NOW - 20_000_000, 1)
    again = House(house.store, house.analytics, house.clock, house.columnar)
    house.clock.micros += 10_000_000
    await pass_to(again, house.clock.micros)
    assert await again.members("soon") == ["ann"]
    await pass_to(again, NOW + 30_000_000)
    assert await told(house) == [
        ("ann", "soon", "in"),
        ("bob", "soon", "in"),
        ("bob", "soon", "out"),
        ("ann", "soon", "out"),
    ]


@given(
    st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(CUSTOMERS), st.integers(0, 9))),
    st.lists(st.integers(0, 10), max_size=3).map(sorted),
)
def test_a_schedule_gives_everybody_out_once_at_the_earliest_moment(
    added: list[tuple[str, str, int]], times: list[int]
) -> None:
    schedule = Schedule()
    for tenant, customer, moment in added:
        schedule.add(tenant, {customer: moment})
    earliest = {(tenant, customer): 10 for tenant, customer, _ in added}
    for tenant, customer, moment in added:
        earliest[tenant, customer] = min(earliest[tenant, customer], moment)
    for now in [*times, 10]:
        given_out = {(tenant, who) for tenant, found in schedule.due(now).items() for who in found}
        assert given_out == {key for key, moment in earliest.items() if moment <= now}
        earliest = {key: moment for key, moment in earliest.items() if moment > now}
        assert schedule.earliest == min(earliest.values(), default=None)
