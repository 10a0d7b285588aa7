"""Spectral embeddings: the low frequencies of the graph of customers and items.

A truncated singular value decomposition of the degree-normalised purchase matrix keeps what many purchases agree on
and drops the noise (a graph filter: Shen et al., CIKM 2021). Two things are added for retail: purchases fade with
time, and what is offered is scaled to how much it sells now instead of how much it ever sold.

The sharp kind lets customers with long histories and the fine structure count more: the sums of customers and items are
divided by lower powers, and higher frequencies are lifted by a negative power of the singular values.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from services.recommendation.learning.algorithm import Embedding, Vectors, unit
from services.recommendation.learning.decomposition import right_singular
from services.recommendation.learning.purchases import Purchases

RECENT_DAYS = 28.0
OLD_SALES_SHARE = 0.1
"""What a faded purchase adds to the recent ones of an item, so that items without recent sales stay in the race."""
DEGREE_MIN = 0.1
"""Below this an item's weight is taken as this: one old purchase must not blow a vector up."""
VALUE_MIN = 0.05
"""Of the largest singular value: what is lower is lifted no further."""


@dataclass(frozen=True, slots=True)
class _Shape:
    """Powers: of the sums of customers and items that the matrix is divided by, of the sums of items that the two
    tables are divided by, and of the inverse singular values that lift."""

    customer_exponent: float
    item_exponent: float
    context_exponent: float
    target_exponent: float
    lift: float


PLAIN = _Shape(0.5, 0.5, 0.5, 0.5, 0.0)
SHARP = _Shape(0.4, 0.5, 0.4, 0.55, 0.25)
"""Chosen on a holdout of Gowalla's training part."""


@dataclass(frozen=True, slots=True)
class Spectral:
    """The first algorithm. Two choices made by measurement: 128 dimensions instead of 64 double the share of likeness
    neighbours that are of the same product type, and the baskets' matrix beside the customers' gained nothing."""

    dimensions: int = 128
    half_life_days: float = 180.0
    sharp: bool = False

    @property
    def name(self) -> str:
        return "spectral_sharp" if self.sharp else "spectral"

    def fit(self, purchases: Purchases, seed: int) -> Embedding:
        habits = purchases.tastes(self.half_life_days)
        habits.data = damp(habits.data)
        degrees = np.asarray(habits.sum(axis=0), dtype=np.float32)
        shape = SHARP if self.sharp else PLAIN
        matrix = normalised(habits, shape.customer_exponent, shape.item_exponent)
        vectors, values = right_singular(matrix, self.dimensions, seed)
        degrees = np.maximum(degrees, DEGREE_MIN)
        demand = purchases.within(RECENT_DAYS).buyers() + OLD_SALES_SHARE * degrees
        gains = np.maximum(values / max(float(values[:1].max(initial=0)), 1e-12), VALUE_MIN) ** -shape.lift
        return Embedding(
            context=_scaled(vectors * gains, degrees**-shape.context_exponent),
            target=_scaled(vectors, demand * degrees**-shape.target_exponent),
            likeness=unit(vectors * values),
        )


def damp(weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """The tenth purchase of an item says less than the first."""
    return np.log1p(weights)


def normalised(matrix: sparse.csr_array, row_exponent: float = 0.5, column_exponent: float = 0.5) -> sparse.csr_array:
    """Each cell divided by powers, the square roots unless told otherwise, of the sums of its row and its column."""
    rows = np.asarray(matrix.sum(axis=1), dtype=np.float32)
    columns = np.asarray(matrix.sum(axis=0), dtype=np.float32)
    scaled = matrix.copy()
    filled = np.repeat(rows**row_exponent, np.diff(matrix.indptr))
    scaled.data /= filled * columns[matrix.indices] ** column_exponent
    return scaled


def _scaled(vectors: Vectors, factors: NDArray[np.floating]) -> Vectors:
    return np.asarray(vectors * factors[:, None], dtype=np.float32)
