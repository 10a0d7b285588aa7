"""Why items are in a personal list: their scores divided among what they come from.

Vector and transitions are sums over the items that they come from, so that each of those has an exact share. All items
of a list are explained together: column by column, the arithmetic of one would cost as much as that of all.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from services.recommendation.domain.model import Floats, Model
from services.recommendation.domain.recommendation import Reason, ReasonKind
from services.recommendation.domain.taste import Taste
from services.recommendation.domain.trail import Following, Trail

SOURCES_MAX = 3

Rows = NDArray[np.int64]
Names = list[tuple[str, ...]]


def explained(
    model: Model,
    taste: Taste,
    walked: tuple[Trail, Following],
    rows: Rows,
    parts: tuple[Floats, Floats, Floats],
    basket_counts: NDArray[np.floating],
) -> list[tuple[Reason, ...]]:
    """The reasons of each of ``rows``, the weightiest first: they add up to the sum of its ``parts``, which are what
    vectors, transitions and own frequencies give."""
    trail, following = walked
    alike = (model.context[taste.rows] * taste.shares[:, None]) @ model.target[rows].T
    own = np.where(taste.rows[:, None] == rows[None, :], 0, alike).astype(np.float32)
    bought, viewed = (np.maximum(own[where].sum(axis=0), 0) for where in (~taste.viewed, taste.viewed))
    share = np.maximum(bought + viewed, 1e-30)
    vectors, followed, frequent = parts
    from_bought, from_viewed = vectors * bought / share, vectors * viewed / share
    unexplained = np.where((bought > 0) | (viewed > 0), 0, vectors)
    columns = zip(
        *(column.tolist() for column in (from_bought, from_viewed, followed, frequent, unexplained)),
        basket_counts.astype(np.int64).tolist(),
        _sources(model, taste.rows[~taste.viewed], own[~taste.viewed]),
        _sources(model, taste.rows[taste.viewed], own[taste.viewed]),
        _sources(model, trail.rows, following.by_place(rows, len(trail.rows))),
        strict=True,
    )
    return [_reasons(*column) for column in columns]


def _reasons(
    from_bought: float,
    from_viewed: float,
    followed: float,
    frequent: float,
    unexplained: float,
    basket_count: int,
    bought_names: tuple[str, ...],
    viewed_names: tuple[str, ...],
    followed_names: tuple[str, ...],
) -> tuple[Reason, ...]:
    reasons = []
    if from_bought > 0:
        reasons.append(Reason(ReasonKind.SIMILAR_TO_BOUGHT, from_bought, bought_names))
    if from_viewed > 0:
        reasons.append(Reason(ReasonKind.SIMILAR_TO_VIEWED, from_viewed, viewed_names))
    if followed > 0:
        reasons.append(Reason(ReasonKind.OFTEN_NEXT, followed, followed_names))
    if basket_count:
        reasons.append(Reason(ReasonKind.BOUGHT_BEFORE, frequent + unexplained, purchase_count=basket_count))
    elif unexplained > 0:
        # Only the sum over bought and viewed is positive, each part alone is not.
        reasons.append(Reason(ReasonKind.SIMILAR_TO_BOUGHT, unexplained, bought_names or viewed_names))
    if len(reasons) > 1:
        reasons.sort(key=_weight)
    return tuple(reasons)


def _weight(reason: Reason) -> float:
    return -reason.score


def _sources(model: Model, rows: Rows, given: Floats) -> Names:
    """For each column of ``given`` the items, among ``rows``, that give it most."""
    if not len(rows):
        return [()] * given.shape[1]
    best = np.argsort(-given, axis=0, kind="stable")[: 2 * SOURCES_MAX].T
    values = np.take_along_axis(given.T, best, axis=1).tolist()
    return [_named(model.item_ids, places, worth) for places, worth in zip(rows[best].tolist(), values, strict=True)]


def _named(item_ids: Sequence[str], rows: list[int], values: list[float]) -> tuple[str, ...]:
    names = dict.fromkeys([item_ids[row] for row, value in zip(rows, values, strict=True) if value > 0])
    return tuple(names)[:SOURCES_MAX]
