"""Histories side by side: the one shape of data that every forecasting method here takes."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Histories:
    """Many series, one a column, that all end in the last row; the longest come first.

    Because of that order the series that have begun by a row are always the first columns, so the recursions below
    run over contiguous slices and need no masks. What lies above a series' first row is NaN and never read.
    """

    values: FloatArray
    starts: IntArray

    @property
    def length(self) -> int:
        """How many rows, which is how long the longest history is."""
        return len(self.values)

    @property
    def count(self) -> int:
        """How many histories."""
        return len(self.starts)

    @property
    def sizes(self) -> IntArray:
        """How long each history is."""
        return self.length - self.starts

    def begun(self) -> IntArray:
        """For each row, how many of the first columns have begun."""
        return np.searchsorted(self.starts, np.arange(self.length), side="right")

    def columns(self, first: int, last: int) -> "Histories":
        """The histories from column ``first`` up to, and not including, ``last``."""
        return Histories(self.values[:, first:last], self.starts[first:last])

    def present(self) -> npt.NDArray[np.bool_]:
        """Which cells hold an observation."""
        return np.arange(self.length)[:, None] >= self.starts[None, :]

    def replaced(self, values: FloatArray) -> "Histories":
        """The same spans with other values."""
        return Histories(values, self.starts)


def side_by_side(series: list[FloatArray]) -> tuple[Histories, IntArray]:
    """Histories of ``series``, and for each series its column."""
    length = max(len(one) for one in series)
    starts = np.array([length - len(one) for one in series], dtype=np.int64)
    order = np.argsort(starts, kind="stable")
    values = np.full((length, len(series)), np.nan)
    for column, position in enumerate(order):
        values[starts[position] :, column] = series[position]
    places = np.empty(len(series), dtype=np.int64)
    places[order] = np.arange(len(series))
    return Histories(values, starts[order]), places


def first_values(histories: Histories, count: int) -> tuple[FloatArray, IntArray]:
    """The first ``count`` observations of each history, and how many of them there are."""
    rows = np.minimum(histories.starts[:, None] + np.arange(count), histories.length - 1)
    values = histories.values[rows, np.arange(histories.count)[:, None]]
    return values, np.minimum(histories.sizes, count)
