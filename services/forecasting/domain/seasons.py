"""What is known ahead of each period: its season, and what the calendar says of it, as regression features."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
import numpy.typing as npt

from services.forecasting.domain.holidays import is_holiday
from services.forecasting.domain.measures import Granularity

FloatArray = npt.NDArray[np.float64]

# A season must have come round often enough to be told from chance.
_SEASONS_FOR_LONG_MIN = 2.5
_DAYS_OF_YEAR = 365.25
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


def calendar_features(granularity: Granularity, starts: Sequence[datetime]) -> FloatArray:
    """One row a period: what is known of it beforehand."""
    features = {
        Granularity.HOUR: _of_hour,
        Granularity.DAY: _of_day,
        Granularity.WEEK: _of_week,
        Granularity.MONTH: _of_month,
    }[granularity]
    rows = [features(start) for start in starts]
    if granularity in (Granularity.DAY, Granularity.WEEK) and _years(starts) >= _SEASONS_FOR_LONG_MIN:
        rows = [[*row, *_of_year(start)] for row, start in zip(rows, starts, strict=True)]
    return np.array(rows, dtype=np.float64)


def _years(starts: Sequence[datetime]) -> float:
    return (starts[-1] - starts[0]).days / _DAYS_OF_YEAR


def _of_hour(start: datetime) -> list[float]:
    weekdays = [float(start.weekday() == day) for day in range(6)]
    hours = [float(start.hour == hour) for hour in range(23)]
    return [*weekdays, *hours, float(is_holiday(start.date()))]


def _of_day(start: datetime) -> list[float]:
    day, one = start.date(), timedelta(days=1)
    angle = 2 * np.pi * (day.day - 1) / 30.4
    near = [float(is_holiday(day)), float(is_holiday(day + one)), float(is_holiday(day - one))]
    return [*near, float(np.cos(angle)), float(np.sin(angle))]


def _of_week(start: datetime) -> list[float]:
    days = [start.date() + timedelta(days=day) for day in range(7)]
    return [float(sum(is_holiday(day) for day in days)), float(min(day.day for day in days) == 1)]


def _of_month(start: datetime) -> list[float]:
    first = start.date()
    days = [first + timedelta(days=day) for day in range(31)]
    inside = [day for day in days if day.month == first.month]
    return [len(inside) / 30.4 - 1, sum(day.weekday() >= 5 for day in inside) / 8.7 - 1]


def _of_year(start: datetime) -> list[float]:
    angle = 2 * np.pi * start.timetuple().tm_yday / _DAYS_OF_YEAR
    return [float(wave(k * angle)) for k in (1, 2, 3) for wave in (np.cos, np.sin)]
