"""Small random histories and random rules over them: few names, few values, times at the edges of windows."""

from collections.abc import Sequence

from hypothesis import strategies as st

from services.common.clock import from_micros
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
    SequenceCondition,
    SequenceStep,
    Span,
    StepField,
    TimeWindow,
    Value,
)
from services.segmentation.adapters.tables import IDENTIFY, TRACK, Observed

NOW = 1_760_000_000_000_000
DAY = 86_400_000_000
SPANS = (0, 1, DAY, 7 * DAY, 28 * DAY)
CUSTOMERS = ("c1", "c2", "ç3")
EVENTS = ("Order Completed", "Viewed")
FIELDS = ("total", "city", "tags", "opt", "when", "products.category", "products.price", "products", "nested.city")
TEXTS = ("", "Rome", "Roma", "rom", "A", "ü", "it's % _")
NUMBERS = (-1.5, 0.0, 0.1, 0.25, 5.0, 12.34, 100.0)

moments = st.sampled_from([NOW + sign * span + step for span in SPANS for sign in (-1, 1) for step in (-1, 0, 1)])
instants = moments.map(lambda micros: from_micros(micros).isoformat())
scalars = st.one_of(
    st.sampled_from(TEXTS), st.sampled_from(NUMBERS), st.booleans(), instants, st.sampled_from([5, 100])
)
leaves = st.one_of(scalars, st.none(), st.lists(scalars, max_size=3))
products = st.lists(st.fixed_dictionaries({}, optional={"category": leaves, "price": leaves}), max_size=3)
contents = st.fixed_dictionaries(
    {},
    optional={
        "total": leaves,
        "city": leaves,
        "tags": leaves,
        "opt": leaves,
        "when": leaves,
        "products": products,
        "nested": st.fixed_dictionaries({}, optional={"city": leaves}),
    },
)


@st.composite
def histories(draw: st.DrawFn) -> list[Observed]:
    """Up to ten events of three customers, some of them yet to come."""
    count = draw(st.integers(1, 10))
    return [
        Observed(
            tenant="",
            customer_id=draw(st.sampled_from(CUSTOMERS)),
            message_id=f"m{number:02}",
            type=(kind := draw(st.sampled_from([IDENTIFY, TRACK, TRACK]))),
            name="Identify" if kind == IDENTIFY else draw(st.sampled_from(EVENTS)),
            time=draw(moments),
            content=draw(contents),
        )
        for number in range(count)
    ]


_EQUALITY = (Operator.EQUALS, Operator.NOT_EQUALS, Operator.ANY_OF, Operator.NOT_ANY_OF)
_ORDER = (Operator.LESS_THAN, Operator.AT_MOST, Operator.GREATER_THAN, Operator.AT_LEAST, Operator.BETWEEN)
_NONE = (Operator.EXISTS, Operator.NOT_EXISTS, Operator.IS_TRUE, Operator.IS_FALSE)
_TEXT = (Operator.STARTS_WITH, Operator.ENDS_WITH)
_SPANS = (Operator.WITHIN_LAST, Operator.WITHIN_NEXT, Operator.BEFORE_LAST, Operator.AFTER_NEXT)
_texts = st.sampled_from(TEXTS)
_numbers = st.sampled_from(NUMBERS)
_instants = moments.map(Instant)


@st.composite
def tests(draw: st.DrawFn) -> tuple[Operator, tuple[Value, ...]]:
    """An operator with values that it takes."""
    operator = draw(st.sampled_from(Operator))
    if operator in _NONE:
        return operator, ()
    if operator in _SPANS:
        return operator, (Span(draw(st.sampled_from(SPANS))),)
    if operator in (Operator.BEFORE, Operator.AFTER):
        return operator, (draw(_instants),)
    if operator is Operator.MATCHES:
        return operator, (draw(st.sampled_from(["^R", "o.$", "[aA]", "%", "^$", r"\d{4}-"])),)
    if operator in _TEXT:
        return operator, (draw(_texts),)
    kinds: Sequence[st.SearchStrategy[Value]] = [_texts, _numbers]
    if operator in _EQUALITY:
        kinds = [*kinds, st.booleans(), _instants]
    elif operator in _ORDER:
        kinds = [*kinds, _instants]
    else:
        kinds = [*kinds, st.booleans()]
    values = draw(st.sampled_from(kinds))
    return operator, _as_many(draw, operator, values)


def _as_many(draw: st.DrawFn, operator: Operator, values: st.SearchStrategy[Value]) -> tuple[Value, ...]:
    if operator in (Operator.ANY_OF, Operator.NOT_ANY_OF):
        return tuple(draw(st.lists(values, min_size=1, max_size=3)))
    return tuple(draw(values) for _ in range(2 if operator is Operator.BETWEEN else 1))


@st.composite
def comparisons(draw: st.DrawFn) -> Comparison:
    operator, values = draw(tests())
    return Comparison(draw(st.sampled_from(FIELDS)), operator, values)


@st.composite
def windows(draw: st.DrawFn) -> TimeWindow:
    within, before = draw(st.none() | st.sampled_from(SPANS)), draw(st.none() | st.sampled_from(SPANS))
    if within is not None and before is not None and within <= before:
        before = None
    start, end = draw(st.none() | moments), draw(st.none() | moments)
    if start is not None and end is not None and start >= end:
        end = None
    return TimeWindow(within, before, start, end)


@st.composite
def event_conditions(draw: st.DrawFn) -> EventCondition:
    aggregate = draw(st.sampled_from(Aggregate))
    if aggregate in (Aggregate.FIRST, Aggregate.LAST):
        operator, values = draw(tests())
    else:
        operator = draw(st.sampled_from((*_EQUALITY, *_ORDER)))
        numbers: st.SearchStrategy[Value] = st.sampled_from([*NUMBERS, 1.0, 2.0])
        values = _as_many(draw, operator, numbers)
    return EventCondition(
        event=draw(st.sampled_from(EVENTS)),
        aggregate=aggregate,
        operator=operator,
        values=values,
        property="" if aggregate is Aggregate.COUNT else draw(st.sampled_from(FIELDS)),
        where=tuple(draw(st.lists(comparisons(), max_size=2))),
        window=draw(windows()),
    )


@st.composite
def buckets(draw: st.DrawFn) -> BucketCondition:
    start = draw(st.integers(0, 9_999))
    return BucketCondition(draw(_texts), start, draw(st.integers(start + 1, 10_000)))


HALF_DAYS = [number * DAY // 2 for number in range(7)]
STEP_FIELDS = ("city", "total", "tags")


@st.composite
def journeys(draw: st.DrawFn) -> list[Observed]:
    """Four to ten events of two customers within three days, alike enough to be steps of a sequence."""
    described = st.fixed_dictionaries(
        {},
        optional={
            "city": st.sampled_from(["Rome", "A"]),
            "total": st.sampled_from([0.0, 5.0]),
            "tags": st.sampled_from(["Rome", 5.0, True]),
        },
    )
    return [
        Observed(
            tenant="",
            customer_id=draw(st.sampled_from(CUSTOMERS[:2])),
            message_id=f"m{number:02}",
            type=TRACK,
            name=draw(st.sampled_from(EVENTS)),
            time=NOW - draw(st.sampled_from(HALF_DAYS)),
            content=draw(described),
        )
        for number in range(draw(st.integers(4, 10)))
    ]


@st.composite
def references(draw: st.DrawFn, happened: Sequence[int]) -> Comparison:
    """A comparison with fields of earlier steps."""
    operator = draw(st.sampled_from([each for each in (*_EQUALITY, *_ORDER) if each is not Operator.BETWEEN]))
    fields = st.builds(StepField, st.sampled_from(happened), st.sampled_from(STEP_FIELDS))
    return Comparison(draw(st.sampled_from(STEP_FIELDS)), operator, _as_many(draw, operator, fields))


@st.composite
def sequences(draw: st.DrawFn) -> SequenceCondition:
    """Two to four steps, some of which must not happen."""
    plain = st.sampled_from(
        [Comparison("city", Operator.EQUALS, ("Rome",)), Comparison("total", Operator.NOT_EQUALS, (5.0,))]
    )
    steps = [SequenceStep(draw(st.sampled_from(EVENTS)), tuple(draw(st.lists(plain, max_size=1))))]
    for _ in range(draw(st.integers(1, 3))):
        happened = [number for number, step in enumerate(steps) if not step.negated]
        where = draw(st.lists(st.one_of(plain, references(happened)), max_size=1))
        within = draw(st.none() | st.sampled_from(HALF_DAYS[1:5]))
        steps.append(SequenceStep(draw(st.sampled_from(EVENTS)), tuple(where), within, draw(st.booleans())))
    window = draw(st.just(TimeWindow()) | st.builds(TimeWindow, within=st.sampled_from(HALF_DAYS[3:])))
    return SequenceCondition(tuple(steps), window)


def _parts(rule: st.SearchStrategy[Rule]) -> st.SearchStrategy[tuple[Rule, ...]]:
    return st.lists(rule, min_size=1, max_size=3).map(lambda parts: tuple(parts))


def rules(depth: int = 3) -> st.SearchStrategy[Rule]:
    """Rules of every kind that segments evaluate, except membership."""
    leaf: st.SearchStrategy[Rule] = st.one_of(event_conditions(), comparisons(), buckets())
    return st.recursive(
        leaf,
        lambda rule: st.one_of(_parts(rule).map(AllOf), _parts(rule).map(AnyOf), rule.map(Not)),
        max_leaves=depth,
    )
