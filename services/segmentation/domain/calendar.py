"""Days, weeks and months of a time zone, numbered: period ``n + 1`` begins where period ``n`` ends.

A day is numbered by the days since 1970-01-01, a week by the Mondays, a month by the months since year 0.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, timedelta
from enum import IntEnum
from functools import lru_cache
from zoneinfo import ZoneInfo

from services.common.clock import from_micros
from services.common.errors import InvalidArgument

HOUR_MICROS = 3_600_000_000
DAY_MICROS = 24 * HOUR_MICROS
_EPOCH = date(1970, 1, 1)
_EARLIEST = 631_152_000_000_000  # 1990: before it the clocks count as if they had never been changed
THURSDAY_OFFSET = 3
"""The first day of 1970 is the fourth of its week."""


class TimeZoneUnknown(InvalidArgument):
    """The name is not in the IANA database. Metadata ``field``."""


class Unit(IntEnum):
    """The length of a period; the numbers are those of the contract."""

    DAY = 1
    WEEK = 2
    MONTH = 3


@dataclass(frozen=True, slots=True)
class Calendar:
    """Periods of one length in one zone.

    ``shifts`` are pairs of an instant and the microseconds by which local time is ahead from it on, the newest first;
    before the last pair, its shift holds too.
    """

    unit: Unit
    shifts: tuple[tuple[int, int], ...]

    def day(self, instant: int) -> int:
        """The number of the local day that holds ``instant`` (microseconds)."""
        shift = next((ahead for start, ahead in self.shifts if instant >= start), self.shifts[-1][1])
        return (instant + shift) // DAY_MICROS

    def since(self, earliest: int) -> "Calendar":
        """The same calendar for instants from ``earliest`` on."""
        older = sum(start <= earliest for start, _ in self.shifts)
        return Calendar(self.unit, self.shifts[: len(self.shifts) - older + 1] if older else self.shifts)

    def period(self, instant: int) -> int:
        """The number of the period that holds ``instant`` (microseconds)."""
        return self.period_of_day(self.day(instant))

    def period_of_day(self, day: int) -> int:
        """The number of the period that holds a day."""
        if self.unit is Unit.DAY:
            return day
        if self.unit is Unit.WEEK:
            return (day + THURSDAY_OFFSET) // 7
        local = _EPOCH + timedelta(days=day)
        return local.year * 12 + local.month - 1

    def first_day(self, period: int) -> date:
        """The first day of a period."""
        if self.unit is Unit.DAY:
            return _EPOCH + timedelta(days=period)
        if self.unit is Unit.WEEK:
            return _EPOCH + timedelta(days=period * 7 - THURSDAY_OFFSET)
        return date(period // 12, period % 12 + 1, 1)

    def days(self, period: int, until_day: int) -> int:
        """How many days of a period there are up to ``until_day``, that day included."""
        start = (self.first_day(period) - _EPOCH).days
        end = (self.first_day(period + 1) - _EPOCH).days
        return max(0, min(end, until_day + 1) - start)


def calendar(unit: Unit, zone: str, until: int) -> Calendar:
    """The calendar of a zone (empty: UTC) for instants up to ``until``; ``TimeZoneUnknown``."""
    return Calendar(unit, _shifts(zone or "UTC", until // DAY_MICROS * DAY_MICROS + DAY_MICROS))


@lru_cache(maxsize=256)
def _shifts(zone: str, until: int) -> tuple[tuple[int, int], ...]:
    try:
        known = ZoneInfo(zone)
    except (KeyError, ValueError, OSError):
        raise TimeZoneUnknown(f"no time zone is called {zone!r}", field="time_zone") from None

    def ahead(instant: int) -> int:
        offset = from_micros(instant).astimezone(known).utcoffset()
        assert offset is not None
        return offset // timedelta(microseconds=1)

    found = [(_EARLIEST, ahead(_EARLIEST))]
    for start in range(_EARLIEST, until, 7 * DAY_MICROS):
        _search(ahead, start, start + 7 * DAY_MICROS, found)
    return tuple(reversed(found))


def _search(ahead: Callable[[int], int], start: int, end: int, found: list[tuple[int, int]]) -> None:
    """Append the moment within ``(start, end]`` at which clocks were changed, to the second."""
    after = ahead(end)
    if after == found[-1][1]:
        return
    low, high = start // 1_000_000, end // 1_000_000
    while high - low > 1:
        middle = (low + high) // 2
        if ahead(middle * 1_000_000) == after:
            high = middle
        else:
            low = middle
    found.append((high * 1_000_000, after))
