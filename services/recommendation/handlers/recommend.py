"""Recommend items to people."""

import asyncio
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np

from services.recommendation.domain.cells import Rows
from services.recommendation.domain.crowd import Crowd, Known
from services.recommendation.domain.history import Bought
from services.recommendation.domain.item import ItemFilter
from services.recommendation.domain.model import Model
from services.recommendation.domain.ranking import filled, newest, personal, popular_in
from services.recommendation.domain.recommendation import EmptyReason, Recommendation, RecommendationList
from services.recommendation.domain.selection import Selection
from services.recommendation.domain.shelf import Shelf
from services.recommendation.handlers.gathering import Gathering
from services.recommendation.ports import Catalogue, Demand, Interactions, Live, Mask, Models

FOUND_MAX = 2048
"""The longest list that the index is asked for; beyond it what is not news is masked for each person alone."""
FEW = 8
"""Lists of so many are made on the loop: one or two milliseconds, which a thread would cost as well."""


@dataclass(frozen=True, slots=True)
class Asker:
    """Somebody who wants a list: a known customer, a visitor with a session, or both; nobody in particular if empty."""

    customer_id: str = ""
    session_item_ids: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Wish:
    """What the list should be like."""

    count: int
    filter: ItemFilter
    exclude_bought: bool = False
    also: tuple[ItemFilter, ...] = ()
    """More that every item must pass."""
    without: tuple[ItemFilter, ...] = ()
    """What passes one of these is left out."""

    def mask(self, shelf: Shelf) -> Mask:
        """Which rows of the shelf are allowed."""
        mask = shelf.mask(self.filter)
        for each in self.also:
            mask = mask & shelf.mask(each)
        for each in self.without:
            mask = mask & ~shelf.mask(replace(each, include_out_of_stock=True))
        return mask

    def selection(self, shelf: Shelf, model: Model) -> Selection:
        """Which items of a model are allowed."""
        version, item_ids = model.training.model_version, model.item_ids
        if self.also or self.without:
            return shelf.project(self.mask(shelf), version, item_ids)
        return shelf.selection(self.filter, version, item_ids)


@dataclass(frozen=True, slots=True)
class Sources:
    """The ports that recommending reads."""

    catalogue: Catalogue
    interactions: Interactions
    models: Models
    demand: Demand
    gathering: "Gathering[tuple[str, Wish], Asker, RecommendationList]" = field(init=False)
    """Of askers of the same tenant who want the same at the same time."""

    def __post_init__(self) -> None:
        async def together(of: tuple[str, Wish], askers: Sequence[Asker]) -> Sequence[RecommendationList]:
            return await recommend(self, of[0], askers, of[1])

        object.__setattr__(self, "gathering", Gathering(together))


async def recommend_one(sources: Sources, tenant: str, asker: Asker, wish: Wish) -> RecommendationList:
    """A list for one asker, made together with those of others who want the same at the same time."""
    return await sources.gathering.ask((tenant, wish), asker)


async def recommend(sources: Sources, tenant: str, askers: Sequence[Asker], wish: Wish) -> list[RecommendationList]:
    """A list for each asker. The chain: purchases and session, what is popular, what is new."""
    shelf = await sources.catalogue.shelf(tenant)
    allowed = wish.mask(shelf)
    if not allowed.any():
        reason = EmptyReason.NOTHING_ALLOWED if shelf.item_count else EmptyReason.CATALOGUE_EMPTY
        return [RecommendationList((), "", reason, asker.customer_id) for asker in askers]
    live = await sources.models.live(tenant)
    position = live.model.training.position if live else 0
    customer_ids = list(dict.fromkeys(asker.customer_id for asker in askers if asker.customer_id))
    since: dict[str, list[Bought]] = {}
    if customer_ids and (live or wish.exclude_bought):
        since = await sources.interactions.bought_since(tenant, position, customer_ids)
    if live is None:
        return await _without_model(sources, tenant, shelf, askers, wish, since)
    moved = await sources.interactions.moved_since(tenant, position) if customer_ids else frozenset()
    return await _with_model(live, shelf, askers, wish, _Lately(since, moved))


@dataclass(frozen=True, slots=True)
class _Lately:
    """What the model has not learnt of customers, and of whom it remembers what is no longer theirs."""

    bought: dict[str, list[Bought]]
    moved: AbstractSet[str]


async def as_known(sources: Sources, tenant: str, live: Live, asker: Asker) -> Known:
    """Somebody as the model knows them, with what it has not learnt yet."""
    position, ids = live.model.training.position, [asker.customer_id] if asker.customer_id else []
    since = await sources.interactions.bought_since(tenant, position, ids) if ids else {}
    moved = await sources.interactions.moved_since(tenant, position) if ids else frozenset()
    return _known(live, asker, _Lately(since, moved))


async def _with_model(
    live: Live, shelf: Shelf, askers: Sequence[Asker], wish: Wish, lately: _Lately
) -> list[RecommendationList]:
    model = live.model
    crowd = Crowd(model, [_known(live, asker, lately) for asker in askers])
    found = await _search(live, crowd, wish, shelf)
    # Read again after the search: what was deleted or sold out meanwhile is not answered.
    allowed = wish.selection(shelf, model).mask
    making = partial(personal, model, crowd, found, allowed, wish.exclude_bought, wish.count)
    lists = making() if len(askers) <= FEW else await asyncio.to_thread(making)
    answers = []
    for place, (items, asker) in enumerate(zip(lists, askers, strict=True)):
        if len(items) < wish.count:
            without = {item.item_id for item in items} | set(asker.session_item_ids)
            if wish.exclude_bought:
                without |= {model.item_ids[row] for row in crowd.history(place).tolist()} | crowd.others[place]
            items = filled(items, popular_in(model, allowed, without, wish.count), wish.count)
        answers.append(_answer(items, model.training.model_version, asker))
    return answers


def _known(live: Live, asker: Asker, lately: _Lately) -> Known:
    session: tuple[int, ...] = ()
    if asker.session_item_ids:
        row_of = live.model.row_of
        session = tuple(dict.fromkeys(row for it in asker.session_item_ids if (row := row_of.get(it)) is not None))
    remembered_as = "" if asker.customer_id in lately.moved else asker.customer_id
    return Known(remembered_as, lately.bought.get(asker.customer_id, ()), session)


async def _search(live: Live, crowd: Crowd, wish: Wish, shelf: Shelf) -> tuple[Rows, Rows]:
    """People and rows of their best fits; enough of them that ``count`` are left besides what is not news to them."""
    allowed = wish.selection(shelf, live.model)
    length = crowd.kept_out + wish.count
    together = np.flatnonzero(crowd.tasteful & (length <= FOUND_MAX))
    found: list[tuple[Rows, Rows]] = []
    if len(together):
        longest = int(length[together].max())
        rows = (await live.targets.search(crowd.vectors[together], longest, allowed))[0]
        found.append((np.repeat(together, longest), rows.ravel()))
    for place in np.flatnonzero(crowd.tasteful & (length > FOUND_MAX)).tolist():
        known = [crowd.history(place), np.array(crowd.people[place].session_rows, dtype=np.int64)]
        own = allowed.without(np.concatenate(known))
        rows = (await live.targets.search(crowd.vectors[place : place + 1], wish.count, own))[0]
        found.append((np.full(wish.count, place), rows.ravel()))
    owners = np.concatenate([np.empty(0, np.int64), *(people for people, _ in found)])
    rows = np.concatenate([np.empty(0, np.int64), *(some for _, some in found)])
    return owners[rows >= 0], rows[rows >= 0]


async def _without_model(
    sources: Sources,
    tenant: str,
    shelf: Shelf,
    askers: Sequence[Asker],
    wish: Wish,
    since: dict[str, list[Bought]],
) -> list[RecommendationList]:
    popular = await sources.interactions.popular(tenant)
    answers = []
    for asker in askers:
        without = set(asker.session_item_ids)
        if wish.exclude_bought:
            without |= {line.item_id for line in since.get(asker.customer_id, [])}
        answers.append(_answer(popular_or_new(shelf, wish, popular, without), "", asker))
    return answers


def popular_or_new(
    shelf: Shelf, wish: Wish, popular: Sequence[tuple[str, int]], without: AbstractSet[str]
) -> list[Recommendation]:
    """What sells, as far as it is allowed; where nothing was ever sold, what is new."""
    mask = wish.mask(shelf)
    fitting = [it for it in popular if it[0] not in without and shelf.allows(mask, it[0])][: wish.count]
    if popular:
        return filled([], fitting, wish.count)
    fresh = (item_id for item_id in shelf.newest(mask) if item_id not in without)
    return newest(item_id for item_id, _ in zip(fresh, range(wish.count), strict=False))


def _answer(items: Sequence[Recommendation], model_version: str, asker: Asker) -> RecommendationList:
    reason = EmptyReason.NOT_EMPTY if items else EmptyReason.NOTHING_ALLOWED
    return RecommendationList(tuple(items), model_version, reason, asker.customer_id)
