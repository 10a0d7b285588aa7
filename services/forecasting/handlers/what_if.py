"""Say what a forecast would be if drivers were other than expected."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from math import isfinite
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from services.forecasting.domain.drivers import (
    Calendar,
    DriverChangeInvalid,
    DriverNotFound,
    NoDrivers,
    day_number,
    days_of,
)
from services.forecasting.domain.forecasts import DriverState, Forecast, StoredModel
from services.forecasting.domain.periods import Periods, periods_from, zone_named
from services.forecasting.learning.boosting import Boosted
from services.forecasting.learning.what_if import Difference, DriverResponse, difference

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class DriverChange:
    """Another future of a driver: it is ``set_to``, or what was expected times ``multiply_by`` or plus ``add``. Days
    that are not given are the first, or the last, that is forecast."""

    driver: str
    first: date | None = None
    last: date | None = None
    set_to: float | None = None
    multiply_by: float | None = None
    add: float | None = None

    def of(self, expected: FloatArray) -> FloatArray:
        """The driver instead of what was expected."""
        if self.set_to is not None:
            return np.full_like(expected, self.set_to)
        return expected * self.multiply_by if self.multiply_by is not None else expected + (self.add or 0.0)


@dataclass(frozen=True, slots=True)
class Scenario:
    """A forecast under other drivers."""

    forecast: Forecast
    values: FloatArray
    deviations: FloatArray
    """By step: the standard deviation of the difference."""
    warnings: tuple[str, ...]

    @property
    def differences(self) -> FloatArray:
        """By step: the values less those that were expected."""
        found: FloatArray = self.values - np.array(self.forecast.values)
        return found

    def interval(self, step: int, level: int) -> tuple[float, float]:
        """Where the figure will be: what was uncertain before, and the difference."""
        it = self.forecast
        half = float(np.hypot(it.scale[step] * it.quantiles[level - 1], _width(level) * self.deviations[step]))
        lower = float(self.values[step]) - half
        return max(lower, 0.0) if it.non_negative else lower, float(self.values[step]) + half

    def difference_interval(self, level: int, step: int | None = None) -> tuple[float, float]:
        """Where the difference of a step will be; of the sum of all, without one."""
        mean = self.differences.sum() if step is None else self.differences[step]
        half = _width(level) * (self.deviations.sum() if step is None else self.deviations[step])
        return float(mean - half), float(mean + half)


async def what_if(forecast: Forecast, model: StoredModel | None, changes: Sequence[DriverChange]) -> Scenario:
    """The forecast under ``changes``, one after the other; refusals as in the contract."""
    state = forecast.drivers
    if state is None or not state.names:
        raise NoDrivers("the forecast knows of no driver; put one, record its values, and fit the forecast again")
    days, drivers = days_of(_ahead(forecast)), state.around[1:-1].copy()
    for index, change in enumerate(changes):
        if change.driver not in state.names:
            known = ", ".join(state.names)
            raise DriverNotFound(f"the forecast knows of {known}, not of {change.driver}", driver=change.driver)
        column = state.names.index(change.driver)
        share = _share(days, change, index)
        drivers[:, column] += share * (change.of(drivers[:, column]) - drivers[:, column])
    if not np.isfinite(drivers).all():
        raise DriverChangeInvalid("a driver would no longer be finite", field="changes")
    moved = await asyncio.to_thread(_difference, state, drivers, model)
    values = np.array(forecast.values) + moved.mean
    values = np.maximum(values, 0.0) if forecast.non_negative else values
    return Scenario(forecast, values, moved.deviation, tuple(_warnings(state, drivers)))


def _difference(state: DriverState, drivers: FloatArray, model: StoredModel | None) -> Difference:
    response = DriverResponse(
        names=state.names,
        around=state.around,
        regression_weight=state.regression_weight,
        coefficients=state.coefficients,
        covariance=state.covariance,
        boosting_weight=state.boosting_weight,
        level=state.level,
        features=state.features,
    )
    return difference(response, drivers, [Boosted.parse(text) for text in model.boosters] if model else [])


def _ahead(forecast: Forecast) -> Periods:
    panel = forecast.key.panel
    return periods_from(panel.granularity, zone_named(panel.time_zone), forecast.starts[0], len(forecast.starts))


def _share(days: Calendar, change: DriverChange, index: int) -> FloatArray:
    """Which share of the days of each period ahead the change touches; ``DriverChangeInvalid``."""
    given = [it for it in (change.set_to, change.multiply_by, change.add) if it is not None]
    if not given:
        raise DriverChangeInvalid("say what is set, multiplied or added", index=index, field="change")
    if not isfinite(given[0]):
        raise DriverChangeInvalid("the number must be finite", index=index, field="change")
    first = day_number(change.first) if change.first else days.first
    last = day_number(change.last) if change.last else days.end - 1
    touched = np.minimum(days.ends, last + 1) - np.maximum(days.firsts, first)
    if last < first or not (touched > 0).any():
        raise DriverChangeInvalid("no day from the first to the last is forecast", index=index, field="first_date")
    share: FloatArray = np.maximum(touched, 0) / (days.ends - days.firsts)
    return share


def _warnings(state: DriverState, drivers: FloatArray) -> Sequence[str]:
    found = []
    for name, column, low, high in zip(state.names, drivers.T, state.lowest, state.highest, strict=True):
        if low == high:
            found.append(f"{name} never changed in the history: what it does is not known.")
        elif column.min() < low or column.max() > high:
            found.append(f"{name} was between {low:g} and {high:g} in the history: beyond that the answer is a guess.")
    if not state.regression_weight and not state.boosting_weight:
        found.append("No method that uses drivers did well enough on the past: the forecast does not answer to them.")
    return found


def _width(level: int) -> float:
    return NormalDist().inv_cdf(0.5 + level / 200)
