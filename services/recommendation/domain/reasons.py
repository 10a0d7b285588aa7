"""Why items are in personal lists: their scores divided among what they come from.

Vector and transitions are sums over the items that they come from, so that each of those has an exact share. All items
of many lists are explained together: column by column, the arithmetic of one would cost as much as that of all.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from services.recommendation.domain.cells import Keys, Rows, parts, ranks, starts_of, strongest
from services.recommendation.domain.crowd import Crowd
from services.recommendation.domain.model import Floats, Model, Vectors
from services.recommendation.domain.recommendation import Reason, ReasonKind, Recommendation

SIMILAR_TO_BOUGHT, SIMILAR_TO_VIEWED = ReasonKind.SIMILAR_TO_BOUGHT, ReasonKind.SIMILAR_TO_VIEWED
OFTEN_NEXT, BOUGHT_BEFORE = ReasonKind.OFTEN_NEXT, ReasonKind.BOUGHT_BEFORE
SOURCES_MAX = 3
CELLS_AT_ONCE = 4096
"""Items that make vectors, of the people whose lists are explained together."""


@dataclass(frozen=True, slots=True)
class Chosen:
    """The items of lists: for whom, which, and what vectors, transitions and own frequencies give to the score of each.
    Owners ascend."""

    owners: Rows
    rows: Rows
    vectors: Floats
    followed: Floats
    frequent: Floats

    def __len__(self) -> int:
        return len(self.rows)


@dataclass(frozen=True, slots=True)
class _Named:
    """For each chosen item the rows of its sources, the weightiest first, and how many there are. Twice as many as are
    named: what is looked at now may have been looked at before."""

    rows: Rows
    counts: Rows

    @classmethod
    def none(cls, count: int) -> "_Named":
        return cls(np.zeros((count, 2 * SOURCES_MAX), np.int64), np.zeros(count, np.int64))

    def put(self, where: Rows, values: Floats, rows: Rows, most: int = SOURCES_MAX) -> None:
        """Name the sources of some: of each its ``values``, which are overwritten, and the rows behind them."""
        places, counts = strongest(values, most)
        self.rows[where, : places.shape[1]] = rows[np.arange(len(rows))[:, None], places]
        self.counts[where] = counts

    def names(self, item_ids: Sequence[str]) -> list[tuple[str, ...]]:
        """The ids of the sources of each."""
        most = int(self.counts.max(initial=0))
        if not most:
            return [()] * len(self.counts)
        counted = zip(self.rows[:, :most].tolist(), self.counts.tolist(), strict=True)
        if most == 1:
            return [(item_ids[row],) if count else () for (row,), count in counted]
        # A dict keeps each once, in order.
        return [tuple({item_ids[row]: None for row in rows[:count]})[:SOURCES_MAX] for rows, count in counted]


def explained(model: Model, crowd: Crowd, chosen: Chosen, basket_counts: Floats) -> list[Recommendation]:
    """The chosen items, each with its reasons, the weightiest first: they add up to the sum of its parts."""
    bought, viewed, by_bought, by_viewed = _alike(model, crowd, chosen)
    share = np.maximum(bought + viewed, 1e-30)
    from_bought, from_viewed = chosen.vectors * bought / share, chosen.vectors * viewed / share
    unexplained = np.where((bought > 0) | (viewed > 0), 0, chosen.vectors)
    floats = from_bought, from_viewed, chosen.followed, chosen.frequent, unexplained
    ids = model.item_ids
    columns = zip(
        *(column.tolist() for column in floats),
        basket_counts.astype(np.int64).tolist(),
        by_bought.names(ids), by_viewed.names(ids), _followed(crowd, chosen).names(ids),
        strict=True,
    )  # fmt: skip
    rows = chosen.rows.tolist()
    return [Recommendation(ids[row], _reasons(*column)) for row, column in zip(rows, columns, strict=True)]


def _alike(model: Model, crowd: Crowd, chosen: Chosen) -> tuple[Floats, Floats, _Named, _Named]:
    """What likeness to what was bought, and to what was looked at, gives to each, never below 0; and the sources."""
    tastes, count = crowd.tastes, len(crowd)
    held, listed = starts_of(tastes.owners, count), starts_of(chosen.owners, count)
    bought, viewed = np.zeros(len(chosen), np.float32), np.zeros(len(chosen), np.float32)
    by_bought, by_viewed = _Named.none(len(chosen)), _Named.none(len(chosen))
    people = np.flatnonzero(np.diff(listed))
    for part in parts(np.diff(held)[people].tolist(), CELLS_AT_ONCE):
        some = np.sort(people[part])
        cells, known = _block(held, some)
        places, wanted = _block(listed, some)
        own = _given(model, crowd, chosen, cells, places)[wanted]
        where, of = places[wanted], wanted.nonzero()[0]
        looked = known & tastes.viewed[cells]
        rows = tastes.rows[cells][of]
        for kept, sums, named, most in (
            (known & ~looked, bought, by_bought, SOURCES_MAX),
            (looked, viewed, by_viewed, 2 * SOURCES_MAX),
        ):
            if kept.any():
                theirs = kept[of]
                sums[where] = np.maximum(np.where(theirs, own, 0).sum(axis=1), 0)
                named.put(where, np.where(theirs, own, -np.inf), rows, most)
    return bought, viewed, by_bought, by_viewed


def _given(model: Model, crowd: Crowd, chosen: Chosen, cells: Rows, places: Rows) -> Vectors:
    """People by chosen items by items that make their vectors: what each gives. An item is no reason for itself."""
    tastes = crowd.tastes
    shares = tastes.shares[cells][:, :, None] * model.context[tastes.rows[cells]]
    alike = np.matmul(model.target[chosen.rows[places]], shares.transpose(0, 2, 1))
    alike[chosen.rows[places][:, :, None] == tastes.rows[cells][:, None, :]] = 0
    return np.asarray(alike, dtype=np.float32)


def _block(starts: Rows, people: Rows) -> tuple[Rows, NDArray[np.bool_]]:
    """The cells of people as the lines of a table, and which of its places are theirs; the others hold any cell."""
    lengths = starts[people + 1] - starts[people]
    places = np.arange(lengths.max(initial=0))
    known = places < lengths[:, None]
    return np.where(known, starts[people][:, None] + places, 0), known


def _followed(crowd: Crowd, chosen: Chosen) -> _Named:
    """The items of trails from which others went on to each."""
    following, named = crowd.following, _Named.none(len(chosen))
    keys = crowd.keys(chosen.owners, chosen.rows)
    order = keys.argsort()
    places, hits = Keys(keys[order]).find(following.keys)
    found = hits.nonzero()[0]
    if len(found):
        targets, cells = order[places[found]], following.cells[found]
        steps = ranks(crowd.trails.owners)[cells]
        given = np.zeros((len(chosen), int(steps.max()) + 1), dtype=np.float32)
        rows = np.zeros(given.shape, dtype=np.int64)
        given[targets, steps], rows[targets, steps] = following.strengths[found], crowd.trails.rows[cells]
        followed = np.zeros(len(chosen), dtype=np.bool_)
        followed[targets] = True
        where = followed.nonzero()[0]
        named.put(where, given[where], rows[where])
    return named


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
) -> list[Reason]:
    reasons = []
    if from_bought > 0:
        reasons.append(Reason(SIMILAR_TO_BOUGHT, from_bought, bought_names))
    if from_viewed > 0:
        reasons.append(Reason(SIMILAR_TO_VIEWED, from_viewed, viewed_names))
    if followed > 0:
        reasons.append(Reason(OFTEN_NEXT, followed, followed_names))
    if basket_count:
        reasons.append(Reason(BOUGHT_BEFORE, frequent + unexplained, purchase_count=basket_count))
    elif unexplained > 0:
        # Only the sum over bought and viewed is positive, each part alone is not.
        reasons.append(Reason(SIMILAR_TO_BOUGHT, unexplained, bought_names or viewed_names))
    if len(reasons) > 1:
        reasons.sort(key=_weight)
    return reasons


def _weight(reason: Reason) -> float:
    return -reason.score
