"""The Theta method: a line for the long run and a smoothed, bent series for the short run, combined."""

import numpy as np

from services.forecasting.learning.histories import FloatArray, Histories
from services.forecasting.learning.smoothing import SIMPLE, smooth


def theta(histories: Histories, horizon: int, bend: float = 2.0) -> FloatArray:
    """Forecasts of the Theta method with the lines 0 and ``bend`` (Assimakopoulos and Nikolopoulos, 2000)."""
    level, slope = line(histories)
    # bend * values + (1 - bend) * line
    bent = bend * histories.values
    bent += (1.0 - bend) * (level - slope * histories.starts)
    bent += np.outer(np.arange(histories.length), (1.0 - bend) * slope)
    short = smooth(histories.replaced(bent), SIMPLE).forecast(horizon)
    sizes = histories.sizes[:, None]
    long = level[:, None] + slope[:, None] * (sizes - 1 + np.arange(1, horizon + 1)[None, :])
    return long * (1.0 - 1.0 / bend) + short / bend


def line(histories: Histories) -> tuple[FloatArray, FloatArray]:
    """Least-squares level at the first observation, and slope, of each history."""
    values, sizes = histories.filled(), histories.sizes
    total = values.sum(axis=0)
    middle, mean = (sizes - 1) / 2, total / sizes
    # With the time counted from the first observation of each.
    moment = np.arange(histories.length) @ values - histories.starts * total
    slope = (moment - middle * total) / np.maximum(sizes * (sizes**2 - 1) / 12, 1.0)
    return mean - slope * middle, slope
