"""Find items that go with an item."""

from dataclasses import replace

from services.recommendation.domain.item import ItemFilter
from services.recommendation.domain.ranking import alike, filled, popular_in, together
from services.recommendation.domain.recommendation import EmptyReason, Recommendation, RecommendationList
from services.recommendation.domain.selection import Selection
from services.recommendation.domain.shelf import Shelf
from services.recommendation.handlers.catalogue import item_not_found
from services.recommendation.handlers.recommend import Sources, Wish, popular_or_new
from services.recommendation.ports import Live


async def find_similar_items(sources: Sources, tenant: str, item_id: str, wish: Wish) -> RecommendationList:
    """Likely alternatives; for an item that nobody has bought yet, what is popular in its category."""
    shelf = await shelf_with(sources, tenant, item_id)
    live = await sources.models.live(tenant)
    row = live.model.row_of.get(item_id) if live else None
    if live is None:
        popular = await sources.interactions.popular(tenant)
        items = popular_or_new(shelf, _in_category(shelf, item_id, wish), popular, {item_id})
        return _answer(items, None, shelf, wish.filter)
    if row is None:
        return _answer(_popular_in_category(shelf, live, item_id, wish), live, shelf, wish.filter)
    model = live.model
    allowed = _allowed(shelf, live, wish)
    queries = model.likeness[row : row + 1]
    rows, cosines = await live.likenesses.search(queries, wish.count + 1, allowed)
    still = _allowed(shelf, live, wish).mask[rows[0]] & (rows[0] >= 0)
    items = alike(model, item_id, rows[0][still], cosines[0][still], wish.count)
    return _answer(items, live, shelf, wish.filter)


async def find_bought_together(sources: Sources, tenant: str, item_id: str, wish: Wish) -> RecommendationList:
    """What lies in the same baskets: the strict variant."""
    shelf = await shelf_with(sources, tenant, item_id)
    live = await sources.models.live(tenant)
    if live is None:
        return RecommendationList((), empty_reason=EmptyReason.NO_MODEL)
    items = together(live.model, item_id, _allowed(shelf, live, wish).mask, wish.count)
    return _answer(items, live, shelf, wish.filter)


async def shelf_with(sources: Sources, tenant: str, item_id: str) -> Shelf:
    """The catalogue in memory, which has the item; ``ItemNotFound``."""
    shelf = await sources.catalogue.shelf(tenant)
    if item_id not in shelf:
        raise item_not_found(item_id)
    return shelf


def _allowed(shelf: Shelf, live: Live, wish: Wish) -> Selection:
    return wish.selection(shelf, live.model)


def _in_category(shelf: Shelf, item_id: str, wish: Wish) -> Wish:
    """The wish narrowed to the item's narrowest category, unless it names categories itself."""
    path = shelf.categories(item_id)
    if wish.filter.categories or not path:
        return wish
    return replace(wish, filter=replace(wish.filter, categories=frozenset(path[-1:])))


def _popular_in_category(shelf: Shelf, live: Live, item_id: str, wish: Wish) -> list[Recommendation]:
    allowed = _allowed(shelf, live, _in_category(shelf, item_id, wish)).mask
    return filled([], popular_in(live.model, allowed, {item_id}, wish.count), wish.count)


def _answer(items: list[Recommendation], live: Live | None, shelf: Shelf, wanted: ItemFilter) -> RecommendationList:
    version = live.model.training.model_version if live else ""
    if items:
        return RecommendationList(tuple(items), version)
    related = bool(shelf.mask(wanted).any())
    reason = EmptyReason.NOTHING_RELATED if related else EmptyReason.NOTHING_ALLOWED
    return RecommendationList((), version, reason)
