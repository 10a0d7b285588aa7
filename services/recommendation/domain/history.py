"""What one customer has bought: what the model remembers and what was bought since."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from services.recommendation.domain.model import Codes, Floats, Model

MICROS_A_DAY = 86_400_000_000


@dataclass(frozen=True, slots=True)
class Bought:
    """One line of a basket that the model has not learnt from."""

    item_id: str
    basket_id: str
    time: int
    """In microseconds."""


@dataclass(frozen=True, slots=True)
class History:
    """Items that the model knows, as rows, each once, with weight and number of baskets; and the ids of the others."""

    rows: Codes = field(default_factory=lambda: np.empty(0, np.int32))
    weights: Floats = field(default_factory=lambda: np.empty(0, np.float32))
    baskets: Codes = field(default_factory=lambda: np.empty(0, np.int32))
    others: frozenset[str] = frozenset()
    interests: Codes = field(default_factory=lambda: np.empty(0, np.int32))
    """What was looked at or put into carts until the training, as rows in order, bought or not."""
    interest_weights: Floats = field(default_factory=lambda: np.empty(0, np.float32))


def history_of(model: Model, customer_id: str, since: Iterable[Bought]) -> History:
    """The history of a customer: as of the training, and what was bought since."""
    remembered = _remembered(model, customer_id)
    fresh = {(line.basket_id, line.item_id): line for line in since}
    if not fresh:
        return remembered
    weights = dict(zip(remembered.rows.tolist(), remembered.weights.tolist(), strict=True))
    baskets = dict(zip(remembered.rows.tolist(), remembered.baskets.tolist(), strict=True))
    others = set()
    for line in fresh.values():
        row = model.row_of.get(line.item_id)
        if row is None:
            others.add(line.item_id)
            continue
        age_days = (model.training.newest_time - line.time) / MICROS_A_DAY
        weights[row] = weights.get(row, 0.0) + 2.0 ** (-age_days / model.training.history_half_life_days)
        baskets[row] = baskets.get(row, 0) + 1
    rows = np.fromiter(weights, np.int32, len(weights))
    return History(
        rows,
        np.fromiter(weights.values(), np.float32, len(weights)),
        np.fromiter((baskets[row] for row in weights), np.int32, len(weights)),
        frozenset(others),
        remembered.interests,
        remembered.interest_weights,
    )


def _remembered(model: Model, customer_id: str) -> History:
    code = model.customer_of.get(customer_id)
    if code is None:
        return History()
    cells = slice(model.history_starts[code], model.history_starts[code + 1])
    interests = slice(model.interest_starts[code], model.interest_starts[code + 1])
    return History(
        model.history_items[cells],
        model.history_weights[cells],
        model.history_baskets[cells],
        interests=model.interest_items[interests],
        interest_weights=model.interest_weights[interests],
    )
