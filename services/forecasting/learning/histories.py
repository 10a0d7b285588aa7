"""Histories side by side: the one shape of data that every forecasting method here takes."""

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Histories:
    """Many series, one a column, that all end in the last row; the longest come first.

    Because of that order the series that have begun by a row are always the first columns, so the recursions below
    run over contiguous slices and need no masks. What lies above a series' first row is NaN and never read.

    Several histories may be of one series as it was known at several times: they begin together, and what is shared
    needs to be worked out once.
    """

    values: FloatArray
    starts: IntArray
    series: IntArray
    """Which series each history is of."""
    held_out: IntArray
    """How many of the last periods of its series each history does not know."""

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

    def taken(self, columns: slice | IntArray) -> "Histories":
        """Some of the histories, in their order."""
        return Histories(self.values[:, columns], self.starts[columns], self.series[columns], self.held_out[columns])

    def present(self) -> npt.NDArray[np.bool_]:
        """Which cells hold an observation."""
        return np.arange(self.length)[:, None] >= self.starts[None, :]

    def filled(self) -> FloatArray:
        """The values, with 0 where there is none."""
        return np.where(np.isnan(self.values), 0.0, self.values)

    def means(self) -> FloatArray:
        """The mean of each."""
        found: FloatArray = self.filled().sum(axis=0) / self.sizes
        return found

    def replaced(self, values: FloatArray) -> "Histories":
        """The same spans with other values."""
        return replace(self, values=values)


@dataclass(frozen=True, slots=True)
class Joined:
    """Each series once, with each of its values as the earliest history that holds it has it.

    Histories of a series may differ in more than their ends, as the season that was taken out of each was found in it
    alone. What is worked out along a joined history knows at each history's end nothing of what came after it.
    """

    histories: Histories
    column: IntArray
    """By history: which column its series has here."""
    sizes: IntArray
    """By history: how many rows of that column it knows."""
    earliest: IntArray
    """By column: the history that ends first."""


def join(histories: Histories) -> Joined:
    """The series of ``histories``, up to the latest end; those of one series all begin together."""
    length = histories.length
    _, first, column = np.unique(histories.series, return_index=True, return_inverse=True)
    starts = (histories.starts - histories.held_out)[first]
    order = np.argsort(starts, kind="stable")
    places = np.empty_like(order)
    places[order] = np.arange(len(order))
    column = places[column]
    values = np.full((length - histories.held_out.min(), len(order)), np.nan)
    earliest = np.zeros_like(order)
    for ahead in np.unique(histories.held_out):
        here = np.flatnonzero(histories.held_out == ahead)
        values[: length - ahead, column[here]] = histories.values[ahead:, here]
        earliest[column[here]] = here
    joined = Histories(values, starts[order], np.arange(len(order)), np.zeros_like(order))
    return Joined(joined, column, length - histories.held_out, earliest)


def side_by_side(
    series: list[FloatArray], of: IntArray | None = None, held_out: IntArray | None = None
) -> tuple[Histories, IntArray]:
    """Histories of ``series``, and for each its column. They are of different series unless ``of`` says of which, and
    ``held_out`` how many of its last periods are not there."""
    length = max(len(one) for one in series)
    starts = np.array([length - len(one) for one in series], dtype=np.int64)
    order = np.argsort(starts, kind="stable")
    values = np.full((length, len(series)), np.nan)
    for column, position in enumerate(order):
        values[starts[position] :, column] = series[position]
    places = np.empty(len(series), dtype=np.int64)
    places[order] = np.arange(len(series))
    own = np.arange(len(series)) if of is None else of
    later = np.zeros(len(series), dtype=np.int64) if held_out is None else held_out
    return Histories(values, starts[order], own[order], later[order]), places


def first_values(histories: Histories, count: int) -> tuple[FloatArray, IntArray]:
    """The first ``count`` observations of each history, and how many of them there are."""
    rows = np.minimum(histories.starts[:, None] + np.arange(count), histories.length - 1)
    values = histories.values[rows, np.arange(histories.count)[:, None]]
    return values, np.minimum(histories.sizes, count)
