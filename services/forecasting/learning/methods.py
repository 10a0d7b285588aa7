"""The methods that compete for each series, by name, run together on the same histories."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from services.forecasting.learning.baselines import drift, recent_mean, seasonal_naive
from services.forecasting.learning.histories import FloatArray, Histories, IntArray
from services.forecasting.learning.holt_winters import holt_winters
from services.forecasting.learning.regression import regression
from services.forecasting.learning.seasonality import centred_average, find_season
from services.forecasting.learning.smoothing import DAMPED, HOLT, SIMPLE, smooth
from services.forecasting.learning.theta import theta

SEASONAL_NAIVE = "seasonal_naive"
DRIVER_REGRESSION, GRADIENT_BOOSTING = "driver_regression", "gradient_boosting"
LAST_YEAR, LAST_YEAR_GROWN = "last_year", "last_year_grown"
NEURAL_NETWORK = "neural_network"
NAMES = (
    SEASONAL_NAIVE,
    "naive",
    "drift",
    "recent_mean",
    "simple_smoothing",
    "holt",
    "damped_trend",
    "theta",
    "theta_3",
    "holt_winters",
    "regression",
    DRIVER_REGRESSION,
    GRADIENT_BOOSTING,
    LAST_YEAR,
    LAST_YEAR_GROWN,
    NEURAL_NETWORK,
)
SMOOTHING_COUNT = NAMES.index("regression")
"""The first so many have a level and perhaps a season, and nothing else."""
_RECENT_MIN = 4
_CELLS_MAX = 2_000_000


@dataclass(frozen=True, slots=True)
class Task:
    """What to forecast: histories, how many periods make a season, how far, and what is known of the calendar."""

    histories: Histories
    period: int
    horizon: int
    calendar: FloatArray
    ends: IntArray


_Found = tuple[FloatArray, FloatArray]


class Spread(Protocol):
    """Runs a function of this module over parts of a panel, and answers what it finds, in their order, as ``map``."""

    def __call__(self, function: Callable[[Task], _Found], parts: Iterable[Task], /) -> Iterable[_Found]: ...


def run_all(task: Task, spread: Spread = map) -> _Found:
    """Forecasts by method (those that need nothing but a history), history and step, NaN where one does not apply; and
    those of smoothing methods without their season. All histories of some series at a time, each such part by
    ``spread``: no method here looks at other series."""
    count, horizon = task.histories.count, task.horizon
    found = np.empty((SMOOTHING_COUNT + 1, count, horizon))
    levels = np.empty((SMOOTHING_COUNT, count, horizon))
    places = list(_some_series(task.histories))
    parts = (replace(task, histories=task.histories.taken(it), ends=task.ends[it]) for it in places)
    for columns, (of_part, without) in zip(places, spread(run_part, parts), strict=True):
        found[:, columns], levels[:, columns] = of_part, without
    return found, levels


def run_part(part: Task) -> _Found:
    """``run_all`` of some series."""
    smoothed, levels = _smoothed(part)
    regressed = regression(part.histories, part.period, part.horizon, part.calendar, part.ends)
    return np.concatenate([smoothed, regressed[None]]), levels


def _some_series(histories: Histories) -> Iterator[IntArray]:
    """Columns, in their order: memory for so many cells is used again and again, and that of all would be new."""
    of = np.unique(histories.series, return_inverse=True)[1]
    each = max(1, _CELLS_MAX * (int(of.max()) + 1) // histories.values.size)
    for first in range(0, int(of.max()) + 1, each):
        yield np.flatnonzero((of >= first) & (of < first + each))


def _smoothed(task: Task) -> tuple[FloatArray, FloatArray]:
    histories, horizon = task.histories, task.horizon
    average = centred_average(histories.values, task.period) if task.period > 1 else None
    season = find_season(histories, task.period, average)
    adjusted = season.adjust(histories)
    window = max(task.period, _RECENT_MIN)
    level = [
        _naive(adjusted, task.period, horizon),
        drift(adjusted, horizon),
        recent_mean(adjusted, horizon, 2 * window),
        smooth(adjusted, SIMPLE).forecast(horizon),
        smooth(adjusted, HOLT).forecast(horizon),
        smooth(adjusted, DAMPED).forecast(horizon),
        theta(adjusted, horizon),
        theta(adjusted, horizon, bend=3.0),
    ]
    smoothed, without = holt_winters(histories, task.period, horizon, average)
    restored = [season.restore(forecasts) for forecasts in level]
    naive = seasonal_naive(histories, task.period, horizon)
    last = recent_mean(histories, horizon, task.period)
    return np.stack([naive, *restored, smoothed]), np.stack([last, *level, without])


def _naive(adjusted: Histories, period: int, horizon: int) -> FloatArray:
    """The last value, seasonally adjusted; without a season the seasonal naive method is the same and stands alone."""
    last = adjusted.values[-1] if period > 1 else np.full(adjusted.count, np.nan)
    return np.repeat(last[:, None], horizon, axis=1)
