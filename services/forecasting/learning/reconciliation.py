"""Forecasts of a tree that add up: the whole is exactly the sum of its parts.

Minimum trace reconciliation with a diagonal covariance (S. L. Wickramasuriya, G. Athanasopoulos and R. J. Hyndman,
JASA 2019): the least squares estimate of the leaves from all forecasts, each weighted by one over its variance. In a
tree it takes one pass up, which combines each forecast with the sum of its parts, and one pass down, which divides what
is left over by the variances; no matrix is made.
"""

import numpy as np
import numpy.typing as npt

from services.forecasting.learning.histories import FloatArray, IntArray

ROOT = -1
_SMALLEST = 1e-12
_TOGETHER_MIN = 0.1
_Bools = npt.NDArray[np.bool_]
_Estimate = tuple[FloatArray, FloatArray, _Bools]
"""Means, variances, and whether there is anything."""


def reconcile(
    forecasts: FloatArray,
    variances: FloatArray,
    parents: IntArray,
    floor: FloatArray,
    together: FloatArray | None = None,
) -> FloatArray:
    """``forecasts``, shape ``(series, ...)``, made to add up.

    ``variances`` have the same shape, or one that fits it; ``parents`` (series) is the place of the series that each is
    a part of, which comes before it, ``ROOT`` for a whole. ``together`` (series) is by how much the error of the sum of
    its parts varies more than errors that have nothing to do with each other would, as ``togetherness`` finds it;
    without it they have none. NaN is what is not known: a part that is NaN counts as nothing and stays NaN, a whole
    that is NaN becomes the sum of its parts. Leaves are at least ``floor`` (series).
    """
    known = np.isfinite(forecasts)
    size = np.where(known, np.maximum(variances, _SMALLEST), 0.0)
    mean, spread, parts, theirs = np.where(known, forecasts, 0.0), size, np.zeros_like(size), np.zeros_like(size)
    whole = np.zeros(known.shape, dtype=bool)
    more = np.ones(len(parents)) if together is None else together
    for series in range(len(parents) - 1, -1, -1):
        mean[series], spread[series] = _combined(
            (mean[series], size[series], known[series]), (parts[series], theirs[series] * more[series], whole[series])
        )
        if (parent := parents[series]) != ROOT:
            parts[parent] += mean[series]
            theirs[parent] += spread[series]
            whole[parent] |= known[series] | whole[series]
    for series, parent in enumerate(parents):
        if parent != ROOT:
            left = (mean[parent] - parts[parent]) / np.where(theirs[parent] > 0, theirs[parent], 1.0)
            mean[series] += spread[series] * left
        # From here on ``mean`` of this series is final, and its parts are moved to fit it.
    return _added_up(np.where(known | whole, mean, np.nan), whole, parents, floor)


def togetherness(residuals: FloatArray, parents: IntArray) -> FloatArray:
    """By how much parts err together: the mean square of the sum of the parts' ``residuals``, shape ``(series, ...)``,
    over the sum of their mean squares; 1 where that is unknown. Shops sell more, or less, of everything at once."""
    found = np.ones(len(parents))
    error = np.where(np.isfinite(residuals), residuals, 0.0)
    for whole in set(parents.tolist()) - {ROOT}:
        theirs = error[parents == whole]
        apart = float((theirs**2).sum())
        if apart > 0:
            found[whole] = max(float((theirs.sum(axis=0) ** 2).sum()) / apart, _TOGETHER_MIN)
    return found


def _combined(own: _Estimate, parts: _Estimate) -> tuple[FloatArray, FloatArray]:
    """The mean and variance of what two say of the same, as far as each says something."""
    (one, of_one, has_one), (other, of_other, has_other) = own, parts
    both = has_one & has_other
    total = np.where(both, of_one + of_other, 1.0)
    mean = np.where(both, (one * of_other + other * of_one) / total, np.where(has_one, one, other))
    variance = np.where(both, of_one * of_other / total, np.where(has_one, of_one, of_other))
    return mean, variance


def _added_up(found: FloatArray, whole: _Bools, parents: IntArray, floor: FloatArray) -> FloatArray:
    """Leaves not below the floor, and everything else the sum of its parts in their order."""
    sums = np.zeros_like(found)
    for series in range(len(parents) - 1, -1, -1):
        leaf = np.maximum(found[series], floor[series])
        found[series] = np.where(whole[series], sums[series], leaf)
        if (parent := parents[series]) != ROOT:
            sums[parent] += np.where(np.isfinite(found[series]), found[series], 0.0)
    return found
