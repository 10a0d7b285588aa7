"""Ridge regression on a trend, the season as Fourier terms and the calendar, with its errors smoothed."""

import numpy as np

from services.forecasting.learning.histories import FloatArray, Histories, IntArray
from services.forecasting.learning.smoothing import SIMPLE, smooth

_HARMONICS_MAX = 6
_SEASONS_MIN = 2
# Penalties in units of one observation: the season is well supported, the trend and the calendar must earn it.
_SEASON_PENALTY = 0.1
_CALENDAR_PENALTY = 2.0
_TREND_PENALTY = 5.0
# The trend's column in the design.
_TREND = 1


def regression(histories: Histories, period: int, horizon: int, calendar: FloatArray, ends: IntArray) -> FloatArray:
    """Forecasts; NaN for a history too short to regress.

    ``calendar`` holds one row a period, from the first period of the longest series to the last that is forecast;
    ``ends`` says for each history before which of these rows it ends.
    """
    forecasts = np.full((histories.count, horizon), np.nan)
    for end in np.unique(ends):
        columns = np.flatnonzero((ends == end) & (histories.sizes >= _size_min(period)))
        if len(columns):
            some = Histories(histories.values[:, columns], histories.starts[columns])
            forecasts[columns] = _regress(some, period, horizon, calendar[: end + horizon])
    return forecasts


def _size_min(period: int) -> int:
    return max(_SEASONS_MIN * period, 10)


def _regress(histories: Histories, period: int, horizon: int, calendar: FloatArray) -> FloatArray:
    design, penalties = _design(histories.length, period, horizon, calendar)
    past, ahead = design[:-horizon], design[-horizon:]
    present = histories.present().astype(np.float64)
    scale = np.maximum(np.nanmean(np.abs(histories.values), axis=0), 1e-12)
    values = np.where(present > 0, histories.values / scale, 0.0)
    gram = np.einsum("tn,tp,tq->npq", present, past, past, optimize=True) + np.diag(penalties)
    # The trend is counted in lengths of the longest history; the penalty is for the slope in its own lengths.
    gram[:, _TREND, _TREND] += _TREND_PENALTY * (histories.sizes / histories.length) ** 2
    weights = np.linalg.solve(gram, (past.T @ values).T[:, :, None])[:, :, 0]
    errors = np.where(present > 0, values - past @ weights.T, np.nan)
    level = smooth(histories.replaced(errors), SIMPLE).forecast(horizon)
    found: FloatArray = (weights @ ahead.T + level) * scale[:, None]
    return found


def _design(length: int, period: int, horizon: int, calendar: FloatArray) -> tuple[FloatArray, FloatArray]:
    time = np.arange(length + horizon)
    angle = 2 * np.pi * time / max(period, 1)
    harmonics = min(period // 2, _HARMONICS_MAX)
    waves = [wave(k * angle) for k in range(1, harmonics + 1) for wave in (np.cos, np.sin)]
    # At half the period the sine is zero throughout.
    waves = waves[:-1] if harmonics and 2 * harmonics == period else waves
    known = np.zeros((length + horizon, calendar.shape[1]))
    shared = min(len(calendar), length + horizon)
    known[-shared:] = calendar[-shared:]
    columns = [np.ones(len(time)), (time - length / 2) / length, *waves, *known.T]
    penalties = [1e-6, 0.0, *[_SEASON_PENALTY] * len(waves), *[_CALENDAR_PENALTY] * calendar.shape[1]]
    return np.stack(columns, axis=1), np.array(penalties)
