"""Due again: in which rhythm a customer buys an item, and how likely they need it within a horizon.

Logarithms of intervals are taken as normal about the rhythm of a customer and an item, rhythms as normal about that
of the item, and rhythms of items as normal about that of the shop: each level is shrunk to the one above by how much
they differ and how much is known (empirical Bayes with moments, the James-Stein estimator). Whether another purchase
comes at all is a share of its own (a cure model: Boag, 1949), shrunk from customer to item and from there to the shop.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from math import erf, exp, log, sqrt

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int32]

DAY = 86_400_000_000
PURCHASES_OF_DOUBT = 2.0
"""Purchases of a customer, or of an item, that weigh as much as what is known on the level above."""
SPREAD_MIN = 0.2
"""Standard deviation of log intervals that is assumed at least: nobody buys by the clock."""


@dataclass(frozen=True)
class Rhythms:
    """What the shop's repeats teach of each item. Intervals are in days, centers and spreads in logarithms."""

    row_of: dict[str, int]
    center: Floats
    """By item, shrunk to the shop."""
    repeat_share: Floats
    """Of the purchases of an item, how many were followed by another of the same customer; shrunk to the shop."""
    spread: float
    """Within a customer and an item."""
    between: float
    """Standard deviation of the rhythms of customers about that of their item."""


@dataclass(frozen=True, slots=True)
class Due:
    """An item that a customer may need again. Times are in microseconds."""

    item_id: str
    probability: float
    purchase_count: int
    last_time: int
    interval: int

    @property
    def due_time(self) -> int:
        """When it is expected to be needed."""
        return self.last_time + self.interval


def learn(customers: Codes, items: Codes, days: Floats, item_ids: Sequence[str]) -> Rhythms:
    """Rhythms from purchases: parallel arrays; several of one customer and item on a day count once."""
    order = np.lexsort((days, items, customers))
    customers, items, days = customers[order], items[order], np.floor(days[order])
    same = (customers[1:] == customers[:-1]) & (items[1:] == items[:-1])
    again = same & (days[1:] > days[:-1])
    logs, of_item = np.log(days[1:][again] - days[:-1][again]), items[1:][again]
    visits = np.concatenate([[True], ~same | again])[: len(items)]
    count = len(item_ids)
    repeats = np.bincount(of_item, minlength=count).astype(float)
    bought = np.bincount(items[visits], minlength=count).astype(float)
    shop = float(logs.mean()) if len(logs) else log(30.0)
    pair = np.cumsum(np.concatenate([[True], ~same])[: len(items)])[1:][again] if len(items) else np.empty(0)
    spread, between, item_spread = _variances(logs, of_item, pair, repeats, shop)
    trust = (spread**2 + between**2) / max(item_spread**2, 1e-6)
    sums = np.bincount(of_item, weights=logs, minlength=count)
    share = float(repeats.sum() / max(bought.sum(), 1.0))
    return Rhythms(
        {item_id: row for row, item_id in enumerate(item_ids)},
        (sums + trust * shop) / (repeats + trust),
        (repeats + PURCHASES_OF_DOUBT * share) / (bought + PURCHASES_OF_DOUBT),
        spread,
        between,
    )


def _variances(logs: Floats, of_item: Codes, pair: Floats, repeats: Floats, shop: float) -> tuple[float, float, float]:
    """Standard deviations within customer and item, between customers of an item, between items; by moments."""
    if len(logs) < 2:
        return 1.0, 0.5, 0.5
    _, places, sizes = np.unique(pair, return_inverse=True, return_counts=True)
    means = np.bincount(places, weights=logs) / sizes
    freedom = len(logs) - len(sizes)
    within = float(((logs - means[places]) ** 2).sum() / freedom) if freedom > 0 else float(logs.var())
    firsts = np.zeros(len(sizes), dtype=np.int64)
    firsts[places] = of_item
    item_means = np.bincount(of_item, weights=logs, minlength=len(repeats)) / np.maximum(repeats, 1)
    of_pairs = (means - item_means[firsts]) ** 2 - within / sizes
    of_items = (item_means - shop) ** 2 - within / np.maximum(repeats, 1)
    between = float(np.average(of_pairs, weights=sizes))
    items = float(np.average(of_items, weights=repeats)) if repeats.sum() else 0.25
    return max(sqrt(within), SPREAD_MIN), sqrt(max(between, 0.01)), sqrt(max(items, 0.01))


def due_again(
    rhythms: Rhythms, purchases: Sequence[tuple[str, int]], now: int, horizon: int, per_item: int = 50
) -> list[Due]:
    """What a customer may need again by ``now + horizon``, likeliest first; equal ones by id. ``purchases`` are items
    and times of one customer; the newest ``per_item`` of an item count."""
    times: dict[str, set[int]] = {}
    for item_id, time in purchases:
        times.setdefault(item_id, set()).add(time // DAY)
    last_of: dict[str, int] = {}
    for item_id, time in purchases:
        last_of[item_id] = max(time, last_of.get(item_id, time))
    found = [
        _due(rhythms, item_id, sorted(days)[-per_item:], last_of[item_id], now, horizon)
        for item_id, days in times.items()
        if item_id in rhythms.row_of
    ]
    return sorted(found, key=lambda due: (-due.probability, due.item_id))


def _due(rhythms: Rhythms, item_id: str, days: list[int], last: int, now: int, horizon: int) -> Due:
    row = rhythms.row_of[item_id]
    gaps = [log(after - before) for before, after in pairwise(days)]
    trust = rhythms.spread**2 / rhythms.between**2
    center = (sum(gaps) + trust * float(rhythms.center[row])) / (len(gaps) + trust)
    deviation = rhythms.spread * sqrt(1 + 1 / (len(gaps) + trust))
    share = (len(gaps) + PURCHASES_OF_DOUBT * float(rhythms.repeat_share[row])) / (len(days) + PURCHASES_OF_DOUBT)
    elapsed = max((now - last) / DAY, 0.0)
    still = _survival(elapsed, center, deviation)
    then = _survival(elapsed + horizon / DAY, center, deviation)
    probability = share * (still - then) / max(share * still + 1 - share, 1e-12)
    return Due(item_id, probability, len(days), last, int(exp(center) * DAY))


def _survival(days: float, center: float, deviation: float) -> float:
    """The probability that an interval is longer."""
    if days <= 0:
        return 1.0
    return 0.5 * (1 - erf((log(days) - center) / (deviation * sqrt(2))))
