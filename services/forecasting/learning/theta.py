"""The Theta method: a line for the long run and a smoothed, bent series for the short run, combined."""

import numpy as np

from services.forecasting.learning.histories import FloatArray, Histories
from services.forecasting.learning.smoothing import SIMPLE, smooth


def theta(histories: Histories, horizon: int, bend: float = 2.0) -> FloatArray:
    """Forecasts of the Theta method with the lines 0 and ``bend`` (Assimakopoulos and Nikolopoulos, 2000)."""
    level, slope = line(histories)
    time = np.arange(histories.length)[:, None] - histories.starts[None, :]
    straight = level + slope * time
    bent = histories.replaced(bend * histories.values + (1.0 - bend) * straight)
    short = smooth(bent, SIMPLE).forecast(horizon)
    sizes = histories.sizes[:, None]
    long = level[:, None] + slope[:, None] * (sizes - 1 + np.arange(1, horizon + 1)[None, :])
    return long * (1.0 - 1.0 / bend) + short / bend


def line(histories: Histories) -> tuple[FloatArray, FloatArray]:
    """Least-squares level at the first observation, and slope, of each history."""
    present = histories.present()
    time = np.where(present, np.arange(histories.length)[:, None] - histories.starts[None, :], 0.0)
    values = np.where(present, histories.values, 0.0)
    sizes = histories.sizes
    middle, mean = time.sum(axis=0) / sizes, values.sum(axis=0) / sizes
    spread = np.where(present, time - middle, 0.0)
    slope = (spread * values).sum(axis=0) / np.maximum((spread**2).sum(axis=0), 1.0)
    return mean - slope * middle, slope
