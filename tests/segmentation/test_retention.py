"""Retention, growth and trends against a slow computation customer by customer, in a zone that changes its clocks."""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import ibis
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.common.clock import from_micros, to_micros
from services.common.columnar.duckdb import DuckDBColumnar
from services.common.rules import Comparison, Operator, Rule
from services.segmentation.adapters.periods import period_at
from services.segmentation.adapters.tables import Observed
from services.segmentation.domain.calendar import TimeZoneUnknown, Unit, calendar
from services.segmentation.domain.growth import Figure, Growth, GrowthPeriod, Trend
from services.segmentation.domain.retention import Cell, CohortBy, Retention
from services.segmentation.domain.selection import (
    Breakdown,
    ByProperty,
    BySegments,
    ByTrait,
    EventFilter,
    InSegment,
    Missing,
    Others,
)
from tests.evaluation_data import evaluation_data
from tests.segmentation.histories import DAY
from tests.segmentation.studies import ORDER, Study, did, ordered, satisfied, told

HOUR = DAY // 24
BERLIN = "Europe/Berlin"
AT = to_micros(datetime(2025, 4, 7, 12, tzinfo=UTC))  # eight days after the clocks went forward there


def local_period(unit: Unit, zone: str, instant: int) -> date:
    """The first day of the period, by the standard library."""
    day = from_micros(instant).astimezone(ZoneInfo(zone)).date()
    if unit is Unit.WEEK:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if unit is Unit.MONTH else day


def following(unit: Unit, start: date, count: int) -> date:
    """The first day of the period that comes ``count`` periods after the one that begins at ``start``."""
    if unit is Unit.MONTH:
        months = start.year * 12 + start.month - 1 + count
        return date(months // 12, months % 12 + 1, 1)
    return start + timedelta(days=count * (7 if unit is Unit.WEEK else 1))


ZONES = ("", BERLIN, "America/St_Johns", "Asia/Kathmandu", "Australia/Lord_Howe")


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    unit=st.sampled_from(Unit),
    zone=st.sampled_from(ZONES),
    instants=st.lists(st.integers(631_152_000, AT // 1_000_000).map(lambda each: each * 1_000_000), min_size=50),
)
def test_periods_are_those_of_the_local_calendar(unit: Unit, zone: str, instants: list[int]) -> None:
    asked = calendar(unit, zone, AT)
    expected = [local_period(unit, zone or "UTC", instant) for instant in instants]
    for shorter in (asked, asked.since(min(instants))):
        assert [shorter.first_day(shorter.period(instant)) for instant in instants] == expected


def test_the_engine_counts_periods_as_the_calendar_does(tmp_path: Path) -> None:
    columnar = DuckDBColumnar(tmp_path / "periods.duckdb", [])
    instants = [*range(-90 * 365 * DAY, AT, 11 * DAY + HOUR), AT - 9 * DAY, *range(AT - 9 * DAY, AT, HOUR // 2)]
    given = {"instants": pa.table({"time": pa.array(instants, pa.int64())})}
    rows = ibis.table({"time": "int64"}, name="instants")

    async def compare() -> None:
        for unit in Unit:
            for zone in ZONES:
                asked = calendar(unit, zone, AT)
                found = await columnar.execute(rows.select("time", period=period_at(rows.time, asked)), given)
                expected = {instant: asked.period(instant) for instant in instants}
                assert dict(zip(*found.to_pydict().values(), strict=True)) == expected
        await columnar.close()

    asyncio.run(compare())


def test_a_zone_that_does_not_exist_is_refused() -> None:
    for name in ("Europe/Atlantis", "../etc/passwd", "Europe"):
        with pytest.raises(TimeZoneUnknown):
            calendar(Unit.DAY, name, AT)


def counted_cells(
    history: Sequence[Observed], question: Retention, zone: str, customers: Iterable[str], start: date
) -> list[tuple[int, int, int, int]]:
    """For each offset: the customers that got there, those retained, and the revenue there and until there."""
    unit, cells = question.calendar.unit, []
    births = {who: began(history, question, who) for who in customers}
    now = local_period(unit, zone, AT)
    total = offset = 0
    while following(unit, start, offset) <= now:
        there = retained = revenue = 0
        for who, birth in births.items():
            period = following(unit, local_period(unit, zone, birth), offset)
            if period > now:
                continue
            there += 1
            own = [event for event in history if event.customer_id == who and event.time <= AT]
            returns = {
                local_period(unit, zone, event.time)
                for event in own
                if satisfied(event, question.returning) and event.time > birth
            }
            retained += any(each >= period for each in returns) if question.unbounded else period in returns
            revenue += sum(
                round(event.content["total"] * 100)
                for event in own
                if event.name == ORDER and event.time >= birth and local_period(unit, zone, event.time) == period
            )
        total += revenue
        cells.append((there, retained, revenue, total))
        offset += 1
    return cells


def began(history: Sequence[Observed], question: Retention, who: str) -> int:
    first = EventFilter() if question.by is CohortBy.FIRST_SEEN else question.first
    times = [it.time for it in history if it.customer_id == who and it.time <= AT and satisfied(it, first)]
    return min(times, default=AT + 1)


def figures(cells: Sequence[Cell]) -> list[tuple[int, int, int, int]]:
    assert [cell.offset for cell in cells] == list(range(len(cells)))
    return [(cell.customers, cell.retained, cell.revenue, cell.revenue_to_date) for cell in cells]


@st.composite
def visits(draw: st.DrawFn) -> list[Observed]:
    """Eight customers that come and buy within some weeks, also around the hour that was left out."""
    around = [AT - days * DAY + step * HOUR for days in (0, 1, 7, 8, 9, 14, 30, 61) for step in (-14, -1, 0, 1, 11)]
    return [
        ordered(who, time, draw(st.integers(1, 9)) / 2) if draw(st.booleans()) else did(who, "Visit", time)
        for who in draw(st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=40))
        for time in [draw(st.sampled_from(around))]
    ]


FIRST = (EventFilter(ORDER), EventFilter("Visit"))


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    history=visits(),
    unit=st.sampled_from(Unit),
    first=st.sampled_from(FIRST),
    returning=st.sampled_from([*FIRST, EventFilter()]),
    by=st.sampled_from([CohortBy.FIRST_EVENT, CohortBy.FIRST_SEEN]),
    unbounded=st.booleans(),
)
def test_retention_is_what_a_count_customer_by_customer_says(
    study: Study,
    history: list[Observed],
    unit: Unit,
    first: EventFilter,
    returning: EventFilter,
    by: CohortBy,
    unbounded: bool,
) -> None:
    question = Retention(first, returning, by, None, calendar(unit, BERLIN, AT), 10, unbounded, "")

    async def compare() -> None:
        tenant = await study.tenant_with(history)
        result = await study.insights.retention(tenant, question, {}, AT)
        assert len(result.cohorts) == 10
        for cohort in result.cohorts:
            assert cohort.period is not None
            start = question.calendar.first_day(cohort.period)
            births = {who: began(history, question, who) for who in "abcdefgh"}
            members = [who for who, time in births.items() if time <= AT and local_period(unit, BERLIN, time) == start]
            assert cohort.customers == len(members)
            assert figures(cohort.cells) == counted_cells(history, question, BERLIN, members, start)

    asyncio.run(compare())


def growth_by_hand(history: Sequence[Observed], question: Growth, customers: Iterable[str]) -> list[tuple[int, ...]]:
    unit, chosen = question.calendar.unit, set(customers)
    seen = [event for event in history if event.time <= AT and event.customer_id in chosen]
    active: dict[date, set[str]] = defaultdict(set)
    days: dict[date, set[tuple[str, date]]] = defaultdict(set)
    converted: dict[date, set[str]] = defaultdict(set)
    orders: dict[date, list[Observed]] = defaultdict(list)
    for event in seen:
        period = local_period(unit, BERLIN, event.time)
        if satisfied(event, question.activity):
            active[period].add(event.customer_id)
            days[period].add((event.customer_id, local_period(Unit.DAY, BERLIN, event.time)))
        if satisfied(event, question.conversion):
            converted[period].add(event.customer_id)
        if event.name == ORDER:
            orders[period].append(event)
    found: list[tuple[int, ...]] = []
    for ago in range(question.periods - 1, -1, -1):
        period = following(unit, local_period(unit, BERLIN, AT), -ago)
        before = active.get(following(unit, period, -1), set())
        ever = set().union(*(who for start, who in active.items() if start < period))
        here = active.get(period, set())
        until = [order for start, some in orders.items() if start <= period for order in some]
        bought = Counter(order.customer_id for order in until)
        buyers = {order.customer_id for order in orders[period]}
        found.append(
            (
                len(here - ever),
                len(here & before),
                len((here & ever) - before),
                len(before - here),
                len(days[period]),
                len(converted[period]),
                len(orders[period]),
                len(buyers),
                sum(bought[who] > 1 for who in buyers),
                sum(round(order.content["total"] * 100) for order in orders[period]),
                sum(round(order.content["total"] * 100) for order in until),
                len(ever | here),
            )
        )
    return found


def growth_found(periods: Sequence[GrowthPeriod]) -> list[tuple[int, ...]]:
    return [
        (
            it.counted.new,
            it.counted.retained,
            it.counted.resurrected,
            it.churned,
            it.counted.active_days,
            it.counted.converted,
            it.counted.orders,
            it.counted.buyers,
            it.counted.repeat_buyers,
            it.counted.revenue,
            it.revenue_to_date,
            it.customers_to_date,
        )
        for it in periods
    ]


@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    history=visits(),
    unit=st.sampled_from(Unit),
    activity=st.sampled_from([*FIRST, EventFilter()]),
    count=st.integers(1, 9),
)
def test_growth_is_what_a_count_customer_by_customer_says(
    study: Study, history: list[Observed], unit: Unit, activity: EventFilter, count: int
) -> None:
    question = Growth(activity, EventFilter(ORDER), None, calendar(unit, BERLIN, AT), count, "")

    async def compare() -> None:
        tenant = await study.tenant_with(history)
        result = await study.insights.growth(tenant, question, {}, AT)
        assert growth_found(result.periods) == growth_by_hand(history, question, "abcdefgh")

    asyncio.run(compare())


HISTORY = [
    told("a", AT - 60 * DAY, city="Rome"),
    told("b", AT - 60 * DAY, city="Graz"),
    told("c", AT - 59 * DAY, city="Rome"),
    ordered("a", AT - 50 * DAY, 10, shop="x"),
    ordered("a", AT - 20 * DAY, 20, shop="y"),
    ordered("b", AT - 50 * DAY, 1, shop="x"),
    ordered("c", AT - 21 * DAY, 5, shop="x"),
    ordered("c", AT - DAY, 7.25, shop="x"),
    did("d", "Visit", AT - DAY),
]
MONTHS = calendar(Unit.MONTH, BERLIN, AT)
SEGMENTS: dict[str, Rule] = {"romans": Comparison("city", Operator.EQUALS, ("Rome",))}


BY_CITY = Retention(
    EventFilter(ORDER), EventFilter(ORDER), CohortBy.TRAIT, Breakdown(ByTrait("city")), MONTHS, 3, False, "EUR"
)
GROWTH = Growth(EventFilter(), EventFilter(ORDER), Breakdown(ByTrait("city"), 1), MONTHS, 3, "EUR")
TREND = Trend(EventFilter(ORDER), Figure.SUM, "total", Breakdown(ByProperty("shop")), MONTHS, 3)


async def test_groups_are_told_apart_alike_by_both_engines(both: Study) -> None:
    tenant = await both.tenant_with(HISTORY)
    result = await both.insights.retention(tenant, BY_CITY, {}, AT)
    assert [(cohort.label, cohort.customers) for cohort in result.cohorts] == [("Rome", 2), ("Graz", 1)]
    assert figures(result.cohorts[0].cells) == [(2, 0, 1500, 1500), (2, 2, 2725, 4225), (1, 0, 0, 4225)]
    grown = await both.insights.growth(tenant, GROWTH, {}, AT)
    assert growth_found(grown.periods) == growth_by_hand(HISTORY, GROWTH, "abcd")
    assert {label: growth_found(periods) for label, periods in grown.groups} == {
        "Rome": growth_by_hand(HISTORY, GROWTH, "ac"),
        Others(): growth_by_hand(HISTORY, GROWTH, "bd"),
    }
    assert await both.insights.trend(tenant, TREND, {}, AT) == [("x", [11.0, 5.0, 7.25]), ("y", [0.0, 20.0, 0.0])]


async def test_unbounded_retention_counts_who_comes_back_at_all(study: Study) -> None:
    tenant = await study.tenant_with(HISTORY)
    unbounded = await study.insights.retention(tenant, replace(BY_CITY, unbounded=True, currency=""), {}, AT)
    assert [cell.retained for cell in unbounded.cohorts[0].cells] == [2, 2, 0]


async def test_growth_is_broken_down_by_segments(study: Study) -> None:
    tenant = await study.tenant_with(HISTORY)
    question = replace(GROWTH, breakdown=Breakdown(BySegments(("romans",))))
    ((label, periods),) = (await study.insights.growth(tenant, question, SEGMENTS, AT)).groups
    assert label == InSegment("romans")
    assert growth_found(periods) == growth_by_hand(HISTORY, question, "ac")


async def test_a_trend_counts_events_or_customers(study: Study) -> None:
    tenant = await study.tenant_with([*HISTORY, ordered("b", AT - 49 * DAY, 3)])
    whole = replace(TREND, figure=Figure.CUSTOMERS, property="", breakdown=None)
    assert await study.insights.trend(tenant, whole, {}, AT) == [(Missing(), [2.0, 2.0, 1.0])]
    events = replace(whole, figure=Figure.EVENTS)
    assert await study.insights.trend(tenant, events, {}, AT) == [(Missing(), [3.0, 2.0, 1.0])]


async def test_cohorts_of_the_online_retail_data_are_what_pandas_computes(study: Study) -> None:
    lines = pd.read_parquet(evaluation_data("online_retail") / "online_retail.parquet")
    lines = lines[lines.CustomerID.notna() & (lines.Quantity > 0)]
    lines["minor"] = (lines.Quantity * lines.UnitPrice * 100).round().astype("int64")
    orders = lines.groupby("InvoiceNo").agg(
        customer=("CustomerID", "first"), time=("InvoiceDate", "min"), minor=("minor", "sum")
    )
    orders["customer"] = orders.customer.astype(str)
    micros = ((orders.time - pd.Timestamp("1970-01-01")) // pd.Timedelta(microseconds=1)).tolist()
    rows = zip(orders.customer, micros, orders.minor, strict=True)
    tenant = await study.tenant_with([ordered(who, time, minor / 100) for who, time, minor in rows])
    at = max(micros)

    order = EventFilter(ORDER)
    question = Retention(order, order, CohortBy.FIRST_EVENT, None, calendar(Unit.MONTH, "", at), 13, False, "")
    result = await study.insights.retention(tenant, question, {}, at)

    orders["month"] = orders.time.dt.to_period("M")
    first = orders.groupby("customer").agg(cohort=("month", "min"), began=("time", "min"))
    joined = orders.join(first, on="customer")
    joined["offset"] = (joined.month - joined.cohort).map(lambda each: each.n)
    sizes = first.groupby("cohort").size()
    again = joined[joined.time > joined.began].groupby(["cohort", "offset"]).customer.nunique()
    paid = joined.groupby(["cohort", "offset"]).minor.sum()
    assert sum(cohort.customers for cohort in result.cohorts) == len(first) > 4000
    for cohort in result.cohorts:
        assert cohort.period is not None
        month = pd.Period(question.calendar.first_day(cohort.period), "M")
        assert cohort.customers == sizes.get(month, 0)
        for cell in cohort.cells:
            key = (month, cell.offset)
            assert (cell.retained, cell.revenue) == (again.get(key, 0), paid.get(key, 0))
