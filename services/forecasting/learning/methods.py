"""The methods that compete for each series, by name, run together on the same histories."""

from dataclasses import dataclass

import numpy as np

from services.forecasting.learning.baselines import drift, recent_mean, seasonal_naive
from services.forecasting.learning.histories import FloatArray, Histories, IntArray
from services.forecasting.learning.holt_winters import holt_winters
from services.forecasting.learning.regression import regression
from services.forecasting.learning.seasonality import find_season
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


@dataclass(frozen=True, slots=True)
class Task:
    """What to forecast: histories, how many periods make a season, how far, and what is known of the calendar."""

    histories: Histories
    period: int
    horizon: int
    calendar: FloatArray
    ends: IntArray


def run_all(task: Task) -> FloatArray:
    """Forecasts by method (those that need nothing but a history), history and step. NaN where one does not apply."""
    fitted = regression(task.histories, task.period, task.horizon, task.calendar, task.ends)
    return np.concatenate([run_smoothing(task)[0], fitted[None]])


def run_smoothing(task: Task) -> tuple[FloatArray, FloatArray]:
    """All but the regression: forecasts by method, history and step, and the same without their season."""
    histories, horizon = task.histories, task.horizon
    season = find_season(histories, task.period)
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
    smoothed, without = holt_winters(histories, task.period, horizon)
    restored = [season.restore(forecasts) for forecasts in level]
    naive = seasonal_naive(histories, task.period, horizon)
    last = recent_mean(histories, horizon, task.period)
    return np.stack([naive, *restored, smoothed]), np.stack([last, *level, without])


def _naive(adjusted: Histories, period: int, horizon: int) -> FloatArray:
    """The last value, seasonally adjusted; without a season the seasonal naive method is the same and stands alone."""
    last = adjusted.values[-1] if period > 1 else np.full(adjusted.count, np.nan)
    return np.repeat(last[:, None], horizon, axis=1)
