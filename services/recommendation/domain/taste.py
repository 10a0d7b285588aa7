"""From what is known of people to scores: the one arithmetic that serving and measuring share."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.recommendation.domain.cells import Keys, Rows, firsts_of, total_of
from services.recommendation.domain.history import History
from services.recommendation.domain.model import Codes, Floats, Vectors

SESSION_SHARE = 0.7
"""How much of the vector is the session's where there are purchases too: what somebody looks at now says more."""
SESSION_FADING = 0.85
"""What an item looked at counts against the one looked at after it."""


@dataclass(frozen=True, slots=True)
class Tastes:
    """The items that make people's vectors, as rows, with what each contributes; ``viewed`` were only looked
    at. Cells of one person lie together, people in order."""

    owners: Rows
    rows: Rows
    shares: Floats
    viewed: NDArray[np.bool_]

    def vectors(self, context: Vectors, count: int) -> Vectors:
        """For each of ``count`` people the weighted sum of context vectors, 0 for those of whom nothing is known; its
        inner products with target vectors are scores."""
        found = np.zeros((count, context.shape[1]), dtype=np.float32)
        if len(self.owners):
            firsts = firsts_of(self.owners)
            found[self.owners[firsts]] = np.add.reduceat(context[self.rows] * self.shares[:, None], firsts, axis=0)
        return found


@dataclass(frozen=True, slots=True)
class Taste:
    """The same of one person."""

    rows: Rows
    shares: Floats
    viewed: NDArray[np.bool_]

    def vector(self, context: Vectors) -> Vectors:
        """The weighted sum of context vectors."""
        return np.asarray(self.shares @ context[self.rows], dtype=np.float32)


Weighed = tuple[Rows, Rows, Floats]
"""Owners, ascending, rows and weights."""


def taste_of(history: History, session_rows: Sequence[int]) -> Taste | None:
    """What is known of somebody; ``None`` where nothing is."""

    def own(rows: Codes | Sequence[int]) -> tuple[Rows, Rows]:
        return np.zeros(len(rows), np.int64), np.asarray(rows, dtype=np.int64)

    bought = *own(history.rows), history.weights
    interests = *own(history.interests), history.interest_weights
    found = tastes_of(1, bought, interests, own(session_rows))
    return Taste(found.rows, found.shares, found.viewed) if len(found.rows) else None


def tastes_of(count: int, bought: Weighed, interests: Weighed, looked: tuple[Rows, Rows]) -> Tastes:
    """What is known of ``count`` people: what they bought, what they showed interest in until the training, and owners
    and rows of what they look at, oldest first."""
    owners, rows, weights, viewed = _known(bought, interests)
    shares = np.log1p(weights)
    if not len(looked[0]):
        return Tastes(owners, rows, _to_sum(shares, owners, np.ones(count)), viewed)
    ends = np.cumsum(np.bincount(looked[0], minlength=count))
    fading = np.float32(SESSION_FADING) ** (ends[looked[0]] - 1 - np.arange(len(looked[0]))).astype(np.float32)
    known, lookers = np.bincount(owners, minlength=count) > 0, np.bincount(looked[0], minlength=count) > 0
    session = np.where(known & lookers, SESSION_SHARE, lookers.astype(np.float64))
    both = np.concatenate([owners, looked[0]])
    order = np.argsort(both, kind="stable")
    given = np.concatenate([_to_sum(shares, owners, 1 - session), _to_sum(fading, looked[0], session)])
    viewed = np.concatenate([viewed, np.ones(len(looked[0]), dtype=np.bool_)])
    return Tastes(both[order], np.concatenate([rows, looked[1]])[order], given[order], viewed[order])


def _known(bought: Weighed, interests: Weighed) -> tuple[Rows, Rows, Floats, NDArray[np.bool_]]:
    """What was bought or looked at before: owners, rows, what each weighs, and which of them were never bought."""
    owners, rows, weights = bought
    if not len(interests[0]):
        return owners, rows, weights, np.zeros(len(rows), dtype=np.bool_)
    width = 1 + max(int(rows.max(initial=0)), int(interests[1].max(initial=0)))
    keys, shown = owners * width + rows, interests[0] * width + interests[1]
    order = shown.argsort()
    places, hits = Keys(shown[order]).find(keys)
    weights = weights + np.where(hits, interests[2][order[places]], 0)
    only = ~np.isin(shown, keys)
    joined = np.concatenate([owners, interests[0][only]])
    order = np.argsort(joined, kind="stable")
    return (
        joined[order],
        np.concatenate([rows, interests[1][only]])[order],
        np.concatenate([weights, interests[2][only]])[order].astype(np.float32),
        (np.arange(len(joined)) >= len(rows))[order],
    )


def _to_sum(weights: Floats, owners: Rows, totals: NDArray[np.float64]) -> Floats:
    """The weights, scaled so that those of each owner add up to their total."""
    scale = totals / np.maximum(total_of(weights, owners, len(totals)), 1e-12)
    return np.asarray(weights * scale[owners], dtype=np.float32)
