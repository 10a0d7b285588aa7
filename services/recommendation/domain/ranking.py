"""Makes lists out of what the model knows and what the index found."""

from collections.abc import Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from services.recommendation.domain.cells import Rows, firsts_of, ranks, starts_of
from services.recommendation.domain.crowd import Crowd
from services.recommendation.domain.mixture import Mixture, Mixtures, blend
from services.recommendation.domain.model import Floats, Model
from services.recommendation.domain.reasons import Chosen, explained
from services.recommendation.domain.recommendation import Reason, ReasonKind, Recommendation, ordered
from services.recommendation.domain.taste import SESSION_SHARE

LOOKED_AT_ONCE = 4096
"""Popular items that are looked through at once; most lists find theirs among the first."""
FILLING = 0.5
"""What the most popular item scores against the last item of the list that it fills up."""

Mask = NDArray[np.bool_]


def personal(
    model: Model, crowd: Crowd, found: tuple[Rows, Rows], allowed: Mask, exclude_bought: bool, count: int
) -> list[list[Recommendation]]:
    """For each of a crowd the best of what was found by vectors (people and rows), what others went on to, and what was
    bought before. What is looked at is not offered again."""
    keys = _candidates(crowd, found, allowed, exclude_bought, count)
    if not len(keys):
        return [[] for _ in crowd.people]
    owners, rows = crowd.pairs(keys)
    weights, baskets = crowd.looked_up(keys)
    parts = _parts(model, crowd, (keys, owners, rows), weights, exclude_bought)
    total = parts[0] + parts[1] + parts[2]
    order = np.lexsort((-total, owners))
    order = order[ranks(owners[order]) < count]
    order = order[total[order] > 0]
    chosen = Chosen(owners[order], rows[order], *(part[order] for part in parts))
    items = explained(model, crowd, chosen, baskets[order])
    starts = starts_of(chosen.owners, len(crowd)).tolist()
    return [ordered(items[first:end], count) for first, end in pairwise(starts)]


def _candidates(crowd: Crowd, found: tuple[Rows, Rows], allowed: Mask, exclude_bought: bool, count: int) -> Rows:
    """Pairs of people and items, ascending, each once."""
    owners, rows = found
    kept = allowed[rows]
    candidates = [crowd.keys(owners[kept], rows[kept]), _followers(crowd, allowed, count)]
    histories = crowd.histories
    if not exclude_bought:
        again = allowed[histories.rows]
        candidates.append(crowd.keys(histories.owners[again], histories.rows[again]))
    wanted = np.concatenate(candidates)
    wanted.sort()
    wanted = wanted[firsts_of(wanted)]
    if exclude_bought:
        wanted = wanted[~crowd.bought.find(wanted)[1]]
    if len(crowd.session_rows):
        wanted = wanted[~np.isin(wanted, crowd.keys(crowd.session_owners, crowd.session_rows))]
    return wanted


def _followers(crowd: Crowd, allowed: Mask, count: int) -> Rows:
    """Pairs of people and allowed items that follow most strongly, enough for ``count`` besides what is no news."""
    keys, totals = crowd.following.followers.ascending, crowd.following.totals
    owners, rows = crowd.pairs(keys)
    kept = allowed[rows] & crowd.tasteful[owners]
    keys, totals, owners = keys[kept], totals[kept], owners[kept]
    limits = count + crowd.kept_out
    if (np.bincount(owners, minlength=len(crowd)) <= limits).all():
        return keys
    order = np.lexsort((-totals, owners))
    return keys[order[ranks(owners[order]) < limits[owners[order]]]]


def _parts(
    model: Model, crowd: Crowd, candidates: tuple[Rows, Rows, Rows], weights: Floats, exclude_bought: bool
) -> tuple[Floats, Floats, Floats]:
    """What vectors, transitions and own frequencies add to each candidate. In a session frequencies say less."""
    keys, owners, rows = candidates
    mixture: Mixture | Mixtures = model.training.new_mixture if exclude_bought else model.training.mixture
    if len(crowd.session_rows):
        less = np.where(crowd.in_session, 1 - SESSION_SHARE, 1.0)[owners]
        mixture = Mixtures(mixture.frequency * less, mixture.following)
    places, hits = crowd.following.followers.find(keys)
    follows = np.where(hits, crowd.following.totals[places], 0) if hits.any() else np.zeros(len(keys), np.float32)
    fits = np.einsum("ij,ij->i", model.target[rows], crowd.vectors[owners])
    return blend(fits, follows, weights, mixture, firsts_of(owners))


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
