"""Exponential smoothing, for many series and many candidate parameters in one pass over time.

The parameters of all histories of a series are chosen in one pass along it: at the end of each history the candidate
with the least squared error so far. Only that one is then run along the history itself.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from services.forecasting.learning.histories import FloatArray, Histories, IntArray, Joined, first_values, join

# So many cells (candidates times series) are carried at once: the states then stay in the processor's cache.
CELLS_MAX = 32_000
_START_SIZE = 8
Floats = npt.NDArray[np.floating[Any]]
"""Choices are made at single precision, forecasts at double."""


@dataclass(frozen=True, slots=True)
class Candidates:
    """Parameters to try: smoothing of the level, of the trend (as a share of the level's), damping of the trend."""

    alpha: Floats
    beta: Floats
    phi: Floats

    def __len__(self) -> int:
        return len(self.alpha)

    @property
    def trended(self) -> bool:
        """Whether there is a trend at all."""
        return bool(self.phi.any())

    def columns(self) -> "Candidates":
        """Each a row, to try all of them on each series; at single precision."""
        return Candidates(*(it.astype(np.float32)[:, None] for it in (self.alpha, self.beta, self.phi)))


@dataclass(frozen=True, slots=True)
class Smoothed:
    """The chosen parameters and final states, one of each a history."""

    level: FloatArray
    trend: FloatArray
    alpha: Floats
    phi: Floats

    def forecast(self, horizon: int) -> FloatArray:
        """One row a history, one column a step."""
        return self.level[:, None] + damped_steps(self.phi, horizon) * self.trend[:, None]


def damped_steps(phi: Floats, horizon: int) -> FloatArray:
    """How many trends are added by each step, by history and step."""
    powers = np.multiply.accumulate(np.broadcast_to(phi[:, None], (len(phi), horizon)), axis=1)
    found: FloatArray = np.cumsum(powers, axis=1, out=powers)
    return found


def grid(alpha: list[float], beta: list[float], phi: list[float]) -> Candidates:
    """Every combination."""
    axes = np.meshgrid(alpha, beta, phi, indexing="ij")
    return Candidates(*(axis.ravel() for axis in axes))


SIMPLE = grid([0.01, 0.03, 0.06, *np.arange(0.1, 1.0, 0.05).tolist(), 0.99], [0.0], [0.0])
HOLT = grid([0.02, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95], [0.0, 0.02, 0.06, 0.15, 0.3, 0.6], [1.0])
DAMPED = grid([0.02, 0.1, 0.2, 0.35, 0.5, 0.65, 0.8, 0.95], [0.0, 0.04, 0.12, 0.3, 0.6], [0.8, 0.9, 0.96])


def smooth(histories: Histories, candidates: Candidates) -> Smoothed:
    """Filter every history with the candidate that had the least squared one-step error."""
    best = _choose(histories, candidates)
    by = Candidates(candidates.alpha[best], candidates.beta[best], candidates.phi[best])
    level, trend = _first_states(histories, candidates.trended)
    for _ in _errors(histories, by, level, trend if candidates.trended else None):
        pass
    return Smoothed(level, trend, by.alpha, by.phi)


def _choose(histories: Histories, candidates: Candidates) -> IntArray:
    """The best candidate for each history."""
    best = np.zeros(histories.count, dtype=np.int64)
    by, trended = candidates.columns(), candidates.trended
    for part in parts(join(histories), CELLS_MAX // len(candidates)):
        shape = (len(candidates), part.histories.count)
        level, trend = (np.tile(it.astype(np.float32), (shape[0], 1)) for it in _first_states(part.histories, trended))
        part.least(_errors(part.histories, by, level, trend if trended else None), shape, best)
    return best


@dataclass(frozen=True, slots=True)
class Part:
    """Some of the series of joined histories, in units that are safe at single precision, and the histories' ends."""

    columns: slice
    """Which of the joined histories."""
    histories: Histories
    spread: FloatArray
    """What one unit is."""
    ends: dict[int, tuple[IntArray, IntArray]]
    """By how many rows there are: the histories that end there, and their columns here."""

    def least(self, errors: Iterator[Floats], shape: tuple[int, int], best: IntArray) -> None:
        """Write for each history which candidate had the least sum of squared ``errors``."""
        total = np.zeros(shape, dtype=np.float32)
        for rows, error in enumerate(errors, start=1):
            np.square(error, out=error)
            total[:, : error.shape[1]] += error
            if rows in self.ends:
                here, column = self.ends[rows]
                best[here] = np.argmin(total[:, column], axis=0)


def parts(joined: Joined, width: int) -> Iterator[Part]:
    """The series, ``width`` at a time; at least one."""
    width = max(width, 1)
    known = np.isfinite(joined.histories.values)
    counts = known.sum(axis=0)
    values = np.where(known, joined.histories.values, 0.0)
    values -= values.sum(axis=0) / counts
    deviation = np.abs(values).sum(axis=0, where=known) / counts
    spread = np.where(deviation > 0, deviation, 1.0)
    scaled = joined.histories.replaced((values / spread).astype(np.float32))
    for first in range(0, values.shape[1], width):
        columns = slice(first, first + width)
        yield Part(columns, scaled.taken(columns), spread[columns], _ends(joined, columns))


def _ends(joined: Joined, columns: slice) -> dict[int, tuple[IntArray, IntArray]]:
    inside = np.flatnonzero((joined.column >= columns.start) & (joined.column < columns.stop))
    sizes, column = joined.sizes[inside], joined.column[inside] - columns.start
    return {int(size): (inside[sizes == size], column[sizes == size]) for size in np.unique(sizes)}


def _errors(histories: Histories, by: Candidates, level: Floats, trend: Floats | None) -> Iterator[Floats]:
    """The one-step errors of each row, in a buffer that may be changed; the states are brought forward in place.

    The last axis of all is the histories; before it there may be one of candidates.
    """
    error, step = np.empty_like(level), np.empty_like(level)
    gain = by.alpha * by.beta
    for row, count in zip(histories.values, histories.begun().tolist(), strict=True):
        now, off, change = level[..., :count], error[..., :count], step[..., :count]
        if trend is not None:
            slope = trend[..., :count]
            slope *= by.phi[..., :count]
            now += slope
        np.subtract(row[:count], now, out=off)
        np.multiply(off, by.alpha[..., :count], out=change)
        now += change
        if trend is not None:
            np.multiply(off, gain[..., :count], out=change)
            slope += change
        yield off


def _first_states(histories: Histories, trended: bool) -> tuple[FloatArray, FloatArray]:
    """Level and trend before the first observation: a line through the first few, or their mean without a trend."""
    first, sizes = first_values(histories, _START_SIZE)
    steps = np.arange(1, _START_SIZE + 1)[None, :]
    mask = steps <= sizes[:, None]
    filled = np.where(mask, first, 0.0)
    mean = filled.sum(axis=1) / sizes
    if not trended:
        return mean, np.zeros_like(mean)
    centred = np.where(mask, steps - (sizes[:, None] + 1) / 2, 0.0)
    slope = (centred * filled).sum(axis=1) / np.maximum((centred**2).sum(axis=1), 1.0)
    return mean - slope * (sizes + 1) / 2, slope
