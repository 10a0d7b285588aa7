"""The way somebody came: their newest items in order, and what others went on to from there."""

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


@dataclass(frozen=True, slots=True)
class Following:
    """Which rows follow which place of a trail, and how strongly, already weighted: parallel, a row may come often."""

    places: Rows
    rows: Rows
    strengths: Floats

    def total(self, candidates: Rows) -> Floats:
        """The strength of each candidate, over all places; 0 for those that follow nothing."""
        summed: Floats = self.by_place(candidates, 1, np.zeros(len(self.places), np.int64))[0]
        return summed

    def by_place(self, candidates: Rows, count: int, places: Rows | None = None) -> Floats:
        """Places by candidates: what each of ``count`` places gives to each."""
        order = np.argsort(candidates)
        at = np.minimum(np.searchsorted(candidates, self.rows, sorter=order), max(len(candidates) - 1, 0))
        given = np.zeros((count, len(candidates)), dtype=np.float32)
        if len(candidates) and len(self.rows):
            hits = candidates[order[at]] == self.rows
            where = self.places if places is None else places
            np.add.at(given, (where[hits], order[at[hits]]), self.strengths[hits])
        return given

    def strongest(self, count: int, allowed: NDArray[np.bool_]) -> Rows:
        """The allowed rows that follow most strongly, in no order."""
        rows, places = np.unique(self.rows, return_inverse=True)
        totals = np.bincount(places, weights=self.strengths, minlength=len(rows))
        kept = allowed[rows]
        rows, totals = rows[kept], totals[kept]
        if len(rows) > count:
            rows = rows[np.argpartition(-totals, count - 1)[:count]]
        return rows.astype(np.int64)


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


def following(model: Model, trail: Trail) -> Following:
    """What others went on to from the items of a trail."""
    starts, ends = model.next_starts[trail.rows], model.next_starts[trail.rows + 1]
    places = np.repeat(np.arange(len(trail.rows)), ends - starts)
    cells = np.concatenate([np.arange(first, end) for first, end in zip(starts, ends, strict=True)] or [places])
    return Following(
        places.astype(np.int64),
        np.asarray(model.next_items[cells], dtype=np.int64),
        np.asarray(model.next_strengths[cells] * trail.weights[places], dtype=np.float32),
    )
