"""Where periods of several lengths lie beside each other, at the end of the data and at earlier moments."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, time, timedelta

import numpy as np
import numpy.typing as npt

from services.common.clock import from_micros, to_micros
from services.forecasting.domain.measures import Granularity
from services.forecasting.domain.periods import Periods, periods_from

IntArray = npt.NDArray[np.int64]
_HISTORY_MIN = 6
_SPARE = 40
"""The same number of months may have some days, and some days some hours, more than from the end of the data on."""


@dataclass(frozen=True, slots=True)
class Span:
    """Periods of one length, beside the shortest ones. Origins are moments, the end of the data the first."""

    held_out: list[int]
    """By origin: how many complete periods end after it; 0 for the end."""
    counts: list[int]
    """By origin: how many periods ahead, the one that has begun included, end within the horizon."""
    owners: IntArray
    """By origin and shortest period ahead: in which of these it lies; -1 for none that ends within the horizon."""
    begun: list[tuple[int, int]]
    """By origin: which of the shortest periods of the past, from and up to, are of the first of these ahead."""

    @property
    def steps(self) -> int:
        """How many periods are forecast, from any origin."""
        return max(self.counts)


def spans(pasts: Sequence[Periods], horizon: int, back: Sequence[int]) -> list[Span]:
    """``pasts``: the complete periods of each length, the shortest first; ``horizon`` and ``back``, how far the origins
    lie before the end, are in periods of the longest. An origin before which too little is known is left out."""
    shortest, longest = pasts[0], pasts[-1]
    starts = [_extended(past, longest, horizon) for past in pasts]
    moments = [shortest.end]
    for far in back:
        moment = _earlier(shortest, longest.granularity, far)
        if all(bisect_right(its, moment) - 1 >= _HISTORY_MIN for its in starts):
            moments.append(moment)
    places = [[bisect_right(its, moment) - 1 for moment in moments] for its in starts]
    ends = [starts[-1][place + horizon] for place in places[-1]]
    counts = [
        [_ending(its, place, end) for place, end in zip(of, ends, strict=True)]
        for its, of in zip(starts, places, strict=True)
    ]
    steps = max(counts[0])
    found = []
    for past, its, of, count in zip(pasts, starts, places, counts, strict=True):
        owners = np.full((len(moments), steps), -1, dtype=np.int64)
        for origin, place in enumerate(places[0]):
            for step in range(counts[0][origin]):
                owner = bisect_right(its, starts[0][place + step]) - 1 - of[origin]
                owners[origin, step] = owner if owner < count[origin] else -1
        begun = [(bisect_right(starts[0], its[place]) - 1, first) for place, first in zip(of, places[0], strict=True)]
        found.append(Span([len(past) - place for place in of], count, owners, begun))
    return found


def _ending(starts: Sequence[int], place: int, end: int) -> int:
    """How many periods from ``place`` on end at ``end`` at the latest."""
    return bisect_right(starts, end) - 1 - place


def _extended(past: Periods, longest: Periods, horizon: int) -> tuple[int, ...]:
    """The starts of the periods, far enough ahead."""
    end = periods_from(longest.granularity, longest.zone, longest.end, horizon + 1).end
    hours = (end - past.end) // 3_600_000_000
    per = {Granularity.HOUR: 1, Granularity.DAY: 23, Granularity.WEEK: 167, Granularity.MONTH: 670}[past.granularity]
    return past.starts[:-1] + periods_from(past.granularity, past.zone, past.end, hours // per + _SPARE).starts


def _earlier(shortest: Periods, longest: Granularity, count: int) -> int:
    """The moment so many of the longest periods before the end, at the same place in the period, as far as it has one;
    a start of a shortest period."""
    local = from_micros(shortest.end).astimezone(shortest.zone)
    moment = to_micros(_back(local, longest, count))
    return shortest.starts[max(bisect_right(shortest.starts, moment) - 1, 0)]


def _back(local: datetime, longest: Granularity, count: int) -> datetime:
    if longest is not Granularity.MONTH:
        return local - timedelta(days=count * (7 if longest is Granularity.WEEK else 1))
    month = local.year * 12 + local.month - 1 - count
    first = datetime.combine(local.date().replace(year=month // 12, month=month % 12 + 1, day=1), time(), local.tzinfo)
    after = (first.replace(day=28) + timedelta(days=4)).replace(day=1)
    return min(first + timedelta(days=local.day - 1), after - timedelta(days=1)).replace(hour=local.hour)
