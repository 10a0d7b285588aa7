"""What the models of customer value know of a customer: how often, how recently, since when; equal ones merged."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]

UNIT_DAYS = 7.0
"""The models' unit of time is the week: parameters that are times, or rates, are in weeks."""


@dataclass(frozen=True, slots=True)
class Purchases:
    """Customers, or groups of equal customers. A purchase is a day with an order; times are whole days."""

    frequency: IntArray
    """Purchases after the first one."""
    recency: IntArray
    """Days from the first purchase to the last one; 0 without a repeat."""
    age: IntArray
    """Days from the first purchase to the end of the observation."""
    weight: FloatArray
    """How many customers each row stands for."""

    def __len__(self) -> int:
        return len(self.frequency)

    @property
    def customer_count(self) -> float:
        """How many customers all rows stand for."""
        return float(self.weight.sum())

    @property
    def repeats(self) -> FloatArray:
        """The frequency, to calculate with."""
        return self.frequency.astype(np.float64)

    def weeks(self) -> tuple[FloatArray, FloatArray]:
        """Recency and age in the models' unit."""
        return self.recency / UNIT_DAYS, self.age / UNIT_DAYS

    def every(self, step: int) -> "Purchases":
        """Each ``step``-th row."""
        return Purchases(self.frequency[::step], self.recency[::step], self.age[::step], self.weight[::step])


def purchases(frequency: IntArray, recency: IntArray, age: IntArray) -> Purchases:
    """One row for each customer."""
    return Purchases(
        frequency.astype(np.int64), recency.astype(np.int64), age.astype(np.int64), np.ones(len(frequency))
    )


def merged(rows: Purchases) -> Purchases:
    """The same customers with equal ones in one row, ordered: the likelihood is the same, of fewer terms."""
    if not len(rows):
        return rows
    span = int(rows.age.max()) + 1
    if (int(rows.frequency.max()) + 1) * span * span >= 2**62:
        return rows
    key = (rows.frequency * span + rows.age) * span + rows.recency
    if (rows.weight == 1.0).all():
        key.sort()
        starts = _starts(key)
        weight = np.diff(np.append(starts, len(key))).astype(np.float64)
    else:
        order = np.argsort(key)
        key, starts = key[order], _starts(key[order])
        weight = np.add.reduceat(rows.weight[order], starts)
    rest, recency = np.divmod(key[starts], span)
    frequency, age = np.divmod(rest, span)
    return Purchases(frequency, recency, age, weight)


def _starts(ordered: IntArray) -> IntArray:
    return np.flatnonzero(np.concatenate(([True], ordered[1:] != ordered[:-1])))
