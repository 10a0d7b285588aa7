"""What completes a cart: what others put beside it, and not other versions of what it already holds."""

from collections.abc import Sequence

import numpy as np

from services.recommendation.domain.model import Model
from services.recommendation.domain.reasons import SOURCES_MAX
from services.recommendation.domain.recommendation import Reason, ReasonKind, Recommendation, ordered
from services.recommendation.domain.selection import Mask

ALIKE_FROM = 0.5
"""A cosine of likeness vectors from which on an item begins to count as a version of another one."""
LIFT_OF_COMPANIONS = 4.0
"""A lift from which on two items are companions even if the same people buy both: pasta and sauce, not two pastas."""


def completing(model: Model, cart_rows: Sequence[int], allowed: Mask, count: int) -> list[Recommendation]:
    """The items that are bought with what lies in the cart.

    Each pair gives its confidence times log2 of its lift (the evidence in bits, in the share of baskets where it
    shows), times one minus how much the item is a substitute: its cosine to the item of the cart from ``ALIKE_FROM``
    to 1, if both lie together less than ``LIFT_OF_COMPANIONS`` times as often as chance would have it.
    """
    held = set(cart_rows)
    given: dict[int, dict[int, float]] = {}
    for row in held:
        pairs = [it for it in model.pairs(row) if allowed[it.row] and it.row not in held and it.lift > 1]
        if not pairs:
            continue
        rows = np.array([pair.row for pair in pairs])
        cosines = model.likeness[rows] @ model.likeness[row]
        for pair, cosine in zip(pairs, cosines.tolist(), strict=True):
            worth = pair.confidence * float(np.log2(pair.lift)) * (1 - _substitute(cosine, pair.lift))
            if worth > 0:
                given.setdefault(pair.row, {})[row] = worth
    return ordered((_explained(model, row, parts) for row, parts in given.items()), count)


def _substitute(cosine: float, lift: float) -> float:
    """From 0 (a companion) to 1 (another version of the same)."""
    alike = min(max((cosine - ALIKE_FROM) / (1 - ALIKE_FROM), 0.0), 1.0)
    apart = min(max(1 - np.log2(max(lift, 1.0)) / np.log2(LIFT_OF_COMPANIONS), 0.0), 1.0)
    return float(alike * apart)


def _explained(model: Model, row: int, parts: dict[int, float]) -> Recommendation:
    sources = sorted(parts, key=lambda each: (-parts[each], model.item_ids[each]))[:SOURCES_MAX]
    names = tuple(model.item_ids[each] for each in sources)
    return Recommendation(model.item_ids[row], (Reason(ReasonKind.COMPLEMENT, sum(parts.values()), names),))
