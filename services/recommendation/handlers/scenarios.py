"""Lists that are not about one person's taste: demand, bundles, carts, repeats."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from services.common.errors import InvalidArgument
from services.recommendation.domain.baskets import Bundle, Growth, bundles_from, bundles_with, strong_pairs
from services.recommendation.domain.complement import completing
from services.recommendation.domain.demand import AudienceAmbiguous
from services.recommendation.domain.newest import by_age
from services.recommendation.domain.ranking import popular_in
from services.recommendation.domain.recommendation import (
    EmptyReason,
    Reason,
    ReasonKind,
    Recommendation,
    RecommendationList,
    Repeat,
)
from services.recommendation.domain.replenishment import DAY, Due, due_again
from services.recommendation.domain.shelf import Shelf
from services.recommendation.domain.tally import InteractionWeight, check_interactions, popularity, trend
from services.recommendation.handlers.recommend import Sources, Wish, popular_or_new
from services.recommendation.handlers.related import shelf_with
from services.recommendation.ports import Buyers

PURCHASES_READ = 5000
"""The newest purchases of a customer in which repeats are looked for."""
SHARE_MIN = 0.001
"""What is less likely than this is not answered as due."""


class HorizonInvalid(InvalidArgument):
    """A horizon out of range."""


@dataclass(frozen=True, slots=True)
class DemandWish:
    """Which demand is meant; the half-life in microseconds."""

    half_life: int
    buyers: Buyers = field(default_factory=Buyers)
    interactions: tuple[InteractionWeight, ...] = ()


async def find_popular(sources: Sources, tenant: str, wish: Wish, asked: DemandWish) -> RecommendationList:
    """What is wanted most. ``AudienceAmbiguous``, ``InteractionsInvalid``."""
    _check(asked)
    counted = popularity(asked.interactions, asked.half_life)
    tally = await sources.demand.tally(tenant, counted, asked.buyers)
    shelf = await sources.catalogue.shelf(tenant)
    mask = wish.mask(shelf)
    return _listed(shelf, tally.popular(lambda item_id: shelf.allows(mask, item_id), wish.count), wish)


async def find_trending(sources: Sources, tenant: str, wish: Wish, asked: DemandWish) -> tuple[RecommendationList, int]:
    """What is wanted more than usual, and how many items were weighed. ``AudienceAmbiguous``,
    ``InteractionsInvalid``."""
    _check(asked)
    tally = await sources.demand.tally(tenant, trend(asked.interactions, asked.half_life), asked.buyers)
    shelf = await sources.catalogue.shelf(tenant)
    mask = wish.mask(shelf)
    found = tally.rising(lambda item_id: shelf.allows(mask, item_id), wish.count)
    return _listed(shelf, found, wish), len(tally.item_ids)


async def find_newest(sources: Sources, tenant: str, wish: Wish, now: int, max_age: int) -> RecommendationList:
    """What became available last, until ``now``; times in microseconds, no ``max_age`` for any."""
    shelf = await sources.catalogue.shelf(tenant)
    start = now - max_age if max_age else None
    found = shelf.latest(wish.mask(shelf), (), wish.count, start, now)
    return _listed(shelf, by_age(((each, shelf.available_time(each)) for each in found), now), wish)


def _check(asked: DemandWish) -> None:
    check_interactions(asked.interactions)
    if asked.buyers.segment_id and asked.buyers.customer_ids:
        raise AudienceAmbiguous("name a segment or customers, not both")


async def find_bundles(
    sources: Sources, tenant: str, wish: Wish, item_id: str, max_size: int, min_basket_count: int
) -> tuple[list[Bundle], int, EmptyReason]:
    """Sets of items that are bought together, how many baskets were counted, why there is no set. ``ItemNotFound``."""
    shelf = await (shelf_with(sources, tenant, item_id) if item_id else sources.catalogue.shelf(tenant))
    live = None if item_id else await sources.models.live(tenant)
    if not item_id and live is None:
        return [], 0, EmptyReason.NO_MODEL
    baskets = await sources.demand.baskets(tenant)
    mask = wish.mask(shelf)
    allowed = np.fromiter((shelf.allows(mask, each) for each in baskets.item_ids), np.bool_, len(baskets.item_ids))
    growth = Growth(allowed, max_size, min_basket_count)
    found: list[Bundle] = []
    if live:
        model = live.model
        pairs = strong_pairs(model, wish.selection(shelf, model).mask, min_basket_count)
        found = await asyncio.to_thread(bundles_from, baskets, pairs, growth, wish.count)
    elif (row := baskets.row_of.get(item_id)) is not None:
        found = await asyncio.to_thread(bundles_with, baskets, row, growth, wish.count)
    reason = EmptyReason.NOT_EMPTY if found else _why_empty(shelf, wish)
    return found, baskets.count, reason


async def find_complements(sources: Sources, tenant: str, wish: Wish, cart: Sequence[str]) -> RecommendationList:
    """What completes a cart; what is popular where the cart says nothing."""
    shelf = await sources.catalogue.shelf(tenant)
    live = await sources.models.live(tenant)
    held = set(cart)
    if live is None:
        popular = await sources.interactions.popular(tenant)
        return _listed(shelf, popular_or_new(shelf, wish, popular, held), wish)
    model = live.model
    allowed = wish.selection(shelf, model).mask
    rows = [row for each in dict.fromkeys(cart) if (row := model.row_of.get(each)) is not None]
    items = completing(model, rows, allowed, wish.count)
    if not items:
        popular = popular_in(model, allowed, held, wish.count)
        items = [
            Recommendation(each, (Reason(ReasonKind.POPULAR, float(buyers), purchase_count=buyers),))
            for each, buyers in popular
        ]
    return _listed(shelf, items, wish, model.training.model_version)


async def find_replenishments(
    sources: Sources, tenant: str, wish: Wish, customer_id: str, now: int, horizon: int
) -> RecommendationList:
    """What a customer is about to need again; times in microseconds. ``HorizonInvalid``."""
    if not DAY <= horizon <= 366 * DAY:
        raise HorizonInvalid(f"a horizon of {horizon / DAY:g} days is out of range; name one of 1 to 366 days")
    shelf = await sources.catalogue.shelf(tenant)
    purchases = await sources.demand.purchases_of(tenant, customer_id, PURCHASES_READ)
    items: list[Recommendation] = []
    if purchases:
        rhythms = await sources.demand.rhythms(tenant)
        mask = wish.mask(shelf)
        due = [it for it in due_again(rhythms, purchases, now, horizon) if shelf.allows(mask, it.item_id)]
        items = [_due(each) for each in due if each.probability >= SHARE_MIN][: wish.count]
    answer = _listed(shelf, items, wish)
    return RecommendationList(answer.items, "", answer.empty_reason, customer_id)


def _due(due: Due) -> Recommendation:
    repeat = Repeat(due.last_time, due.interval, due.probability)
    count = due.purchase_count
    return Recommendation(
        due.item_id, (Reason(ReasonKind.DUE_AGAIN, due.probability, purchase_count=count, repeat=repeat),)
    )


def _listed(shelf: Shelf, items: Sequence[Recommendation], wish: Wish, model_version: str = "") -> RecommendationList:
    reason = EmptyReason.NOT_EMPTY if items else _why_empty(shelf, wish)
    return RecommendationList(tuple(items), model_version, reason)


def _why_empty(shelf: Shelf, wish: Wish) -> EmptyReason:
    if not shelf.item_count:
        return EmptyReason.CATALOGUE_EMPTY
    return EmptyReason.NOTHING_RELATED if wish.mask(shelf).any() else EmptyReason.NOTHING_ALLOWED
