"""Sequences over what is kept in memory: as ``sequences.py`` does it by window functions, by arrays."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import numpy.typing as npt

from services.common.rules import SequenceCondition, SequenceStep
from services.segmentation.adapters.kept_streams import Crowd, Fact, Integers, Stream, Truths, Wanted

_FOREVER = 2**62


def fulfilling(crowd: Crowd, streams: Mapping[Wanted, Stream], sequence: SequenceCondition, at: int) -> Truths:
    """For each customer whether ``sequence``, none of whose steps refers to another, is true at ``at``."""
    window, steps = sequence.window, sequence.steps
    low = -_FOREVER if window.within is None else at - window.within + 1
    low = low if window.start is None else max(low, window.start)
    happening = [number for number, step in enumerate(steps) if not step.negated]
    own = [streams[Wanted(Fact.HAPPENED, step.event, step.where)] for step in steps]
    few, places = crowd, np.arange(crowd.count)
    for stream in sorted((own[number] for number in happening), key=len):  # the rarest leaves the fewest to ask
        few, chosen = few.part(few.reaching(stream, 1, low, at + 1))
        places = places[chosen]
    fulfilled = np.zeros(crowd.count, bool)
    path = _path(few, own, low, at)
    if window.before is not None:
        path.steps[0] &= path.times <= at - window.before
    if window.end is not None:
        path.steps[0] &= path.times < window.end
    fulfilled[places[path.places[_reached(path, steps, happening, at)]]] = True
    return fulfilled


@dataclass(frozen=True, slots=True)
class _Path:
    """The moments of each customer in order, and which steps happen in each."""

    places: Integers
    times: Integers
    steps: list[Truths]

    def following(self, step: int) -> Integers:
        """The first moment after each at which the step happens; ``_FOREVER`` if there is none."""
        count = len(self.times)
        own = np.where(self.steps[step], np.arange(count), count)
        following = np.append(np.minimum.accumulate(own[::-1])[::-1][1:], count)
        known = np.flatnonzero(following < count)
        known = known[self.places[following[known]] == self.places[known]]
        found = np.full(count, _FOREVER)
        found[known] = self.times[following[known]]
        return found

    def latest(self, until: Integers) -> Truths:
        """Whether some earlier moment of the same customer has an ``until`` that is not before this one."""
        own, ends, count = _ranked(self.times, until, int(self.places[-1]) + 1 if len(self.places) else 1)
        highest = np.maximum.accumulate(self.places * count + ends)
        before = np.append(np.zeros(1, np.int64), highest[:-1])
        return np.asarray(before - self.places * count > own)  # less than nothing: that was another customer


def _ranked(times: Integers, until: Integers, places: int) -> tuple[Integers, Integers, int]:
    """Both as numbers from 0 on, so that one that is not before the other is greater, and how many numbers there are:
    by the clock, or where these are too many for so many places by the moments that occur."""
    if not len(times):
        return times, until, 1
    first, last = int(times.min()), int(times.max())
    if (last - first + 2) * places < _FOREVER:
        return times - first, np.clip(until, first - 1, last) - first + 1, last - first + 2
    moments = np.unique(times)
    return np.searchsorted(moments, times), np.searchsorted(moments, until, "right"), len(moments) + 1


def _path(crowd: Crowd, own: Sequence[Stream], low: int, at: int) -> _Path:
    rows = [crowd.rows(stream, low, at + 1) for stream in own]
    places = np.concatenate([part.codes for part in rows]).astype(np.int64)
    times = np.concatenate([part.times for part in rows])
    number = np.concatenate([np.full(len(part), step) for step, part in enumerate(rows)])
    order = _ordered(places, times)
    places, times, number = places[order], times[order], number[order]
    fresh = np.ones(len(order), bool)
    fresh[1:] = (places[1:] != places[:-1]) | (times[1:] != times[:-1])
    moment = np.cumsum(fresh) - 1
    steps = [_marked(int(fresh.sum()), moment[number == step]) for step in range(len(own))]
    return _Path(places[fresh], times[fresh], steps)


def _ordered(places: Integers, times: Integers) -> npt.NDArray[np.int64]:
    """The rows by place and then time: as one number where it fits, in runs that are in order already."""
    first, last = int(times.min(initial=_FOREVER)), int(times.max(initial=-_FOREVER))
    span = last - first + 1
    if len(times) and span * (int(places.max()) + 1) < _FOREVER:
        return np.argsort(places * span + (times - first), kind="stable")
    return np.lexsort((times, places))


def _marked(count: int, places: npt.NDArray[np.int64]) -> Truths:
    marked = np.zeros(count, bool)
    marked[places] = True
    return marked


def _reached(path: _Path, steps: Sequence[SequenceStep], happening: Sequence[int], at: int) -> Truths:
    reached = path.steps[0]
    for number, following in pairwise(happening):
        until = np.where(reached, _ends(path, steps, number, following), -_FOREVER)
        reached = path.steps[following] & path.latest(until)
    for number in range(happening[-1] + 1, len(steps)):
        within, first = steps[number].within, path.following(number)
        if within is None:
            reached = reached & (first == _FOREVER)
        else:
            reached = reached & (first > path.times + within) & (path.times <= at - within)
    return reached


def _ends(path: _Path, steps: Sequence[SequenceStep], number: int, following: int) -> Integers:
    """Until when, from each moment of a step, the step ``following`` may happen."""
    within = steps[following].within
    ends = np.full(len(path.times), _FOREVER) if within is None else path.times + within
    for other in range(number + 1, following):
        first, limit = path.following(other), steps[other].within
        if limit is not None:
            first = np.where(first <= path.times + limit, first, _FOREVER)
        ends = np.minimum(ends, first)
    return ends
