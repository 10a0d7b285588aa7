"""Drift: how far what is bought now is from what the live model learnt from."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.recommendation.domain.model import Model

DEMAND_GROUPS = 10
LINES_MIN = 200
"""Fewer lines than this say nothing about shares."""
PSI_ALARM = 0.25
"""What the usual rule of thumb calls a large shift."""
UNKNOWN_ALARM = 0.2

Counts = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Drift:
    """Purchases since the training against those before; ``alarms`` names what is beyond its bound."""

    line_count: int
    unknown_item_share: float
    category_psi: float
    demand_psi: float

    @property
    def alarms(self) -> tuple[str, ...]:
        """What is beyond its bound; nothing while there are too few lines."""
        if self.line_count < LINES_MIN:
            return ()
        told = {
            "unknown_items": self.unknown_item_share > UNKNOWN_ALARM,
            "categories": self.category_psi > PSI_ALARM,
            "demand": self.demand_psi > PSI_ALARM,
        }
        return tuple(name for name, beyond in told.items() if beyond)


def psi(expected: Counts, actual: Counts) -> float:
    """The population stability index of two parallel counts: the sum of (a - e) * ln(a / e) over shares, with half a
    count added to each, so that what is missing on one side is a large shift and no infinite one."""
    if not expected.sum() or not actual.sum():
        return 0.0
    one, other = ((each + 0.5) / (each + 0.5).sum() for each in (expected, actual))
    return float(((other - one) * np.log(other / one)).sum())


def drift_of(model: Model, since: Mapping[str, int], categories: Callable[[str], Sequence[str]]) -> Drift:
    """``since`` are lines by item after the training; ``categories`` tells the path of an item, empty if unknown."""
    total = sum(since.values())
    unknown = sum(count for item_id, count in since.items() if not model.bought(item_id))
    before = dict(zip(model.item_ids, model.item_baskets.astype(np.float64).tolist(), strict=True))
    known = {model.row_of[item_id]: float(count) for item_id, count in since.items() if model.bought(item_id)}
    share = unknown / total if total else 0.0
    return Drift(total, share, _category_psi(before, since, categories), _demand_psi(model, known))


def _category_psi(
    before: Mapping[str, float], since: Mapping[str, int], categories: Callable[[str], Sequence[str]]
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
