"""Vectors for items that nobody has bought, from what is written of them.

An encoder turns what is known of items into features; ridge regression, learnt on the items that were bought, turns
features into the vectors that those items have (the attribute-to-feature mapping of Gantner et al., ICDM 2010). How
strong the regularisation is, and whether the features say anything at all, is measured on bought items that it did not
see.
"""

import re
import zlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from services.recommendation.learning.algorithm import Embedding, unit

FEATURES = 2048
BOUGHT_MIN = 200
"""With fewer items that were bought nothing is learnt."""
HELD_OUT = 5
"""Every so many items are held out to measure."""
STRENGTHS = (0.3, 1.0, 3.0, 10.0, 30.0)
LEARNT_FROM_MAX = 100_000
NGRAM = 3
_WORD = re.compile(r"\w+")


@dataclass(frozen=True, slots=True)
class Described:
    """What is written of an item."""

    item_id: str
    title: str = ""
    categories: tuple[str, ...] = ()
    brand: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)


class Encoder(Protocol):
    """Turns what is written of items into features. It must need no network, and answer equal texts equally."""

    def encode(self, items: Sequence[Described]) -> sparse.csr_array:
        """A row of features for each item."""
        ...


class HashedText:
    """Words and letters of titles (three at a time), categories, brand and attributes, each hashed to a feature with a
    sign (Weinberger et al., ICML 2009); rare ones weigh more (TF-IDF), and rows have length 1."""

    def encode(self, items: Sequence[Described]) -> sparse.csr_array:
        rows, columns, values = array("i"), array("i"), array("d")
        for row, item in enumerate(items):
            for token, weight in _tokens(item):
                code = zlib.crc32(token.encode())
                rows.append(row)
                columns.append(code % FEATURES)
                values.append(weight if code & 0x8000_0000 else -weight)
        cells = np.frombuffer(values), (np.frombuffer(rows, np.int32), np.frombuffer(columns, np.int32))
        counts = sparse.csr_array(cells, shape=(len(items), FEATURES))
        frequency = np.bincount(counts.indices, minlength=FEATURES)
        counts.data *= np.log((1 + len(items)) / (1 + frequency[counts.indices])) + 1
        lengths = np.sqrt(np.asarray(counts.multiply(counts).sum(axis=1))).ravel()
        scaled: sparse.csr_array = sparse.csr_array(sparse.diags_array(1 / np.maximum(lengths, 1e-12)) @ counts)
        return scaled


def encoder_of(path: str) -> Encoder:
    """The encoder that ``module:class`` names, the usual one if empty."""
    if not path:
        return HashedText()
    module, _, name = path.partition(":")
    made: Encoder = getattr(import_module(module), name)()
    return made


@dataclass(frozen=True, slots=True)
class Content:
    """Vectors of items that were not bought, in the order in which they were given, and how much of the vectors of
    bought items that were held out was explained: 1 for all of it, 0 for no more than their mean explains."""

    embedding: Embedding
    explained: float


def content_vectors(
    bought: sparse.csr_array, embedding: Embedding, buyers: NDArray[np.int64], unbought: sparse.csr_array
) -> Content:
    """Vectors for the rows of ``unbought`` from the features, vectors and buyers of what was bought. None (no rows)
    where there is too little to learn from, or where the features explain nothing. An item with a feature that is no
    number counts as one of which nothing is written: an encoder of others is not believed."""
    bought, unbought = _finite(bought), _finite(unbought)
    each = embedding.context, embedding.target, embedding.likeness
    none = Content(Embedding(*(vectors[:0] for vectors in each)), 0.0)
    described = np.flatnonzero((np.diff(bought.indptr) > 0) & (buyers > 0))
    described = described[:: max(-(-len(described) // LEARNT_FROM_MAX), 1)]
    if len(described) < BOUGHT_MIN or not unbought.shape[0]:
        return none
    features, vectors = bought[described], np.hstack(each)[described].astype(np.float64)
    # What many bought has a vector that says more: the error of others is mostly noise.
    weights = np.sqrt(buyers[described].astype(np.float64))
    explained, strength = _strongest(features, vectors, weights)
    if explained <= 0:
        return none
    made = _predict(_Ridge.of(features, vectors, weights).fit(strength), unbought).astype(np.float32)
    context, target, likeness = np.split(made, np.cumsum([vectors.shape[1] for vectors in each])[:2], axis=1)
    return Content(Embedding(context.copy(), target.copy(), unit(likeness)), explained)


def _finite(features: sparse.csr_array) -> sparse.csr_array:
    """The features without those of rows in which one is no number."""
    rows = np.repeat(np.arange(features.shape[0]), np.diff(features.indptr))
    odd = np.isin(rows, rows[~np.isfinite(features.data)])
    if not odd.any():
        return features
    kept = features.copy()
    kept.data = np.where(odd, 0, kept.data)
    kept.eliminate_zeros()
    return kept


Fit = tuple[NDArray[np.float64], NDArray[np.float64]]
"""Weights of features, and the mean that they add to."""


@dataclass(frozen=True, slots=True)
class _Ridge:
    """The equations of ridge regression on some rows: all but the strength, so that each further one costs a solve."""

    features: sparse.csr_array
    weights: NDArray[np.float64]
    mean: NDArray[np.float64]
    matrix: NDArray[np.float64]
    right: NDArray[np.float64]

    @classmethod
    def of(cls, features: sparse.csr_array, vectors: NDArray[np.float64], weights: NDArray[np.float64]) -> "_Ridge":
        mean = np.average(vectors, axis=0, weights=weights)
        away = vectors - mean
        if features.shape[0] < features.shape[1]:  # fewer items than features: the same by way of the items
            return cls(features, weights, mean, np.asarray((features @ features.T).todense()), away)
        weighted = sparse.csr_array(sparse.diags_array(weights) @ features)
        return cls(features, weights, mean, np.asarray((weighted.T @ features).todense()), weighted.T @ away)

    def fit(self, strength: float) -> Fit:
        by_items = self.features.shape[0] < self.features.shape[1]
        matrix = self.matrix.copy()
        matrix[np.diag_indices_from(matrix)] += strength * self.weights.mean() / (self.weights if by_items else 1.0)
        found = np.asarray(np.linalg.solve(matrix, self.right), dtype=np.float64)
        return np.asarray(self.features.T @ found) if by_items else found, self.mean


def _predict(fit: Fit, features: sparse.csr_array) -> NDArray[np.float64]:
    return np.asarray(features @ fit[0] + fit[1])


def _strongest(
    features: sparse.csr_array, vectors: NDArray[np.float64], weights: NDArray[np.float64]
) -> tuple[float, float]:
    """How much is explained of rows that are held out, at most, and the strength that explains it."""
    held = np.arange(features.shape[0]) % HELD_OUT == 0
    ridge = _Ridge.of(features[~held], vectors[~held], weights[~held])
    unseen, truth, weights = features[held], vectors[held], weights[held]
    spread = weights @ ((truth - ridge.mean) ** 2).sum(axis=1)
    wrong = [weights @ ((truth - _predict(ridge.fit(it), unseen)) ** 2).sum(axis=1) for it in STRENGTHS]
    return max((float(1 - each / max(spread, 1e-12)), it) for each, it in zip(wrong, STRENGTHS, strict=True))


def _tokens(item: Described) -> Iterator[tuple[str, float]]:
    """What is said of an item, with how much it counts."""
    for word in _WORD.findall(item.title.lower()):
        yield f"w {word}", 1.0
        padded = f" {word} "
        for at in range(len(padded) - NGRAM + 1):
            yield f"n {padded[at : at + NGRAM]}", 0.3
    for depth, category in enumerate(item.categories):
        yield f"c {category}", 1.0
        yield f"p {' / '.join(item.categories[: depth + 1])}", 1.0
    if item.brand:
        yield f"b {item.brand}", 1.0
    for name, value in sorted(item.attributes.items()):
        yield f"a {name} {value}", 1.0
