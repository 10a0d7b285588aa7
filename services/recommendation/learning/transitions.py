"""What follows what: item-to-item transitions between the baskets of a customer, in their order.

The matrix of a first-order Markov chain, made robust for short histories: a transition over a gap of ``g`` baskets
counts ``GAP_DECAY ** (g - 1)``, one against the order counts ``BACKWARD`` (Rendle et al., WWW 2010; the decays are
those of Ludewig and Jannach, UMUAI 2018). Every click of a session is a basket of its own. Where a half-life is
given, what was seen lately counts more: assortments and seasons change.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from services.recommendation.learning.purchases import Codes, Counts, Floats, Purchases

GAP_DECAY = 0.8
GAPS_MAX = 20
BACKWARD = 0.5
FROM_EXPONENT = 0.5
TO_EXPONENT = 0.1
"""Counts are divided by ``degree ** exponent`` of the item that they lead from and of the one that they lead to."""
DEGREE_MIN = 0.1
"""Degrees fade with the transitions, and those below this count as this: what is long gone must not lead the lists."""
SUCCESSORS_MAX = 200
CELLS_MAX = 10_000_000
"""Cells of the matrix of what follows a basket; it bounds the gaps, and so the memory, where there is much data."""
ITEMS_AT_ONCE = 256


@dataclass(frozen=True, slots=True)
class Transitions:
    """For item ``i``: its successors ``items[starts[i]:starts[i + 1]]``, strongest first, with their strengths."""

    starts: Counts
    items: Codes
    strengths: Floats

    def matrix(self) -> sparse.csr_array:
        """Items by items."""
        count = len(self.starts) - 1
        return sparse.csr_array((self.strengths, self.items, self.starts), shape=(count, count))


@dataclass(frozen=True, slots=True)
class Trails:
    """The way of customer ``c`` is ``items[starts[c]:starts[c + 1]]``, oldest first, each item once, at its newest
    basket; ``steps`` says how many of the customer's baskets are newer than that one."""

    starts: Counts
    items: Codes
    steps: Codes


@dataclass(frozen=True, slots=True)
class _Order:
    """Baskets in the order of customer and time: the rows of ``incidence`` and whose each is."""

    incidence: sparse.csr_array
    customers: Codes
    weights: Floats
    """What a step to each of them counts, by its age."""
    place: Counts
    """Of each basket code."""


def follow(purchases: Purchases, half_life_days: float = 0.0, successors: int = SUCCESSORS_MAX) -> Transitions:
    """The transitions between baskets; an item does not lead to itself. Equal purchases give equal transitions.

    A transition counts half when its later basket is ``half_life_days`` old; 0: however old, it counts the same.
    """
    order = _in_order(purchases, half_life_days)
    following = _following(order)
    degrees = np.maximum(np.asarray(order.incidence.T @ order.weights), DEGREE_MIN if half_life_days else 1.0)
    blocks = [_strongest(block, successors) for block in _blocks(order.incidence, following, degrees)]
    per_item = [np.bincount(rows, minlength=ITEMS_AT_ONCE) for rows, _, _ in blocks]
    lengths = np.concatenate([np.empty(0, np.int64), *per_item])[: purchases.item_count]
    items = np.concatenate([np.empty(0, np.int32), *(items for _, items, _ in blocks)])
    strengths = np.concatenate([np.empty(0, np.float32), *(found for _, _, found in blocks)])
    return Transitions(np.concatenate([[0], np.cumsum(lengths)]), items, strengths)


def trails(purchases: Purchases, length: int) -> Trails:
    """The last ``length`` distinct items of each customer, oldest first; within a basket by code."""
    order = _in_order(purchases)
    place = order.place[purchases.baskets]
    ends = np.searchsorted(order.customers, np.arange(purchases.customer_count), side="right")
    steps = ends[purchases.customers] - 1 - place
    newest_first = np.lexsort((-purchases.items, steps, purchases.customers))
    keys = purchases.customers.astype(np.int64)[newest_first] * purchases.item_count + purchases.items[newest_first]
    once = newest_first[np.sort(np.unique(keys, return_index=True)[1])]
    customers = purchases.customers[once]
    rank = np.arange(len(once)) - np.searchsorted(customers, customers)
    once = once[rank < length][::-1]
    once = once[np.argsort(purchases.customers[once], kind="stable")]
    starts = np.searchsorted(purchases.customers[once], np.arange(purchases.customer_count + 1))
    return Trails(starts.astype(np.int64), purchases.items[once].astype(np.int32), steps[once].astype(np.int32))


def _in_order(purchases: Purchases, half_life_days: float = 0.0) -> _Order:
    """Baskets of equal time go by code. A basket's customer and time are those of its lines."""
    customers = np.zeros(purchases.basket_count, dtype=np.int32)
    ages = np.zeros(purchases.basket_count, dtype=np.float32)
    filled = np.zeros(purchases.basket_count, dtype=bool)
    customers[purchases.baskets], ages[purchases.baskets] = purchases.customers, purchases.ages_days
    filled[purchases.baskets] = True
    order = np.lexsort((np.arange(len(ages)), -ages, customers))
    order = order[filled[order]]
    incidence = purchases.by_basket(np.ones(len(purchases), dtype=np.float32))[order]
    incidence.data = np.ones(incidence.nnz, dtype=np.float32)
    place = np.zeros(purchases.basket_count, dtype=np.int64)
    place[order] = np.arange(len(order))
    weights = np.exp2(-ages[order] / np.float32(half_life_days)) if half_life_days else np.ones(len(order))
    return _Order(incidence, customers[order], weights.astype(np.float32), place)


def _following(order: _Order) -> sparse.csr_array:
    """For each basket what the same customer bought in the next ones, the farther the less."""
    baskets = len(order.customers)
    gaps = int(np.clip(CELLS_MAX // max(order.incidence.nnz, 1), 1, GAPS_MAX))
    rows, columns, weights = [], [], []
    for gap in range(1, min(gaps, baskets - 1) + 1):
        same = np.flatnonzero(order.customers[:-gap] == order.customers[gap:])
        if not len(same):
            break
        rows.append(same)
        columns.append(same + gap)
        weights.append(np.float32(GAP_DECAY ** (gap - 1)) * order.weights[same + gap])
    if not rows:
        return order.incidence * np.float32(0)
    cells = np.concatenate(weights), (np.concatenate(rows), np.concatenate(columns))
    steps: sparse.csr_array = sparse.csr_array(cells, shape=(baskets, baskets))
    following: sparse.csr_array = steps @ order.incidence
    return following


def _blocks(
    incidence: sparse.csr_array, following: sparse.csr_array, degrees: Floats
) -> Iterator[tuple[int, sparse.csr_array]]:
    """Some items at a time, in order: the first of them, and how strongly each leads to which.

    Both directions are one product, ``[A' bF'] [F; A]``, and its factors are scaled: the product has many more cells.
    """
    leading = sparse.hstack([incidence.T, following.T * np.float32(BACKWARD)], format="csr")
    led = sparse.vstack([following, incidence], format="csr")
    leading.data *= np.repeat((degrees**-FROM_EXPONENT).astype(np.float32), np.diff(leading.indptr))
    led.data *= (degrees**-TO_EXPONENT).astype(np.float32)[led.indices]
    for first in range(0, incidence.shape[1], ITEMS_AT_ONCE):
        yield first, leading[first : first + ITEMS_AT_ONCE] @ led


def _strongest(numbered: tuple[int, sparse.csr_array], count: int) -> tuple[Counts, Codes, Floats]:
    """Rows, other items and strengths of the strongest of each row, in this order; equal ones by code. One of a
    row may be the item itself, so that one more is looked at."""
    first, block = numbered
    ends = zip(block.indptr[:-1].tolist(), block.indptr[1:].tolist(), strict=True)
    kept = np.concatenate([start + _high(block.data[start:end], count + 1) for start, end in ends])
    kept = kept[block.data[kept] > 0]
    rows = np.searchsorted(block.indptr, kept, side="right") - 1
    others = rows + first != block.indices[kept]
    kept, rows = kept[others], rows[others]
    order = np.lexsort((block.indices[kept], -block.data[kept], rows))
    kept, rows = kept[order], rows[order]
    best = np.arange(len(rows)) - np.searchsorted(rows, rows) < count
    return rows[best], block.indices[kept[best]].astype(np.int32), block.data[kept[best]].astype(np.float32)


def _high(strengths: Floats, count: int) -> Counts:
    """The places of the ``count`` strongest, and of those that equal the weakest of them."""
    if len(strengths) <= count:
        return np.arange(len(strengths))
    place = len(strengths) - count
    return np.flatnonzero(strengths >= np.partition(strengths, place)[place])
