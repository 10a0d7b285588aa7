"""Figures that can hardly be true: far above whatever else a series ever had."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

TIMES = 100
"""A spike is more than so many times the largest figure that is none: no promotion is, a decimal point in the wrong
place may be."""
_ORDINARY_MIN = 8
_SHARE_MAX, _COUNT_MAX = 0.01, 5
"""More of them are how the series is: a shop that sells in December alone, or one that has only just opened."""
_NEIGHBOURS = 7


@dataclass(frozen=True, slots=True)
class Spikes:
    """The spikes of a history."""

    places: IntArray
    """Those that are replaced, ascending."""
    instead: FloatArray
    """What stands in for each."""
    newest: bool
    """Whether the last figure is a spike too: it is left, as the next ones may be like it."""


def find_spikes(history: FloatArray) -> Spikes | None:
    """The spikes of a history with at least eight other figures that are not zero: one, or one in a hundred of a long
    one. Its place is taken by the median of the seven figures before it and the seven after it."""
    size = np.abs(history)
    limit = min(max(1, int(_SHARE_MAX * len(history))), _COUNT_MAX)
    if np.count_nonzero(size) <= _ORDINARY_MIN:
        return None
    order: IntArray = np.argsort(-size)[: limit + 1]
    gaps = np.flatnonzero(size[order[:-1]] > TIMES * size[order[1:]]) + 1
    if not len(gaps) or np.count_nonzero(size) - gaps[-1] < _ORDINARY_MIN:
        return None
    found = np.sort(order[: gaps[-1]])
    ordinary = np.ones(len(history), dtype=bool)
    ordinary[found] = False
    places = found[found < len(history) - 1]
    return Spikes(
        places, np.array([_beside(history, ordinary, at) for at in places.tolist()]), len(places) < len(found)
    )


def _beside(history: FloatArray, ordinary: npt.NDArray[np.bool_], place: int) -> float:
    near = slice(max(place - _NEIGHBOURS, 0), place + _NEIGHBOURS + 1)
    return float(np.median(history[near][ordinary[near]]))
