"""Exponential smoothing, for many series and many candidate parameters in one pass over time."""

from dataclasses import dataclass

import numpy as np

from services.forecasting.learning.histories import FloatArray, Histories, first_values

# So many cells (histories times candidates) are carried at once: the states then stay in the processor's cache.
_CELLS_MAX = 24_000
_START_SIZE = 8


@dataclass(frozen=True, slots=True)
class Candidates:
    """Parameters to try: smoothing of the level, of the trend (as a share of the level's), damping of the trend."""

    alpha: FloatArray
    beta: FloatArray
    phi: FloatArray

    def __len__(self) -> int:
        return len(self.alpha)


@dataclass(frozen=True, slots=True)
class Smoothed:
    """The best candidate's parameters and final states, one of each a history."""

    level: FloatArray
    trend: FloatArray
    alpha: FloatArray
    phi: FloatArray
    squared_error: FloatArray

    def forecast(self, horizon: int) -> FloatArray:
        """One row a history, one column a step."""
        steps = np.arange(1, horizon + 1)
        damped = np.cumsum(self.phi[:, None] ** steps, axis=1)
        return self.level[:, None] + damped * self.trend[:, None]


def grid(alpha: list[float], beta: list[float], phi: list[float]) -> Candidates:
    """Every combination."""
    axes = np.meshgrid(alpha, beta, phi, indexing="ij")
    return Candidates(*(axis.ravel() for axis in axes))


SIMPLE = grid([0.01, 0.03, 0.06, *np.arange(0.1, 1.0, 0.05).tolist(), 0.99], [0.0], [0.0])
HOLT = grid([0.02, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95], [0.0, 0.02, 0.06, 0.15, 0.3, 0.6], [1.0])
DAMPED = grid([0.02, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95], [0.0, 0.04, 0.12, 0.3, 0.6], [0.8, 0.9, 0.96])


def smooth(histories: Histories, candidates: Candidates) -> Smoothed:
    """Filter every history with every candidate; keep the one with the least squared one-step error."""
    width = max(1, _CELLS_MAX // len(candidates))
    parts = [
        _smooth_slice(histories.columns(first, first + width), candidates) for first in range(0, histories.count, width)
    ]
    return Smoothed(*(np.concatenate([getattr(p, f) for p in parts]) for f in Smoothed.__slots__))


def _smooth_slice(histories: Histories, candidates: Candidates) -> Smoothed:
    shape = (histories.count, len(candidates))
    level, trend = (np.repeat(state[:, None], shape[1], axis=1) for state in _first_states(histories, candidates))
    error, total = np.empty(shape), np.zeros(shape)
    gain = candidates.alpha * candidates.beta
    for row, count in zip(histories.values, histories.begun().tolist(), strict=True):
        now, slope, off = level[:count], trend[:count], error[:count]
        slope *= candidates.phi
        now += slope
        np.subtract(row[:count, None], now, out=off)
        now += candidates.alpha * off
        slope += gain * off
        np.square(off, out=off)
        total[:count] += off
    best = np.argmin(total, axis=1)
    at = (np.arange(shape[0]), best)
    return Smoothed(level[at], trend[at], candidates.alpha[best], candidates.phi[best], total[at])


def _first_states(histories: Histories, candidates: Candidates) -> tuple[FloatArray, FloatArray]:
    """Level and trend before the first observation: a line through the first few, or their mean without a trend."""
    first, sizes = first_values(histories, _START_SIZE)
    steps = np.arange(1, _START_SIZE + 1)[None, :]
    mask = steps <= sizes[:, None]
    filled = np.where(mask, first, 0.0)
    mean = filled.sum(axis=1) / sizes
    if not candidates.phi.any():
        return mean, np.zeros_like(mean)
    centred = np.where(mask, steps - (sizes[:, None] + 1) / 2, 0.0)
    slope = (centred * filled).sum(axis=1) / np.maximum((centred**2).sum(axis=1), 1.0)
    return mean - slope * (sizes + 1) / 2, slope
