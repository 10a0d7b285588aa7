"""Methods without parameters: the ones to beat, and good members of a combination where data is scarce."""

import numpy as np

from services.forecasting.learning.histories import FloatArray, Histories, first_values


def seasonal_naive(histories: Histories, period: int, horizon: int) -> FloatArray:
    """The last season again; the last value again, for a history shorter than a season."""
    last = np.repeat(histories.values[-1][:, None], horizon, axis=1)
    if period < 2 or histories.length < period:
        return last
    back = period - np.arange(horizon) % period
    repeated = histories.values[histories.length - back].T
    return np.where((histories.sizes >= period)[:, None], repeated, last)


def drift(histories: Histories, horizon: int) -> FloatArray:
    """The last value, plus the mean change of one step for each step ahead."""
    last = histories.values[-1]
    first = first_values(histories, 1)[0][:, 0]
    slope = (last - first) / np.maximum(histories.sizes - 1, 1)
    found: FloatArray = last[:, None] + slope[:, None] * np.arange(1, horizon + 1)
    return found


def recent_mean(histories: Histories, horizon: int, window: int) -> FloatArray:
    """The mean of the last ``window`` values, or of all if there are fewer."""
    recent = histories.values[-window:]
    present = np.isfinite(recent)
    mean = np.where(present, recent, 0.0).sum(axis=0) / present.sum(axis=0)
    return np.repeat(mean[:, None], horizon, axis=1)
