"""Seasonal adjustment: classical decomposition of many series at once, where a test finds a season."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.forecasting.learning.histories import FloatArray, Histories

# 90 % two-sided, as in the M3 and M4 competitions.
_CRITICAL = 1.645
_SEASONS_MIN = 2.5


@dataclass(frozen=True, slots=True)
class Season:
    """What the season adds to (or multiplies) each position; position 0 is that of the last observation."""

    factors: FloatArray
    multiplicative: npt.NDArray[np.bool_]

    def adjust(self, histories: Histories) -> Histories:
        """The histories without their season."""
        back = np.arange(histories.length)[::-1] % self.factors.shape[0]
        return histories.replaced(self._apply(histories.values, self.factors[back], -1))

    def restore(self, forecasts: FloatArray) -> FloatArray:
        """Forecasts (a history a row) with the season back in."""
        ahead = (-np.arange(1, forecasts.shape[1] + 1)) % self.factors.shape[0]
        return self._apply(forecasts.T, self.factors[ahead], 1).T

    def _apply(self, values: FloatArray, factors: FloatArray, sign: int) -> FloatArray:
        scaled = values * factors if sign > 0 else values / np.where(self.multiplicative, factors, 1.0)
        return np.where(self.multiplicative, scaled, values + sign * factors)


def find_season(histories: Histories, period: int) -> Season:
    """The season of each history; neutral where there is none, the history is too short, or ``period`` is 1."""
    positive = np.nanmin(histories.values, axis=0) > 0
    neutral = np.where(positive, 1.0, 0.0)
    if period < 2 or histories.length < _SEASONS_MIN * period:
        return Season(np.tile(neutral, (max(period, 1), 1)), positive)
    seasonal = is_seasonal(histories, period)
    factors = np.where(seasonal, _factors(histories, period, positive), neutral)
    return Season(factors, positive)


def is_seasonal(histories: Histories, period: int) -> npt.NDArray[np.bool_]:
    """Whether the autocorrelation at the season is too large for chance."""
    present = histories.present()
    mean = np.nanmean(histories.values, axis=0)
    centred = np.where(present, histories.values - mean, 0.0)
    power = (centred**2).sum(axis=0)
    safe = np.where(power > 0, power, 1.0)
    correlation = np.array([(centred[lag:] * centred[:-lag]).sum(axis=0) / safe for lag in range(1, period + 1)])
    limit = _CRITICAL * np.sqrt((1 + 2 * (correlation[:-1] ** 2).sum(axis=0)) / histories.sizes)
    enough = histories.sizes >= _SEASONS_MIN * period
    found: npt.NDArray[np.bool_] = enough & (power > 0) & (np.abs(correlation[-1]) > limit)
    return found


def _factors(histories: Histories, period: int, multiplicative: npt.NDArray[np.bool_]) -> FloatArray:
    trend = centred_average(histories.values, period)
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = _by_position(histories.values / trend, period)
        ratios /= ratios.mean(axis=0)
    return np.where(multiplicative, ratios, additive_factors(histories, period))


def additive_factors(histories: Histories, period: int) -> FloatArray:
    """The mean distance from the centred moving average at each position before the end, with sum zero."""
    shifts = _by_position(histories.values - centred_average(histories.values, period), period)
    found: FloatArray = shifts - shifts.mean(axis=0)
    return found


def _by_position(detrended: FloatArray, period: int) -> FloatArray:
    return np.stack([_phase_mean(detrended[::-1][phase::period]) for phase in range(period)])


def _phase_mean(values: FloatArray) -> FloatArray:
    present = np.isfinite(values)
    found: FloatArray = np.where(present, values, 0.0).sum(axis=0) / np.maximum(present.sum(axis=0), 1)
    return found


def centred_average(values: FloatArray, period: int) -> FloatArray:
    """The centred moving average over one period; NaN where it would reach outside."""
    weights = np.full(period, 1.0 / period)
    if period % 2 == 0:
        weights = np.convolve(weights, [0.5, 0.5])
    reach = len(weights) // 2
    out = np.full_like(values, np.nan)
    if len(values) >= len(weights):
        windows = np.lib.stride_tricks.sliding_window_view(values, len(weights), axis=0)
        out[reach : len(values) - reach] = windows @ weights
    return out
