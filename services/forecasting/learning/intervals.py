"""Prediction intervals from the errors that the same method made in the backtest (split conformal prediction).

An interval is ``forecast ± quantile[level] * scale[step]``. The scale grows with the step by a power that all series
of the panel share, so intervals never narrow further ahead; quantiles ascend with the level, so intervals nest.

Errors are not exchangeable over time: series grow, and models of later origins have learnt from more. Origins therefore
count less the further they lie back (R. F. Barber, E. J. Candès, A. Ramdas and R. J. Tibshirani, "Conformal prediction
beyond exchangeability", Annals of Statistics 2023).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np

from services.forecasting.learning.histories import FloatArray

LEVELS = np.arange(1, 100)
# A series' own quantiles count as much as those of all series once it has so many origins.
_QUANTILES_TRUSTED = 30.0
# And its own mean error as much as what the spread of its figures suggests.
_MEANS_TRUSTED = 5.0
# A backtest of few origins in a short history sees less than the future holds: intervals are wider by this, times
# horizon over history. On held-out ends of ten panels .25 to .5 held what they should; the interval score was best at 0
# to .25.
_STRETCH = 0.35
# What an origin counts, of the one after it. Of .7 to 1, on the same ends, .85 lowered the interval score in seven of
# ten.
_RECENCY = 0.85
# So many scores say enough of the quantiles of all.
_POOLED_MAX = 50_000
_GROWTH_UNKNOWN = 0.5
_STEPS_FOR_GROWTH_MIN = 3
# A mean error of less than this share of the spread says as little as none.
_NEGLIGIBLE = 1e-12
# The mean absolute value of a standard normal variable.
_NORMAL_MEAN = np.sqrt(2 / np.pi)


@dataclass(frozen=True, slots=True)
class Calibration:
    """Half-widths are ``quantiles`` (series, level) times ``scale`` (series, step)."""

    scale: FloatArray
    quantiles: FloatArray


def calibrate(residuals: FloatArray, spread: FloatArray, lengths: FloatArray) -> Calibration:
    """Calibrate on residuals by series, origin (the latest first) and step. ``spread`` is how far the figures of each
    series vary, and stands in where there is no residual; ``lengths`` says how long the histories are."""
    size = np.abs(residuals)
    growth = np.arange(1, size.shape[2] + 1) ** _growth(size)
    relative = size / growth
    sigma = _sigma(relative, spread)
    stretch = 1.0 + _STRETCH * size.shape[2] / lengths
    return Calibration((sigma * stretch)[:, None] * growth, _quantiles(_scores(relative, spread)))


def without_each_origin(residuals: FloatArray, spread: FloatArray, lengths: FloatArray) -> list[Calibration]:
    """By origin: what is calibrated without it."""
    origins = range(residuals.shape[1])
    return [calibrate(np.delete(residuals, origin, axis=1), spread, lengths) for origin in origins]


def coverage(residuals: FloatArray, by_origin: Sequence[Calibration]) -> FloatArray:
    """How often intervals hold the figure, by series and level, each origin's calibrated without that origin."""
    held = np.zeros((len(residuals), len(LEVELS)))
    total = np.isfinite(residuals).sum(axis=(1, 2))
    for origin, calibration in enumerate(by_origin):
        width = calibration.quantiles[:, None, :] * calibration.scale[:, :, None]
        held += (np.abs(residuals[:, origin, :, None]) <= width).sum(axis=1)
    found: FloatArray = held / np.maximum(total, 1)[:, None]
    return found


def _sigma(relative: FloatArray, spread: FloatArray) -> FloatArray:
    """The mean error of each series at the first step, drawn towards what its spread suggests."""
    by_origin = _ages(relative.shape[1])
    mean, counts = _means(relative, by_origin)
    counting = np.where(np.isfinite(relative).any(axis=2), by_origin, 0.0)
    # As many origins of the same weight would say as much.
    origins = counting.sum(axis=1) ** 2 / np.maximum((counting**2).sum(axis=1), 1e-12)
    known = (counts > 0) & (mean > _NEGLIGIBLE * spread) & (spread > 0)
    ratio = np.log(np.where(known, mean, 1.0) / np.where(known, spread, 1.0))
    usual = float(np.median(ratio[known])) if known.any() else 0.0
    trust = np.where(known, origins / (origins + _MEANS_TRUSTED), 0.0)
    return spread * np.exp(trust * ratio + (1 - trust) * usual)


def _scores(relative: FloatArray, spread: FloatArray) -> FloatArray:
    """Residuals in units of the mean error that the other origins of the series suggest."""
    scores = np.full_like(relative, np.nan)
    for origin in range(relative.shape[1]):
        sigma = _sigma(np.delete(relative, origin, axis=1), spread)
        positive = np.where(sigma > 0, sigma, np.nan)
        scores[:, origin] = relative[:, origin] / positive[:, None]
    return scores


def _growth(size: FloatArray) -> float:
    """The power of the step with which errors grow, over all series, between constant and linear."""
    mean, _ = _means(size)
    known = np.isfinite(size)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = np.where(known & (mean > 0)[:, None, None], size / mean[:, None, None], 0.0)
    counts = (known & (mean > 0)[:, None, None]).sum(axis=(0, 1))
    steps = np.flatnonzero(counts > 0)
    if len(steps) < _STEPS_FOR_GROWTH_MIN:
        return _GROWTH_UNKNOWN
    by_step = relative.sum(axis=(0, 1))[steps] / counts[steps]
    slope = np.polyfit(np.log(steps + 1.0), np.log(np.maximum(by_step, 1e-6)), 1, w=np.sqrt(counts[steps]))[0]
    return float(np.clip(slope, 0.0, 1.0))


def _ages(count: int) -> FloatArray:
    """What each of so many origins counts."""
    return np.asarray(_RECENCY ** np.arange(count))


def _means(size: FloatArray, by_origin: FloatArray | None = None) -> tuple[FloatArray, FloatArray]:
    """The mean of each series, origins weighted by ``by_origin``, and the sum of the weights."""
    known = np.isfinite(size)
    weight = 1.0 if by_origin is None else by_origin
    sums, counts = np.where(known, size, 0.0).sum(axis=2), known.sum(axis=2)
    total = (counts * weight).sum(axis=1)
    return (sums * weight).sum(axis=1) / np.where(total > 0, total, 1.0), total


def _quantiles(scores: FloatArray) -> FloatArray:
    """Quantiles of each series, drawn towards those of all series; of a normal error where there is none."""
    finite = np.isfinite(scores)
    pooled = _pooled(scores) if finite.any() else normal_quantiles()
    found = np.tile(pooled, (len(scores), 1))
    counts, origins = finite.sum(axis=(1, 2)), finite.any(axis=2).sum(axis=1)
    ascending = np.sort(np.where(finite, scores, np.nan).reshape(len(scores), -1), axis=1)  # NaN comes last
    for count in np.unique(counts[counts > 0]).tolist():
        alike = np.flatnonzero(counts == count)
        share = (origins[alike] / (origins[alike] + _QUANTILES_TRUSTED))[:, None]
        found[alike] = share * _of(ascending[alike, :count]) + (1 - share) * pooled
    return found


def _pooled(scores: FloatArray) -> FloatArray:
    """Quantiles of all series together, origins weighted by their ages."""
    weight = np.broadcast_to(_ages(scores.shape[1])[None, :, None], scores.shape)
    finite = np.isfinite(scores)
    everyone, counting = scores[finite], weight[finite]
    drawn = np.linspace(0, len(everyone) - 1, min(len(everyone), _POOLED_MAX)).astype(np.int64)
    order = drawn[np.argsort(everyone[drawn])]
    below = np.cumsum(counting[order])
    levels = np.minimum(LEVELS / 100 * (len(everyone) + 1) / len(everyone), 1.0)
    return np.interp(levels, (below - counting[order] / 2) / below[-1], everyone[order])


def _of(ascending: FloatArray) -> FloatArray:
    """The quantiles of the last axis that hold a new score with the level's probability (hence ``count + 1``)."""
    count = ascending.shape[-1]
    place = np.minimum(LEVELS / 100 * (count + 1) / count, 1.0) * (count - 1)
    below = place.astype(np.int64)
    above, share = np.minimum(below + 1, count - 1), place - below
    found: FloatArray = ascending[..., below] * (1 - share) + ascending[..., above] * share
    return found


def normal_quantiles() -> FloatArray:
    """Quantiles of the absolute value of a normal variable whose mean absolute value is 1."""
    found: FloatArray = np.array([NormalDist().inv_cdf(0.5 + level / 200) for level in LEVELS]) / _NORMAL_MEAN
    return found
