"""Holt-Winters smoothing with an additive season that may change, for many series and candidates in one pass."""

from dataclasses import dataclass

import numpy as np

from services.forecasting.learning.histories import FloatArray, Histories
from services.forecasting.learning.seasonality import additive_factors

_CELLS_MAX = 24_000
_SEASONS_MIN = 2
_ALPHA = [0.02, 0.06, 0.12, 0.25, 0.4, 0.6, 0.85]
_GAMMA = [0.0, 0.03, 0.08, 0.2, 0.4]
_TREND = [(0.0, 0.0), (0.03, 0.95), (0.15, 0.95)]


@dataclass(frozen=True, slots=True)
class _Candidates:
    alpha: FloatArray
    gamma: FloatArray
    beta: FloatArray
    phi: FloatArray


def _all_candidates() -> _Candidates:
    rows = [(a, g, beta, phi) for a in _ALPHA for g in _GAMMA for beta, phi in _TREND]
    return _Candidates(*np.array(rows).T)


def holt_winters(histories: Histories, period: int, horizon: int) -> tuple[FloatArray, FloatArray]:
    """Forecasts, and the same without the season; NaN for a history of less than two seasons."""
    if period < 2:
        nothing = np.full((histories.count, horizon), np.nan)
        return nothing, nothing
    candidates = _all_candidates()
    width = max(1, _CELLS_MAX // len(candidates.alpha))
    parts = [
        _forecast_slice(histories.columns(first, first + width), period, horizon, candidates)
        for first in range(0, histories.count, width)
    ]
    forecasts, without = (np.concatenate(each) for each in zip(*parts, strict=True))
    forecasts[histories.sizes < _SEASONS_MIN * period] = np.nan
    return forecasts, without


def _forecast_slice(
    histories: Histories, period: int, horizon: int, candidates: _Candidates
) -> tuple[FloatArray, FloatArray]:
    shape = (histories.count, len(candidates.alpha))
    factors = additive_factors(histories, period)
    # Row r has the position that is (length - 1 - r) % period steps before that of the last row.
    season = np.repeat(factors.T[:, :, None], shape[1], axis=2)
    level = np.repeat(_first_level(histories, factors, period)[:, None], shape[1], axis=1)
    trend, total = np.zeros(shape), np.zeros(shape)
    gain, season_gain = candidates.alpha * candidates.beta, candidates.gamma * (1.0 - candidates.alpha)
    for index, count in enumerate(histories.begun().tolist()):
        now, slope = level[:count], trend[:count]
        here = season[:count, (histories.length - 1 - index) % period]
        slope *= candidates.phi
        now += slope
        error = histories.values[index, :count, None] - now - here
        now += candidates.alpha * error
        slope += gain * error
        here += season_gain * error
        total[:count] += error * error
    at = (np.arange(shape[0]), np.argmin(total, axis=1))
    return _ahead(level[at], trend[at], candidates.phi[at[1]], season[at[0], :, at[1]], horizon)


def _first_level(histories: Histories, factors: FloatArray, period: int) -> FloatArray:
    back = np.arange(histories.length)[::-1] % period
    flat = histories.values - factors[back]
    rows = np.minimum(histories.starts + np.arange(period)[:, None], histories.length - 1)
    mean: FloatArray = flat[rows, np.arange(histories.count)].mean(axis=0)
    return mean


def _ahead(
    level: FloatArray, trend: FloatArray, phi: FloatArray, season: FloatArray, horizon: int
) -> tuple[FloatArray, FloatArray]:
    steps = np.arange(1, horizon + 1)
    damped = np.cumsum(phi[:, None] ** steps, axis=1)
    without = level[:, None] + damped * trend[:, None]
    return without + season[:, (-steps) % season.shape[1]], without
