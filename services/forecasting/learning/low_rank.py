"""What series of a group do together, without the noise of each: the leading components of their figures.

Figures of series that share an attribute (an item in all stores, all items of a store) follow a few patterns over time,
each with a share in each series. A singular value decomposition finds these; all others are noise, and components are
shrunk by how little they stand out of it, as a Wiener filter does. What a year ago was, smoothed so, tells more of this
year than the figures themselves. (The winner of the competition on Walmart's sales, Kaggle 2014, smoothed each
department over its stores by a fixed number of components; shrinking them does better, and needs no number.)
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from services.forecasting.learning.histories import FloatArray, IntArray

# Of 5, 10 and 20 none was much better or worse on five earlier ends of Walmart's weeks; of 1 and 30 both were worse.
_NOISE_FACTOR = 8.0
GROUP_MIN, PERIODS_MIN = 5, 8
"""Smaller groups and shorter pasts are left as they are: their components cannot be told from noise."""
_EVERY, _ENDS_MAX = 4, 40
_SMALL = 1e-9


@dataclass(frozen=True, slots=True)
class Smoothing:
    """The figures of the last periods before each of several ends, smoothed by nothing but what came before that
    end."""

    last: int
    """The latest end."""
    every: int
    """How many periods lie between ends."""
    figures: npt.NDArray[np.float32]
    """By end, the latest first, series and period before it, the oldest first; NaN where nothing was smoothed."""

    def at(self, series: IntArray, periods: IntArray, origins: IntArray) -> FloatArray:
        """The figures of ``series`` in ``periods`` as of the latest end that knows nothing after ``origins``; NaN where
        there are none."""
        count, _, width = self.figures.shape
        place = -(-(self.last - 1 - origins) // self.every)
        back = self.last - place * self.every - periods
        inside = (place >= 0) & (place < count) & (back >= 1) & (back <= width)
        found = self.figures[np.where(inside, place, 0), series, np.where(inside, width - back, 0)]
        return np.where(inside, found, np.nan).astype(np.float64)


def smoothing(values: FloatArray, groups: IntArray, width: int) -> Smoothing:
    """Of ``values``, by series and period (NaN before a series begins), for the ``width`` periods before ends from the
    last on back; ``groups``: which each series is of."""
    last = values.shape[1]
    every = max(_EVERY, -(-last // _ENDS_MAX))
    ends = range(last, PERIODS_MIN - 1, -every)
    figures = np.full((len(ends), len(values), width), np.nan, dtype=np.float32)
    for found, end in zip(figures, ends, strict=True):
        known = min(width, end)
        found[:, width - known :] = smoothed(values[:, :end], groups)[:, end - known :]
    return Smoothing(last, every, figures)


def smoothed(values: FloatArray, groups: IntArray) -> FloatArray:
    """``values``, each group without its noise, NaN where they are; those of groups that are too small as they are."""
    found = values.copy()
    for rows in _of_each(groups):
        if min(len(rows) - GROUP_MIN, values.shape[1] - PERIODS_MIN) >= 0:
            found[rows] = _without_noise(values[rows])
    return found


def groups_large(groups: IntArray) -> bool:
    """Whether most series are of groups that are large enough."""
    return bool((np.bincount(groups)[groups] >= GROUP_MIN).mean() > 0.5)


def _of_each(groups: IntArray) -> Iterable[IntArray]:
    order: IntArray = np.argsort(groups, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(groups[order])) + 1)


def _without_noise(values: FloatArray) -> FloatArray:
    """The noise of a series is about as the root of its size, so that series are divided by that of theirs."""
    present = np.isfinite(values)
    filled = np.where(present, values, 0.0)
    scale = np.sqrt(np.maximum(np.abs(filled).mean(axis=1, keepdims=True), _SMALL))
    left, sizes, right = np.linalg.svd(filled / scale, full_matrices=False)
    noise = _NOISE_FACTOR * np.median(sizes) ** 2
    kept = sizes**3 / np.maximum(sizes**2 + noise, _SMALL)
    # Sales have no component that makes them negative.
    least = np.minimum(filled.min(axis=1, keepdims=True), 0.0)
    return np.where(present, np.maximum((left * kept) @ right * scale, least), np.nan)
