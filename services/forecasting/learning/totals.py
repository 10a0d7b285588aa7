"""How far the sum over a horizon may be off: errors of neighbouring steps go together, so they do not cancel out."""

import numpy as np

from services.forecasting.learning.histories import FloatArray

# A series' own errors of the sum count as much as those of all series once it has so many origins.
_ORIGINS_TRUSTED = 5.0
# The standard deviation of a normal variable whose mean absolute value is 1.
_NORMAL_DEVIATION = float(np.sqrt(np.pi / 2))


def total_deviations(residuals: FloatArray, scale: FloatArray) -> FloatArray:
    """The standard deviation of the error of the sum over all steps, by series.

    ``residuals`` by series, origin and step, NaN where there is none; ``scale`` by series and step, the mean absolute
    error to be expected. What the origins with all steps say is drawn towards what they say for all series, as a
    multiple of what independent errors would give; without any such origin the errors are taken to go together wholly.
    """
    independent = _NORMAL_DEVIATION * np.sqrt((scale**2).sum(axis=1))
    together = _NORMAL_DEVIATION * scale.sum(axis=1)
    sums = np.where(np.isfinite(residuals).all(axis=2), residuals.sum(axis=2), np.nan)
    counts = np.isfinite(sums).sum(axis=1)
    squares = np.where(np.isfinite(sums), sums, 0.0) ** 2
    own = np.sqrt(squares.sum(axis=1) / np.maximum(counts, 1))
    known = (counts > 0) & (own > 0) & (independent > 0)
    if not known.any():
        return np.asarray(together)
    ratio = np.log(np.where(known, own, 1.0) / np.where(known, independent, 1.0))
    usual = float(np.median(ratio[known]))
    trust = np.where(known, counts / (counts + _ORIGINS_TRUSTED), 0.0)
    found: FloatArray = independent * np.exp(trust * ratio + (1 - trust) * usual)
    return found
