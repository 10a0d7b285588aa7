"""A linear autoencoder in closed form, factored into vectors: the best for catalogues of some thousand items.

EASE (Steck, WWW 2019) predicts each item of a customer from all others by ridge regression. Two changes measured
better: customers with many purchases count less (rows are divided by a power of their sum), and the regularisation
grows with how often an item is bought. A third: the weights are the mean of those under weak, middle and strong
regularisation, which errs less than any of them. The matrix of weights is factored so that it predicts the purchases
as well as that many dimensions can.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.recommendation.learning.algorithm import Embedding, unit
from services.recommendation.learning.decomposition import leading_eigenvectors
from services.recommendation.learning.purchases import Purchases
from services.recommendation.learning.spectral import damp

ITEMS_MAX = 4_000
"""Time grows with the third power of the items and memory with the second: some seconds and 128 MiB a matrix here."""


@dataclass(frozen=True, slots=True)
class LinearAutoencoder:
    """Exponents and strength were chosen on a holdout of MovieLens-100k's training part; see the decision record."""

    dimensions: int = 128
    half_life_days: float = 180.0
    regularisations: tuple[float, ...] = (100.0, 300.0, 1000.0)
    customer_exponent: float = 0.35
    frequency_exponent: float = 0.5
    popularity_exponent: float = 0.15

    @property
    def name(self) -> str:
        return "linear_autoencoder"

    def fit(self, purchases: Purchases, seed: int) -> Embedding:
        """``ValueError`` for more than ``ITEMS_MAX`` items."""
        if purchases.item_count > ITEMS_MAX:
            raise ValueError(f"{purchases.item_count} items are more than {ITEMS_MAX}")
        habits = purchases.tastes(self.half_life_days)
        habits.data = damp(habits.data)
        customers = np.maximum(np.asarray(habits.sum(axis=1), dtype=np.float64), 1e-6)
        items = np.asarray(habits.sum(axis=0), dtype=np.float64)
        scaled = habits.astype(np.float64)
        scaled.data *= np.repeat(customers**-self.customer_exponent, np.diff(habits.indptr))
        gram = np.asarray((scaled.T @ scaled).todense(), dtype=np.float64)
        customers_each = np.bincount(habits.indices, minlength=habits.shape[1]).astype(np.float64)
        weights = self._weights(gram, customers_each)
        vectors, values = leading_eigenvectors(weights.T @ gram @ weights, self.dimensions, seed)
        bought = (items > 0)[:, None]
        return Embedding(
            context=np.asarray(weights @ vectors, dtype=np.float32) * bought,
            target=np.asarray(vectors * bought, dtype=np.float32),
            likeness=unit(np.asarray(vectors * np.sqrt(np.maximum(values, 0)) * bought, dtype=np.float32)),
        )

    def _weights(self, gram: NDArray[np.float64], customers: NDArray[np.float64]) -> NDArray[np.float64]:
        """From what was bought to what is expected, nothing from an item to itself."""
        degrees = np.diag(gram).copy()
        mean = max(float(degrees.mean()), 1e-12)
        frequent = (np.maximum(degrees, 1e-9) / mean) ** self.frequency_exponent
        weights = np.zeros_like(gram)
        for regularisation in self.regularisations:
            strength = regularisation * mean / max(float(customers.mean()), 1e-12)
            inverse = np.linalg.inv(gram + np.diag(strength * frequent))
            weights -= inverse / np.diag(inverse)
        np.fill_diagonal(weights, 0.0)
        weights /= len(self.regularisations)
        scaled: NDArray[np.float64] = weights * np.maximum(customers, 0.5) ** -self.popularity_exponent
        return scaled
