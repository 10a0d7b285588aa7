"""What is bought together where baskets are few: a tenth of Complete Journey's households, but for the last four weeks.

For products of the baskets of the last four weeks: the share of a product's baskets that hold one of ten partners too.
"""

import numpy as np
from numpy.typing import NDArray

from benchmarks.harness import Result
from benchmarks.recommendation_data import complete_journey_described
from services.recommendation.domain.baskets import Baskets, baskets_of
from services.recommendation.domain.companions import WINDOW_DEFAULT, Companion, Companions, windows_of

SEED, SHARE, HELD_OUT_DAYS, PRODUCTS, LENGTH = 0, 0.1, 28, 500, 10
STRICT_MIN = 5
DAY = 86_400_000_000


def together() -> list[Result]:
    """Relaxed partners beside strict ones, raw pairs, and what sells most."""
    purchases, described = complete_journey_described()
    random = np.random.default_rng(SEED)
    kept = random.random(purchases.customer_count) < SHARE
    late = purchases.ages_days <= HELD_OUT_DAYS
    ids = [str(code) for code in range(purchases.item_count)]

    def counted(lines: NDArray[np.intp]) -> Baskets:
        codes = np.unique(purchases.baskets[lines], return_inverse=True)[1].astype(np.int32)
        return baskets_of(codes, purchases.items[lines], ids)

    before = np.flatnonzero(~late & kept[purchases.customers])
    times = ((400 - purchases.ages_days[before].astype(np.float64)) * DAY).astype(np.int64)
    windows = windows_of(purchases.customers[before], purchases.items[before], times, ids, WINDOW_DEFAULT)
    families = np.unique([" / ".join(each.categories) for each in described], return_inverse=True)[1].astype(np.int32)
    companions = Companions(windows, np.arange(len(ids)), families)
    earlier, later = counted(before), counted(np.flatnonzero(late))
    chosen = random.permutation(np.flatnonzero(later.sizes >= 3))[:PRODUCTS]
    hits: dict[tuple[bool, str], list[float]] = {}
    for row in chosen.tolist():
        pairs = earlier.beside(earlier.holding(row))
        pairs[row] = 0
        lists = {
            "strict": _strongest(earlier, pairs, STRICT_MIN),
            "raw pairs": _strongest(earlier, pairs, 1),
            "what sells most": np.argsort(-np.where(np.arange(len(ids)) == row, 0, earlier.sizes))[:LENGTH],
            "relaxed": np.array([int(each.item_id) for each in _relaxed(companions, row, families)], dtype=np.int64),
        }
        for name, items in lists.items():
            hits.setdefault((bool((pairs >= STRICT_MIN).any()), name), []).append(_hit(later, row, items))
    return [
        Result(
            f"Complete Journey, {len(hits[some, 'relaxed'])} products {'with' if some else 'without'} strict partners",
            float(np.mean(hits[some, "relaxed"])),
            "",
            float(np.mean(hits[some, peer])),
            peer,
        )
        for some in (False, True)
        for peer in ("strict", "raw pairs", "what sells most")
    ]


def _relaxed(companions: Companions, row: int, families: NDArray[np.int32]) -> list[Companion]:
    return companions.beside(str(row), int(families[row]), np.ones(len(families), dtype=np.bool_), LENGTH)


def _strongest(baskets: Baskets, pairs: NDArray[np.int64], least: int) -> NDArray[np.int64]:
    strength = np.where(pairs >= least, pairs / np.sqrt(np.maximum(baskets.sizes, 1)), 0)
    best = np.argsort(-strength)[:LENGTH]
    return best[strength[best] > 0]


def _hit(later: Baskets, row: int, items: NDArray[np.int64]) -> float:
    """The share of the baskets with an item that hold one of others."""
    inside = np.add.reduceat(np.isin(later.items, items), later.starts[:-1]) > 0
    return float(inside[later.holding(row)].mean())
