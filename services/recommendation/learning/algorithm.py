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
    items are. Dimensions are in order of weight: the first half of them is the best embedding of half the dimensions.
    """

    context: Vectors
    target: Vectors
    likeness: Vectors

    @property
    def dimensions(self) -> int:
        """How many numbers a vector has."""
        return int(self.target.shape[1])

    def first(self, dimensions: int) -> "Embedding":
        """The embedding in fewer dimensions."""
        return Embedding(
            self.context[:, :dimensions].copy(), self.target[:, :dimensions].copy(), unit(self.likeness[:, :dimensions])
        )


class Algorithm(Protocol):
    """Learns an embedding. Equal purchases and an equal seed give an equal embedding."""

    @property
    def name(self) -> str:
        """How models that it made are labelled."""
        ...

    @property
    def dimensions(self) -> int:
        """How many numbers a vector has, if there are as many customers and items."""
        ...

    @property
    def half_life_days(self) -> float:
        """After how many days a purchase counts half."""
        ...

    def fit(self, purchases: Purchases, seed: int) -> Embedding:
        """Learn from distinct purchases."""
        ...


def unit(vectors: Vectors) -> Vectors:
    """The rows at length 1; rows of no length stay so."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    scaled: Vectors = np.divide(vectors, lengths, out=np.zeros_like(vectors), where=lengths > 1e-12)
    return scaled
