"""Sequences mean what the reference evaluator says, on DuckDB and on Spark, and follow the clock."""

import asyncio

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.common.rules import (
    Comparison,
    Not,
    Operator,
    Rule,
    RuleInvalid,
    RuleUnsupported,
    SequenceCondition,
    SequenceStep,
    Span,
    StepField,
    TimeWindow,
)
from services.segmentation.adapters.analytics import ColumnarAnalytics
from services.segmentation.adapters.tables import TRACK, Observed
from services.segmentation.domain.segment import check
from services.segmentation.domain.timing import timing
from tests.segmentation import reference
from tests.segmentation.conftest import House, recorded
from tests.segmentation.histories import DAY, NOW, journeys, sequences
from tests.segmentation.test_evaluation import at_work, create
from tests.segmentation.test_expressions import assert_agreement


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    history=journeys(),
    asked=st.lists(sequences(), min_size=4, max_size=6),
    at=st.sampled_from([NOW, NOW, NOW - DAY]),
)
def test_compiled_sequences_agree_with_the_reference(
    analytics: ColumnarAnalytics, history: list[Observed], asked: list[SequenceCondition], at: int
) -> None:
    rules: dict[str, Rule] = {f"sequence {number}": rule for number, rule in enumerate(asked)}
    rules["not"] = Not(asked[0])
    asyncio.run(assert_agreement(analytics, history, rules, at))


def step(event: str, *where: Comparison, days: float | None = None, absent: bool = False) -> SequenceStep:
    return SequenceStep(event, where, None if days is None else int(days * DAY), absent)


def same(field: str, number: int, other: str = "") -> Comparison:
    return Comparison(field, Operator.EQUALS, (StepField(number, other or field),))


def happened(customer: str, name: str, days_ago: float, **content: object) -> Observed:
    time = NOW - int(days_ago * DAY)
    return Observed("", customer, f"{customer} {name} {days_ago}", TRACK, name, time, content)


HISTORY = [
    happened("c1", "Viewed", 9, product="p1", price=5),
    happened("c1", "Added", 8, product="p1"),
    happened("c1", "Bought", 3, lines=[{"product": "p1", "price": 4}, {"product": "p2", "price": 9}]),
    happened("c2", "Viewed", 9, product="p1", price=5),
    happened("c2", "Viewed", 7, product="p2", price=1),
    happened("c2", "Added", 6, product="p2"),
    happened("ç3", "Viewed", 2, product="p3", price=7),
    happened("ç3", "Added", 1, product="p3"),
    happened("ç3", "Added", 0.5, product="p4"),
]
SEQUENCES: dict[str, Rule] = {
    "added": SequenceCondition((step("Viewed"), step("Added"))),
    "soon": SequenceCondition((step("Viewed"), step("Added", days=0.9))),
    "of the same": SequenceCondition((step("Viewed"), step("Added", same("product", 0), days=1))),
    "bought": SequenceCondition(
        (step("Viewed"), step("Added", same("product", 0)), step("Bought", same("lines.product", 1, "product")))
    ),
    "cheaper": SequenceCondition(
        (step("Viewed"), step("Bought", Comparison("lines.price", Operator.LESS_THAN, (StepField(0, "price"),))))
    ),
    "abandoned": SequenceCondition(
        (step("Added"), step("Bought", same("lines.product", 0, "product"), days=5, absent=True))
    ),
    "never bought": SequenceCondition((step("Added"), step("Bought", absent=True))),
    "without a second look": SequenceCondition((step("Viewed"), step("Viewed", absent=True), step("Added"))),
    "another in between": SequenceCondition(
        (step("Viewed"), step("Added", same("product", 0), days=2, absent=True), step("Added"))
    ),
    "lately": SequenceCondition((step("Viewed"), step("Added")), TimeWindow(within=8 * DAY)),
}


async def test_every_kind_of_sequence_agrees_with_the_reference_on_both_engines(engine: ColumnarAnalytics) -> None:
    expected = {name: reference.members(SEQUENCES, name, HISTORY, NOW) for name in SEQUENCES}
    assert len({frozenset(found) for found in expected.values()}) >= 5, "the rules tell the customers apart"
    await assert_agreement(engine, HISTORY, SEQUENCES, NOW)


async def test_a_last_step_that_must_not_happen_is_true_once_its_time_has_passed(house: House) -> None:
    abandoned = SEQUENCES["abandoned"]
    await create(house, "abandoned", abandoned)
    async with at_work(house):
        for customer in ("ann", "bob"):
            added = recorded(customer, NOW, {"product": "p1"}, f"{customer} added", name="Added")
            await house.feed(added)
    async with at_work(house):
        house.clock.micros += 5 * DAY - 1
        await house.evaluation.tick()
        bought = {"lines": [{"product": "p1"}]}
        await house.feed(recorded("bob", house.clock.micros, bought, "bought", name="Bought"))
    assert await house.members("abandoned") == []
    async with at_work(house):
        house.clock.micros += 1
        await house.evaluation.tick()
    assert await house.members("abandoned") == ["ann"]


def test_the_clock_looks_at_the_first_steps_window_and_at_what_has_not_happened() -> None:
    renewing = Comparison("renewal", Operator.WITHIN_NEXT, (Span(1),))
    steps = (step("a"), step("b", days=3), step("c", renewing, days=4, absent=True), step("d", days=5, absent=True))
    seen = timing([SequenceCondition(steps, TimeWindow(within=2 * DAY, before=DAY))])
    assert seen.ages == {("a", DAY), ("a", 2 * DAY), ("b", 4 * DAY), ("b", 5 * DAY)}
    assert seen.properties == {("c", "renewal", -1), ("c", "renewal", 0)}


@pytest.mark.parametrize(
    ("steps", "refused", "path"),
    [
        ((step("a"), step("b", absent=True), step("c", same("x", 1))), RuleInvalid, "steps[2].where[0].values[0]"),
        (
            (step("a"), step("b", Comparison("x", Operator.STARTS_WITH, (StepField(0, "x"),)))),
            RuleUnsupported,
            "steps[1].where[0].operator",
        ),
        (tuple(step("a") for _ in range(11)), RuleUnsupported, "steps"),
    ],
)
def test_what_a_sequence_cannot_be_is_refused_with_its_path(
    steps: tuple[SequenceStep, ...], refused: type[RuleInvalid | RuleUnsupported], path: str
) -> None:
    with pytest.raises(refused) as fault:
        check(Not(SequenceCondition(steps)), "", {}, lambda pattern: None)
    assert fault.value.metadata["path"] == f"not.sequence.{path}"
