"""Put a given list into the order in which it suits a person."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from services.recommendation.domain.crowd import Crowd
from services.recommendation.domain.item import ItemFilter, ItemRepeated
from services.recommendation.domain.ranking import FILLING, personal
from services.recommendation.domain.recommendation import (
    EmptyReason,
    Reason,
    ReasonKind,
    Recommendation,
    RecommendationList,
)
from services.recommendation.handlers.recommend import Asker, Sources, as_known


async def rerank_items(
    sources: Sources, tenant: str, asker: Asker, item_ids: Sequence[str], wanted: ItemFilter
) -> RecommendationList:
    """What the model knows something of, best first; then the rest as it came. ``ItemRepeated``."""
    repeated = [item_id for item_id, times in Counter(item_ids).items() if times > 1]
    if repeated:
        raise ItemRepeated(f"item {repeated[0]} comes twice; name each item once", item_id=repeated[0])
    live = await sources.models.live(tenant)
    person = await as_known(sources, tenant, live, asker) if live else None
    shelf = await sources.catalogue.shelf(tenant)
    mask = shelf.mask(wanted)
    left = [item_id for item_id in item_ids if shelf.allows(mask, item_id)]
    known: list[Recommendation] = []
    if live and person:
        model = live.model
        rows = np.array([row for each in left if (row := model.row_of.get(each)) is not None], dtype=np.int64)
        allowed = np.zeros(len(model.item_ids), dtype=bool)
        allowed[rows] = True
        crowd = Crowd(model, [person])
        if crowd.tasteful[0]:
            (known,) = personal(model, crowd, (np.zeros(len(rows), np.int64), rows), allowed, False, len(rows))
    items = [*known, *_given(left, known)]
    version = live.model.training.model_version if live else ""
    without = EmptyReason.NOTHING_ALLOWED if shelf.item_count else EmptyReason.CATALOGUE_EMPTY
    reason = EmptyReason.NOT_EMPTY if items else without
    return RecommendationList(tuple(items), version, reason, asker.customer_id)


def _given(item_ids: Sequence[str], known: Sequence[Recommendation]) -> list[Recommendation]:
    """The others, below those that are known."""
    ahead = {item.item_id for item in known}
    floor = known[-1].score * FILLING if known else 1.0
    rest = [item_id for item_id in item_ids if item_id not in ahead]
    return [
        Recommendation(item_id, (Reason(ReasonKind.GIVEN, floor / (1 + place)),)) for place, item_id in enumerate(rest)
    ]
