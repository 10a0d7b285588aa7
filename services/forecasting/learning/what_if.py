"""What a forecast would be with other drivers: the same models, asked again, and how sure the difference is."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.forecasting.learning.boosting import Boosted
from services.forecasting.learning.histories import FloatArray
from services.forecasting.learning.lagged import DRIVER_SHIFTS


@dataclass(frozen=True, slots=True)
class DriverResponse:
    """How the forecast of one series answers to its drivers."""

    names: tuple[str, ...]
    around: FloatArray
    """The drivers that were expected, by period and driver: the last known period, the steps, and the one after."""
    regression_weight: float
    coefficients: FloatArray
    covariance: FloatArray
    boosting_weight: float
    level: float
    features: FloatArray
    """What the model of trees sees, by step and feature; the drivers' come last."""


@dataclass(frozen=True, slots=True)
class Difference:
    """By how much a forecast changes, by step, and the standard deviation of that."""

    mean: FloatArray
    deviation: FloatArray


def difference(response: DriverResponse, drivers: FloatArray, models: Sequence[Boosted]) -> Difference:
    """What other ``drivers``, by step and driver, change. ``models``: those that were fitted, the newest first; the
    others, of earlier ends of the data, say how sure the newest is."""
    off = drivers - response.around[1:-1]
    linear = off @ response.coefficients
    spread = np.sqrt(np.maximum(np.einsum("hd,de,he->h", off, response.covariance, off), 0.0))
    found = Difference(response.regression_weight * linear, response.regression_weight * spread)
    if not response.boosting_weight or not models:
        return found
    there = np.concatenate([response.around[:1], drivers, response.around[-1:]])
    changed = response.features.copy()
    first = changed.shape[1] - (len(DRIVER_SHIFTS) + 1) * len(response.names)
    for driver in range(len(response.names)):
        for place, shift in enumerate(DRIVER_SHIFTS):
            column = first + driver * (len(DRIVER_SHIFTS) + 1) + place
            changed[:, column] = there[1 + shift : 1 + shift + len(drivers), driver]
    moves = np.stack([model.predict(changed) - model.predict(response.features) for model in models]) * response.level
    unsure = np.sqrt(((moves[1:] - moves[0]) ** 2).mean(axis=0)) if len(moves) > 1 else np.abs(moves[0])
    weight = response.boosting_weight
    # The two are taken to err together: that is the cautious way.
    return Difference(found.mean + weight * moves[0], found.deviation + weight * unsure)
