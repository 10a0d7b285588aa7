"""Purchases as arrays: what every algorithm learns from."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from services.recommendation.domain.signals import PURCHASES_ALONE, FeedbackWeights
from services.recommendation.learning.signals import NO_SIGNALS, Signals

Codes = NDArray[np.int32]
Floats = NDArray[np.float32]
Counts = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Purchases:
    """Lines of baskets. Customers, baskets and items are codes from 0; ages are days before the moment of learning.
    ``signals`` are what else is known of the customers, and count as ``weighing`` says."""

    customers: Codes
    baskets: Codes
    items: Codes
    ages_days: Floats
    customer_count: int
    basket_count: int
    item_count: int
    signals: Signals = NO_SIGNALS
    weighing: FeedbackWeights = PURCHASES_ALONE

    def __len__(self) -> int:
        return len(self.items)

    def distinct(self) -> "Purchases":
        """One line for each basket and item: a basket counts once, however many of an item it holds."""
        keys = self.baskets.astype(np.int64) * self.item_count + self.items
        return self._only(np.unique(keys, return_index=True)[1])

    def before(self, days: float) -> "Purchases":
        """Those older than ``days``, as they looked then."""
        earlier = self._only(np.flatnonzero(self.ages_days > days))
        ages = earlier.ages_days - np.float32(days)
        return replace(earlier, ages_days=ages, signals=self.signals.before(days))

    def within(self, days: float) -> "Purchases":
        """Those of the last ``days``."""
        return self._only(np.flatnonzero(self.ages_days <= days))

    def _only(self, rows: NDArray[np.intp]) -> "Purchases":
        return replace(
            self,
            customers=self.customers[rows],
            baskets=self.baskets[rows],
            items=self.items[rows],
            ages_days=self.ages_days[rows],
        )

    def weights(self, half_life_days: float) -> Floats:
        """What each line counts: one today, half after a half-life."""
        return np.asarray(np.exp2(-self.ages_days / half_life_days), dtype=np.float32)

    def by_customer(self, values: Floats) -> sparse.csr_array:
        """Customers by items, equal cells added up, items in order."""
        return _matrix(self.customers, self.items, values, (self.customer_count, self.item_count))

    def tastes(self, half_life_days: float) -> sparse.csr_array:
        """Customers by items: what vectors are learnt from, faded purchases and what the signals count beside them."""
        habits = self.by_customer(self.weights(half_life_days))
        if not self.weighing.any or not len(self.signals):
            return habits
        tastes: sparse.csr_array = (habits + self.interests()).tocsr()
        return tastes

    def interests(self) -> sparse.csr_array:
        """Customers by items: what the signals count."""
        return self.signals.weighed(self.weighing, (self.customer_count, self.item_count))

    def by_basket(self, values: Floats) -> sparse.csr_array:
        """Baskets by items, equal cells added up, items in order."""
        return _matrix(self.baskets, self.items, values, (self.basket_count, self.item_count))

    @property
    def buyer_count(self) -> int:
        """How many customers bought anything: there may be others, of whom signals alone are known."""
        return len(np.unique(self.customers))

    def buyers(self) -> Counts:
        """How many customers bought each item."""
        pairs = np.unique(self.customers.astype(np.int64) * self.item_count + self.items)
        return np.bincount(pairs % self.item_count, minlength=self.item_count)


def _matrix(rows: Codes, columns: Codes, values: Floats, shape: tuple[int, int]) -> sparse.csr_array:
    matrix = sparse.csr_array((values, (rows, columns)), shape=shape)
    matrix.sum_duplicates()
    return matrix
