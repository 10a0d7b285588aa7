"""What rules count, kept in memory: for each stream of facts its rows by customer and time, as arrays.

A stream has most of its rows sorted by customer and then time, with where each customer's begin, and what came since
as a tail that joins them when it has grown. Times are microseconds, customers are numbers from 0 on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from services.common.rules import Comparison

Integers: TypeAlias = npt.NDArray[np.int64]
Truths: TypeAlias = npt.NDArray[np.bool_]
Column: TypeAlias = npt.NDArray[np.generic]

TAIL_MIN = 10_000
TAIL_SHARE = 32
"""The tail joins the others when it is longer than ``TAIL_MIN`` rows and a ``TAIL_SHARE``-th of them."""


class Fact(Enum):
    """What a row says beside its customer and time; the columns of its stream."""

    HAPPENED = "happened"
    """Nothing: ``()``."""
    TOTAL = "total"
    """The sum of the numbers of an event in millionths, and how many they are: ``(int64, int64)``."""
    LEAST = "least"
    MOST = "most"
    """The least or the greatest number of an event: ``(float64,)``."""
    DISTINCT = "distinct"
    """One of its values, numbered: ``(int64,)``."""
    PICKED = "picked"
    """A text that orders rows of the same time, as a number, and whether a comparison is true of the event:
    ``(uint64, bool)``."""
    TOLD = "told"
    """The same of a trait."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which stream: of the events of a name that are as ``where`` says, or of what was told of a trait."""

    fact: Fact
    name: str
    where: tuple[Comparison, ...] = ()
    property: str = ""
    compared: Comparison | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """Rows: whose, when, and the columns of the stream's fact."""

    codes: npt.NDArray[np.int32]
    times: Integers
    columns: tuple[Column, ...] = ()

    def __len__(self) -> int:
        return len(self.codes)

    def chosen(self, rows: npt.NDArray[np.generic]) -> "Part":
        """Those of the rows."""
        return Part(self.codes[rows], self.times[rows], tuple(column[rows] for column in self.columns))

    def joined(self, other: "Part") -> "Part":
        """These rows and then the others."""
        pairs = zip(self.columns, other.columns, strict=True)
        return Part(
            np.concatenate([self.codes, other.codes]),
            np.concatenate([self.times, other.times]),
            tuple(np.concatenate(pair) for pair in pairs),
        )


class Stream:
    """The rows of one kind of fact."""

    def __init__(self, wanted: Wanted, part: Part | None, tail_min: int = TAIL_MIN) -> None:
        """``None``: what it should hold cannot be kept, now or ever."""
        self.wanted, self._tail_min = wanted, tail_min
        self._unkept = part is None
        part = Part(np.zeros(0, np.int32), np.zeros(0, np.int64)) if part is None else part
        self.tail = part.chosen(np.arange(0))
        self._settle(part)

    def __len__(self) -> int:
        return len(self.base) + len(self.tail)

    def add(self, part: Part) -> None:
        """More rows."""
        if self._unkept:
            return
        self.tail = self.tail.joined(part)
        if len(self.tail) > max(self._tail_min, len(self.base) // TAIL_SHARE):
            late, self.tail = self.tail, self.tail.chosen(np.arange(0))
            self._settle(self.base.joined(late) if self._tied else self._merged(late))

    @property
    def undecided(self) -> bool:
        """Whether it does not tell: a number is too large, or rows of one customer and time cannot be told apart by
        what is kept of their order."""
        return self._unkept or self._ambiguous

    @property
    def _tied(self) -> bool:
        """Whether rows of the same time have an order."""
        return self.wanted.fact in (Fact.PICKED, Fact.TOLD)

    def _merged(self, late: Part) -> Part:
        """The rows with those of the tail among them, in order: only the tail is sorted."""
        late = late.chosen(np.lexsort((late.times, late.codes)))
        places = self.place(*self.spans(late.codes.astype(np.int64)), late.times)
        columns = zip(self.base.columns, late.columns, strict=True)
        return Part(
            np.insert(self.base.codes, places, late.codes),
            np.insert(self.base.times, places, late.times),
            tuple(np.insert(settled, places, more) for settled, more in columns),
        )

    def _settle(self, part: Part) -> None:
        ordered = (part.codes[1:] > part.codes[:-1]) | (
            (part.codes[1:] == part.codes[:-1]) & (part.times[1:] >= part.times[:-1])
        )
        if self._tied or not ordered.all():
            ties = (part.columns[0],) if self._tied else ()
            part = part.chosen(np.lexsort((*ties, part.times, part.codes)))
        self.base = part
        # The last two are the same: of a customer who is not here there is nothing.
        self.starts: Integers = np.searchsorted(part.codes, np.arange(part.codes[-1] + 3 if len(part) else 2))
        self.oldest = int(part.times.min()) if len(part) else 0
        self.newest = int(part.times.max()) if len(part) else -1
        self._ambiguous = self._tied and not self._unkept and _tied(part.codes, part.times, *part.columns)
        self.axis: object = object()
        for made_of_rows in ("sums", "extremes"):
            self.__dict__.pop(made_of_rows, None)

    def align(self, other: "Stream") -> bool:
        """Have whose and when the rows are in common with ``other``, if that is the same."""
        if self.axis is not other.axis:
            mine, own = self.base, other.base
            if not (np.array_equal(mine.codes, own.codes) and np.array_equal(mine.times, own.times)):
                return False
            self.base, self.starts, self.axis = Part(own.codes, own.times, mine.columns), other.starts, other.axis
        return True

    @cached_property
    def sums(self) -> tuple[Integers, ...]:
        """For each column the sum of all rows before each place; of values, how many are the customer's first."""
        if self.wanted.fact is Fact.DISTINCT:
            (values,) = self.base.columns
            firsts = np.zeros(len(self.base), bool)
            firsts[first_of_each(self.base.codes, values)] = True
            return (_sums(firsts),)
        return tuple(_sums(column) for column in self.base.columns)

    @cached_property
    def extremes(self) -> npt.NDArray[np.float64]:
        """The least, or the greatest, of all settled rows of each customer, as far as ``starts`` go."""
        least = self.wanted.fact is Fact.LEAST
        extremes = np.full(len(self.starts) - 1, np.inf if least else -np.inf)
        having = np.flatnonzero(np.diff(self.starts))
        if len(having):
            (column,) = self.base.columns
            extremes[having] = (np.minimum if least else np.maximum).reduceat(column, self.starts[having])
        return extremes

    def whole(self, low: int, high: int) -> bool:
        """Whether all settled rows are of that time."""
        return low <= self.oldest and high > self.newest

    def spans(self, codes: Integers) -> tuple[Integers, Integers]:
        """Where the settled rows of each customer begin and end."""
        known = np.minimum(codes, len(self.starts) - 2)
        return self.starts[known], self.starts[known + 1]

    def place(self, starts: Integers, ends: Integers, bound: int | Integers) -> Integers:
        """Within each span the first place whose time is not before ``bound``, which may be one for each."""
        if isinstance(bound, int) and (bound > self.newest or bound <= self.oldest):
            return ends if bound > self.newest else starts
        found, times = ends.copy(), self.base.times
        bounds = np.broadcast_to(np.asarray(bound, np.int64), starts.shape)
        # All rows are before it in short windows of most customers, and none in long ones.
        open_ = np.flatnonzero(ends > starts)
        open_ = open_[times[ends[open_] - 1] >= bounds[open_]]
        found[open_] = starts[open_]
        open_ = open_[times[starts[open_]] < bounds[open_]]
        low, high, bounds = starts[open_] + 1, ends[open_] - 1, bounds[open_]
        going = low < high
        found[open_] = low
        open_, low, high, bounds = open_[going], low[going], high[going], bounds[going]
        while len(open_):
            middle = (low + high) >> 1
            earlier = times[middle] < bounds
            low, high = np.where(earlier, middle + 1, low), np.where(earlier, high, middle)
            going = low < high
            if not going.all():
                done = ~going
                found[open_[done]] = low[done]
                open_, low, high, bounds = open_[going], low[going], high[going], bounds[going]
        return found


def first_of_each(*columns: Column) -> Integers:
    """The first place of each combination of values."""
    order = np.lexsort(columns)
    first = np.zeros(len(order), bool)
    first[:1] = True
    for column in columns:
        ordered = column[order]
        first[1:] |= ordered[1:] != ordered[:-1]
    return np.sort(order[first])


def _sums(column: Column) -> Integers:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(column, dtype=np.int64)])


def _tied(*columns: Column) -> bool:
    """Whether two neighbours are the same in all columns but the last."""
    same = np.ones(max(len(columns[0]) - 1, 0), bool)
    for column in columns[:-1]:
        same &= column[1:] == column[:-1]
    return bool((same & (columns[-1][1:] != columns[-1][:-1])).any())


class Crowd:
    """The customers that are asked about: each with the numbers of those it is made of by merges."""

    def __init__(self, origins: Integers, places: Integers, count: int, known: int) -> None:
        self.origins, self.places, self.count = origins, places, count
        self.single = len(origins) == count
        """Whether nobody is made of several."""
        self._known = known
        self._bounds: dict[tuple[object, int], Integers] = {}
        self._spans: dict[object, tuple[Integers, Integers]] = {}
        self._late: dict[Wanted, Part] = {}

    @cached_property
    def _place_of(self) -> npt.NDArray[np.int32]:
        place_of = np.full(self._known, -1, np.int32)
        place_of[self.origins] = self.places
        return place_of

    def between(self, stream: Stream, low: int, high: int) -> tuple[Integers, Integers]:
        """The settled rows of each origin from the time ``low`` on and before ``high``."""
        first = self._bound(stream, low)
        return first, np.maximum(self._bound(stream, high), first)

    def _bound(self, stream: Stream, bound: int) -> Integers:
        key = stream.axis, bound
        if key not in self._bounds:
            self._bounds[key] = stream.place(*self._span(stream), bound)
        return self._bounds[key]

    def _span(self, stream: Stream) -> tuple[Integers, Integers]:
        if stream.axis not in self._spans:
            self._spans[stream.axis] = stream.spans(self.origins)
        return self._spans[stream.axis]

    def reaching(self, stream: Stream, least: int, low: int, high: int) -> Truths:
        """Who has at least so many rows (one or more) in that time: one look at the row that has to be in it."""
        missing = least - np.bincount(self.late(stream, low, high).codes, minlength=self.count)
        if not self.single or (stream.axis, low) in self._bounds:
            first, end = self.between(stream, low, high)
            found: Truths = self.summed(end - first) >= missing
            return found
        starts, _ = self._span(stream)
        sought = np.maximum(self._bound(stream, high) - missing, -1)
        enough = sought >= starts
        if low > stream.oldest:
            timely = np.flatnonzero(enough & (missing > 0))
            enough[timely] = stream.base.times[sought[timely]] >= low
        reached: Truths = enough | (missing <= 0)
        return reached

    def late(self, stream: Stream, low: int, high: int) -> Part:
        """The rows of the tail in that time, with places instead of numbers of customers."""
        if stream.wanted not in self._late:
            self._late[stream.wanted] = self._of_tail(stream.tail)
        found = self._late[stream.wanted]
        timely = (found.times >= low) & (found.times < high)
        return found if timely.all() else found.chosen(np.flatnonzero(timely))

    def _of_tail(self, tail: Part) -> Part:
        if not len(tail):
            return tail
        places = self._place_of[tail.codes]
        mine = np.flatnonzero(places >= 0)
        found = tail.chosen(mine)
        return Part(places[mine], found.times, found.columns)

    def rows(self, stream: Stream, low: int, high: int) -> Part:
        """All rows in that time, with places instead of numbers of customers."""
        first, end = self.between(stream, low, high)
        lengths = end - first
        ends = np.cumsum(lengths)
        index = np.arange(ends[-1] if len(ends) else 0) + np.repeat(first - (ends - lengths), lengths)
        base = stream.base.chosen(index)
        settled = Part(np.repeat(self.places, lengths).astype(np.int32), base.times, base.columns)
        late = self.late(stream, low, high)
        return settled.joined(late) if len(late) else settled

    def summed(self, of_origins: Integers) -> Integers:
        """Figures of origins as those of customers."""
        if self.single:
            return of_origins
        total = np.zeros(self.count, np.int64)
        np.add.at(total, self.places, of_origins)
        return total

    def part(self, wanted: Truths) -> "tuple[Crowd, Integers]":
        """Those customers for whom ``wanted`` is true, and their places here."""
        chosen = np.flatnonzero(wanted)
        place = np.full(self.count, -1, np.int64)
        place[chosen] = np.arange(len(chosen))
        mine = wanted[self.places]
        return Crowd(self.origins[mine], place[self.places[mine]], len(chosen), self._known), chosen


def joined(parts: Sequence[Part]) -> Part:
    """All rows of some parts with the same columns."""
    whole = parts[0]
    for part in parts[1:]:
        whole = whole.joined(part)
    return whole
