"""Makes lists out of what the model knows and what the index found."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from services.recommendation.domain.history import Bought, History, history_of
from services.recommendation.domain.mixture import Mixture, blend
from services.recommendation.domain.model import Floats, Model
from services.recommendation.domain.reasons import explained
from services.recommendation.domain.recommendation import Reason, ReasonKind, Recommendation, ordered
from services.recommendation.domain.taste import SESSION_SHARE, Taste, taste_of
from services.recommendation.domain.trail import Following, Trail, following, trail_of

LOOKED_AT_ONCE = 4096
"""Popular items that are looked through at once; most lists find theirs among the first."""
FILLING = 0.5
"""What the most popular item scores against the last item of the list that it fills up."""

Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Person:
    """Whom a list is for: what they bought, and what of that and of the session makes their vector and their trail."""

    customer_id: str
    history: History
    session_rows: tuple[int, ...]
    taste: Taste | None
    trail: Trail
    following: Following

    @property
    def kept_out(self) -> int:
        """How many items the index may find that are not news: bought, or just looked at."""
        return len(self.history.rows) + len(self.session_rows)


def person_of(model: Model, customer_id: str, since: Sequence[Bought], session_rows: tuple[int, ...]) -> Person:
    """Somebody as the model knows them, with what they bought since and what they look at."""
    history = history_of(model, customer_id, since)
    trail = trail_of(model, customer_id, since, session_rows)
    taste = taste_of(history, session_rows)
    return Person(customer_id, history, session_rows, taste, trail, following(model, trail))


def personal(
    model: Model, person: Person, found: Rows, allowed: Mask, exclude_bought: bool, count: int
) -> list[Recommendation]:
    """The best of what was found by vectors, what others went on to, and what was bought before. What is looked at is
    not offered again."""
    taste = person.taste
    if taste is None:
        return []
    candidates = _candidates(person, found, allowed, exclude_bought, count)
    if not len(candidates):
        return []
    mixture = model.training.new_mixture if exclude_bought else model.training.mixture
    parts = _parts(model, person, taste, candidates, mixture)
    total = parts[0] + parts[1] + parts[2]
    best = np.argsort(-total, kind="stable")[:count]
    best = best[total[best] > 0]
    counts = _looked_up(person.history, person.history.baskets.astype(np.float32), candidates[best])
    rows, kept = candidates[best], (parts[0][best], parts[1][best], parts[2][best])
    reasons = explained(model, taste, (person.trail, person.following), rows, kept, counts)
    named = zip(rows.tolist(), reasons, strict=True)
    return ordered((Recommendation(model.item_ids[row], why) for row, why in named), count)


def _candidates(person: Person, found: Rows, allowed: Mask, exclude_bought: bool, count: int) -> Rows:
    """Rows, each once, in order."""
    rows = person.history.rows
    followers = person.following.strongest(count + person.kept_out, allowed)
    candidates = np.union1d(found[found >= 0], followers)
    if exclude_bought:
        candidates = np.setdiff1d(candidates, rows)
    else:
        candidates = np.union1d(candidates, rows[allowed[rows]])
    return np.setdiff1d(candidates, np.asarray(person.session_rows, dtype=np.int64)).astype(np.int64)


def _parts(
    model: Model, person: Person, taste: Taste, candidates: Rows, mixture: Mixture
) -> tuple[Floats, Floats, Floats]:
    """What vectors, transitions and own frequencies add to each candidate. In a session frequencies say less."""
    if person.session_rows:
        mixture = replace(mixture, frequency=mixture.frequency * (1 - SESSION_SHARE))
    fits = np.asarray(model.target[candidates] @ taste.vector(model.context), dtype=np.float32)
    frequencies = _looked_up(person.history, person.history.weights, candidates)
    return blend(fits, person.following.total(candidates), frequencies, mixture)


def _looked_up(history: History, values: Floats, candidates: Rows) -> Floats:
    """The value of each candidate in the history, 0 for those that are not in it."""
    answer = np.zeros(len(candidates), dtype=np.float32)
    if len(history.rows):
        order = np.argsort(history.rows)
        places = np.minimum(np.searchsorted(history.rows, candidates, sorter=order), len(order) - 1)
        hits = history.rows[order[places]] == candidates
        answer[hits] = values[order[places[hits]]]
    return answer


def popular_in(model: Model, allowed: Mask, without: AbstractSet[str], count: int) -> list[tuple[str, int]]:
    """The allowed items that most customers bought lately, with how many did."""
    found: list[tuple[str, int]] = []
    for first in range(0, len(model.by_demand), LOOKED_AT_ONCE):
        rows = model.by_demand[first : first + LOOKED_AT_ONCE]
        for row in rows[allowed[rows] & (model.item_baskets[rows] > 0)].tolist():
            if model.item_ids[row] not in without:
                found.append((model.item_ids[row], int(model.recent_buyers[row])))
                if len(found) == count:
                    return found
    return found


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
