"""The one interface of everything that turns purchases into vectors."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.recommendation.learning.purchases import Purchases

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Embedding:
    """What an algorithm learnt: three vectors for every item, as rows.

    A history is a weighted sum of ``context`` vectors; its inner product with an item's ``target`` vector says how
    well the item fits. So anybody gets a vector from whatever is known of them: years of purchases or three clicks.
    The cosine of two ``likeness`` vectors, which have length 1 (or 0 for what was never bought), says how alike two
    items are.
    """

    context: Vectors
    target: Vectors
    likeness: Vectors


class Algorithm(Protocol):
    """Learns an embedding. Equal purchases and an equal seed give an equal embedding."""

    @property
    def name(self) -> str:
        """How models that it made are labelled."""
        ...

    def fit(self, purchases: Purchases, seed: int) -> Embedding:
        """Learn from distinct purchases."""
        ...
