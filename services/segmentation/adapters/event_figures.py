"""The figures that conditions need of events, in one scan for each name of event.

A scan reads only what some condition counts: the events of its name, within the longest of the windows, and of those
the ones that some condition is about. What an event has at a path is looked up once for all conditions.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from operator import and_, or_

import ibis
import ibis.expr.types as ir

from services.common.flat.comparisons import Moment, holds, positively, timely
from services.common.flat.paths import values_at
from services.common.rules import Aggregate, Comparison, EventCondition, TimeWindow
from services.segmentation.adapters.picks import least, pick

SCANS_MAX = 8
"""Beyond so many names of events the last scan is for all the others: each scan is another join."""
_picks: dict[Aggregate, Callable[..., ir.BooleanValue]] = {
    Aggregate.FIRST: pick("min_by", "boolean"),
    Aggregate.LAST: pick("max_by", "boolean"),
}
_KINDS = ("texts", "numbers", "flags")
NOTHING = {Aggregate.COUNT: 0, Aggregate.SUM: 0.0}
"""The figures of no events that are not missing."""


def scans(
    events: ir.Table, conditions: Mapping[EventCondition, str], at: Moment, scans_max: int = SCANS_MAX
) -> Iterator[ir.Table]:
    """Tables that together have each of ``conditions`` as the column that it names: one row for each customer of whom
    some event counts up to ``at``."""
    by_name: defaultdict[str, dict[EventCondition, str]] = defaultdict(dict)
    distinct: defaultdict[tuple[str, str], dict[EventCondition, str]] = defaultdict(dict)
    for condition, name in conditions.items():
        if condition.aggregate is Aggregate.DISTINCT_COUNT:
            distinct[condition.event, condition.property][condition] = name
        else:
            by_name[condition.event][condition] = name
    groups = list(by_name.values())
    rest = {condition: name for group in groups[scans_max - 1 :] for condition, name in group.items()}
    for group in [*groups[: scans_max - 1], rest]:
        if group:
            yield _scan(events, group, at)
    for group in distinct.values():
        yield _distinct_counts(events, group, at)


def counts(events: ir.Table, condition: EventCondition, at: Moment) -> ir.BooleanValue:
    """Whether an event is one of those that the condition is about."""
    return (events.name == condition.event) & _counted(events, condition, at)


def _counted(events: ir.Table, condition: EventCondition, at: Moment) -> ir.BooleanValue:
    tests = [holds(events, comparison, at) for comparison in condition.where]
    return reduce(and_, tests, timely(events.time, condition.window, at))


def _scan(events: ir.Table, conditions: Mapping[EventCondition, str], at: Moment) -> ir.Table:
    chosen = events.filter(*_needed(events, list(conditions), at))
    rows = _Rows(chosen, at, single=len({condition.event for condition in conditions}) == 1)
    made = {name: _figure(rows, chosen, condition, at) for condition, name in conditions.items()}
    table = rows.table()
    return table.group_by("customer_id").aggregate(
        **{name: made[name](table, timely(table.time, condition.window, at)) for condition, name in conditions.items()}
    )


def _needed(events: ir.Table, conditions: Sequence[EventCondition], at: Moment) -> Iterator[ir.BooleanValue]:
    """What leaves no event out that counts, and spares the engine most of the others."""
    # One filter with everything: engines would keep what two filters begin with as a table of its own.
    yield events.time <= at
    names = sorted({condition.event for condition in conditions})
    yield events.name == names[0] if len(names) == 1 else events.name.isin(names)
    yield from _since(events, [condition.window for condition in conditions], at)
    tests = {(condition.where, condition.window): condition for condition in conditions}
    wheres = {where for where, _ in tests if where}
    # What an event has is looked up anew for each test of a filter, so more than one costs more than it spares.
    if len(wheres) <= 1 and all(where or window != TimeWindow() for where, window in tests):
        yield reduce(or_, [_counted(events, condition, at) for condition in tests.values()])


def _since(events: ir.Table, windows: Sequence[TimeWindow], at: Moment) -> Iterator[ir.BooleanValue]:
    """Not before the earliest moment at which an event counts, if there is one: engines skip what is older."""
    if any(window.within is None and window.start is None for window in windows):
        return
    starts = [window.start for window in windows if window.within is None and window.start is not None]
    spans = [window.within for window in windows if window.within is not None]
    earliest = [
        *([ibis.literal(min(starts))] if starts else []),
        *([ibis.literal(0) + at - max(spans)] if spans else []),
    ]
    yield events.time >= least(earliest)


class _Rows:
    """What conditions need of each event, worked out once for all of their windows."""

    def __init__(self, events: ir.Table, at: Moment, single: bool) -> None:
        self._events, self._at, self._single = events, at, single
        self._columns: dict[tuple[object, ...], tuple[str, ir.Value]] = {}

    def matching(self, condition: EventCondition) -> str:
        """The column that is true of the events that the condition is about, whenever they were."""
        tests = [holds(self._events, comparison, self._at) for comparison in condition.where]
        matched = reduce(and_, tests, ibis.literal(True))
        return self._column(("match", condition.event, condition.where), condition, matched)

    def value(self, condition: EventCondition, kind: str, value: ir.Value) -> str:
        """The column with ``value``, named by ``kind`` and the property, of the events that the condition is about."""
        key = (kind, condition.event, condition.where, condition.property)
        if condition.where:
            matched = self.matching(condition)
            value = ibis.ifelse(self._values[matched], value, ibis.null(value.type()))
        return self._column(key, condition, value)

    @property
    def _values(self) -> dict[str, ir.Value]:
        return dict(self._columns.values())

    def _column(self, key: tuple[object, ...], condition: EventCondition, value: ir.Value) -> str:
        if key not in self._columns:
            if not self._single:
                value = ibis.ifelse(self._events.name == condition.event, value, ibis.null(value.type()))
            self._columns[key] = f"v{len(self._columns)}", value
        return self._columns[key][0]

    def table(self) -> ir.Table:
        """The events with these columns and no more than figures need beside them."""
        return self._events.select("customer_id", "message_id", "time", **self._values)


_Figure = Callable[[ir.Table, ir.BooleanValue], ir.Value]
"""A figure over the rows of a customer, given those rows and which of them count by their time."""


def _figure(rows: _Rows, events: ir.Table, condition: EventCondition, at: Moment) -> _Figure:
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
    return _numeric_figure(rows, condition, values_at(events.numbers, path))


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
        return lambda table, timely: table[total].sum(where=timely).cast("float64")
    count = rows.value(condition, "count", values.length())
    return lambda table, timely: (
        table[total].sum(where=timely).cast("float64") / table[count].sum(where=timely).nullif(0)
    )


def _distinct_counts(events: ir.Table, conditions: Mapping[EventCondition, str], at: Moment) -> ir.Table:
    """Distinct counts of one property: its values as rows of their own, kind by kind, because a list of all values of
    a customer costs engines several times as much."""
    parts = [_distinct_of(events, kind, conditions, at) for kind in _KINDS]
    every = ibis.union(parts[0], *parts[1:])
    return every.group_by("customer_id").aggregate(
        **{name: every[name].sum().nullif(0) for name in conditions.values()}
    )


def _distinct_of(events: ir.Table, kind: str, conditions: Mapping[EventCondition, str], at: Moment) -> ir.Table:
    (path,) = {condition.property for condition in conditions}
    having = values_at(events[kind], path).notnull()
    chosen = events.filter(*_needed(events, list(conditions), at), having)
    table = chosen.select(
        "customer_id",
        value=values_at(chosen[kind], path).unnest(),
        **{name: _counted(chosen, condition, at) for condition, name in conditions.items()},
    )
    return table.group_by("customer_id").aggregate(
        **{name: table.value.nunique(where=table[name]) for name in conditions.values()}
    )
