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
        scale, shift = self._parts()
        values = histories.values[::-1].copy()
        for position in range(len(scale)):
            values[position :: len(scale)] /= scale[position]
            if shift.any():
                values[position :: len(scale)] -= shift[position]
        return histories.replaced(values[::-1])

    def restore(self, forecasts: FloatArray) -> FloatArray:
        """Forecasts (a history a row) with the season back in."""
        ahead = (-np.arange(1, forecasts.shape[1] + 1)) % self.factors.shape[0]
        scale, shift = self._parts()
        found: FloatArray = forecasts * scale[ahead].T + shift[ahead].T
        return found

    def _parts(self) -> tuple[FloatArray, FloatArray]:
        """What each position is multiplied by, and what is added to it."""
        return np.where(self.multiplicative, self.factors, 1.0), np.where(self.multiplicative, 0.0, self.factors)


def find_season(histories: Histories, period: int, average: FloatArray | None = None) -> Season:
    """The season of each history; neutral where there is none, the history is too short, or ``period`` is 1. The
    centred ``average`` of the histories need not be taken again by who has it."""
    positive = np.nanmin(histories.values, axis=0) > 0
    neutral = np.where(positive, 1.0, 0.0)
    if period < 2 or histories.length < _SEASONS_MIN * period:
        return Season(np.tile(neutral, (max(period, 1), 1)), positive)
    seasonal = is_seasonal(histories, period)
    trend = centred_average(histories.values, period) if average is None else average
    factors = np.where(seasonal, _factors(histories, trend, period, positive), neutral)
    return Season(factors, positive)


def is_seasonal(histories: Histories, period: int) -> npt.NDArray[np.bool_]:
    """Whether the autocorrelation at the season is too large for chance."""
    centred = histories.values - histories.means()
    centred[np.isnan(centred)] = 0.0
    power = np.einsum("tn,tn->n", centred, centred)
    safe = np.where(power > 0, power, 1.0)
    lags = range(1, period + 1)
    correlation = np.array([np.einsum("tn,tn->n", centred[lag:], centred[:-lag]) / safe for lag in lags])
    limit = _CRITICAL * np.sqrt((1 + 2 * (correlation[:-1] ** 2).sum(axis=0)) / histories.sizes)
    enough = histories.sizes >= _SEASONS_MIN * period
    found: npt.NDArray[np.bool_] = enough & (power > 0) & (np.abs(correlation[-1]) > limit)
    return found


def _factors(histories: Histories, trend: FloatArray, period: int, multiplicative: npt.NDArray[np.bool_]) -> FloatArray:
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = _by_position(histories.values / trend, period)
        ratios /= ratios.mean(axis=0)
    if multiplicative.all():
        return ratios
    return np.where(multiplicative, ratios, additive_factors(histories, trend, period))


def additive_factors(histories: Histories, average: FloatArray, period: int) -> FloatArray:
    """The mean distance from the centred moving ``average`` at each position before the end, with sum zero."""
    shifts = _by_position(histories.values - average, period)
    found: FloatArray = shifts - shifts.mean(axis=0)
    return found


def _by_position(detrended: FloatArray, period: int) -> FloatArray:
    """The mean at each position before the end; 0 where there is none. Changes what it is given."""
    present = np.isfinite(detrended)[::-1]
    values = detrended[::-1]
    values[~present] = 0.0
    totals = [values[phase::period].sum(axis=0) for phase in range(period)]
    counts = [present[phase::period].sum(axis=0) for phase in range(period)]
    found: FloatArray = np.array(totals) / np.maximum(counts, 1)
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
