"""What is bought together where data are few: by the same customers within a window, and by categories.

Everything that one customer bought within the window is one basket. The lift of a pair is shrunk to that of the pair's
categories, as far as its count leaves room: a gamma-Poisson shrinker, whose prior strength is estimated from the shop's
own pairs (W. DuMouchel, "Bayesian data mining in large frequency tables", The American Statistician 53, 1999; DuMouchel
and Pregibon, "Empirical Bayes screening for multi-item associations", KDD 2001). So an item that nobody has bought yet
is answered with what its category is bought with, and a pair that came once by chance stays where it is.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from services.common.errors import InvalidArgument
from services.recommendation.domain.baskets import Baskets, Codes, Mask, Rows, baskets_of

Floats = NDArray[np.float64]
HOUR = 3_600_000_000
WINDOW_DEFAULT, WINDOW_MIN, WINDOW_MAX = 720 * HOUR, HOUR, 2160 * HOUR
"""30 days; an hour; 90 days; in microseconds."""
DOUBT = 5.0
"""Expected pairs of two categories that count as much as the belief that they are bought independently."""
STRENGTHS = (0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
"""Of which the prior strength of a pair is chosen, in expected baskets."""
SAMPLED = 32
"""Items whose pairs tell how far lifts scatter about those of their categories."""


class WindowInvalid(InvalidArgument):
    """A window out of range."""


def check_window(window: int) -> int:
    """A window in microseconds; ``WindowInvalid`` out of the range."""
    if not WINDOW_MIN <= window <= WINDOW_MAX:
        raise WindowInvalid("window_duration must be from an hour to 90 days", field="window_duration")
    return window


@dataclass(frozen=True, slots=True)
class Companion:
    """An item beside another one: the counts of baskets, and the lifts of both and of their categories."""

    item_id: str
    together: int
    support: float
    confidence: float
    lift: float
    """As counted; 0 where one of them is in no basket."""
    smoothed_lift: float
    category_lift: float
    strength: float
    """The share of shared baskets that the smoothed lift lets expect: what companions are ranked by."""

    @property
    def leverage(self) -> float:
        """How much larger the share of baskets is than if the items were bought independently of each other."""
        return self.support - self.support / self.lift if self.lift else 0.0


@dataclass(frozen=True)
class Companions:
    """Baskets of windows. ``rows`` are where their items stand on the shelf, and ``families`` number the category path
    of each from 0; -1 where that is not known."""

    baskets: Baskets
    rows: Rows
    families: Codes

    def allowed(self, mask: Mask) -> Mask:
        """A mask of the shelf as one of these items."""
        known = (self.rows >= 0) & (self.rows < len(mask))
        found: Mask = known & np.append(mask, False)[np.where(known, self.rows, -1)]
        return found

    def beside(self, item_id: str, family: int, allowed: Mask, count: int) -> list[Companion]:
        """What is bought more often than by chance with an item, or with its category; the strongest first."""
        baskets, row = self.baskets, self.baskets.row_of.get(item_id)
        own = 0 if row is None else int(baskets.sizes[row])
        pulls = self.pulls(family)
        together, expected = self._counted(row)
        smoothed = (together + self.strength * pulls) / (expected + self.strength)
        total = max(baskets.count, 1)
        likely = smoothed * np.sqrt(max(own, 1) * baskets.sizes.astype(np.float64)) / total
        likely[~allowed | (smoothed <= 1)] = 0
        if row is not None:
            likely[row] = 0
        best = np.argsort(-likely, kind="stable")[:count].tolist()
        return [
            Companion(
                baskets.item_ids[at],
                int(together[at]),
                float(together[at] / total),
                float(together[at] / max(own, 1)),
                float(together[at] / expected[at]) if expected[at] else 0.0,
                float(smoothed[at]),
                float(pulls[at]),
                float(likely[at]),
            )
            for at in best
            if likely[at] > 0
        ]

    def pulls(self, family: int) -> Floats:
        """By item: the lift of its category beside a category, 1 where either is not known.

        Over all pairs of different items of two categories: their shared baskets over those expected by chance, with
        ``DOUBT`` added to both.
        """
        count = self._family_count
        if family < 0 or family >= count:
            return np.ones(len(self.families))
        baskets, sizes = self.baskets, self._family_sizes
        inside = self.families[baskets.items] == family
        held = np.bincount(self._owners[inside], minlength=baskets.count)
        weights = held[self._owners]
        pairs = np.bincount(self.families[baskets.items] + 1, weights=weights, minlength=count + 1)[1:]
        expected = sizes * (sizes[family] / max(baskets.count, 1))
        # An item lies in all of its own baskets: that says nothing of pairs.
        of_family = baskets.sizes[self.families == family].astype(np.float64)
        pairs[family] -= of_family.sum()
        expected[family] -= float((of_family**2).sum()) / max(baskets.count, 1)
        lifts = (pairs + DOUBT) / (expected + DOUBT)
        return np.where(self.families >= 0, lifts[self.families], 1.0)

    @cached_property
    def strength(self) -> float:
        """How many expected baskets the lift of the categories is worth: of ``STRENGTHS`` the likeliest, by the counts
        of some items' pairs. With a gamma prior of mean ``m`` and this rate, counts are negative binomial."""
        bought = np.flatnonzero(self.baskets.sizes)
        totals = np.zeros(len(STRENGTHS))
        for row in bought[np.linspace(0, len(bought) - 1, min(SAMPLED, len(bought))).astype(np.int64)].tolist():
            together, expected = self._counted(row)
            pulls = self.pulls(int(self.families[row]))
            totals += [_likelihood(together, expected, pulls, strength) for strength in STRENGTHS]
        return STRENGTHS[int(np.argmax(totals))]

    def _counted(self, row: int | None) -> tuple[Rows, Floats]:
        """By item: in how many baskets it lies with an item, and how many chance would give; nothing with itself."""
        if row is None:
            nothing = np.zeros(len(self.families), np.int64)
            return nothing, nothing.astype(np.float64)
        together = self.baskets.beside(self.baskets.holding(row))
        together[row] = 0
        share = float(self.baskets.sizes[row]) / max(self.baskets.count, 1)
        expected = self.baskets.sizes.astype(np.float64) * share
        expected[row] = 0.0
        return together, expected

    @property
    def _family_count(self) -> int:
        return int(self.families.max(initial=-1)) + 1

    @cached_property
    def _family_sizes(self) -> Floats:
        known = self.families >= 0
        weights = self.baskets.sizes[known].astype(np.float64)
        return np.bincount(self.families[known], weights=weights, minlength=self._family_count).astype(np.float64)

    @cached_property
    def _owners(self) -> Codes:
        """The basket of each line."""
        return np.repeat(np.arange(self.baskets.count, dtype=np.int32), np.diff(self.baskets.starts))


def _likelihood(together: Rows, expected: Floats, pulls: Floats, strength: float) -> float:
    """The logarithm of how likely counts are, up to what does not depend on the strength."""
    shape, share = strength * pulls, expected / (expected + strength)
    found = np.flatnonzero(together)
    counts = together[found]
    # lgamma(n + shape) - lgamma(shape) is the sum of log(shape + j) for j from 0 to n - 1.
    steps = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    rising = np.log(np.repeat(shape[found], counts) + steps).sum()
    return float((shape * np.log1p(-share)).sum() + (counts * np.log(share[found])).sum() + rising)


def windows_of(customers: Codes, items: Codes, times: Rows, item_ids: Sequence[str], window: int) -> Baskets:
    """Lines as baskets: what a customer bought within ``window`` of the first of them. Times in microseconds."""
    order = np.lexsort((times, customers))
    owners, when = customers[order], times[order]
    begins = np.zeros(len(order), dtype=np.bool_)
    starts = np.flatnonzero(np.diff(owners, prepend=-1))
    ends = np.append(starts[1:], len(order))
    span = int(when.max(initial=0) - when.min(initial=0)) + window + 1
    keys = owners.astype(np.int64) * span + (when - when.min(initial=0))
    while len(starts):
        begins[starts] = True
        after = np.searchsorted(keys, keys[starts] + window, side="right")
        kept = after < ends
        starts, ends = after[kept], ends[kept]
    baskets = (np.cumsum(begins) - 1).astype(np.int32)
    return baskets_of(baskets, items[order], item_ids)
