"""Measure how far what is bought is from what the model learnt, and lists from those of the period before."""

import asyncio
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from services.recommendation.domain.drift import Drift, ListDrift, Lists, drift_of, list_drift
from services.recommendation.domain.drift_settings import USUAL, DriftSettings
from services.recommendation.domain.history import Bought, history_of
from services.recommendation.domain.model import Model, Vectors
from services.recommendation.domain.selection import Selection
from services.recommendation.domain.shelf import Shelf
from services.recommendation.domain.taste import taste_of
from services.recommendation.ports import Catalogue, FeedbackLog, Interactions, Live, Models, Period

SCORED_MAX = 500
"""Customers whose scores are compared."""

Scores = tuple[NDArray[np.float64], NDArray[np.float64]]


async def measure_drift(
    models: Models, interactions: Interactions, catalogue: Catalogue, tenant: str, settings: DriftSettings = USUAL
) -> Drift | None:
    """How far what is bought now is from what the live model learnt from; ``None`` without a model."""
    if (live := await models.live(tenant)) is None:
        return None
    since = await interactions.lines_since(tenant, live.model.training.position)
    shelf = await catalogue.shelf(tenant)
    scores = await _scores(interactions, live, tenant, settings.customers) if since else None
    return drift_of(live.model, since, lambda item_id: _path(shelf, item_id), shelf.price, scores, settings)


async def measure_list_drift(
    log: FeedbackLog, catalogue: Catalogue, tenant: str, period: Period, settings: DriftSettings = USUAL
) -> ListDrift:
    """Lists of a period against those of the period before it, which was as long."""
    length = period.end - period.start
    before = await log.shown_in(tenant, replace(period, start=period.start - length, end=period.start))
    now = await log.shown_in(tenant, period)
    shelf = await catalogue.shelf(tenant)
    sides = _on(shelf, before), _on(shelf, now)
    return list_drift(*sides, shelf.item_count, lambda item_id: _path(shelf, item_id), settings)


def _on(shelf: Shelf, lists: Lists) -> Lists:
    """Without the items that are gone."""
    return replace(lists, shown={item_id: count for item_id, count in lists.shown.items() if item_id in shelf})


def _path(shelf: Shelf, item_id: str) -> tuple[str, ...]:
    return shelf.categories(item_id) if item_id in shelf else ()


async def _scores(interactions: Interactions, live: Live, tenant: str, least: int) -> Scores | None:
    """Of customers who bought since the training, how well the best item fits: as it was, and as it is. ``None`` for
    fewer than ``least``."""
    position = live.model.training.position
    who = await interactions.buyers_since(tenant, position, SCORED_MAX)
    moved = await interactions.moved_since(tenant, position)
    known = [each for each in who if each in live.model.customer_of and each not in moved]
    if len(known) < least:
        return None
    since = await interactions.bought_since(tenant, position, known)
    before, now = await asyncio.to_thread(_tastes, live.model, since)
    if not len(before):
        return None  # what they bought since was moved or removed meanwhile
    everything = Selection(np.ones(len(live.model.item_ids), dtype=np.bool_))
    best = [(await live.targets.search(side, 1, everything))[1][:, 0].astype(np.float64) for side in (before, now)]
    return best[0], best[1]


def _tastes(model: Model, since: dict[str, list[Bought]]) -> tuple[Vectors, Vectors]:
    """The vectors of the same customers, without and with what they bought since."""
    found = []
    for customer_id, lines in since.items():
        pair = [taste_of(history_of(model, customer_id, each), ()) for each in ((), lines)]
        found.append([taste.vector(model.context) for taste in pair if taste])
    both = [pair for pair in found if len(pair) == 2]
    width = model.context.shape[1]
    sides = (np.array([pair[at] for pair in both], dtype=np.float32).reshape(len(both), width) for at in (0, 1))
    return next(sides), next(sides)
