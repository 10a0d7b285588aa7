"""Find what is bought together with an item, strictly or with fewer data."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from services.recommendation.domain.baskets import Baskets
from services.recommendation.domain.companions import WINDOW_DEFAULT, Companion, Companions, check_window
from services.recommendation.domain.ranking import FILLING
from services.recommendation.domain.recommendation import (
    EmptyReason,
    Reason,
    ReasonKind,
    Recommendation,
    RecommendationList,
    RelaxedReason,
)
from services.recommendation.handlers.recommend import Sources, Wish
from services.recommendation.handlers.related import find_bought_together, shelf_with


class Variant(IntEnum):
    """Which counts to go by; the numbers are those of the contract."""

    STRICT = 1
    RELAXED = 2
    AUTOMATIC = 3


@dataclass(frozen=True, slots=True)
class Asked:
    """Which counts to go by; the window of the relaxed ones in microseconds."""

    variant: Variant = Variant.STRICT
    window: int = WINDOW_DEFAULT


async def find_together(sources: Sources, tenant: str, item_id: str, wish: Wish, asked: Asked) -> RecommendationList:
    """The list, with why the relaxed variant was asked, if it was. ``ItemNotFound``, ``WindowInvalid``."""
    check_window(asked.window)
    if asked.variant is Variant.RELAXED:
        found = await _relaxed(sources, tenant, item_id, wish, asked.window)
        return replace(found, relaxed_reason=RelaxedReason.ASKED)
    strict = await find_bought_together(sources, tenant, item_id, wish)
    if asked.variant is Variant.STRICT or len(strict.items) >= wish.count:
        return strict
    relaxed = await _relaxed(sources, tenant, item_id, wish, asked.window)
    return replace(_behind(strict, relaxed, wish.count), relaxed_reason=_why(strict))


def _why(strict: RecommendationList) -> RelaxedReason:
    if strict.items:
        return RelaxedReason.FEW_PARTNERS
    no_model = strict.empty_reason is EmptyReason.NO_MODEL
    return RelaxedReason.NO_MODEL if no_model else RelaxedReason.NO_PARTNERS


def _behind(strict: RecommendationList, relaxed: RecommendationList, count: int) -> RecommendationList:
    """The strict list made up to ``count`` with what the relaxed one adds, below what is in it."""
    if not strict.items:
        return replace(relaxed, model_version=strict.model_version)
    known = {item.item_id for item in strict.items}
    more = [item for item in relaxed.items if item.item_id not in known][: count - len(strict.items)]
    scale = strict.items[-1].score * FILLING / more[0].score if more else 1.0
    below = (_scaled(item, min(scale, 1.0)) for item in more)
    return replace(strict, items=(*strict.items, *below))


def _scaled(item: Recommendation, factor: float) -> Recommendation:
    return replace(item, reasons=[replace(reason, score=reason.score * factor) for reason in item.reasons])


async def _relaxed(sources: Sources, tenant: str, item_id: str, wish: Wish, window: int) -> RecommendationList:
    shelf = await shelf_with(sources, tenant, item_id)

    def placed(baskets: Baskets) -> Companions:
        rows = shelf.rows(baskets.item_ids)
        return Companions(baskets, rows, shelf.families(rows))

    companions = await sources.demand.companions(tenant, window, placed)
    (family,) = shelf.families(shelf.rows([item_id])).tolist()
    mask = wish.mask(shelf)
    found = await asyncio.to_thread(companions.beside, item_id, family, companions.allowed(mask), wish.count)
    if found:
        return RecommendationList(tuple(_recommended(found, item_id)))
    if not shelf.item_count:
        return RecommendationList((), empty_reason=EmptyReason.CATALOGUE_EMPTY)
    reason = EmptyReason.NOTHING_RELATED if mask.any() else EmptyReason.NOTHING_ALLOWED
    return RecommendationList((), empty_reason=reason)


def _recommended(found: Sequence[Companion], item_id: str) -> list[Recommendation]:
    return [
        Recommendation(each.item_id, (Reason(ReasonKind.BOUGHT_TOGETHER, each.strength, (item_id,), pair=each),))
        for each in found
    ]
