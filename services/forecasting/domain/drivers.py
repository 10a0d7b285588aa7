"""Drivers: what is known to move sales, day by day, and how days become periods."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from enum import IntEnum
from math import isfinite

import numpy as np
import numpy.typing as npt

from services.common.errors import FailedPrecondition, InvalidArgument, NotFound
from services.forecasting.domain.measures import Dimension, Granularity
from services.forecasting.domain.mixes import Given, Mix, Scope, held
from services.forecasting.domain.periods import Periods

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

DRIVERS_MAX = 50
DAYS_OF_VALUE_MAX, DAYS_MAX = 1_100, 200_000
FIGURES_MAX = 20_000_000
RESERVED = ("level", "season", "calendar", "adjustment")
_EPOCH = date(1970, 1, 1).toordinal()
_LARGEST = 1e15
_UNDIVIDED = Mix()


class DriverInvalid(InvalidArgument):
    """A driver cannot be like that."""


class TooManyDrivers(FailedPrecondition):
    """Forecasts with more of them would learn chance."""


class DriverNotFound(NotFound):
    """There is none of this name."""


class DriverValueInvalid(InvalidArgument):
    """A value, or its days, make no sense."""


class DriverUnknownAhead(FailedPrecondition):
    """A forecast needs values that were not recorded."""


class NoDrivers(FailedPrecondition):
    """The forecast knows of none."""


class DriverChangeInvalid(InvalidArgument):
    """A change says nothing, or nothing that is forecast."""


class DriverSource(IntEnum):
    """Where the values of a driver come from."""

    RECORDED = 1
    AVERAGE_PRICE = 2
    AVERAGE_DISCOUNT = 3


@dataclass(frozen=True, slots=True)
class Driver:
    """Something that moves sales. ``driver_id`` is new each time that one of the name is made."""

    driver_id: str
    name: str
    source: DriverSource = DriverSource.RECORDED
    default: float | None = None
    required_ahead: bool = False

    def check(self) -> None:
        """``DriverInvalid``."""
        if self.name in RESERVED:
            raise DriverInvalid(f"{self.name} is a part of every explanation; choose another name", field="name")
        if self.default is not None and not isfinite(self.default):
            raise DriverInvalid("the default must be a finite number", field="default_value")


@dataclass(frozen=True, slots=True)
class DriverSpan:
    """What a driver is for a series from one day to another, both included; ``None`` withdraws it."""

    driver: str
    dimension: Dimension
    value: str
    first: date
    last: date
    number: float | None

    @property
    def days(self) -> int:
        """How many."""
        return (self.last - self.first).days + 1

    def check(self, index: int) -> None:
        """``DriverValueInvalid``, with the index."""
        if self.dimension is Dimension.TOTAL and self.value:
            raise DriverValueInvalid("a value of all series names none; leave it empty", index=index, field="value")
        check_span(self.first, self.last, index)
        if self.number is not None and not abs(self.number) <= _LARGEST:
            raise DriverValueInvalid("the number must be finite", index=index, field="number")


@dataclass(frozen=True, slots=True)
class DriverDays:
    """Values of drivers: one row a driver, series and day. Days are counted from 1970."""

    driver_ids: Sequence[str]
    dimensions: Sequence[int]
    values: Sequence[str]
    days: IntArray
    numbers: FloatArray


@dataclass(frozen=True, slots=True)
class Resolved:
    """What drivers are in the periods of a panel."""

    names: tuple[str, ...]
    numbers: FloatArray
    """By series, period and driver; all finite."""
    warnings: Mapping[str, tuple[str, ...]]
    """By series: what was done where values were missing."""


def check_span(first: date, last: date, index: int = 0) -> None:
    """``DriverValueInvalid`` for days in the wrong order, or too many of them."""
    if last < first:
        raise DriverValueInvalid("the span ends before it begins", index=index, field="last_date")
    if (last - first).days >= DAYS_OF_VALUE_MAX:
        raise DriverValueInvalid(f"a span has at most {DAYS_OF_VALUE_MAX:,} days", index=index, field="last_date")


def day_number(day: date) -> int:
    """Days from 1970."""
    return day.toordinal() - _EPOCH


def day_of(number: int) -> date:
    """The day with this number."""
    return date.fromordinal(number + _EPOCH)


@dataclass(frozen=True, slots=True)
class Calendar:
    """The local days of consecutive periods: those of period ``i`` are ``firsts[i]`` up to, not including,
    ``ends[i]``."""

    firsts: IntArray
    ends: IntArray

    @property
    def first(self) -> int:
        """The first day of all."""
        return int(self.firsts[0])

    @property
    def end(self) -> int:
        """The day after the last."""
        return int(self.ends[-1])

    def means(self, daily: FloatArray) -> FloatArray:
        """The means over the days of each period; the last axis of ``daily`` are all days from ``first`` on."""
        firsts, lengths = self.firsts - self.first, self.ends - self.firsts
        if (lengths == 1).all():
            return np.asarray(daily[..., firsts])
        return np.asarray(np.add.reduceat(daily, firsts, axis=-1) / lengths)


def days_of(*spans: Periods) -> Calendar:
    """The days of the periods of consecutive spans."""
    starts = [day_number(start.date()) for span in spans for start in span.dates()]
    firsts, granularity = np.array(starts, dtype=np.int64), spans[0].granularity
    if granularity in (Granularity.HOUR, Granularity.DAY):
        return Calendar(firsts, firsts + 1)
    last = day_of(int(firsts[-1]))
    end = last + timedelta(days=7)
    if granularity is Granularity.MONTH:
        end = (last.replace(day=28) + timedelta(days=4)).replace(day=1)
    return Calendar(firsts, np.append(firsts[1:], day_number(end)))


def resolve(
    drivers: Sequence[Driver],
    rows: DriverDays,
    series: Mapping[str, Scope],
    calendar: Calendar,
    ahead: int,
    mix: Mix = _UNDIVIDED,
    *,
    refusing: bool = True,
) -> Resolved:
    """What the recorded ``drivers`` are for each of ``series`` in each period; the last ``ahead`` lie in the future.

    ``series``: which values each is made of, by name. A value of the series itself goes first, then the mean of those
    of its parts in the ``mix``, then one of all series. Where there is none, the default holds, or the last value
    before; before the first value, that. Drivers without any value for the series are left out.
    ``DriverUnknownAhead``, or, without ``refusing``, a warning.
    """
    first_ahead = int(calendar.firsts[-ahead]) - calendar.first
    warnings: dict[str, list[str]] = {name: [] for name in series}
    names, filled = [], []
    for driver, given in zip(drivers, given_days(drivers, rows, calendar), strict=True):
        found = [given.of(scope, mix, driver.default) for scope in series.values()]
        daily, known = np.stack([it for it, _ in found]), np.stack([it for _, it in found])
        if np.isfinite(daily).any():
            if driver.default is None:
                for row, missing in _missing(known, first_ahead):
                    name, day = list(series)[row], day_of(calendar.first + missing)
                    note = _unknown(driver, series[name], day, refusing and driver.required_ahead, found[row][0])
                    warnings[name].append(note)
            names.append(driver.name)
            filled.append(
                np.where(np.isfinite(daily), daily, driver.default) if driver.default is not None else carried(daily)
            )
    numbers = np.stack([calendar.means(it) for it in filled], axis=-1) if filled else _none(series, calendar)
    return Resolved(tuple(names), numbers, {name: tuple(it) for name, it in warnings.items() if it})


def given_days(drivers: Sequence[Driver], rows: DriverDays, calendar: Calendar) -> list[Given]:
    """What was given of each driver, day by day. What holds on the first day of the calendar is its value."""
    count = calendar.end - calendar.first
    days: dict[str, dict[Scope, FloatArray]] = {driver.driver_id: {} for driver in drivers}
    rows = _with_first(drivers, rows, calendar.first)
    for driver, dimension, value, day, number in zip(
        rows.driver_ids, rows.dimensions, rows.values, rows.days.tolist(), rows.numbers.tolist(), strict=True
    ):
        at = day - calendar.first
        if 0 <= at < count and (theirs := days.get(driver)) is not None:
            scope = (Dimension(dimension), value)
            if scope not in theirs:
                theirs[scope] = np.full(count, np.nan)
            theirs[scope][at] = number
    return [Given(days[driver.driver_id], count, driver.default is None) for driver in drivers]


def _with_first(drivers: Sequence[Driver], rows: DriverDays, first: int) -> DriverDays:
    """``rows`` with the last one before the day ``first`` moved to it, of drivers whose values hold and of series that
    have none on that day."""
    holding = {driver.driver_id for driver in drivers if driver.default is None}
    there: dict[tuple[str, int, str], int] = {}
    for place, key in enumerate(zip(rows.driver_ids, rows.dimensions, rows.values, strict=True)):
        day = int(rows.days[place])
        if key[0] in holding and day <= first and (key not in there or day > rows.days[there[key]]):
            there[key] = place
    moved = rows.days.copy()
    moved[list(there.values())] = first
    return replace(rows, days=moved)


def _none(series: Mapping[str, Scope], calendar: Calendar) -> FloatArray:
    return np.zeros((len(series), len(calendar.firsts), 0))


def _missing(known: npt.NDArray[np.bool_], first_ahead: int) -> Iterator[tuple[int, int]]:
    """The series without a value for a day ahead, each with the first such day."""
    for row in np.flatnonzero(~known[:, first_ahead:].all(axis=1)):
        yield int(row), first_ahead + int(np.flatnonzero(~known[row, first_ahead:])[0])


def _unknown(driver: Driver, scope: Scope, day: date, refused: bool, found: FloatArray) -> str:
    """What was done about a missing value; ``DriverUnknownAhead``."""
    if refused:
        whose = f" for {scope[1]}" if scope[1] else ""
        raise DriverUnknownAhead(
            f"{driver.name} has no value{whose} on {day}; record what it will be", driver=driver.name
        )
    if np.isfinite(found).any():
        return f"{driver.name} is not known on {day}: the last value before was repeated."
    return f"{driver.name} has no value for this series: it is taken to be 0 throughout."


def carried(numbers: FloatArray) -> FloatArray:
    """Each row with its gaps filled: by the last value before, before the first by that, by 0 where there is none."""
    known = np.isfinite(numbers)
    first = np.take_along_axis(numbers, known.argmax(axis=1)[:, None], axis=1)
    found = held(numbers)
    found = np.where(np.isfinite(found), found, first)
    return np.where(np.isfinite(found), found, 0.0)
