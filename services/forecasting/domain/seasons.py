"""What is known ahead of each period: its season, and what the calendar says of it, as regression features."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from services.forecasting.domain.holidays import WESTERN, HolidayCalendar
from services.forecasting.domain.measures import Granularity

FloatArray = npt.NDArray[np.float64]

# A season must have come round often enough to be told from chance.
_SEASONS_FOR_LONG_MIN = 2.5
_DAYS_OF_YEAR = 365.25
_NEAR, _SOON = 30, 7
_HOURS_MAX, _DAYS_MAX = 12 * 168, 3 * 366


@dataclass(frozen=True, slots=True)
class Rhythm:
    """How long what comes round takes, in periods, and over how many of them the past is looked at."""

    seasons: tuple[int, ...]
    year: int
    """0 where a year is too long to matter."""
    level_window: int
    windows: tuple[int, ...]


RHYTHMS = {
    Granularity.HOUR: Rhythm((24, 168), 0, 168, (1, 24, 72, 168, 672)),
    Granularity.DAY: Rhythm((7,), 364, 28, (1, 7, 14, 28, 56, 91, 364)),
    Granularity.WEEK: Rhythm((), 52, 8, (1, 2, 4, 8, 13, 26, 52)),
    Granularity.MONTH: Rhythm((), 12, 12, (1, 2, 3, 6, 12)),
}


def season_length(granularity: Granularity, count: int) -> int:
    """How many periods make a season, given how long the history is; 1 if no season can be learnt."""
    long, short = {
        Granularity.HOUR: (168, 24),
        Granularity.DAY: (7, 7),
        Granularity.WEEK: (52, 1),
        Granularity.MONTH: (12, 1),
    }[granularity]
    return long if count >= _SEASONS_FOR_LONG_MIN * long else short


def history_length_max(granularity: Granularity) -> int:
    """How many of the last periods are worth learning from."""
    return {Granularity.HOUR: _HOURS_MAX, Granularity.DAY: _DAYS_MAX}.get(granularity, 1000)


def calendar_features(
    granularity: Granularity, starts: Sequence[datetime], holidays: HolidayCalendar = WESTERN
) -> FloatArray:
    """One row a period: what is known of it beforehand."""
    features = {
        Granularity.HOUR: _of_hour,
        Granularity.DAY: _of_day,
        Granularity.WEEK: _of_week,
        Granularity.MONTH: _of_month,
    }[granularity]
    rows = [features(start, holidays) for start in starts]
    if granularity in (Granularity.DAY, Granularity.WEEK) and _years(starts) >= _SEASONS_FOR_LONG_MIN:
        rows = [[*row, *_of_year(start)] for row, start in zip(rows, starts, strict=True)]
    return np.array(rows, dtype=np.float64)


def date_features(
    granularity: Granularity, starts: Sequence[datetime], holidays: HolidayCalendar = WESTERN
) -> FloatArray:
    """One row a period, for trees, which find thresholds themselves: its place in day, week, month and year, how many
    holidays it has, how far the nearest are, and which one is near."""
    last = starts[-1].date() + timedelta(days=_NEAR + 31)
    days = [day for year in range(starts[0].year - 1, last.year + 1) for day in holidays.of(year).items()]
    names = {name: float(number) for number, name in enumerate(sorted({name for _, name in days}), start=1)}
    ordinals = np.array([day.toordinal() for day, _ in days], dtype=np.int64)
    codes = [names[name] for _, name in days]
    length = {Granularity.WEEK: 7, Granularity.MONTH: 31}.get(granularity, 1)
    return np.array([[*_place(start), *_near(start.toordinal(), length, ordinals, codes)] for start in starts])


def _place(start: datetime) -> list[float]:
    week = start.isocalendar().week
    return [float(it) for it in (start.hour, start.weekday(), start.day, start.month, week, start.timetuple().tm_yday)]


def _near(first: int, length: int, ordinals: npt.NDArray[np.int64], codes: Sequence[float]) -> list[float]:
    """How many holidays lie in the ``length`` days from ``first`` on, how far the last one before and the next one
    after are, and the number of one that is inside or next, 0 if none is near."""
    begin, end = np.searchsorted(ordinals, [first, first + length])
    since = first - int(ordinals[begin - 1]) if begin else _NEAR
    until = int(ordinals[end]) - (first + length - 1) if end < len(ordinals) else _NEAR
    which = codes[begin] if begin < end else codes[end] if end < len(ordinals) and until <= _SOON else 0.0
    return [float(end - begin), float(min(since, _NEAR)), float(min(until, _NEAR)), which]


def _years(starts: Sequence[datetime]) -> float:
    return (starts[-1] - starts[0]).days / _DAYS_OF_YEAR


def _of_hour(start: datetime, holidays: HolidayCalendar) -> list[float]:
    weekdays = [float(start.weekday() == day) for day in range(6)]
    hours = [float(start.hour == hour) for hour in range(23)]
    return [*weekdays, *hours, float(holidays.is_holiday(start.date()))]


def _of_day(start: datetime, holidays: HolidayCalendar) -> list[float]:
    day, one = start.date(), timedelta(days=1)
    angle = 2 * np.pi * (day.day - 1) / 30.4
    near = [float(holidays.is_holiday(it)) for it in (day, day + one, day - one)]
    return [*near, float(np.cos(angle)), float(np.sin(angle))]


def _of_week(start: datetime, holidays: HolidayCalendar) -> list[float]:
    days = [start.date() + timedelta(days=day) for day in range(7)]
    return [float(sum(holidays.is_holiday(day) for day in days)), float(min(day.day for day in days) == 1)]


def _of_month(start: datetime, _: HolidayCalendar) -> list[float]:
    first = start.date()
    days = [first + timedelta(days=day) for day in range(31)]
    inside = [day for day in days if day.month == first.month]
    return [len(inside) / 30.4 - 1, sum(day.weekday() >= 5 for day in inside) / 8.7 - 1]


def _of_year(start: datetime) -> list[float]:
    angle = 2 * np.pi * start.timetuple().tm_yday / _DAYS_OF_YEAR
    return [float(wave(k * angle)) for k in (1, 2, 3) for wave in (np.cos, np.sin)]
