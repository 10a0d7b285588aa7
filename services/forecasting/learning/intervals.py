"""Prediction intervals from the errors that the same method made in the backtest (split conformal prediction).

An interval is ``forecast ± quantile[level] * scale[step]``. The scale grows with the step, and with the size of the
forecast where no figure of a series is negative, by powers that all series of the panel share; quantiles ascend with
the level, so intervals nest. Dividing errors by what they should be before their quantiles are taken is normalised
conformal prediction (J. Lei, M. G'Sell, A. Rinaldo, R. J. Tibshirani and L. Wasserman, "Distribution-free predictive
inference for regression", JASA 2018, section 5.2).

Errors are not exchangeable over time: series grow, and models of later origins have learnt from more. Origins therefore
count less the further they lie back (R. F. Barber, E. J. Candès, A. Ramdas and R. J. Tibshirani, "Conformal prediction
beyond exchangeability", Annals of Statistics 2023). And origins nearer than a horizon share some of what came, where
the future shares nothing with any of them: an error is measured by what origins apart from its own say, and intervals
are wider where the origins cover few horizons. The constants were chosen on 26 held-out ends of the data of the
benchmarks, all before the ends that these measure (``docs/performance.md``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import NormalDist

import numpy as np
import numpy.typing as npt

from services.forecasting.learning.histories import FloatArray, IntArray

_Bools = npt.NDArray[np.bool_]
LEVELS = np.arange(1, 100)
# A series' own mean error counts as much as what the spread of its figures suggests once it has so many origins.
_MEANS_TRUSTED = 4.0
# What an origin counts, of the one after it.
_RECENCY = 0.6
# The variance of what is common to the errors of one time, beside that of an error: a mean over the times of n horizons
# tells the next time's with an error of 1 + 1/n, if all is common.
_UNSEEN = 0.4
# Powers of the size of forecasts that errors may grow with; forecasts smaller and larger than these shares of the usual
# one are taken as so large; and so many series say enough of the power.
_POWERS = (0.0, 0.25, 0.5, 0.75, 1.0)
_SIZE_MIN, _SIZE_MAX = 0.1, 10.0
_SERIES_FOR_POWER = 200
# So many scores say enough of their quantiles.
_SCORES_MAX = 50_000
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


@dataclass(frozen=True, slots=True)
class PastErrors:
    """What a backtest says of errors."""

    residuals: FloatArray
    """By series, origin (the latest first) and step; NaN where there is none."""
    forecasts: FloatArray
    """What was forecast there."""
    origins: IntArray
    """How many periods each origin holds out."""
    spread: FloatArray
    """By series: how far its figures vary, which stands in where there is no residual."""
    sized: _Bools
    """By series: whether the size of a forecast may say how far it is off."""

    @property
    def there(self) -> _Bools:
        """By series and origin: whether it has an error."""
        return np.asarray(np.isfinite(self.residuals).any(axis=2))


@dataclass(frozen=True, slots=True)
class _Relative:
    """Residuals over what the step and the size of the forecast make of them."""

    errors: FloatArray
    growth: FloatArray
    """By series, origin and step: what is made of them."""
    by_step: FloatArray
    power: float


@dataclass(frozen=True, slots=True)
class _Sums:
    """Sums over the steps, by series and origin, and how many there are of what they add up."""

    sums: FloatArray
    counts: IntArray

    @classmethod
    def of(cls, size: FloatArray) -> "_Sums":
        """The sums of ``size``, by series, origin and step."""
        known = np.isfinite(size)
        return cls(np.where(known, size, 0.0).sum(axis=2), known.sum(axis=2))

    def mean(self, by_origin: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The mean of each series, origins weighted by ``by_origin``, and the sum of the weights."""
        total = (self.counts * by_origin).sum(axis=1)
        return (self.sums * by_origin).sum(axis=1) / np.where(total > 0, total, 1.0), total


def calibrate(past: PastErrors, points: FloatArray) -> Calibration:
    """Calibrate the intervals of the forecasts ``points``, by series and step."""
    usual, ages = _usual_size(past, points), _ages(len(past.origins))
    relative = _relative(past, usual)
    sigma = _sigma(_Sums.of(relative.errors), past.spread, ages) * _stretch(past)
    scale = sigma[:, None] * relative.by_step * _sizes(points, usual[:, None], past.sized[:, None]) ** relative.power
    return Calibration(scale, _of_all(_quantiles(_scores(relative.errors, _sigmas(past, relative)), ages), scale))


def without_each_origin(past: PastErrors) -> list[Calibration]:
    """By origin: the intervals of its forecasts, from the errors of origins apart from it."""
    relative = _relative(past, _usual_size(past, None))
    sigmas, apart, ages = _sigmas(past, relative), _apart(past), _ages(len(past.origins))
    scores, found = _scores(relative.errors, sigmas), []
    for origin in range(len(ages)):
        quantiles = _quantiles(np.where(apart[:, origin, :, None], scores, np.nan), ages)
        scale = sigmas[:, origin, None] * relative.growth[:, origin]
        found.append(Calibration(scale, _of_all(quantiles, scale)))
    return found


def coverage(residuals: FloatArray, by_origin: Sequence[Calibration]) -> FloatArray:
    """How often intervals hold the figure, by series and level, each origin's calibrated without that origin."""
    held = np.zeros((len(residuals), len(LEVELS)))
    total = np.isfinite(residuals).sum(axis=(1, 2))
    for origin, calibration in enumerate(by_origin):
        width = calibration.quantiles[:, None, :] * calibration.scale[:, :, None]
        held += (np.abs(residuals[:, origin, :, None]) <= width).sum(axis=1)
    found: FloatArray = held / np.maximum(total, 1)[:, None]
    return found


def _of_all(quantiles: FloatArray, scale: FloatArray) -> FloatArray:
    return np.tile(quantiles, (len(scale), 1))


def _apart(past: PastErrors) -> _Bools:
    """By series, origin, and each of them: whether half or more of what came after either came not after the other.
    Where all that a series has are nearer, those furthest away."""
    there = past.there
    distance: IntArray = np.abs(past.origins[:, None] - past.origins[None, :])
    furthest = np.where(there[:, None, :], distance, 0).max(axis=2, initial=0)
    enough = np.minimum(furthest, past.residuals.shape[2] / 2)
    return np.asarray((distance >= enough[:, :, None]) & (distance > 0))


def _stretch(past: PastErrors) -> FloatArray:
    """By series: how much further off than its origins a time is that none of them has seen."""
    there = past.there
    latest = np.where(there, past.origins, np.inf).min(axis=1, initial=np.inf)
    earliest = np.where(there, past.origins, -np.inf).max(axis=1, initial=-np.inf)
    horizons = 1 + np.where(there.any(axis=1), earliest - latest, 0.0) / past.residuals.shape[2]
    return np.asarray(np.sqrt(1 + _UNSEEN / horizons))


def _usual_size(past: PastErrors, points: FloatArray | None) -> FloatArray:
    """By series: the mean size of its forecasts, those of the past if there are any; 1 where all are 0."""
    known = np.isfinite(past.forecasts)
    counts = known.sum(axis=(1, 2))
    sums = np.where(known, np.abs(past.forecasts), 0.0).sum(axis=(1, 2))
    if points is not None:
        sums = np.where(counts > 0, sums, np.abs(points).sum(axis=1))
        counts = np.where(counts > 0, counts, points.shape[1])
    return np.where(sums > 0, sums / np.maximum(counts, 1), 1.0)


def _sizes(forecasts: FloatArray, usual: FloatArray, sized: _Bools) -> FloatArray:
    """Of the usual size; 1 where size says nothing."""
    return np.where(sized, np.clip(np.abs(forecasts), _SIZE_MIN * usual, _SIZE_MAX * usual) / usual, 1.0)


def _relative(past: PastErrors, usual: FloatArray) -> _Relative:
    errors = np.abs(past.residuals)
    sizes = _sizes(past.forecasts, usual[:, None, None], past.sized[:, None, None])
    power = _power(errors, sizes)
    by_size = sizes**power
    by_step = np.arange(1, errors.shape[2] + 1) ** _growth(errors / by_size)
    growth = by_size * by_step
    return _Relative(errors / growth, growth, by_step, power)


def _power(errors: FloatArray, sizes: FloatArray) -> float:
    """The power of the size of forecasts with which errors grow within series: the likeliest, if errors are Laplace's
    with a scale of each series' own."""
    some = np.linspace(0, len(errors) - 1, min(len(errors), _SERIES_FOR_POWER)).astype(np.int64)
    some = some[np.nansum(errors[some], axis=(1, 2)) > 0]
    known = np.isfinite(errors[some]) & (sizes[some] > _SIZE_MIN)
    error, log = np.where(known, errors[some], 0.0), np.log(np.where(known, sizes[some], 1.0))
    counts, logs = known.sum(axis=(1, 2)), log.sum(axis=(1, 2))

    def unlikely(power: float) -> float:
        mean = (error * np.exp(-power * log)).sum(axis=(1, 2)) / np.maximum(counts, 1)
        return float((counts * np.log(np.where(mean > 0, mean, 1.0)) + power * logs).sum())

    return min(_POWERS, key=unlikely)


def _sigma(relative: _Sums, spread: FloatArray, by_origin: FloatArray) -> FloatArray:
    """The mean error of each series at the first step, drawn towards what its spread suggests."""
    mean, counts = relative.mean(by_origin)
    counting = np.where(relative.counts > 0, by_origin, 0.0)
    # As many origins of the same weight would say as much.
    origins = counting.sum(axis=1) ** 2 / np.maximum((counting**2).sum(axis=1), 1e-12)
    known = (counts > 0) & (mean > _NEGLIGIBLE * spread) & (spread > 0)
    ratio = np.log(np.where(known, mean, 1.0) / np.where(known, spread, 1.0))
    usual = float(np.median(ratio[known])) if known.any() else 0.0
    trust = np.where(known, origins / (origins + _MEANS_TRUSTED), 0.0)
    return spread * np.exp(trust * ratio + (1 - trust) * usual)


def _sigmas(past: PastErrors, relative: _Relative) -> FloatArray:
    """By series and origin: the mean error that the origins apart from it suggest."""
    sums, ages, apart = _Sums.of(relative.errors), _ages(len(past.origins)), _apart(past)
    found = [_sigma(sums, past.spread, ages * apart[:, origin]) for origin in range(len(ages))]
    return np.stack(found, axis=1) if found else np.zeros((len(past.spread), 0))


def _scores(errors: FloatArray, sigmas: FloatArray) -> FloatArray:
    """Errors in units of the mean error to be expected."""
    return errors / np.where(sigmas > 0, sigmas, np.nan)[:, :, None]


def _growth(size: FloatArray) -> float:
    """The power of the step with which errors grow, over all series, between constant and linear."""
    mean, _ = _Sums.of(size).mean(np.ones(size.shape[1]))
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


def _quantiles(scores: FloatArray, by_origin: FloatArray) -> FloatArray:
    """Quantiles of the scores of all series, origins weighted by ``by_origin``; of a normal error where there is none.

    They hold a new score with the level's probability, hence one more than there are.
    """
    finite = np.isfinite(scores)
    if not finite.any():
        return normal_quantiles()
    weight = np.broadcast_to(by_origin[None, :, None], scores.shape)
    everyone, counting = scores[finite], weight[finite]
    drawn = np.linspace(0, len(everyone) - 1, min(len(everyone), _SCORES_MAX)).astype(np.int64)
    order = drawn[np.argsort(everyone[drawn])]
    below = np.cumsum(counting[order])
    levels = np.minimum(LEVELS / 100 * (len(everyone) + 1) / len(everyone), 1.0)
    return np.interp(levels, (below - counting[order] / 2) / below[-1], everyone[order])


def normal_quantiles() -> FloatArray:
    """Quantiles of the absolute value of a normal variable whose mean absolute value is 1."""
    found: FloatArray = np.array([NormalDist().inv_cdf(0.5 + level / 200) for level in LEVELS]) / _NORMAL_MEAN
    return found
