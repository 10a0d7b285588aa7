"""Which items lie in the same baskets, counted exactly."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from services.recommendation.learning.purchases import Codes, Counts, Purchases

PARTNERS_MAX = 100
ROWS_AT_ONCE = 1024


@dataclass(frozen=True, slots=True)
class Associations:
    """For item ``i``: its partners ``partners[starts[i]:starts[i + 1]]``, strongest first, with how many baskets hold
    both. ``baskets`` are the baskets that hold each item."""

    starts: Counts
    partners: Codes
    together: Codes
    baskets: Codes
    basket_count: int


def associate(purchases: Purchases, min_basket_count: int) -> Associations:
    """The partners of each item that share at least ``min_basket_count`` baskets with it; at most 100 of them.

    The strength is ``together / sqrt(baskets of one * baskets of the other)``, the geometric mean of both confidences;
    equal strengths go by count, then by code.
    """
    incidence = purchases.by_basket(np.ones(len(purchases), dtype=np.float32))
    incidence.data = np.ones(incidence.nnz, dtype=np.int32)
    baskets = np.asarray(incidence.sum(axis=0), dtype=np.int32)
    # An item in fewer baskets than the minimum has no partner: without it the product is several times smaller.
    kept = np.flatnonzero(baskets >= min_basket_count).astype(np.int32)
    lengths = np.zeros(purchases.item_count, dtype=np.int64)
    partners, together = [np.empty(0, np.int32)], [np.empty(0, np.int32)]
    for item, others, counts in _pairs(incidence[:, kept].tocsr(), kept, min_basket_count):
        strength = counts / np.sqrt(baskets[item] * baskets[others].astype(np.float64))
        order = np.lexsort((others, -counts, -strength))[:PARTNERS_MAX]
        lengths[item] = len(order)
        partners.append(others[order])
        together.append(counts[order])
    starts = np.concatenate([[0], np.cumsum(lengths)])
    return Associations(starts, np.concatenate(partners), np.concatenate(together), baskets, purchases.basket_count)


def _pairs(
    incidence: sparse.csr_array, kept: Codes, min_basket_count: int
) -> Iterator[tuple[int, Codes, NDArray[np.int32]]]:
    """Each kept item, in order, with those it shares enough baskets with and in how many."""
    transposed = incidence.T.tocsr()
    for first in range(0, len(kept), ROWS_AT_ONCE):
        block = (transposed[first : first + ROWS_AT_ONCE] @ incidence).tocsr()
        for row in range(block.shape[0]):
            own = kept[first + row]
            cells = slice(block.indptr[row], block.indptr[row + 1])
            others, counts = kept[block.indices[cells]], block.data[cells]
            enough = (counts >= min_basket_count) & (others != own)
            if enough.any():
                yield int(own), others[enough], counts[enough]
