"""Drift: how far what is bought now is from what the live model learnt from, and how lists do against how they did."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from services.recommendation.domain.drift_settings import USUAL, DriftSettings
from services.recommendation.domain.experiment import Difference, rate_difference
from services.recommendation.domain.model import Model

DEMAND_GROUPS = 10

Counts = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Drift:
    """Purchases since the training against those before; ``alarms`` names what is beyond its bound."""

    line_count: int
    unknown_item_share: float
    category_psi: float
    demand_psi: float
    price_psi: float = 0.0
    score_psi: float = 0.0
    """Of the scores of the best items of the customers who bought since: as the model was trained, and now."""
    scored_count: int = 0
    """How many customers that is of."""
    settings: DriftSettings = USUAL

    @property
    def alarms(self) -> tuple[str, ...]:
        """What is beyond its bound; nothing while there are too few lines."""
        wanted = self.settings
        if self.line_count < wanted.lines:
            return ()
        told = {
            "unknown_items": self.unknown_item_share > wanted.unknown_items,
            "categories": self.category_psi > wanted.psi,
            "demand": self.demand_psi > wanted.psi,
            "prices": self.price_psi > wanted.psi,
            "scores": self.scored_count >= wanted.customers and self.score_psi > wanted.psi,
        }
        return tuple(name for name, beyond in told.items() if beyond)


def psi(expected: Counts, actual: Counts) -> float:
    """The population stability index of two parallel counts: the sum of (a - e) * ln(a / e) over shares, with half a
    count added to each, so that what is missing on one side is a large shift and no infinite one."""
    if not expected.sum() or not actual.sum():
        return 0.0
    one, other = ((each + 0.5) / (each + 0.5).sum() for each in (expected, actual))
    return float(((other - one) * np.log(other / one)).sum())


@dataclass(frozen=True)
class Lists:
    """What was shown in a period: impressions and clicks, and impressions by item."""

    impressions: int = 0
    clicks: int = 0
    shown: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ListDrift:
    """Lists of a period against those of the period before, which was as long."""

    click_rate_before: float
    click_rate: Difference
    coverage_before: float
    coverage_change: float
    shown_psi: float
    alarms: tuple[str, ...]


def list_drift(
    before: Lists,
    now: Lists,
    item_count: int,
    categories: Callable[[str], Sequence[str]],
    settings: DriftSettings = USUAL,
) -> ListDrift:
    """How lists do against how they did. A click rate alarms where it differs by more than its bound, and by more than
    chance explains; nothing alarms while either period has too few impressions."""
    rate = min(before.clicks / before.impressions, 1.0) if before.impressions else 0.0
    # Clicks can be told without impressions: a rate above one is none.
    clicks, clicks_before = min(now.clicks, now.impressions), min(before.clicks, before.impressions)
    difference = rate_difference(clicks, now.impressions, clicks_before, before.impressions)
    covered, covers = (len(each.shown) / item_count if item_count else 0.0 for each in (before, now))
    index = _category_psi(before.shown, now.shown, categories)
    told = {
        "click_rate": difference.significant and abs(difference.value) > settings.change * rate,
        "coverage": abs(covers - covered) > settings.change * covered,
        "shown_categories": index > settings.psi,
    }
    enough = min(before.impressions, now.impressions) >= settings.impressions
    alarms = tuple(name for name, beyond in told.items() if beyond and enough)
    return ListDrift(rate, difference, covered, covers - covered, index, alarms)


def drift_of(
    model: Model,
    since: Mapping[str, int],
    categories: Callable[[str], Sequence[str]],
    prices: Callable[[str], int] = lambda item_id: 0,
    scores: tuple[Counts, Counts] | None = None,
    settings: DriftSettings = USUAL,
) -> Drift:
    """``since`` are lines by item after the training; ``categories`` tells the path of an item, empty if unknown,
    ``prices`` what it costs, 0 if unknown; ``scores`` are those of the best items of the same customers, as the model
    was trained and now."""
    total = sum(since.values())
    unknown = sum(count for item_id, count in since.items() if not model.bought(item_id))
    before = dict(zip(model.item_ids, model.item_baskets.astype(np.float64).tolist(), strict=True))
    known = {model.row_of[item_id]: float(count) for item_id, count in since.items() if model.bought(item_id)}
    share = unknown / total if total else 0.0
    index = _decile_psi(*scores) if scores else 0.0
    return Drift(
        total,
        share,
        _category_psi(before, since, categories),
        _demand_psi(model, known),
        _price_psi(before, since, prices),
        index,
        len(scores[0]) if scores else 0,
        settings,
    )


def _decile_psi(before: Counts, now: Counts) -> float:
    """Over ten groups that were equally large before."""
    edges = np.quantile(before, np.arange(1, 10) / 10) if len(before) else np.empty(0)
    one, other = (_groups(edges, each, np.ones(len(each))) for each in (before, now))
    return psi(one, other)


def _groups(edges: Counts, values: Counts, weights: Counts) -> Counts:
    """What lies between edges, and on either side of them."""
    return np.bincount(np.searchsorted(edges, values), weights=weights, minlength=len(edges) + 1).astype(np.float64)


def _price_psi(before: Mapping[str, float], since: Mapping[str, int], prices: Callable[[str], int]) -> float:
    """Over ten groups of prices with equal parts of the lines before; items without a price are left out."""
    sides = []
    for each in (before, since):
        priced = [(price, float(count)) for item_id, count in each.items() if (price := prices(item_id)) > 0]
        sides.append(np.array(sorted(priced), dtype=np.float64).reshape(-1, 2))
    if not all(len(side) for side in sides):
        return 0.0
    running = np.cumsum(sides[0][:, 1])
    edges = np.unique(sides[0][np.searchsorted(running, running[-1] * np.arange(1, 10) / 10), 0])
    one, other = (_groups(edges, side[:, 0], side[:, 1]) for side in sides)
    return psi(one, other)


def _category_psi(
    before: Mapping[str, float] | Mapping[str, int],
    since: Mapping[str, int],
    categories: Callable[[str], Sequence[str]],
) -> float:
    """Over the broadest level at which the items of the training differ."""
    paths = {item_id: tuple(categories(item_id)) for item_id in before.keys() | since.keys()}
    deepest = max((len(path) for path in paths.values()), default=0)
    for depth in range(1, deepest + 1):
        names = sorted({path[:depth] for path in paths.values()})
        if len({paths[item_id][:depth] for item_id in before}) > 1 or depth == deepest:
            code = {name: at for at, name in enumerate(names)}
            counts = np.zeros((2, len(names)))
            for side, each in enumerate((before, since)):
                for item_id, count in each.items():
                    counts[side, code[paths[item_id][:depth]]] += count
            return psi(counts[0], counts[1])
    return 0.0


def _demand_psi(model: Model, known: Mapping[int, float]) -> float:
    """Over groups of items that had equal parts of the baskets before, from what was bought most to what least."""
    order = np.argsort(-model.item_baskets, kind="stable")
    running = np.cumsum(model.item_baskets[order], dtype=np.float64)
    groups = np.empty(len(order), dtype=np.int64)
    share = running / max(running[-1], 1.0) if len(running) else running
    groups[order] = np.minimum((share * DEMAND_GROUPS).astype(np.int64), DEMAND_GROUPS - 1)
    before: Counts = np.bincount(groups, weights=model.item_baskets, minlength=DEMAND_GROUPS).astype(np.float64)
    rows = np.fromiter(known, np.int64, len(known))
    values = np.fromiter(known.values(), np.float64, len(known))
    after: Counts = np.bincount(groups[rows], weights=values, minlength=DEMAND_GROUPS).astype(np.float64)
    return psi(before, after)
