"""Views and carts as arrays, beside the purchases that algorithms learn from (weighted implicit feedback: Hu, Koren and
Volinsky, ICDM 2008)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from services.recommendation.domain.signals import FeedbackWeights, SignalKind

Codes = NDArray[np.int32]
Floats = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Signals:
    """Days on which customers showed interest in items. Codes are those of the purchases; ``kinds`` are numbers of
    ``SignalKind``; ages are days before the moment of learning."""

    customers: Codes
    items: Codes
    kinds: NDArray[np.int8]
    ages_days: Floats

    def __len__(self) -> int:
        return len(self.items)

    def before(self, days: float) -> "Signals":
        """Those older than ``days``, as they looked then."""
        kept = self.ages_days > days
        ages = self.ages_days[kept] - np.float32(days)
        return Signals(self.customers[kept], self.items[kept], self.kinds[kept], ages)

    def weighed(self, weights: FeedbackWeights, shape: tuple[int, int]) -> sparse.csr_array:
        """Customers by items: what the interest counts, in purchases of now; equal cells added up, items in order."""
        worth = np.zeros(max(SignalKind) + 1, dtype=np.float32)
        worth[SignalKind.VIEW], worth[SignalKind.CART] = weights.view, weights.cart
        values = worth[self.kinds] * np.exp2(-self.ages_days / np.float32(weights.half_life_days))
        matrix = sparse.csr_array((values.astype(np.float32), (self.customers, self.items)), shape=shape)
        matrix.sum_duplicates()
        matrix.eliminate_zeros()
        return matrix


NO_SIGNALS = Signals(np.empty(0, np.int32), np.empty(0, np.int32), np.empty(0, np.int8), np.empty(0, np.float32))
