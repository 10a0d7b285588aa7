"""Periods of a calendar: hours, days, ISO weeks and months of a time zone, as instants in microseconds."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import islice, takewhile
from zoneinfo import ZoneInfo

from services.common.clock import from_micros, to_micros
from services.common.errors import InvalidArgument
from services.forecasting.domain.measures import Granularity

HOUR = 3_600_000_000
DAY = 24 * HOUR
PERIODS_MAX = 20_000


class TimeZoneUnknown(InvalidArgument):
    """The name is not in the IANA database."""


class WindowInvalid(InvalidArgument):
    """The window is empty or holds too many periods."""


@dataclass(frozen=True, slots=True)
class Buckets:
    """How to number instants by hour or by local day: ``(time + shift) // unit``.

    ``shifts`` are pairs of an instant and the shift that holds from it on, the first from the beginning of time.
    """

    unit: int
    shifts: tuple[tuple[int, int], ...]

    def of(self, instant: int) -> int:
        """The number of the bucket that holds ``instant``."""
        at = bisect_right(self.shifts, instant, key=lambda shift: shift[0]) - 1
        return (instant + self.shifts[max(at, 0)][1]) // self.unit


@dataclass(frozen=True, slots=True)
class Periods:
    """Consecutive periods: period ``i`` is ``[starts[i], starts[i + 1])`` and holds the buckets from ``keys[i]`` on."""

    granularity: Granularity
    zone: ZoneInfo
    starts: tuple[int, ...]
    keys: tuple[int, ...]
    buckets: Buckets

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def end(self) -> int:
        """When the last period ends."""
        return self.starts[-1]

    def dates(self) -> list[datetime]:
        """The local time at which each period starts."""
        return [from_micros(start).astimezone(self.zone) for start in self.starts[:-1]]


def zone_named(name: str) -> ZoneInfo:
    """The zone; ``TimeZoneUnknown``. Empty means UTC."""
    try:
        return ZoneInfo(name or "UTC")
    except (KeyError, ValueError, OSError) as error:
        raise TimeZoneUnknown(f"there is no time zone {name} in the IANA database", field="time_zone") from error


def periods_between(granularity: Granularity, zone: ZoneInfo, first: int, last: int) -> Periods:
    """The periods from the one that holds ``first`` to the one that holds ``last``; ``WindowInvalid``."""
    if last < first:
        raise WindowInvalid("the window ends before it starts", field="end_time")
    starts = list(islice(_starts(granularity, zone, first), PERIODS_MAX + 2))
    inside = list(takewhile(lambda start: start <= last, starts))
    if len(inside) > PERIODS_MAX:
        raise WindowInvalid(
            f"the window holds more than {PERIODS_MAX} periods; ask for a shorter one", field="end_time"
        )
    return _periods(granularity, zone, starts[: len(inside) + 1])


def periods_from(granularity: Granularity, zone: ZoneInfo, first: int, count: int) -> Periods:
    """So many periods from the one that holds ``first`` on."""
    return _periods(granularity, zone, list(islice(_starts(granularity, zone, first), count + 1)))


def _periods(granularity: Granularity, zone: ZoneInfo, starts: Sequence[int]) -> Periods:
    if granularity is Granularity.HOUR:
        buckets = Buckets(HOUR, ((0, -starts[0] % HOUR),))
    else:
        buckets = Buckets(DAY, tuple(_offsets(zone, starts[0], starts[-1])))
    keys = [buckets.of(start) for start in starts[:-1]]
    return Periods(granularity, zone, tuple(starts), tuple(keys), buckets)


def _starts(granularity: Granularity, zone: ZoneInfo, first: int) -> Iterator[int]:
    local = from_micros(first).astimezone(zone)
    if granularity is Granularity.HOUR:
        start = to_micros(local.replace(minute=0, second=0, microsecond=0))
        while True:
            yield start
            start += HOUR
    day = _first_day(granularity, local.date())
    while True:
        yield to_micros(datetime.combine(day, time(), zone).astimezone(UTC))
        day = _next_day(granularity, day)


def _first_day(granularity: Granularity, day: date) -> date:
    if granularity is Granularity.WEEK:
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if granularity is Granularity.MONTH else day


def _next_day(granularity: Granularity, day: date) -> date:
    if granularity is Granularity.MONTH:
        return (day.replace(day=28) + timedelta(days=4)).replace(day=1)
    return day + timedelta(days=7 if granularity is Granularity.WEEK else 1)


def _offsets(zone: ZoneInfo, first: int, last: int) -> Iterator[tuple[int, int]]:
    """The instants between which the zone's distance from UTC is constant, and that distance."""
    known = _offset(zone, first)
    yield first, known
    for instant in range(first, last, DAY):
        later = min(instant + DAY, last)
        now = _offset(zone, later)
        if now != known:
            yield _change(zone, instant, later), now
            known = now


def _change(zone: ZoneInfo, before: int, after: int) -> int:
    """The first instant with the offset of ``after``."""
    while after - before > 1:
        middle = (before + after) // 2
        before, after = (before, middle) if _offset(zone, middle) == _offset(zone, after) else (middle, after)
    return after


def _offset(zone: ZoneInfo, instant: int) -> int:
    offset = from_micros(instant).astimezone(zone).utcoffset()
    return (offset or timedelta()) // timedelta(microseconds=1)
