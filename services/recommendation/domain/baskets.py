"""Baskets as arrays, and the sets of items that lie in them together."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from numpy.typing import NDArray

from services.recommendation.domain.model import Model

Codes = NDArray[np.int32]
Rows = NDArray[np.int64]
Mask = NDArray[np.bool_]

PAIRS_TRIED = 400
"""Strongest pairs from which sets are grown where no item is named."""
PARTNERS_TRIED = 20
"""Strongest partners of an item from which sets are grown where one is named."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """Items that lie in the same baskets; the last one joined last."""

    item_ids: tuple[str, ...]
    basket_count: int
    support: float
    confidence: float
    lift: float

    @property
    def leverage(self) -> float:
        """How much larger the share of baskets is than if the items were bought independently of each other."""
        return self.support - self.support / self.lift if self.lift else 0.0

    @property
    def strength(self) -> float:
        """Lift times the root of the count: lift alone prefers what chance put together twice."""
        return self.lift * float(np.sqrt(self.basket_count))


@dataclass(frozen=True)
class Baskets:
    """``items[starts[b]:starts[b + 1]]`` are the items of basket ``b``, each once, ascending."""

    item_ids: Sequence[str]
    starts: Rows
    items: Codes

    @property
    def count(self) -> int:
        """How many baskets."""
        return len(self.starts) - 1

    @cached_property
    def row_of(self) -> dict[str, int]:
        """The code of each item."""
        return {item_id: row for row, item_id in enumerate(self.item_ids)}

    @cached_property
    def of_item(self) -> tuple[Rows, Codes]:
        """The other way round: where the baskets of each item start, and the baskets, ascending."""
        order = np.argsort(self.items, kind="stable")
        owners = np.repeat(np.arange(self.count, dtype=np.int32), np.diff(self.starts))
        starts = np.searchsorted(self.items[order], np.arange(len(self.item_ids) + 1))
        return starts.astype(np.int64), owners[order]

    @cached_property
    def sizes(self) -> Rows:
        """In how many baskets each item is."""
        return np.diff(self.of_item[0])

    def holding(self, row: int) -> Codes:
        """The baskets of an item, ascending."""
        starts, baskets = self.of_item
        return baskets[starts[row] : starts[row + 1]]

    def beside(self, baskets: Codes) -> Rows:
        """In how many of ``baskets`` each item is."""
        starts, ends = self.starts[baskets], self.starts[baskets + 1]
        lengths = ends - starts
        inside = np.arange(lengths.sum()) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return np.bincount(self.items[np.repeat(starts, lengths) + inside], minlength=len(self.item_ids))


def baskets_of(basket_codes: Codes, item_codes: Codes, item_ids: Sequence[str]) -> Baskets:
    """Baskets from lines: parallel codes, in any order, with repetitions. Baskets of one item count too."""
    pairs = np.unique((basket_codes.astype(np.int64) << 32) | item_codes)
    owners, items = pairs >> 32, (pairs & 0xFFFFFFFF).astype(np.int32)
    _, firsts = np.unique(owners, return_index=True)
    return Baskets(item_ids, np.append(firsts, len(owners)).astype(np.int64), items)


@dataclass(frozen=True, slots=True)
class Growth:
    """How sets are grown."""

    allowed: Mask
    """By code: which items may be in a set."""
    max_size: int
    min_basket_count: int


def bundles_with(baskets: Baskets, row: int, growth: Growth, count: int) -> list[Bundle]:
    """The strongest sets that hold an item: each of its strongest partners begins one."""
    own = baskets.holding(row)
    together = np.where(growth.allowed, baskets.beside(own), 0)
    together[row] = 0
    expected = np.maximum(baskets.sizes * (len(own) / max(baskets.count, 1)), 1e-12)
    lift = together / expected
    strength = np.where((together >= growth.min_basket_count) & (lift > 1 + 1e-9), lift * np.sqrt(together), 0)
    partners = np.argsort(-strength, kind="stable")[:PARTNERS_TRIED]
    grown = [_grown(baskets, (row, int(it)), growth) for it in partners if strength[it] > 0]
    return _strongest(grown, count)


def bundles_from(baskets: Baskets, pairs: Sequence[tuple[str, str]], growth: Growth, count: int) -> list[Bundle]:
    """The strongest sets that begin with one of ``pairs``."""
    known = [(left, right) for left, right in pairs if left in baskets.row_of and right in baskets.row_of]
    rows = [(baskets.row_of[left], baskets.row_of[right]) for left, right in known]
    grown = [_grown(baskets, pair, growth) for pair in rows if growth.allowed[list(pair)].all()]
    return _strongest([bundle for bundle in grown if bundle.basket_count >= growth.min_basket_count], count)


def strong_pairs(model: Model, allowed: Mask, min_basket_count: int) -> list[tuple[str, str]]:
    """The strongest pairs of allowed items that a model counted, each once: where sets of the shop begin."""
    left = np.repeat(np.arange(len(model.item_ids)), np.diff(model.pair_starts))
    right, together = model.pair_items.astype(np.int64), model.pair_baskets
    kept = (left < right) & allowed[left] & allowed[right] & (together >= min_basket_count)
    left, right, together = left[kept], right[kept], together[kept]
    sizes = model.item_baskets.astype(np.float64)
    lift = together * model.training.basket_count / (sizes[left] * sizes[right])
    best = np.argsort(-lift * np.sqrt(together), kind="stable")[:PAIRS_TRIED]
    return [(model.item_ids[left[at]], model.item_ids[right[at]]) for at in best if lift[at] > 1]


def _grown(baskets: Baskets, rows: tuple[int, ...], growth: Growth) -> Bundle:
    """The set, taking in one item at a time as long as one makes it stronger."""
    shared = baskets.holding(rows[0])
    before = shared
    for row in rows[1:]:
        before, shared = shared, np.intersect1d(shared, baskets.holding(row), assume_unique=True)
    bundle = _bundle(baskets, rows, len(shared), len(before))
    if len(rows) >= growth.max_size:
        return bundle
    together = np.where(growth.allowed, baskets.beside(shared), 0)
    together[list(rows)] = 0
    # Lift of the larger set over that of this one is count / (count of this one * share of the item).
    gain = together / np.maximum(baskets.sizes * (len(shared) / baskets.count), 1e-12)
    strength = np.where(together >= growth.min_basket_count, gain * np.sqrt(together), 0)
    best = int(np.argmax(strength))
    if strength[best] <= np.sqrt(len(shared)) * (1 + 1e-9):
        return bundle
    return _grown(baskets, (*rows, best), growth)


def _bundle(baskets: Baskets, rows: tuple[int, ...], together: int, before: int) -> Bundle:
    total = max(baskets.count, 1)
    independent = float(np.prod(baskets.sizes[list(rows)] / total))
    return Bundle(
        tuple(baskets.item_ids[row] for row in rows),
        together,
        together / total,
        together / max(before, 1),
        together / total / independent if independent else 0.0,
    )


def _strongest(grown: Sequence[Bundle], count: int) -> list[Bundle]:
    """The strongest, each set once and none that is part of another."""
    ranked = sorted(grown, key=lambda bundle: (-bundle.strength, bundle.item_ids))
    largest = sorted({frozenset(bundle.item_ids) for bundle in ranked}, key=len, reverse=True)
    whole: set[frozenset[str]] = set()
    covered: set[frozenset[str]] = set()
    for items in largest:
        if items not in covered:
            whole.add(items)
        for size in range(2, len(items)):
            covered.update(frozenset(part) for part in combinations(sorted(items), size))
    kept = []
    for bundle in ranked:
        if (items := frozenset(bundle.item_ids)) in whole:
            whole.discard(items)
            kept.append(bundle)
    return kept[:count]
