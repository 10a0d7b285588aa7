"""Rules compiled to one Ibis expression, whatever it is for: rebuild, preview, as of a moment, touched customers.

All figures that the rules need are computed in one aggregation over events and one over traits, each equal figure
once; the rules are then conditions over the figures of a customer.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import and_, or_

import ibis
import ibis.expr.types as ir

from services.common.rules import (
    POSITIVE,
    Aggregate,
    AllOf,
    AnyOf,
    BucketCondition,
    Comparison,
    ConsentCondition,
    EventCondition,
    ListCondition,
    Not,
    Operator,
    Rule,
    ScoreCondition,
    SegmentCondition,
    SequenceCondition,
    Value,
)
from services.common.rules.bucket import BUCKETS, FNV_MODULUS, FNV_PRIME, salt_bytes
from services.segmentation.adapters.comparisons import holds, positively, timely
from services.segmentation.adapters.picks import pick
from services.segmentation.adapters.score_query import Found, with_scores
from services.segmentation.adapters.sequences import fulfilling
from services.segmentation.adapters.told import ALL_CHANNELS, granted, known_consents, listed
from services.segmentation.domain.timing import trait_names

_picks: dict[Aggregate, Callable[..., ir.BooleanValue]] = {
    Aggregate.FIRST: pick("min_by", "boolean"),
    Aggregate.LAST: pick("max_by", "boolean"),
}


@dataclass(frozen=True, slots=True)
class History:
    """One tenant's events and traits, or the part of them that is of the customers asked for."""

    events: ir.Table
    traits: ir.Table
    consents: ir.Table
    listed: ir.Table
    everyone: ir.Table
    """The events of all customers, which scores compare."""
    found: Found
    """What was predicted or found of all customers."""

    def narrowed(self, some: Callable[[ir.Table], ir.Table]) -> "History":
        """The part that ``some`` leaves of each table."""
        return History(
            some(self.events), some(self.traits), some(self.consents), some(self.listed), self.everyone, self.found
        )


def evaluation(history: History, rules: Mapping[str, Rule], segments: Mapping[str, Rule], at: int) -> ir.Table:
    """One row for each customer seen up to ``at``: ``customer_id``, and for each of ``rules`` whether it is true.

    ``segments`` are the rules of the segments that the rules may name.
    """
    leaves = Leaves(rules.values(), segments)
    figures = leaves.figures(history, at)
    return figures.select("customer_id", **{name: leaves.condition(figures, rule) for name, rule in rules.items()})


class Leaves:
    """The figures that rules need, each equal one once, with the names of their columns."""

    def __init__(self, rules: Iterable[Rule], segments: Mapping[str, Rule]) -> None:
        self._segments = segments
        self.events: dict[EventCondition, str] = {}
        self.traits: dict[tuple[str, Comparison], str] = {}
        self.sequences: dict[SequenceCondition, str] = {}
        self.consents: dict[tuple[str, str], str] = {}
        self.lists: dict[str, str] = {}
        self.scores: set[str] = set()
        for rule in rules:
            self.collect(rule)

    def figures(
        self,
        history: History,
        at: int,
        beside: Callable[[ir.Table, ir.Table], tuple[dict[str, ir.Value], dict[str, ir.Value]]] | None = None,
    ) -> ir.Table:
        """One row for each customer seen up to ``at`` with every figure; ``beside`` makes more of them out of the
        events and of the traits up to then."""
        seen = history.events.filter(history.events.time <= at)
        told = history.traits.filter(history.traits.time <= at)
        rows = _Rows(seen, at)
        made = {name: _event_figure(rows, seen, condition, at) for condition, name in self.events.items()}
        table = rows.table()
        of_events = {
            name: made[name](table, timely(table.time, condition.window, at)) for condition, name in self.events.items()
        }
        of_traits = {name: _trait_figure(told, key, at) for key, name in self.traits.items()}
        more_of_events, more_of_traits = beside(seen, told) if beside else ({}, {})
        figures = table.group_by("customer_id").aggregate(
            customer_hash=table.customer_hash.max(),  # the same in all of them
            **of_events,
        )
        if more_of_events:
            figures = figures.left_join(seen.group_by("customer_id").aggregate(**more_of_events), "customer_id")
        if of_traits or more_of_traits:
            known = told.group_by("customer_id").aggregate(**of_traits, **more_of_traits)
            figures = figures.left_join(known, "customer_id")
        for more in (known_consents(history.consents, self.consents, at), listed(history.listed, self.lists, at)):
            if more is not None:
                figures = figures.left_join(more, "customer_id")
        for condition, name in self.sequences.items():
            figures = figures.left_join(fulfilling(seen, condition, at).mutate(**{name: True}), "customer_id")
        return with_scores(figures, lambda: history.everyone, history.found, self.scores, at)

    def collect(self, rule: Rule) -> None:
        match rule:
            case AllOf(parts) | AnyOf(parts):
                for part in parts:
                    self.collect(part)
            case Not(part):
                self.collect(part)
            case SegmentCondition(segment_id):
                self.collect(self._segments[segment_id])
            case EventCondition():
                self.events.setdefault(rule, f"e{len(self.events)}")
            case SequenceCondition():
                self.sequences.setdefault(rule, f"s{len(self.sequences)}")
            case ScoreCondition(score):
                self.scores.add(score)
            case ConsentCondition(purpose, channel):
                for each in {ALL_CHANNELS, channel}:
                    self.consents.setdefault((purpose, each), f"c{len(self.consents)}")
            case ListCondition(list_id):
                self.lists.setdefault(list_id, f"l{len(self.lists)}")
            case Comparison():
                for name in trait_names(rule.field):
                    self.traits.setdefault((name, rule), f"t{len(self.traits)}")

    def condition(self, figures: ir.Table, rule: Rule) -> ir.BooleanValue:
        match rule:
            case AllOf(parts):
                return reduce(and_, [self.condition(figures, part) for part in parts])
            case AnyOf(parts):
                return reduce(or_, [self.condition(figures, part) for part in parts])
            case Not(part):
                return ~self.condition(figures, part)
            case SegmentCondition(segment_id):
                return self.condition(figures, self._segments[segment_id])
            case EventCondition():
                return _compared(figures[self.events[rule]], rule)
            case SequenceCondition():
                return figures[self.sequences[rule]].fill_null(False)
            case ScoreCondition(score, operator, values):
                return _numerically(figures[score], operator, values)
            case Comparison():
                columns = [figures[self.traits[name, rule]].fill_null(False) for name in trait_names(rule.field)]
                known = reduce(or_, columns)
                return ~known if rule.operator in POSITIVE else known
            case ConsentCondition(purpose, channel, wanted):
                given = granted(figures, self.consents[purpose, ALL_CHANNELS], self.consents[purpose, channel])
                return given if wanted else ~given
            case ListCondition(list_id):
                return figures[self.lists[list_id]].fill_null(False)
            case BucketCondition(salt, start, end):
                number = bucket_of(salt, figures.customer_hash)
                return (number >= start) & (number < end)
            case _:
                raise AssertionError(f"{rule} was refused when it was saved")


class _Rows:
    """What the conditions need of each event, worked out once for all of their windows, and only of the events that a
    condition is about: looking into a map costs more than everything else of a scan."""

    def __init__(self, events: ir.Table, at: int) -> None:
        self._events, self._at = events, at
        self._columns: dict[tuple[object, ...], tuple[str, ir.Value]] = {}

    def matching(self, condition: EventCondition) -> str:
        """The column that is true of the events that the condition is about, whenever they were."""
        tests = [holds(self._events, comparison, self._at) for comparison in condition.where]
        matched = reduce(and_, tests, ibis.literal(True))
        return self._column(("match", condition.event, condition.where), condition, matched)

    def value(self, condition: EventCondition, kind: str, value: ir.Value) -> str:
        """The column with ``value``, named by ``kind`` and the property, of the events that the condition is about."""
        key = (kind, condition.event, condition.where, condition.property)
        matched = self.matching(condition)
        found = (
            ibis.ifelse(self._columns_by_name[matched], value, ibis.null(value.type())) if condition.where else value
        )
        return self._column(key, condition, found)

    @property
    def _columns_by_name(self) -> dict[str, ir.Value]:
        return dict(self._columns.values())

    def _column(self, key: tuple[object, ...], condition: EventCondition, value: ir.Value) -> str:
        if key not in self._columns:
            named = ibis.ifelse(self._events.name == condition.event, value, ibis.null(value.type()))
            self._columns[key] = f"v{len(self._columns)}", named
        return self._columns[key][0]

    def table(self) -> ir.Table:
        """The events with these columns and no more than figures need beside them."""
        events = self._events
        return events.select("customer_id", "customer_hash", "message_id", "time", **self._columns_by_name)


_Figure = Callable[[ir.Table, ir.BooleanValue], ir.Value]
"""A figure over the rows of a customer, given those rows and which of them count by their time."""


def _event_figure(rows: _Rows, events: ir.Table, condition: EventCondition, at: int) -> _Figure:
    """The figure of ``condition``; what it needs of each event is added to ``rows``."""
    aggregate, path = condition.aggregate, condition.property
    if aggregate is Aggregate.COUNT:
        matched = rows.matching(condition)
        return lambda table, timely: table.count(where=table[matched].fill_null(False) & timely)
    if aggregate in (Aggregate.FIRST, Aggregate.LAST):
        compared = positively(events, Comparison(path, condition.operator, condition.values), at)
        value = rows.value(condition, f"{condition.operator} {condition.values}", compared)
        known = rows.value(condition, "present", events.present.contains(path))
        return lambda table, timely: _picks[aggregate](
            table[value], ibis.struct({"time": table.time, "tie": table.message_id}), where=table[known] & timely
        )
    if aggregate is Aggregate.DISTINCT_COUNT:
        kinds = [rows.value(condition, name, events[name].get(path)) for name in ("texts", "numbers", "flags")]
        return lambda table, timely: _distinct_count([table[kind] for kind in kinds], timely)
    return _numeric_figure(rows, condition, events.numbers.get(path))


def counts(events: ir.Table, condition: EventCondition, at: int) -> ir.BooleanValue:
    """Whether an event is one of those that the condition is about."""
    named = (events.name == condition.event) & timely(events.time, condition.window, at)
    return reduce(and_, [holds(events, comparison, at) for comparison in condition.where], named)


def _numeric_figure(rows: _Rows, condition: EventCondition, values: ir.ArrayValue) -> _Figure:
    if condition.aggregate is Aggregate.MINIMUM:
        least = rows.value(condition, "least", values.mins())
        return lambda table, timely: table[least].min(where=timely)
    if condition.aggregate is Aggregate.MAXIMUM:
        most = rows.value(condition, "most", values.maxs())
        return lambda table, timely: table[most].max(where=timely)
    # Decimal, because a sum of floats depends on the order in which an engine meets them.
    total = rows.value(condition, "total", values.sums().cast("decimal(38, 6)"))
    if condition.aggregate is Aggregate.SUM:
        return lambda table, timely: table[total].sum(where=timely).cast("float64").fill_null(0.0)
    count = rows.value(condition, "count", values.length())
    return lambda table, timely: (
        table[total].sum(where=timely).cast("float64") / table[count].sum(where=timely).nullif(0)
    )


def _distinct_count(columns: Sequence[ir.ArrayValue], counted: ir.BooleanValue) -> ir.Value:
    counts = [values.collect(where=counted).flatten().unique().length().fill_null(0) for values in columns]
    return reduce(lambda one, other: one + other, counts).nullif(0)


def _compared(figure: ir.Value, condition: EventCondition) -> ir.BooleanValue:
    """False where the figure is missing, whatever the operator."""
    if condition.aggregate in (Aggregate.FIRST, Aggregate.LAST):
        return (~figure if condition.operator in POSITIVE else figure).fill_null(False)
    return _numerically(figure, condition.operator, condition.values)


_LITERALS: dict[type, str] = {float: "float64", str: "string"}


def _numerically(figure: ir.Value, operator: Operator, values: Sequence[Value]) -> ir.BooleanValue:
    """False where the figure is missing, whatever the operator."""
    return _NUMERIC[operator](figure, [ibis.literal(value, _LITERALS[type(value)]) for value in values]).fill_null(
        False
    )


_NUMERIC: dict[Operator, Callable[[ir.Value, list[ir.Value]], ir.BooleanValue]] = {
    Operator.EQUALS: lambda figure, values: figure == values[0],
    Operator.NOT_EQUALS: lambda figure, values: figure != values[0],
    Operator.LESS_THAN: lambda figure, values: figure < values[0],
    Operator.AT_MOST: lambda figure, values: figure <= values[0],
    Operator.GREATER_THAN: lambda figure, values: figure > values[0],
    Operator.AT_LEAST: lambda figure, values: figure >= values[0],
    Operator.BETWEEN: lambda figure, values: (figure >= values[0]) & (figure <= values[1]),
    Operator.ANY_OF: lambda figure, values: figure.isin(values),
    Operator.NOT_ANY_OF: lambda figure, values: figure.notin(values),
}


def _trait_figure(traits: ir.Table, key: tuple[str, Comparison], at: int) -> ir.Value:
    name, comparison = key
    order = ibis.struct({"time": traits.time, "tie": traits.tie})
    return _picks[Aggregate.LAST](positively(traits, comparison, at), order, where=traits.name == name)


def bucket_of(salt: str, id_hash: ir.IntegerValue) -> ir.IntegerValue:
    """``services.common.rules.bucket``, from the hash of the id."""
    state = id_hash
    for byte in salt_bytes(salt):
        state = ((state ^ byte) * FNV_PRIME) % FNV_MODULUS
    return state % BUCKETS
