"""Sequences of events compiled to Ibis: who went through the steps.

Where no step refers to an earlier one, all that matters of a path is until when its next step may happen: of all paths
that reach the same step before a moment, some can go on there exactly if the latest of these ends is not before it. So
a window function over the moments of each customer takes each step, and the work grows with the events.

Where steps do refer, paths are found step by step by joins. A *path* is how far some events of a customer lead: the
time of the last step that happened, and what later steps refer to. Paths that cannot be told apart from there on are
one, so there are at most as many as events, times the events that are referred to.
"""

from collections.abc import Iterator, Sequence
from functools import reduce
from itertools import pairwise
from operator import and_, or_

import ibis
import ibis.expr.types as ir

from services.common.flat.comparisons import FALSE, Moment, holds, timely
from services.common.flat.paths import values_at
from services.common.rules import POSITIVE, Comparison, Operator, SequenceCondition, SequenceStep, StepField
from services.segmentation.adapters.picks import least

_KINDS = ("texts", "numbers", "flags")
_EQUAL = (Operator.EQUALS, Operator.ANY_OF)
_FOREVER = 2**62


def fulfilling(events: ir.Table, sequence: SequenceCondition, at: Moment) -> ir.Table:
    """The customers, each once, of whom ``sequence`` is true at ``at``."""
    steps, window = sequence.steps, sequence.window
    tests = [events.time <= at, events.name.isin(sorted({step.event for step in steps}))]
    if window.within is not None:  # no step is before the first
        tests.append(events.time > at - window.within)
    if window.start is not None:
        tests.append(events.time >= window.start)
    chosen = events.filter(*tests)
    referring = any(_refers(comparison) for step in steps for comparison in step.where)
    return (_by_joins if referring else _by_windows)(chosen, sequence, at)


def _by_windows(events: ir.Table, sequence: SequenceCondition, at: Moment) -> ir.Table:
    happening = [number for number, step in enumerate(sequence.steps) if not step.negated]
    flags = {f"is_{number}": _is_step(events, step, at) for number, step in enumerate(sequence.steps)}
    flags["is_0"] &= timely(events.time, sequence.window, at)
    flagged = events.select("customer_id", "time", **flags)
    moments = flagged.group_by("customer_id", "time").aggregate(**{name: flagged[name].any() for name in flags})
    path = moments.mutate(reached=moments.is_0)
    for number, following in pairwise(happening):
        ends = list(_ends(path, sequence.steps, number, following))
        path = path.mutate(until=ibis.ifelse(path.reached, least(ends), None))
        before = ibis.window(group_by="customer_id", order_by="time", preceding=(None, 1))
        path = path.mutate(latest=path.until.max().over(before))
        path = path.mutate(reached=path[f"is_{following}"] & (path.latest >= path.time).fill_null(False))
    for number in range(happening[-1] + 1, len(sequence.steps)):
        path = path.mutate(reached=path.reached & _never(path, number, sequence.steps[number].within, at))
    return path.filter(path.reached).select("customer_id").distinct()


def _is_step(events: ir.Table, step: SequenceStep, at: Moment) -> ir.BooleanValue:
    return reduce(and_, [holds(events, comparison, at) for comparison in step.where], events.name == step.event)


def _ends(path: ir.Table, steps: Sequence[SequenceStep], number: int, following: int) -> Iterator[ir.IntegerValue]:
    """Until when, from each moment of a step, the step ``following`` may happen: by its own time, and by the first of
    what must not happen in between."""
    within = steps[following].within
    yield ibis.literal(_FOREVER, "int64") if within is None else path.time + within
    for other in range(number + 1, following):
        first, within = _next(path, other), steps[other].within
        if within is not None:
            first = ibis.ifelse(first <= path.time + within, first, None)
        yield first.fill_null(_FOREVER)


def _never(path: ir.Table, number: int, within: int | None, at: Moment) -> ir.BooleanValue:
    """Whether this step did not happen after the moment, and cannot any more."""
    first = _next(path, number)
    if within is None:
        return first.isnull()
    return (first.isnull() | (first > path.time + within)) & (path.time <= at - within)


def _next(path: ir.Table, number: int) -> ir.IntegerValue:
    """The first moment after each at which this step happens."""
    after = ibis.window(group_by="customer_id", order_by="time", following=(1, None))
    return ibis.ifelse(path[f"is_{number}"], path.time, None).min().over(after)


def _by_joins(events: ir.Table, sequence: SequenceCondition, at: Moment) -> ir.Table:
    compiled = _Sequence(events, sequence.steps, at)
    first = compiled.matching(0)
    path = compiled.shortened(first.filter(timely(first.time_0, sequence.window, at)), 0)
    absent: list[int] = []
    for number, step in enumerate(sequence.steps[1:], 1):
        if step.negated:
            absent.append(number)
        else:
            path = compiled.shortened(compiled.following(path, number, absent), number)
            absent = []
    for number in absent:
        within = sequence.steps[number].within
        ended = path if within is None else path.filter(path.now <= at - within)
        path = compiled.without(ended, number, None)
    return path.select("customer_id").distinct()


class _Sequence:
    """The steps over one table of events."""

    def __init__(self, events: ir.Table, steps: Sequence[SequenceStep], at: Moment) -> None:
        self._events, self._steps, self._at = events, steps, at
        self._last_use: dict[StepField, int] = {}
        for number, step in enumerate(steps):
            for value in (value for comparison in step.where for value in comparison.values):
                if isinstance(value, StepField):
                    self._last_use[value] = number
        self._names = {value: f"v{index}" for index, value in enumerate(self._last_use)}

    def matching(self, number: int) -> ir.Table:
        """The events that may be this step, with what it compares and what is referred to later."""
        step, events = self._steps[number], self._events
        plain = [holds(events, comparison, self._at) for comparison in step.where if not _refers(comparison)]
        chosen = events.filter(reduce(and_, plain, events.name == step.event))
        columns: dict[str, ir.Value] = {
            f"customer_{number}": chosen.customer_id,
            f"time_{number}": chosen.time,
            f"id_{number}": chosen.message_id,
        }
        for index, comparison in enumerate(step.where):
            if _refers(comparison):
                columns.update(
                    {f"w{index}_{number}_{kind}": values_at(chosen[kind], comparison.field) for kind in _KINDS}
                )
        for value, name in self._names.items():
            if value.step == number:
                columns.update({f"{name}_{kind}": values_at(chosen[kind], value.field) for kind in _KINDS})
        return chosen.select(**columns)

    def following(self, path: ir.Table, number: int, absent: Sequence[int]) -> ir.Table:
        """The paths that this step makes longer, while the steps ``absent`` did not happen in between."""
        longer = self._after(path, number, self._steps[number].within)
        for other in absent:
            longer = self.without(longer, other, f"time_{number}")
        return longer

    def without(self, path: ir.Table, number: int, until: str | None) -> ir.Table:
        """The paths after which this step did not happen before the time in the column ``until``."""
        happened = self._after(path, number, self._steps[number].within)
        if until is not None:
            happened = happened.filter(happened[f"time_{number}"] < happened[until])
        key = [name for name in path.columns if name.startswith(("customer_id", "now", "time_", "id_"))]
        return path.anti_join(happened.select(*key).distinct(), key)

    def shortened(self, path: ir.Table, number: int) -> ir.Table:
        """The paths up to this step without what nothing later needs."""
        later = [value for value, last in self._last_use.items() if last > number >= value.step]
        customer = path.customer_id if number else path.customer_0
        columns: dict[str, ir.Value] = {"customer_id": customer, "now": path[f"time_{number}"]}
        columns.update({f"id_{value.step}": path[f"id_{value.step}"] for value in later})
        for value in later:
            name = self._names[value]
            columns.update({f"{name}_{kind}": path[f"{name}_{kind}"] for kind in _KINDS})
        return path.select(**columns).distinct()

    def _after(self, path: ir.Table, number: int, within: int | None) -> ir.Table:
        step, found = self._steps[number], self.matching(number)
        both = path.join(found, path.customer_id == found[f"customer_{number}"])
        tests = [both[f"time_{number}"] > both.now]
        if within is not None:
            tests.append(both[f"time_{number}"] - both.now <= within)
        tests += [
            self._compared(both, comparison, f"w{index}_{number}")
            for index, comparison in enumerate(step.where)
            if _refers(comparison)
        ]
        return both.filter(*tests)

    def _compared(self, both: ir.Table, comparison: Comparison, own: str) -> ir.BooleanValue:
        operator = POSITIVE.get(comparison.operator, comparison.operator)
        positive = FALSE
        for value in comparison.values:
            assert isinstance(value, StepField)
            name = self._names[value]
            kinds = _KINDS if operator in _EQUAL else _KINDS[:2]
            pairs = [(both[f"{own}_{kind}"], both[f"{name}_{kind}"]) for kind in kinds]
            positive |= reduce(or_, [_some(one, operator, other).fill_null(False) for one, other in pairs])
        return positive if operator is comparison.operator else ~positive


def _refers(comparison: Comparison) -> bool:
    return any(isinstance(value, StepField) for value in comparison.values)


def _some(own: ir.ArrayValue, operator: Operator, other: ir.ArrayValue) -> ir.BooleanValue:
    """Whether some value of the one compares so with some value of the other."""
    match operator:
        case Operator.LESS_THAN:
            return own.mins() < other.maxs()
        case Operator.AT_MOST:
            return own.mins() <= other.maxs()
        case Operator.GREATER_THAN:
            return own.maxs() > other.mins()
        case Operator.AT_LEAST:
            return own.maxs() >= other.mins()
        case _:
            return own.intersect(other).length() > 0
