"""Give new items places in the list of a placement, and report what came of it."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from services.recommendation.domain.exploration import POOL_MAX, Explored, Shown, explore, seed_of
from services.recommendation.domain.feedback import explored_in
from services.recommendation.domain.history import history_of
from services.recommendation.domain.placement import Placement
from services.recommendation.domain.recommendation import Recommendation
from services.recommendation.domain.shelf import Shelf
from services.recommendation.handlers.recommend import Asker, Sources, as_known
from services.recommendation.learning.off_policy import Estimate, Log, ips, snips
from services.recommendation.ports import Mask

ITEMS_TOLD = 1000


@dataclass(frozen=True, slots=True)
class NewItem:
    """What became of a new item where it was explored."""

    item_id: str
    shown: Shown
    mean_probability: float


@dataclass(frozen=True, slots=True)
class ExplorationReport:
    """What exploring brought; estimates are of a choice by chance alone."""

    items: Sequence[NewItem]
    item_count: int
    total: Shown
    impression_share: float
    uniform: tuple[Estimate, Estimate] | None


async def bought_by(sources: Sources, tenant: str, asker: Asker) -> frozenset[str]:
    """What a customer has bought, as far as it is known."""
    if not asker.customer_id:
        return frozenset()
    live = await sources.models.live(tenant)
    if live is None:
        lines = await sources.interactions.bought_since(tenant, 0, [asker.customer_id])
        return frozenset(line.item_id for line in lines.get(asker.customer_id, []))
    known = await as_known(sources, tenant, live, asker)
    history = history_of(live.model, known.customer_id, known.since)
    return history.others | {live.model.item_ids[row] for row in history.rows.tolist()}


def new_items(
    placement: Placement,
    shelf: Shelf,
    mask: Mask,
    chosen: Sequence[Recommendation],
    shown: Mapping[str, Shown],
    without: frozenset[str],
    nonce: str,
) -> list[Explored]:
    """The new items of a list, none of which is in it already."""
    exploration = placement.exploration
    known = [item_id for item_id, each in shown.items() if each.impressions >= exploration.impression_goal]
    pool = shelf.latest(mask, [*known, *without, *(item.item_id for item in chosen)], POOL_MAX)
    seen, clicked, looks = (
        sum(getattr(each, name) for each in shown.values()) for name in ("impressions", "clicks", "looks")
    )
    overall = Shown(seen, clicked, looks)
    return explore(exploration, pool, shown, overall, seed_of(nonce))


def exploration_report(rows: Sequence[Mapping[str, object]], impressions: int) -> ExplorationReport | None:
    """What exploring brought, of ``impressions`` in all; ``None`` where no new item was seen. A row is an item of a
    list with its impressions and clicks."""
    seen: dict[str, list[tuple[int, int, Explored]]] = defaultdict(list)
    for row in rows:
        for each in explored_in(str(row["recommendation_id"])):
            if each.item_id == row["item_id"]:
                seen[each.item_id].append((int(str(row["impressions"])), int(str(row["clicks"])), each))
    if not seen:
        return None
    items = [
        NewItem(
            item_id,
            Shown(sum(shown for shown, _, _ in told), sum(clicks for _, clicks, _ in told)),
            float(np.mean([each.probability for _, _, each in told])),
        )
        for item_id, told in seen.items()
    ]
    items.sort(key=lambda item: (-item.shown.impressions, item.item_id))
    total = Shown(sum(item.shown.impressions for item in items), sum(item.shown.clicks for item in items))
    choices = [choice for told in seen.values() for choice in told]
    return ExplorationReport(
        items[:ITEMS_TOLD], len(items), total, total.impressions / max(impressions, 1), _uniform(choices)
    )


def _uniform(choices: Sequence[tuple[int, int, Explored]]) -> tuple[Estimate, Estimate] | None:
    """What a choice by chance alone would have earned: a click or none for each list and place."""
    if len(choices) < 2:
        return None
    log = Log(
        np.array([min(clicks, 1) for _, clicks, _ in choices], dtype=np.float64),
        np.array([each.probability for _, _, each in choices]),
        np.array([1 / each.pool for _, _, each in choices]),
    )
    return ips(log), snips(log)
