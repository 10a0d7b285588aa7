"""How likely the places of a list are looked at, from clicks on the same items in different places.

A click needs that its place is examined and that the item attracts (position-based model: Richardson, Dominowska and
Ragno, WWW 2007; Craswell et al., WSDM 2008): its probability is the product of both. Items that lists, versions and
rotation put into different places tell the first factor apart from the second, without an experiment (intervention
harvesting: Agarwal, Zaitsev, Wang, Li, Najork and Joachims, WSDM 2019). Given how often an item was clicked in all, how
its clicks fall on places does not depend on how attractive it is: the product of these multinomials is maximised, so
that thousands of items with a click or two do no harm. Intervals are of the sandwich estimator, item by item.

What cannot be told from such a log: attractiveness is taken to be the item's own in a placement. Where lists are
personal, an item stands further up for those who like it more, and a part of that passes for examination.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]

FIRSTS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 16, 21, 31, 51)
"""Where groups of places begin: the first ten each for itself, then wider ones."""
LAST = 100
"""Places beyond are not estimated."""
CLICKS_MIN = 100
PLACE_CLICKS_MIN = 10
"""On items that were seen elsewhere too; places with fewer are not estimated."""
ERROR_MAX = 0.35
"""The largest standard error of a logarithm: beyond it the interval is wider than a factor of four."""
PRIOR_VARIANCE = 25.0
"""Of logarithms, about the first place: nothing where there are data, and no infinity where a place had no luck."""
STEPS_MAX = 50
NORMAL_95 = 1.959963984540054


class ExaminationProblem(IntEnum):
    """Why nothing is known of places; the numbers are those of the contract."""

    NONE = 0
    FEW_CLICKS = 1
    FIRST_PLACE = 2
    UNMOVED = 3


@dataclass(frozen=True, slots=True)
class Cell:
    """How often an item of a placement was seen and clicked in a place, from 1."""

    placement_id: str
    item_id: str
    position: int
    impressions: int
    clicks: int


@dataclass(frozen=True, slots=True)
class Place:
    """Some places: how likely they are looked at, against the first one, with an interval of 95 %."""

    first: int
    last: int
    examined: float
    low: float
    high: float
    impressions: int
    clicks: int


@dataclass(frozen=True)
class Examination:
    """What is known of places: none of them where there is a problem. ``pooled`` where it is of all placements, because
    the one that was asked about tells too little."""

    places: Sequence[Place] = ()
    impressions: int = 0
    clicks: int = 0
    problem: ExaminationProblem = ExaminationProblem.FEW_CLICKS
    pooled: bool = False

    @cached_property
    def by_position(self) -> dict[int, float]:
        """How likely each place is looked at, those that are known."""
        return {at: each.examined for each in self.places for at in range(each.first, each.last + 1)}


UNKNOWN = Examination()


def examine(cells: Iterable[Cell]) -> Examination:
    """What clicks tell of places, if there are enough, on items that were seen in the first place and others."""
    kept = [cell for cell in cells if 1 <= cell.position <= LAST and cell.impressions > 0]
    impressions, clicks = (sum(getattr(cell, name) for cell in kept) for name in ("impressions", "clicks"))
    if clicks < CLICKS_MIN:
        return Examination((), impressions, clicks, ExaminationProblem.FEW_CLICKS)
    groups = {key: row for row, key in enumerate(dict.fromkeys((cell.placement_id, cell.item_id) for cell in kept))}
    rows = np.array([groups[cell.placement_id, cell.item_id] for cell in kept])
    columns = np.searchsorted(FIRSTS, [cell.position for cell in kept], side="right") - 1
    shape = len(groups), len(FIRSTS)
    seen, clicked = np.zeros(shape), np.zeros(shape)
    np.add.at(seen, (rows, columns), [cell.impressions for cell in kept])
    np.add.at(clicked, (rows, columns), [min(cell.clicks, cell.impressions) for cell in kept])
    used, problem = _comparable(seen, clicked)
    if problem:
        return Examination((), impressions, clicks, problem)
    logs, errors = _fitted(seen[:, used], clicked[:, used])
    known = [
        _place(int(column), float(log), float(error), seen, clicked)
        for column, log, error in zip(used, logs, errors, strict=True)
        if error <= ERROR_MAX
    ]
    if len(known) < 2:
        return Examination((), impressions, clicks, ExaminationProblem.UNMOVED)
    return Examination(known, impressions, clicks, ExaminationProblem.NONE)


def _comparable(seen: Floats, clicked: Floats) -> tuple[Rows, ExaminationProblem]:
    """The groups of places that clicks compare with the first one, directly or by others; and why there are none."""
    used = np.arange(seen.shape[1])
    while True:
        moved = (seen[:, used] > 0).sum(axis=1) > 1
        enough = clicked[moved][:, used].sum(axis=0) >= PLACE_CLICKS_MIN
        if enough.all():
            break
        used = used[enough]
    if not len(used):
        return used, ExaminationProblem.UNMOVED
    if used[0] != 0:
        return used, ExaminationProblem.FIRST_PLACE
    told = seen[:, used][clicked[:, used].sum(axis=1) > 0] > 0
    beside = (told.T.astype(np.float64) @ told) > 0
    reached = np.zeros(len(used), dtype=np.bool_)
    reached[0] = True
    for _ in range(len(used)):
        reached = beside[reached].any(axis=0)
    used = used[reached]
    return used, ExaminationProblem.NONE if len(used) > 1 else ExaminationProblem.UNMOVED


def _fitted(seen: Floats, clicked: Floats) -> tuple[Floats, Floats]:
    """Logarithms of examination, 0 for the first column, and their standard errors: Newton's method, halving steps."""
    telling = (clicked.sum(axis=1) > 0) & ((seen > 0).sum(axis=1) > 1)
    seen, clicked = seen[telling], clicked[telling]
    totals = clicked.sum(axis=1)
    logs = np.zeros(seen.shape[1])
    value = _likelihood(logs, seen, clicked, totals)
    for _ in range(STEPS_MAX):
        scores, information = _slopes(logs, seen, clicked, totals)
        step = np.zeros_like(logs)
        step[1:] = np.linalg.solve(information, scores.sum(axis=0)[1:] - logs[1:] / PRIOR_VARIANCE)
        size = 1.0
        while (after := _likelihood(logs + size * step, seen, clicked, totals)) < value and size > 1e-6:
            size /= 2
        logs, value = logs + size * step, after
        if np.abs(size * step).max() < 1e-9:
            break
    scores, information = _slopes(logs, seen, clicked, totals)
    inverse = np.linalg.inv(information)
    variances = np.diag(inverse @ (scores[:, 1:].T @ scores[:, 1:]) @ inverse)
    return logs, np.concatenate([[0.0], np.sqrt(variances)])


def _shares(logs: Floats, seen: Floats) -> Floats:
    """How the clicks on each item are expected to fall on places."""
    weights = seen * np.exp(logs)
    shares: Floats = weights / weights.sum(axis=1, keepdims=True)
    return shares


def _likelihood(logs: Floats, seen: Floats, clicked: Floats, totals: Floats) -> float:
    weights = (seen * np.exp(logs)).sum(axis=1)
    return float((clicked @ logs).sum() - (totals * np.log(weights)).sum() - (logs**2).sum() / (2 * PRIOR_VARIANCE))


def _slopes(logs: Floats, seen: Floats, clicked: Floats, totals: Floats) -> tuple[Floats, Floats]:
    """The score of each item, and the information on all logarithms but the first."""
    shares = _shares(logs, seen)
    scores: Floats = clicked - totals[:, None] * shares
    weighted = totals[:, None] * shares
    information = np.diag(weighted.sum(axis=0)) - shares.T @ weighted
    return scores, information[1:, 1:] + np.eye(len(logs) - 1) / PRIOR_VARIANCE


def _place(column: int, log: float, error: float, seen: Floats, clicked: Floats) -> Place:
    last = FIRSTS[column + 1] - 1 if column + 1 < len(FIRSTS) else LAST
    low, high = np.exp(log - NORMAL_95 * error), np.exp(log + NORMAL_95 * error)
    counts = int(seen[:, column].sum()), int(clicked[:, column].sum())
    return Place(FIRSTS[column], last, float(np.exp(log)), float(low), float(high), *counts)
