"""Frequent itemsets and association rules over baskets: arrays in, arrays out.

Itemsets are found depth first over vertical bitmaps (Eclat: M. J. Zaki, "Scalable algorithms for association mining",
2000): the baskets of an itemset are the bits that its items' bitmaps share. The figures of rules are the usual ones
(R. Agrawal and R. Srikant, 1994; conviction: S. Brin et al., 1997).
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BITMAP_BYTES_MAX = 512 * 2**20
WORDS_MAX = 6_000_000_000
"""How many words of bitmaps are compared at most; some seconds of one core."""
ITEMSETS_MAX = 500_000

Bitmaps = npt.NDArray[np.uint64]
Itemset = tuple[int, ...]


class TooMuch(Exception):
    """The thresholds are so low that the answer would be too large to find."""


@dataclass(frozen=True, slots=True)
class Association:
    """Who has the items ``antecedent`` has the item ``consequent`` too; counts are baskets."""

    antecedent: Itemset
    consequent: int
    count: int
    antecedent_count: int
    consequent_count: int


def frequent_itemsets(
    baskets: npt.NDArray[np.int64], items: npt.NDArray[np.int64], basket_count: int, count_min: int, size_max: int
) -> dict[Itemset, int]:
    """How many baskets hold each itemset that at least ``count_min`` hold; keys are ascending.

    ``baskets`` and ``items`` are pairs of numbers from 0 on, each pair once, of the same shape ``(pairs,)``.
    ``TooMuch``.
    """
    counts = np.bincount(items) if len(items) else np.zeros(0, np.int64)
    frequent = np.flatnonzero(counts >= count_min)
    frequent = frequent[np.argsort(counts[frequent], kind="stable")]  # the rarest first: fewer extensions survive
    words = (basket_count + 63) // 64
    if len(frequent) * words * 8 > BITMAP_BYTES_MAX:
        raise TooMuch
    search = _Search(count_min, size_max, {(int(item),): int(counts[item]) for item in frequent})
    search.extend((), frequent, _bitmaps(baskets, items, frequent, words))
    return search.found


def _bitmaps(
    baskets: npt.NDArray[np.int64], items: npt.NDArray[np.int64], frequent: npt.NDArray[np.int64], words: int
) -> Bitmaps:
    """One row of bits for each of ``frequent``, a bit for each basket."""
    place = np.full(items.max(initial=-1) + 1, -1)
    place[frequent] = np.arange(len(frequent))
    rows = place[items]
    kept = rows >= 0
    bits = np.zeros((len(frequent), words * 8), np.uint8)
    flat = rows[kept] * (words * 64) + baskets[kept]
    np.bitwise_or.at(bits.reshape(-1), flat // 8, (1 << (flat % 8)).astype(np.uint8))
    return bits.view(np.uint64)


class _Search:
    """The itemsets found so far, and the work that is left."""

    def __init__(self, count_min: int, size_max: int, found: dict[Itemset, int]) -> None:
        self._count_min, self._size_max, self._words = count_min, size_max, WORDS_MAX
        self.found = found

    def extend(self, prefix: Itemset, items: npt.NDArray[np.int64], bitmaps: Bitmaps) -> None:
        """Find the itemsets that hold ``prefix`` and two or more of ``items``, whose bitmaps are those with it."""
        if len(prefix) + 2 > self._size_max:
            return
        for row in range(len(items) - 1):
            self._words -= (len(items) - row) * bitmaps.shape[1]
            if self._words < 0 or len(self.found) > ITEMSETS_MAX:
                raise TooMuch
            shared = bitmaps[row] & bitmaps[row + 1 :]
            counts = np.bitwise_count(shared).sum(axis=1, dtype=np.int64)
            kept = np.flatnonzero(counts >= self._count_min)
            if not len(kept):
                continue
            longer, others = (*prefix, int(items[row])), items[row + 1 :][kept]
            for item, count in zip(others.tolist(), counts[kept].tolist(), strict=True):
                self.found[tuple(sorted((*longer, item)))] = count
            self.extend(longer, others, shared[kept])


def associations(itemsets: dict[Itemset, int], confidence_min: float, size_min: int = 2) -> Iterator[Association]:
    """The rules with one item on the right and at least ``confidence_min``."""
    for itemset, count in itemsets.items():
        if len(itemset) < max(size_min, 2):
            continue
        for place, consequent in enumerate(itemset):
            antecedent = itemset[:place] + itemset[place + 1 :]
            before = itemsets[antecedent]
            if count >= confidence_min * before:
                yield Association(antecedent, consequent, count, before, itemsets[(consequent,)])
