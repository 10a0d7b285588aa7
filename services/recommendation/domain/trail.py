"""The way somebody came: their newest items in order."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.recommendation.domain.history import Bought
from services.recommendation.domain.model import Floats, Model

LENGTH = 50
"""Items of a trail; those before say nothing more about what comes next."""

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Trail:
    """Items as rows, each once, with what each counts; those of the session are ``viewed``."""

    rows: Rows
    weights: Floats
    viewed: NDArray[np.bool_]


def trail_of(model: Model, customer_id: str, since: Iterable[Bought], session_rows: Sequence[int]) -> Trail:
    """What the model remembers, what was bought since, and what was looked at, which is the newest: every basket and
    every look is one step, and an item counts ``trail_decay`` to the power of the steps after it."""
    steps: dict[int, int] = {}
    code = model.customer_of.get(customer_id)
    if code is not None:
        cells = slice(model.trail_starts[code], model.trail_starts[code + 1])
        remembered = zip(model.trail_items[cells].tolist(), model.trail_steps[cells].tolist(), strict=True)
        steps = {row: -step for row, step in remembered}
    newest = 0
    basket = ""
    for line in sorted(since, key=lambda line: (line.time, line.basket_id)):
        newest += line.basket_id != basket
        basket = line.basket_id
        row = model.row_of.get(line.item_id)
        if row is not None:
            steps[row] = newest
    for row in session_rows:
        newest += 1
        steps[row] = newest
    viewed = set(session_rows)
    last = sorted(steps, key=lambda row: (steps[row], row))[-LENGTH:]
    weights = [model.training.trail_decay ** (newest - steps[row]) for row in last]
    return Trail(
        np.array(last, dtype=np.int64),
        np.array(weights, dtype=np.float32),
        np.array([row in viewed for row in last], dtype=np.bool_),
    )
