"""Holt-Winters smoothing with an additive season that may change, for many series and candidates in one pass.

Parameters are chosen as for the other kinds of smoothing: in a pass along each series, at the end of each history. A
pass has to start from the season of the earliest history that it serves, while each history is then run from its own.
What a season of few data says differs too much from that: three passes serve the early, the middle and the late ends.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from services.forecasting.learning.histories import FloatArray, Histories, IntArray, join
from services.forecasting.learning.seasonality import additive_factors, centred_average
from services.forecasting.learning.smoothing import CELLS_MAX, Floats, damped_steps, parts

_SEASONS_MIN = 2
_ALPHA = [0.02, 0.06, 0.12, 0.25, 0.4, 0.6, 0.85]
_GAMMA = [0.0, 0.03, 0.08, 0.2, 0.4]
_PASSES = 3
_TREND = [(0.0, 0.0), (0.03, 0.95), (0.15, 0.95)]


@dataclass(frozen=True, slots=True)
class _Candidates:
    """Smoothing of the level, of the season, of the trend (a share of the level's), and damping of the trend."""

    alpha: Floats
    gamma: Floats
    beta: Floats
    phi: Floats

    def __len__(self) -> int:
        return len(self.alpha)

    def taken(self, places: IntArray) -> "_Candidates":
        return _Candidates(*(it[places] for it in (self.alpha, self.gamma, self.beta, self.phi)))

    def columns(self) -> "_Candidates":
        """Each a row, to try all of them on each series; at single precision."""
        return _Candidates(*(it.astype(np.float32)[:, None] for it in (self.alpha, self.gamma, self.beta, self.phi)))

    @property
    def season_gain(self) -> Floats:
        gain: Floats = self.gamma * (1.0 - self.alpha)
        return gain


_CANDIDATES = _Candidates(*np.array([(a, g, b, phi) for a in _ALPHA for g in _GAMMA for b, phi in _TREND]).T)


@dataclass(frozen=True, slots=True)
class _State:
    """Level and trend before the first row, and the season by position before the last row.

    The last axis of each is the histories; before it there may be one of candidates."""

    level: Floats
    trend: Floats
    season: Floats


def holt_winters(
    histories: Histories, period: int, horizon: int, average: FloatArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """Forecasts, and the same without the season; NaN for a history of less than two seasons. The centred ``average``
    of the histories need not be taken again by who has it."""
    if period < 2:
        nothing = np.full((histories.count, horizon), np.nan)
        return nothing, nothing
    trend = centred_average(histories.values, period) if average is None else average
    factors = additive_factors(histories, trend, period)
    by = _CANDIDATES.taken(_choose(histories, factors))
    state = _State(_first_level(histories, factors), np.zeros(histories.count), factors.copy())
    for _ in _errors(histories, by, state):
        pass
    without = state.level[:, None] + damped_steps(by.phi, horizon) * state.trend[:, None]
    forecasts = without + state.season[-np.arange(1, horizon + 1) % period].T
    forecasts[histories.sizes < _SEASONS_MIN * period] = np.nan
    return forecasts, without


def _choose(histories: Histories, factors: FloatArray) -> IntArray:
    """The best candidate for each history."""
    best = np.zeros(histories.count, dtype=np.int64)
    cuts = np.unique(histories.held_out)
    for alike in np.array_split(cuts, min(_PASSES, len(cuts))):
        columns = np.flatnonzero(np.isin(histories.held_out, alike))
        best[columns] = _choose_alike(histories.taken(columns), factors[:, columns])
    return best


def _choose_alike(histories: Histories, factors: FloatArray) -> IntArray:
    """The best candidate for each history; all start with the season that the earliest history of the series shows."""
    joined = join(histories)
    sooner = histories.held_out[joined.earliest] - histories.held_out.min()
    begin = (np.arange(len(factors))[:, None] - sooner) % len(factors)
    season = factors[begin, joined.earliest]
    by, count = _CANDIDATES.columns(), len(_CANDIDATES)
    best = np.zeros(histories.count, dtype=np.int64)
    for part in parts(joined, CELLS_MAX // count):
        own = (season[:, part.columns] / part.spread).astype(np.float32)
        level = np.tile(_first_level(part.histories, own).astype(np.float32), (count, 1))
        state = _State(level, np.zeros_like(level), np.tile(own[:, None], (1, count, 1)))
        part.least(_errors(part.histories, by, state), level.shape, best)
    return best


def _errors(histories: Histories, by: _Candidates, state: _State) -> Iterator[Floats]:
    """The one-step errors of each row, in a buffer that may be changed; the states are brought forward in place."""
    error, step = np.empty_like(state.level), np.empty_like(state.level)
    gain, season_gain = by.alpha * by.beta, by.season_gain
    last = histories.length - 1
    for index, (row, count) in enumerate(zip(histories.values, histories.begun().tolist(), strict=True)):
        now, slope, off, change = (it[..., :count] for it in (state.level, state.trend, error, step))
        here = state.season[(last - index) % len(state.season)][..., :count]
        slope *= by.phi[..., :count]
        now += slope
        np.subtract(row[:count], now, out=off)
        off -= here
        for part, share in ((now, by.alpha), (slope, gain), (here, season_gain)):
            np.multiply(off, share[..., :count], out=change)
            part += change
        yield off


def _first_level(histories: Histories, factors: Floats) -> FloatArray:
    """The mean of the first season without its factors."""
    period = len(factors)
    last, columns = histories.length - 1, np.arange(histories.count)
    rows = np.minimum(histories.starts + np.arange(period)[:, None], last)
    flat = histories.values[rows, columns] - factors[(last - rows) % period, columns]
    return np.asarray(flat.mean(axis=0))
