"""Vectors for items that people looked at and nobody bought: from what those buy, beside what is written of the items.

What an item's viewers are like is the weighted mean of their tastes; ridge regression turns it, beside the text, into
the vectors of bought items (as ``content`` does with text alone). A bought item's own purchases are taken out of its
viewers' tastes first: of an item that nobody bought there are none. It is used only where it explains more of the
bought items that it did not see than the text of the same items does. Vectors of bought items do not change.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from services.recommendation.domain.signals import FeedbackWeights
from services.recommendation.learning.algorithm import Embedding
from services.recommendation.learning.content import Content, content_vectors

INTEREST = FeedbackWeights(0.2, 1.0)
"""What a view and a cart say of who is interested, where the tenant's recipe weighs none of them."""
DIMENSIONS_MAX = 64
"""Of tastes, the weightiest."""
DOUBT = 1.0
"""Interest, in carts of now, by which the mean of few viewers is drawn to nothing."""

Vectors = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Viewed:
    """``rows`` are the unbought items, of those that were given, that have vectors by their viewers."""

    rows: NDArray[np.int64]
    content: Content


def tastes_of_viewers(interest: sparse.csr_array, tastes: sparse.csr_array, context: Vectors) -> sparse.csr_array:
    """For each item what its viewers are like without the item itself. ``interest`` is customers by items, of which the
    first are those of ``tastes``, customers by bought items."""
    context = context[:, :DIMENSIONS_MAX]
    vectors = np.asarray(tastes @ context, dtype=np.float32)
    lengths = np.linalg.norm(vectors, axis=1)
    scale = np.divide(1, lengths, out=np.zeros_like(lengths), where=lengths > 1e-12)
    known = sparse.csr_array(sparse.diags_array((scale > 0).astype(np.float32)) @ interest)
    sums = np.asarray(known.T @ (vectors * scale[:, None]), dtype=np.float32)
    bought = tastes.shape[1]
    scaled = sparse.csr_array(sparse.diags_array(scale) @ tastes)
    own = np.asarray(known[:, :bought].multiply(scaled).sum(axis=0)).ravel()
    sums[:bought] -= own[:, None] * context
    weights = np.asarray(known.sum(axis=0)).ravel()
    means = sums / (weights + DOUBT)[:, None]
    rows = np.flatnonzero(weights > 0)
    chosen = sparse.csr_array((np.ones(len(rows)), (rows, np.arange(len(rows)))), shape=(len(weights), len(rows)))
    return sparse.csr_array(chosen @ sparse.csr_array(means[rows].astype(np.float64)))


def viewed_vectors(
    texts: tuple[sparse.csr_array, sparse.csr_array],
    viewers: tuple[sparse.csr_array, sparse.csr_array],
    embedding: Embedding,
    buyers: NDArray[np.int64],
) -> Viewed | None:
    """Vectors of unbought items by their viewers and texts; each pair is of bought and of unbought items. ``None``
    where viewers say no more than the texts do, or too little was looked at."""
    seen = [np.flatnonzero(np.diff(side.indptr) > 0) for side in viewers]
    if not all(map(len, seen)):
        return None
    words = [text[rows] for text, rows in zip(texts, seen, strict=True)]
    both = [
        sparse.csr_array(sparse.hstack([text, side[rows]], format="csr"))
        for text, side, rows in zip(words, viewers, seen, strict=True)
    ]
    own = Embedding(*(each[seen[0]] for each in (embedding.context, embedding.target, embedding.likeness)))
    found = content_vectors(both[0], own, buyers[seen[0]], both[1])
    if not len(found.embedding.target):
        return None
    alone = content_vectors(words[0], own, buyers[seen[0]], words[1])
    return Viewed(seen[1], found) if found.explained > alone.explained else None


def joined(text: Content, count: int, viewed: Viewed | None) -> tuple[NDArray[np.int64], Embedding]:
    """Which of ``count`` unbought items have vectors, and those: by viewers where there are some, otherwise by text."""
    written = len(text.embedding.target) > 0
    if viewed is None:
        return np.arange(count if written else 0), text.embedding
    by_viewers = viewed.content.embedding
    if not written:
        return viewed.rows, by_viewers
    sides = ("context", "target", "likeness")
    vectors = {name: getattr(text.embedding, name).copy() for name in sides}
    for name in sides:
        vectors[name][viewed.rows] = getattr(by_viewers, name)
    return np.arange(count), Embedding(**vectors)
