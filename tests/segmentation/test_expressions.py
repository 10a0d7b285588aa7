"""Compiled rules mean what the reference evaluator says, on DuckDB and on Spark, for all customers and for some."""

import asyncio
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.common.rules import (
    Aggregate,
    AllOf,
    AnyOf,
    BucketCondition,
    Comparison,
    EventCondition,
    Instant,
    Not,
    Operator,
    Rule,
    SegmentCondition,
    Span,
    TimeWindow,
)
from services.segmentation.adapters.analytics import ColumnarAnalytics
from services.segmentation.adapters.tables import IDENTIFY, TRACK, Observed
from tests.segmentation import reference
from tests.segmentation.histories import CUSTOMERS, DAY, NOW, comparisons, event_conditions, histories, rules

_tenants = (f"tenant{number}" for number in itertools.count())


async def assert_agreement(
    analytics: ColumnarAnalytics, history: Sequence[Observed], asked: Mapping[str, Rule], at: int
) -> None:
    tenant = next(_tenants)
    await analytics.append([replace(event, tenant=tenant) for event in history], tenant)
    expected = {name: reference.members(asked, name, history, at) for name in asked}
    assert await analytics.matching(tenant, asked, asked, at) == expected
    touched = set(CUSTOMERS[:2])
    some = await analytics.matching(tenant, asked, asked, at, touched)
    assert some == {name: found & touched for name, found in expected.items()}


@settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    history=histories(),
    whole=st.lists(rules(4), min_size=1, max_size=3),
    conditions=st.lists(event_conditions(), min_size=3, max_size=6),
    fields=st.lists(comparisons(), min_size=3, max_size=6),
    at=st.sampled_from([NOW, NOW - DAY, NOW - 7 * DAY + 1]),
)
def test_compiled_rules_agree_with_the_reference(
    analytics: ColumnarAnalytics,
    history: list[Observed],
    whole: list[Rule],
    conditions: list[EventCondition],
    fields: list[Comparison],
    at: int,
) -> None:
    asked: dict[str, Rule] = {f"rule {number}": rule for number, rule in enumerate([*whole, *conditions, *fields])}
    asked["nested"] = AllOf((Not(SegmentCondition("rule 0")), SegmentCondition("rule 1")))
    asyncio.run(assert_agreement(analytics, history, asked, at))


def order(customer: str, number: int, ago: int, **content: object) -> Observed:
    return Observed("", customer, f"m{number}", TRACK, "Order Completed", NOW - ago, {"currency": "EUR", **content})


def identify(customer: str, number: int, ago: int, **content: object) -> Observed:
    return Observed("", customer, f"m{number}", IDENTIFY, "Identify", NOW - ago, content)


LINES = [{"product_id": "p1", "category": "A", "price": 2.5}, {"product_id": "p2", "category": "B", "price": 0.1}]
HISTORY = [
    identify(
        "c1", 1, 40 * DAY, city="Rome", age=30, vip=True, tags=["a", "b"], born="1990-05-01", nested={"city": "Oslo"}
    ),
    identify("c2", 2, 40 * DAY, city="Bonn", age=50, vip=False, tags=[], renewal="2025-10-12T00:00:00+00:00"),
    identify("c1", 3, 3 * DAY, city="Graz", age=None),
    order("c1", 4, 30 * DAY, total=60.1, store="s1", products=LINES),
    order("c1", 5, 10 * DAY, total=39.9, store="s2", products=LINES[:1]),
    order("c2", 6, 28 * DAY, total=100, store="s1", products=[]),
    order("c2", 7, DAY, total=0.2, products=LINES[1:]),
    order("c2", 8, -DAY, total=1000, store="s9"),
    order("ç3", 9, 7 * DAY, total=5, store="s1"),
    order("ç3", 10, 7 * DAY, total=7, store="s2"),
]


def bought(aggregate: Aggregate, operator: Operator, *values: object, **more: object) -> EventCondition:
    return EventCondition("Order Completed", aggregate, operator, values, **more)  # type: ignore[arg-type]


def every_operator() -> Iterator[Rule]:
    """Each operator over a trait with a value that tells customers apart."""
    texts = (Operator.CONTAINS, Operator.NOT_CONTAINS, Operator.STARTS_WITH, Operator.ENDS_WITH, Operator.MATCHES)
    for operator in Operator:
        if operator in (Operator.EXISTS, Operator.NOT_EXISTS):
            yield Comparison("age", operator)
        elif operator in (Operator.IS_TRUE, Operator.IS_FALSE):
            yield Comparison("vip", operator)
        elif operator in (Operator.BEFORE, Operator.AFTER):
            yield Comparison("renewal", operator, (Instant(NOW),))
        elif operator >= Operator.WITHIN_LAST and operator <= Operator.AFTER_NEXT:
            yield Comparison("renewal", operator, (Span(7 * DAY),))
        elif operator in texts:
            yield Comparison("city", operator, ("on",))
        elif operator is Operator.BETWEEN:
            yield Comparison("age", operator, (30.0, 50.0))
        else:
            yield Comparison("age", operator, (50.0,))


def every_aggregate() -> Iterator[Rule]:
    """Each aggregate, over a figure and over the lines of orders."""
    yield bought(Aggregate.COUNT, Operator.EQUALS, 0.0, window=TimeWindow(within=7 * DAY))
    yield bought(Aggregate.COUNT, Operator.AT_LEAST, 1.0, window=TimeWindow(within=29 * DAY, before=7 * DAY))
    yield bought(Aggregate.COUNT, Operator.ANY_OF, 1.0, 2.0, window=TimeWindow(start=NOW - 28 * DAY, end=NOW - DAY))
    for aggregate in Aggregate:
        for path in ("total", "products.price", "missing"):
            if aggregate in (Aggregate.FIRST, Aggregate.LAST):
                yield bought(aggregate, Operator.AT_LEAST, 7.0, property=path)
                yield bought(aggregate, Operator.NOT_EQUALS, 7.0, property=path)
            elif aggregate is not Aggregate.COUNT:
                yield bought(aggregate, Operator.AT_LEAST, 2.5, property=path)
    in_a = Comparison("products.category", Operator.EQUALS, ("A",))
    yield bought(Aggregate.SUM, Operator.EQUALS, 100.0, property="total", where=(in_a,))


RULES: dict[str, Rule] = {
    **{f"operator {number}": rule for number, rule in enumerate(every_operator())},
    **{f"aggregate {number}": rule for number, rule in enumerate(every_aggregate())},
    "list": Comparison("tags", Operator.CONTAINS, ("b",)),
    "nested": Comparison("nested.city", Operator.EQUALS, ("Oslo",)),
    "old city": Comparison("city", Operator.EQUALS, ("Rome",)),
    "bucket": BucketCondition("salt", 0, 5000),
    "both": AllOf((SegmentCondition("bucket"), Not(SegmentCondition("list")))),
    "either": AnyOf((SegmentCondition("both"), SegmentCondition("nested"))),
}


async def test_every_operator_and_aggregate_agrees_with_the_reference_on_both_engines(
    engine: ColumnarAnalytics,
) -> None:
    expected = {name: reference.members(RULES, name, HISTORY, NOW) for name in RULES}
    assert len({frozenset(found) for found in expected.values()}) >= 6, "the rules tell the customers apart"
    await assert_agreement(engine, HISTORY, RULES, NOW)


async def test_a_rule_as_of_an_earlier_moment_sees_the_traits_and_events_of_then(analytics: ColumnarAnalytics) -> None:
    await assert_agreement(analytics, HISTORY, RULES, NOW - 5 * DAY)
    then = reference.members(RULES, "old city", HISTORY, NOW - 5 * DAY)
    assert then == {"c1"}
    assert reference.members(RULES, "old city", HISTORY, NOW) == set()


async def test_rfm_on_spark_is_rfm_on_duckdb(engine: ColumnarAnalytics) -> None:
    await engine.append([replace(event, tenant="rfm") for event in HISTORY], "rfm")
    table = await engine.rfm("rfm", "", NOW)
    figures = {who: (it.recency_days, it.frequency, it.monetary_minor, it.cell) for who, it in table.customers.items()}
    assert (table.currency, figures) == (
        "EUR",
        {"c1": (10, 2, 10_000, "112"), "c2": (1, 2, 10_020, "414"), "ç3": (7, 2, 1_200, "211")},
    )


async def test_a_preview_counts_every_node(analytics: ColumnarAnalytics) -> None:
    await analytics.append([replace(event, tenant="preview") for event in HISTORY], "preview")
    sizes = await analytics.sizes("preview", RULES, RULES, NOW, sample=2)
    assert sizes.customer_count == 3
    assert sizes.counts == {name: len(reference.members(RULES, name, HISTORY, NOW)) for name in RULES}
    assert list(sizes.sample) == sorted(reference.members(RULES, next(iter(RULES)), HISTORY, NOW))[:2]
