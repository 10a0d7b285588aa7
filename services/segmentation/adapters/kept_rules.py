"""Rules over what is kept in memory: the same figures as the compiled expressions make, by arrays.

What a row counts for was found by the expressions themselves when it was kept. What is left is which rows are in a
window and what comes of them for each customer. Rules for which that is not enough are the engine's.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from math import ceil, floor
from operator import and_, or_

import numpy as np
import numpy.typing as npt

from services.common.rules import (
    POSITIVE,
    Aggregate,
    AllOf,
    AnyOf,
    BucketCondition,
    Comparison,
    EventCondition,
    Not,
    Operator,
    Rule,
    SegmentCondition,
    SequenceCondition,
    StepField,
    TimeWindow,
    Value,
)
from services.common.rules.bucket import BUCKETS, FNV_MODULUS, FNV_PRIME, salt_bytes
from services.segmentation.adapters.kept_sequences import fulfilling
from services.segmentation.adapters.kept_streams import Crowd, Fact, Integers, Part, Stream, Truths, Wanted
from services.segmentation.domain.timing import RELATIVE, trait_names

EXACT = 2**53
"""Whole numbers beyond it are not exact as floats."""
MILLION = 1_000_000

_FACTS = {
    Aggregate.COUNT: Fact.HAPPENED,
    Aggregate.SUM: Fact.TOTAL,
    Aggregate.AVERAGE: Fact.TOTAL,
    Aggregate.MINIMUM: Fact.LEAST,
    Aggregate.MAXIMUM: Fact.MOST,
    Aggregate.FIRST: Fact.PICKED,
    Aggregate.LAST: Fact.PICKED,
    Aggregate.DISTINCT_COUNT: Fact.DISTINCT,
}


class Undecided(Exception):
    """What is kept does not tell; the engine does."""


def streams_of(rule: Rule, segments: Mapping[str, Rule]) -> frozenset[Wanted] | None:
    """The streams that a rule needs; ``None`` if it needs more than streams."""
    try:
        return frozenset(_streams(rule, segments))
    except Undecided:
        return None


def _streams(rule: Rule, segments: Mapping[str, Rule]) -> Iterator[Wanted]:
    match rule:
        case AllOf(parts) | AnyOf(parts):
            for part in parts:
                yield from _streams(part, segments)
        case Not(part):
            yield from _streams(part, segments)
        case SegmentCondition(segment_id):
            yield from _streams(segments[segment_id], segments)
        case EventCondition():
            yield _of_events(rule)
        case SequenceCondition(steps):
            for step in steps:
                yield happened(step.event, step.where)
        case Comparison():
            yield from _of_trait(rule)
        case BucketCondition():
            pass
        case _:
            raise Undecided


def happened(event: str, where: tuple[Comparison, ...] = ()) -> Wanted:
    """The stream of the moments of events."""
    for comparison in where:
        _timeless(comparison)
    return Wanted(Fact.HAPPENED, event, where)


def _timeless(comparison: Comparison) -> Comparison:
    """``Undecided`` of what depends on the moment or on another event: no row is kept for good as true or false."""
    if comparison.operator in RELATIVE or any(isinstance(value, StepField) for value in comparison.values):
        raise Undecided
    return comparison


def _of_events(condition: EventCondition) -> Wanted:
    fact = _FACTS[condition.aggregate]
    if fact is Fact.HAPPENED:
        return happened(condition.event, condition.where)
    where = tuple(map(_timeless, condition.where))
    compared = None
    if fact is Fact.PICKED:
        compared = _timeless(Comparison(condition.property, condition.operator, condition.values))
    return Wanted(fact, condition.event, where, condition.property, compared)


def _of_trait(comparison: Comparison) -> Iterator[Wanted]:
    for name in trait_names(comparison.field):
        yield Wanted(Fact.TOLD, name, compared=_timeless(comparison))


class Verdicts:
    """Who of a crowd fulfils rules at a moment. ``hashes`` are those of their names."""

    def __init__(
        self,
        streams: Mapping[Wanted, Stream],
        segments: Mapping[str, Rule],
        crowd: Crowd,
        hashes: Callable[[], Integers],
        at: int,
    ) -> None:
        self._streams, self._segments, self._crowd, self._hashes, self._at = streams, segments, crowd, hashes, at
        self._known: dict[Rule, Truths] = {}

    def of(self, rule: Rule) -> Truths:
        """For each customer whether the rule is true; ``Undecided``."""
        if rule not in self._known:
            self._known[rule] = self._found(rule)
        return self._known[rule]

    def _found(self, rule: Rule) -> Truths:
        match rule:
            case AllOf(parts):
                return reduce(and_, map(self.of, parts))
            case AnyOf(parts):
                return reduce(or_, map(self.of, parts))
            case Not(part):
                return ~self.of(part)
            case SegmentCondition(segment_id):
                return self.of(self._segments[segment_id])
            case EventCondition():
                return self._event(rule)
            case SequenceCondition():
                return fulfilling(self._crowd, self._streams, rule, self._at)
            case Comparison():
                return self._trait(rule)
            case BucketCondition(salt, start, end):
                number = _bucket_of(salt, self._hashes())
                return (number >= start) & (number < end)
            case _:
                raise Undecided

    def _event(self, condition: EventCondition) -> Truths:
        stream = self._streams[_of_events(condition)]
        if stream.undecided:
            raise Undecided
        low, high = interval(condition.window, self._at)
        aggregate, operator, values = condition.aggregate, condition.operator, condition.values
        if aggregate in (Aggregate.FIRST, Aggregate.LAST):
            present, found = self._picked(stream, low, high, last=aggregate is Aggregate.LAST)
            return (~found if operator in POSITIVE else found) & present
        if aggregate is Aggregate.COUNT:
            return self._counted(stream, low, high, operator, values)
        figures, present = _FIGURES[aggregate](self, stream, low, high)
        return _compared(figures, operator, values) & present

    def _trait(self, comparison: Comparison) -> Truths:
        known = np.zeros(self._crowd.count, bool)
        for wanted in _of_trait(comparison):
            present, found = self._picked(self._streams[wanted], -(2**62), self._at + 1, last=True)
            known |= found & present
        return ~known if comparison.operator in POSITIVE else known

    def _counted(self, stream: Stream, low: int, high: int, operator: Operator, values: Sequence[Value]) -> Truths:
        """Most counts are compared with one number: then it is enough to know of one row whether it is in time."""
        value = values[0] if len(values) == 1 and isinstance(values[0], float) else None
        if operator in (Operator.EQUALS, Operator.NOT_EQUALS) and value == 0:
            operator = Operator.AT_MOST if operator is Operator.EQUALS else Operator.GREATER_THAN
        if operator not in _LEAST or value is None or not 0 <= value < EXACT:
            return _compared(self._count(stream, low, high), operator, values)
        least, wanted = _LEAST[operator](value)
        reached = self._crowd.reaching(stream, least, low, high) if least > 0 else np.ones(self._crowd.count, bool)
        return reached if wanted else ~reached

    def _count(self, stream: Stream, low: int, high: int) -> Integers:
        first, end = self._crowd.between(stream, low, high)
        late = self._crowd.late(stream, low, high)
        counts = self._crowd.summed(end - first)
        return counts + np.bincount(late.codes, minlength=self._crowd.count) if len(late) else counts

    def _sum(self, stream: Stream, column: int, low: int, high: int) -> Integers:
        first, end = self._crowd.between(stream, low, high)
        sums, having = stream.sums[column], np.flatnonzero(end > first)
        of_origins = np.zeros(len(end), np.int64)
        of_origins[having] = sums[end[having]] - sums[first[having]]  # few have any in a short window
        total = self._crowd.summed(of_origins)
        late = self._crowd.late(stream, low, high)
        if len(late):
            total = total.copy()
            np.add.at(total, late.codes, late.columns[column].astype(np.int64))
        if len(total) and not -EXACT < int(total.min()) <= int(total.max()) < EXACT:
            raise Undecided
        return total

    def _total(self, stream: Stream, low: int, high: int) -> tuple[npt.NDArray[np.float64], Truths]:
        total = self._sum(stream, 0, low, high) / MILLION
        return total, np.ones(len(total), bool)

    def _average(self, stream: Stream, low: int, high: int) -> tuple[npt.NDArray[np.float64], Truths]:
        counts = self._sum(stream, 1, low, high)
        return self._sum(stream, 0, low, high) / MILLION / np.maximum(counts, 1), counts > 0

    def _extreme(self, stream: Stream, low: int, high: int) -> tuple[npt.NDArray[np.float64], Truths]:
        least = stream.wanted.fact is Fact.LEAST
        crowd, outer = self._crowd, np.minimum if least else np.maximum
        figures = np.full(crowd.count, np.inf if least else -np.inf)
        if stream.whole(low, high):
            extremes = stream.extremes[np.minimum(crowd.origins, len(stream.extremes) - 1)]
            if crowd.single:
                figures = extremes
            else:
                outer.at(figures, crowd.places, extremes)
            rows = crowd.late(stream, low, high)
        else:
            rows = crowd.rows(stream, low, high)
        outer.at(figures, rows.codes, rows.columns[0].astype(np.float64) if len(rows) else np.zeros(0))
        return figures, np.isfinite(figures)

    def _distinct(self, stream: Stream, low: int, high: int) -> tuple[Integers, Truths]:
        late = self._crowd.late(stream, low, high)
        if self._crowd.single and not len(late) and (low <= stream.oldest or not len(stream)):
            first, end = self._crowd.between(stream, low, high)
            counts = stream.sums[0][end] - stream.sums[0][first]
        else:
            rows = self._crowd.rows(stream, low, high)
            values = rows.columns[0].astype(np.int64)
            pairs = np.unique(rows.codes * (int(values.max(initial=0)) + 1) + values)
            counts = np.bincount(pairs // (int(values.max(initial=0)) + 1), minlength=self._crowd.count)
        return counts, counts > 0

    def _picked(self, stream: Stream, low: int, high: int, *, last: bool) -> tuple[Truths, Truths]:
        """Whether a customer has a row in that time, and what the earliest or the newest of them says."""
        if stream.undecided:
            raise Undecided
        first, end = self._crowd.between(stream, low, high)
        having = np.flatnonzero(end > first)
        best = stream.base.chosen((end - 1 if last else first)[having])
        rows = Part(self._crowd.places[having].astype(np.int32), best.times, best.columns)
        late = self._crowd.late(stream, low, high)
        if len(late) or not self._crowd.single:
            rows = _outermost(rows.joined(late), last)
        present, found = np.zeros(self._crowd.count, bool), np.zeros(self._crowd.count, bool)
        present[rows.codes] = True
        found[rows.codes] = rows.columns[1]
        return present, found


def _outermost(rows: Part, last: bool) -> Part:
    """Of each customer the first or the last row."""
    ordered = rows.chosen(np.lexsort((rows.columns[0], rows.times, rows.codes)))
    same = ordered.codes[1:] == ordered.codes[:-1]
    tied = same & (ordered.times[1:] == ordered.times[:-1]) & (ordered.columns[0][1:] == ordered.columns[0][:-1])
    if (tied & (ordered.columns[1][1:] != ordered.columns[1][:-1])).any():
        raise Undecided
    edge = np.ones(len(ordered), bool)
    if len(same):
        (edge[:-1] if last else edge[1:])[:] = ~same
    return ordered.chosen(np.flatnonzero(edge))


def interval(window: TimeWindow, at: int) -> tuple[int, int]:
    """From when on, and before when, an event counts at ``at``."""
    low, high = -(2**62), at + 1
    if window.within is not None:
        low = at - window.within + 1
    if window.start is not None:
        low = max(low, window.start)
    if window.before is not None:
        high = at - window.before + 1
    if window.end is not None:
        high = min(high, window.end)
    return low, high


def _bucket_of(salt: str, hashes: Integers) -> Integers:
    """``services.common.rules.bucket``, from the hashes of ids."""
    for byte in salt_bytes(salt):
        hashes = ((hashes ^ byte) * FNV_PRIME) % FNV_MODULUS
    return hashes % BUCKETS


_LEAST: dict[Operator, Callable[[float], tuple[int, bool]]] = {
    Operator.AT_LEAST: lambda value: (ceil(value), True),
    Operator.GREATER_THAN: lambda value: (floor(value) + 1, True),
    Operator.LESS_THAN: lambda value: (ceil(value), False),
    Operator.AT_MOST: lambda value: (floor(value) + 1, False),
}
"""The least count, and whether those who have so many are meant or the others."""

_Figures = npt.NDArray[np.float64] | Integers
_FIGURES: dict[Aggregate, Callable[[Verdicts, Stream, int, int], tuple[_Figures, Truths]]] = {
    Aggregate.SUM: Verdicts._total,
    Aggregate.AVERAGE: Verdicts._average,
    Aggregate.MINIMUM: Verdicts._extreme,
    Aggregate.MAXIMUM: Verdicts._extreme,
    Aggregate.DISTINCT_COUNT: Verdicts._distinct,
}
_COMPARED: dict[Operator, Callable[[_Figures, Sequence[float]], Truths]] = {
    Operator.EQUALS: lambda figures, values: figures == values[0],
    Operator.NOT_EQUALS: lambda figures, values: figures != values[0],
    Operator.LESS_THAN: lambda figures, values: figures < values[0],
    Operator.AT_MOST: lambda figures, values: figures <= values[0],
    Operator.GREATER_THAN: lambda figures, values: figures > values[0],
    Operator.AT_LEAST: lambda figures, values: figures >= values[0],
    Operator.BETWEEN: lambda figures, values: (figures >= values[0]) & (figures <= values[1]),
    Operator.ANY_OF: lambda figures, values: np.isin(figures, values),
    Operator.NOT_ANY_OF: lambda figures, values: ~np.isin(figures, values),
}


def _compared(figures: _Figures, operator: Operator, values: Sequence[Value]) -> Truths:
    numbers = [value for value in values if isinstance(value, float)]
    if len(numbers) < len(values):
        raise Undecided
    return _COMPARED[operator](figures, numbers)
