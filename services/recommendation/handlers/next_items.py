"""Answer lists page by page."""

from collections.abc import Sequence
from dataclasses import replace

from services.recommendation.domain.feedback import origin_of
from services.recommendation.domain.open_list import ListNotKept, OpenList, check_open
from services.recommendation.domain.placement import PlacementNotFound
from services.recommendation.domain.recommendation import EmptyReason, RecommendationList
from services.recommendation.handlers.placements import Placing, Visit, placement_list
from services.recommendation.handlers.recommend import Asker, Sources, Wish, recommend_one
from services.recommendation.ports import OpenLists


def question_of(visit: Visit, wish: Wish) -> OpenList:
    """What is asked, before anything is answered. ``FilterTooLarge``."""
    asked = OpenList(
        visit.asker.customer_id,
        visit.asker.session_item_ids,
        visit.item_ids,
        dict(visit.context or {}),
        visit.visitor_id,
        wish.filter,
        wish.exclude_bought,
        wish.count,
    )
    check_open(asked)
    return asked


async def keep_open(
    lists: OpenLists, tenant: str, asked: Sequence[OpenList], made: Sequence[RecommendationList], now: int
) -> list[RecommendationList]:
    """The first pages, each kept with its question, if anything can come behind it."""
    placed = [
        replace(each, origin=origin_of(listed.recommendation_id) or each.origin)
        for each, listed in zip(asked, made, strict=True)
    ]
    return await _kept(lists, tenant, placed, made, now)


async def recommend_next_items(
    sources: Sources,
    placing: Placing,
    lists: OpenLists,
    tenant: str,
    recommendation_id: str,
    count: int,
    now: int,
    nonce: str,
) -> RecommendationList:
    """The page behind that of an id; ``count`` 0 for as many items as that was asked to hold. ``ListNotKept``,
    ``PlacementNotFound``, ``ItemNotFound``."""
    before = await lists.get(tenant, recommendation_id)
    if before is None or before.expire_time <= now:
        raise ListNotKept(
            "no list of this recommendation_id can be gone on with: ask for it with resumable, and for each next page"
            " within 30 minutes"
        )
    asked = replace(before, count=count or before.count, page=before.page + 1)
    made = await _made(sources, placing, tenant, asked, now, f"{nonce}.{asked.page}")
    (page,) = await _kept(lists, tenant, [asked], [made], now)
    return page


async def _made(
    sources: Sources, placing: Placing, tenant: str, asked: OpenList, now: int, nonce: str
) -> RecommendationList:
    wish = Wish(min(asked.count, asked.room), asked.filter, asked.exclude_bought)
    asker, origin = Asker(asked.customer_id, asked.session_item_ids), asked.origin
    if not wish.count:
        named = origin.named(nonce)
        ended = RecommendationList((), "", EmptyReason.NO_MORE, asked.customer_id, origin.placement_version, named)
        return replace(ended, variant=origin.variant)
    if not origin.placement_id:
        # As much of the whole list as is needed: its scores are those of one list.
        whole = await recommend_one(sources, tenant, asker, replace(wish, count=len(asked.answered) + wish.count))
        known = set(asked.answered)
        items = tuple(item for item in whole.items if item.item_id not in known)[: wish.count]
        reason = EmptyReason.NOT_EMPTY if items else EmptyReason.NO_MORE
        return replace(whole, items=items, empty_reason=reason, recommendation_id=origin.named(nonce))
    placement = await placing.placements.at(tenant, origin.placement_id, origin.placement_version)
    if placement is None:
        raise PlacementNotFound(f"there is no placement {origin.placement_id}", placement_id=origin.placement_id)
    visit = Visit(asker, asked.item_ids, asked.context, asked.visitor_id, nonce)
    return await placement_list(sources, placing, tenant, visit, (placement, origin), wish, now, asked.answered)


async def _kept(
    lists: OpenLists, tenant: str, asked: Sequence[OpenList], made: Sequence[RecommendationList], now: int
) -> list[RecommendationList]:
    """What was made, kept as far as anything can come behind it: not behind a page that was not filled."""
    pages = [
        each.answering(listed.recommendation_id, tuple(item.item_id for item in listed.items), now)
        for each, listed in zip(asked, made, strict=True)
    ]
    full = [page.room > 0 and len(listed.items) >= page.count for page, listed in zip(pages, made, strict=True)]
    if any(full):
        await lists.put(tenant, [page for page, more in zip(pages, full, strict=True) if more])
    return [
        replace(
            listed,
            resumable_until=page.expire_time if more else 0,
            first_recommendation_id=page.first_recommendation_id,
        )
        for page, listed, more in zip(pages, made, full, strict=True)
    ]
