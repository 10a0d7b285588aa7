"""Makes lists out of what the model knows and what the index found."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from services.recommendation.domain.history import History
from services.recommendation.domain.model import Floats, Model
from services.recommendation.domain.recommendation import Reason, ReasonKind, Recommendation, ordered
from services.recommendation.domain.taste import SESSION_SHARE, Taste, blend

SOURCES_MAX = 3
FILLING = 0.5
"""What the most popular item scores against the last item of the list that it fills up."""

Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a list is for: what they bought, and what of that and of the session makes their vector."""

    customer_id: str
    history: History
    session_rows: tuple[int, ...]
    taste: Taste | None

    @property
    def kept_out(self) -> int:
        """How many items the index may find that are not news: bought, or just looked at."""
        return len(self.history.rows) + len(self.session_rows)


def personal(
    model: Model, person: Person, found: Rows, allowed: Mask, exclude_bought: bool, count: int
) -> list[Recommendation]:
    """The best of what was found by vectors and what was bought before. What is looked at is not offered again."""
    taste, history = person.taste, person.history
    if taste is None:
        return []
    candidates = found[found >= 0]
    if exclude_bought:
        candidates = np.setdiff1d(candidates, history.rows)
    else:
        candidates = np.union1d(candidates, history.rows[allowed[history.rows]])
    candidates = np.setdiff1d(candidates, np.asarray(person.session_rows, dtype=np.int64))
    if not len(candidates):
        return []
    fits = model.target[candidates] @ taste.vector(model.context)
    share = model.training.frequency_share * (1 - SESSION_SHARE if person.session_rows else 1)
    vector_part, frequency_part = blend(fits, _looked_up(history, history.weights, candidates), share)
    total = vector_part + frequency_part
    best = np.argsort(-total, kind="stable")[:count]
    best = best[total[best] > 0]
    counts = _looked_up(history, history.baskets.astype(np.float32), candidates)
    given = (model.context[taste.rows] * taste.shares[:, None]) @ model.target[candidates[best]].T
    parts = zip(
        candidates[best].tolist(),
        vector_part[best].tolist(),
        frequency_part[best].tolist(),
        counts[best].astype(np.int64).tolist(),
        given.T,
        strict=True,
    )
    return ordered((_explained(model, taste, *part) for part in parts), count)


def _looked_up(history: History, values: Floats, candidates: Rows) -> Floats:
    """The value of each candidate in the history, 0 for those that are not in it."""
    answer = np.zeros(len(candidates), dtype=np.float32)
    if len(history.rows):
        order = np.argsort(history.rows)
        places = np.minimum(np.searchsorted(history.rows, candidates, sorter=order), len(order) - 1)
        hits = history.rows[order[places]] == candidates
        answer[hits] = values[order[places[hits]]]
    return answer


def _explained(
    model: Model,
    taste: Taste,
    row: int,
    vector_part: float,
    frequency_part: float,
    basket_count: int,
    given: Floats,
) -> Recommendation:
    """An item with its score divided among the reasons. The vector's part is a sum over the items that make the
    vector (``given`` by each), so what was bought and what was looked at each have an exact share of it."""
    given = np.where(taste.rows == row, 0, given).astype(np.float32)
    reasons = []
    bought, viewed = (max(float(given[where].sum()), 0.0) for where in (~taste.viewed, taste.viewed))
    for kind, part, where in (
        (ReasonKind.SIMILAR_TO_BOUGHT, bought, ~taste.viewed),
        (ReasonKind.SIMILAR_TO_VIEWED, viewed, taste.viewed),
    ):
        if part > 0 and vector_part > 0:
            sources = _sources(model, taste, np.where(where, given, 0))
            reasons.append(Reason(kind, vector_part * part / (bought + viewed), sources))
    if basket_count:
        own = frequency_part if reasons else frequency_part + vector_part
        reasons.append(Reason(ReasonKind.BOUGHT_BEFORE, own, purchase_count=basket_count))
    elif not reasons:
        # Only the sum over bought and viewed is positive, each part alone is not.
        reasons.append(Reason(ReasonKind.SIMILAR_TO_BOUGHT, vector_part, _sources(model, taste, given)))
    return Recommendation(model.item_ids[row], tuple(sorted(reasons, key=lambda reason: -reason.score)))


def _sources(model: Model, taste: Taste, given: Floats) -> tuple[str, ...]:
    best = np.argsort(-given, kind="stable")[: 2 * SOURCES_MAX]
    names = dict.fromkeys(model.item_ids[int(taste.rows[at])] for at in best if given[at] > 0)
    return tuple(names)[:SOURCES_MAX]


def popular_in(model: Model, allowed: Mask, without: AbstractSet[str], count: int) -> list[tuple[str, int]]:
    """The allowed items that most customers bought lately, with how many did."""
    rows = model.by_demand[allowed[model.by_demand]]
    found = []
    for row in rows[: count + len(without)].tolist():
        if model.item_ids[row] not in without:
            found.append((model.item_ids[row], int(model.recent_buyers[row])))
    return found[:count]


def filled(items: Sequence[Recommendation], popular: Sequence[tuple[str, int]], count: int) -> list[Recommendation]:
    """A list that is too short, made up to ``count`` with popular items below what is in it."""
    room = count - len(items)
    floor = items[-1].score * FILLING if items else 1.0
    peak = max((buyers for _, buyers in popular), default=0) or 1
    fill = [
        Recommendation(item_id, (Reason(ReasonKind.POPULAR, floor * buyers / peak, purchase_count=buyers),))
        for item_id, buyers in popular[:room]
    ]
    return [*items, *fill]


def newest(item_ids: Iterable[str]) -> list[Recommendation]:
    """Items in the order given, each scoring less than the one before."""
    return [
        Recommendation(item_id, (Reason(ReasonKind.NEW, 1 / (1 + place)),)) for place, item_id in enumerate(item_ids)
    ]


def alike(model: Model, item_id: str, rows: Rows, cosines: Floats, count: int) -> list[Recommendation]:
    """What the index found near an item."""
    found = (
        Recommendation(model.item_ids[row], (Reason(ReasonKind.SIMILAR_TO_VIEWED, cosine, (item_id,)),))
        for row, cosine in zip(rows.tolist(), cosines.tolist(), strict=True)
        if row >= 0 and cosine > 0 and model.item_ids[row] != item_id
    )
    return ordered(found, count)


def together(model: Model, item_id: str, allowed: Mask, count: int) -> list[Recommendation]:
    """What lies in the same baskets as an item, strongest first."""
    row = model.row_of.get(item_id)
    if row is None:
        return []
    pairs = [pair for pair in model.pairs(row) if allowed[pair.row]][:count]
    reason = Reason(ReasonKind.BOUGHT_TOGETHER, 0.0, (item_id,))
    return [
        Recommendation(model.item_ids[pair.row], (replace(reason, score=pair.strength, pair=pair),)) for pair in pairs
    ]
