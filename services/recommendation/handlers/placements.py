"""Keep placements, and make their lists."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from services.common.errors import AlreadyExists, Conflict
from services.common.rules.condition import Facts
from services.recommendation.domain.control import Matched, Situation, controlled
from services.recommendation.domain.exploration import placed
from services.recommendation.domain.feedback import Origin
from services.recommendation.domain.item import ItemFilter
from services.recommendation.domain.model import Model
from services.recommendation.domain.placement import (
    Control,
    Effect,
    ItemNeeded,
    Placement,
    PlacementChanged,
    PlacementNotFound,
    Scenario,
    check_placement,
)
from services.recommendation.domain.ranking import filled
from services.recommendation.domain.recommendation import EmptyReason, Recommendation, RecommendationList
from services.recommendation.domain.replenishment import DAY
from services.recommendation.domain.shelf import Shelf
from services.recommendation.handlers.exploration import bought_by, new_items
from services.recommendation.handlers.recommend import Asker, Sources, Wish, recommend_one
from services.recommendation.handlers.related import find_bought_together, find_similar_items
from services.recommendation.handlers.scenarios import (
    DemandWish,
    find_complements,
    find_newest,
    find_popular,
    find_replenishments,
    find_trending,
)
from services.recommendation.ports import (
    Buyers,
    Experiments,
    Exposure,
    FeedbackLog,
    Memberships,
    Placements,
    Request,
    Requests,
    Traits,
)

CANDIDATES_MIN, CANDIDATES_MAX = 60, 300
CANDIDATES_EACH = 5
"""Candidates for every item of the list: enough for quotas and objectives to choose from."""
LATELY_MAX = 1000
"""Lines of a customer, the newest, that are looked through for what they bought lately."""
POPULAR_DAYS, TRENDING_DAYS, HORIZON_DAYS = 14, 3, 7


@dataclass(frozen=True, slots=True)
class Placing:
    """The ports that making the list of a placement needs besides."""

    placements: Placements
    memberships: Memberships
    traits: Traits
    experiments: Experiments
    log: FeedbackLog


@dataclass(frozen=True, slots=True)
class Visit:
    """Who asks, and about what."""

    asker: Asker
    item_ids: tuple[str, ...] = ()
    context: Mapping[str, str] | None = None
    visitor_id: str = ""
    nonce: str = ""
    """What makes the id of the list different from that of any other."""


async def save_placement(
    placements: Placements, requests: Requests, request: Request, placement: Placement, expected: int, now: int
) -> Placement:
    """Create or replace. ``PlacementInvalid``, ``RuleInvalid``, ``RuleUnsupported``, ``PlacementChanged``."""
    check_placement(placement)
    if answered := await requests.replayed(request):
        return await get_placement(placements, request.tenant, placement.placement_id, int(answered["version"]))
    known = await placements.get(request.tenant, placement.placement_id)
    version = known.version if known else 0
    if version != expected:
        raise _changed(placement.placement_id, version)
    numbered = await placements.next_version(request.tenant, placement.placement_id)
    saved = replace(placement, version=numbered, update_time=now)
    try:
        await placements.put(request, saved, expected)
    except (Conflict, AlreadyExists):
        if answered := await requests.replayed(request):
            return await get_placement(placements, request.tenant, placement.placement_id, int(answered["version"]))
        known = await placements.get(request.tenant, placement.placement_id)
        raise _changed(placement.placement_id, known.version if known else 0) from None
    return saved


def _changed(placement_id: str, version: int) -> PlacementChanged:
    return PlacementChanged(
        f"placement {placement_id} is at version {version}; read it, and send that as expected_version",
        version=str(version),
    )


async def get_placement(placements: Placements, tenant: str, placement_id: str, version: int = 0) -> Placement:
    """The placement in use, or one of its versions; ``PlacementNotFound``."""
    found = await placements.get(tenant, placement_id, version)
    if found is None:
        told = f" in version {version}" if version else ""
        raise PlacementNotFound(f"there is no placement {placement_id}{told}", placement_id=placement_id)
    return found


async def delete_placement(placements: Placements, requests: Requests, request: Request, placement_id: str) -> None:
    """Delete; ``PlacementNotFound``."""
    if await requests.replayed(request) is not None:
        return
    await get_placement(placements, request.tenant, placement_id)
    await placements.delete(request, placement_id)


async def recommend_for_placement(
    sources: Sources, placing: Placing, tenant: str, visit: Visit, placement_id: str, wish: Wish, now: int
) -> RecommendationList:
    """The list of a placement; ``wish`` narrows it. ``PlacementNotFound``, ``ItemNeeded``, ``ItemNotFound``."""
    shown = await _shown(placing, tenant, placement_id, visit, now)
    return await placement_list(sources, placing, tenant, visit, shown, wish, now)


async def placement_list(
    sources: Sources,
    placing: Placing,
    tenant: str,
    visit: Visit,
    shown: tuple[Placement, Origin],
    wish: Wish,
    now: int,
    before: Sequence[str] = (),
) -> RecommendationList:
    """The list of a version of a placement; where it begins with the items ``before``, what comes behind them.
    ``ItemNeeded``, ``ItemNotFound``."""
    placement, origin = shown
    length = len(before) + wish.count
    active = await _active(placing, tenant, placement, visit, now)
    excluded = tuple(each.items for each in active if each.effect is Effect.EXCLUDE)
    lately = await _bought_lately(sources, tenant, placement, visit, now)
    named = ItemFilter(excluded_item_ids=lately.union(visit.item_ids), include_out_of_stock=True)
    wanted = Wish(
        min(max(length * CANDIDATES_EACH, CANDIDATES_MIN), max(CANDIDATES_MAX, 2 * length)),
        placement.filter,
        wish.exclude_bought or placement.exclude_bought,
        (wish.filter, named),
        excluded,
    )
    listed = await _candidates(sources, tenant, placement, visit, wanted, now)
    shelf = await sources.catalogue.shelf(tenant)
    items = await _filled(sources, tenant, shelf, listed.items, wanted, length)
    live = await sources.models.live(tenant)
    model = live.model if live else None
    unclicked = await _shown_before(placing, tenant, placement, visit, now)
    exploring = placement.exploration.slots > 0 and not before
    shown_to_all = await placing.log.shown_to_all(tenant) if exploring else {}
    bought = await bought_by(sources, tenant, visit.asker) if exploring and wanted.exclude_bought else frozenset()
    # The mask again, after the last await: what was deleted meanwhile is not answered.
    mask = wanted.mask(shelf)
    items = [item for item in items if shelf.allows(mask, item.item_id)]
    names = [item.item_id for item in items]
    situation = Situation(
        shelf.facets([*names, *before]),
        lambda ids: _likeness(model, shelf, ids),
        _matched(active, shelf, mask, names),
        now,
        unclicked,
    )
    chosen = controlled(items, placement, situation, wish.count, before)
    # What is pinned to a place of a later page waits for it.
    pinned = {item_id for each in situation.matched if each.effect is Effect.PIN for item_id in each.item_ids}
    without = bought.union(visit.asker.session_item_ids, pinned)
    new = new_items(placement, shelf, mask, chosen, shown_to_all, without, visit.nonce) if exploring else []
    chosen = placed(chosen, new, placement.exploration.position, wish.count)
    drawn = [each for each in new if any(item.item_id == each.item_id for item in chosen)]
    without_any = EmptyReason.NO_MORE if before else listed.empty_reason or EmptyReason.NOTHING_ALLOWED
    reason = EmptyReason.NOT_EMPTY if chosen else without_any
    version = model.training.model_version if model else ""
    return RecommendationList(
        tuple(chosen),
        version,
        reason,
        visit.asker.customer_id,
        placement.version,
        origin.named(visit.nonce, drawn),
        origin.variant,
    )


async def _bought_lately(sources: Sources, tenant: str, placement: Placement, visit: Visit, now: int) -> frozenset[str]:
    """What the customer bought within so long that the placement leaves it out."""
    if not placement.exclude_bought_within or not visit.asker.customer_id:
        return frozenset()
    newest = await sources.demand.purchases_of(tenant, visit.asker.customer_id, LATELY_MAX)
    return frozenset(item_id for item_id, time in newest if time > now - placement.exclude_bought_within)


async def _shown_before(
    placing: Placing, tenant: str, placement: Placement, visit: Visit, now: int
) -> Mapping[str, float]:
    """What the customer saw and did not click, where the placement wants to know."""
    if not placement.weights.rotation or not visit.asker.customer_id:
        return {}
    return await placing.log.shown(tenant, visit.asker.customer_id, placement.weights.rotation_half_life, now)


async def _shown(placing: Placing, tenant: str, placement_id: str, visit: Visit, now: int) -> tuple[Placement, Origin]:
    """The placement as this visit sees it: the version in use, or that of a variant, which is noted."""
    placement = await placing.placements.in_use(tenant, placement_id)
    if placement is None:
        raise PlacementNotFound(f"there is no placement {placement_id}", placement_id=placement_id)
    subject = visit.asker.customer_id or visit.visitor_id
    experiment = await placing.experiments.running(tenant, placement_id) if subject else None
    variant = experiment.variant_of(subject) if experiment else None
    seen = await placing.placements.at(tenant, placement_id, variant.placement_version) if variant else None
    if experiment is None or variant is None or seen is None:
        return placement, Origin(int(placement.scenario), placement_id, placement.version)
    customer_id = visit.asker.customer_id
    placing.log.expose(Exposure(tenant, experiment.experiment_id, subject, customer_id, variant.name, now))
    return seen, Origin(int(seen.scenario), placement_id, seen.version, experiment.experiment_id, variant.name)


async def _active(placing: Placing, tenant: str, placement: Placement, visit: Visit, now: int) -> list[Control]:
    """The controls that hold for a visit. What no condition asks for is not looked up."""
    customer_id = visit.asker.customer_id
    segments: frozenset[str] = frozenset()
    if customer_id and placement.needs_segments:
        segments = await placing.memberships.segments_of(tenant, customer_id)
    fields = {"customer_id": customer_id or None, "context": dict(visit.context or {})}
    if customer_id and placement.needs_traits:
        fields["traits"] = dict(await placing.traits.of(tenant, customer_id))
    facts = Facts(fields, customer_id, segments, now)
    return [control for control in placement.controls if control.applies(facts)]


async def _candidates(
    sources: Sources, tenant: str, placement: Placement, visit: Visit, wanted: Wish, now: int
) -> RecommendationList:
    match placement.scenario:
        case Scenario.SIMILAR:
            return await find_similar_items(sources, tenant, _first(visit), wanted)
        case Scenario.BOUGHT_TOGETHER:
            return await find_bought_together(sources, tenant, _first(visit), wanted)
        case Scenario.COMPLEMENTS:
            _first(visit)
            return await find_complements(sources, tenant, wanted, visit.item_ids)
        case Scenario.POPULAR | Scenario.TRENDING | Scenario.NEWEST:
            return await _demanded(sources, tenant, placement, wanted, now)
        case Scenario.REPLENISHMENTS:
            if not visit.asker.customer_id:
                raise ItemNeeded("this placement shows what a customer needs again; name the customer")
            return await find_replenishments(sources, tenant, wanted, visit.asker.customer_id, now, HORIZON_DAYS * DAY)
    return await recommend_one(sources, tenant, visit.asker, wanted)


def _first(visit: Visit) -> str:
    if not visit.item_ids:
        raise ItemNeeded("this placement's lists are about items; name one in item_ids")
    return visit.item_ids[0]


async def _demanded(sources: Sources, tenant: str, placement: Placement, wanted: Wish, now: int) -> RecommendationList:
    demand = placement.demand
    if placement.scenario is Scenario.NEWEST:
        return await find_newest(sources, tenant, wanted, now, demand.max_age)
    buyers, trending = Buyers(demand.segment_id), placement.scenario is Scenario.TRENDING
    half_life = demand.half_life or (TRENDING_DAYS if trending else POPULAR_DAYS) * DAY
    asked = DemandWish(half_life, buyers, demand.interactions)
    if trending:
        return (await find_trending(sources, tenant, wanted, asked))[0]
    return await find_popular(sources, tenant, wanted, asked)


async def _filled(
    sources: Sources, tenant: str, shelf: Shelf, items: Sequence[Recommendation], wanted: Wish, count: int
) -> list[Recommendation]:
    """With popular items behind, where there are fewer than the list is to hold."""
    if len(items) >= count:
        return list(items)
    popular = await sources.interactions.popular(tenant)
    mask, known = wanted.mask(shelf), {item.item_id for item in items}
    fitting = [it for it in popular if it[0] not in known and shelf.allows(mask, it[0])][: wanted.count]
    return filled(items, fitting, wanted.count)


def _matched(active: Sequence[Control], shelf: Shelf, mask: NDArray[np.bool_], names: Sequence[str]) -> list[Matched]:
    """The controls that hold, with the candidates that they are about. Pins bring their items, if those are allowed."""
    found = []
    for control in active:
        if control.effect is Effect.EXCLUDE:
            continue
        if control.effect is Effect.PIN:
            ids = tuple(each for each in sorted(control.items.item_ids) if shelf.allows(mask, each))
        else:
            about = shelf.mask(replace(control.items, include_out_of_stock=True))
            ids = tuple(each for each in names if shelf.allows(about, each))
        if ids:
            found.append(Matched(control.control_id, control.effect, control.factor, control.position, ids))
    return found


def _likeness(model: Model | None, shelf: Shelf, item_ids: Sequence[str]) -> NDArray[np.float64]:
    """Cosines of items that have vectors; of the others, one where the narrowest category is the same."""
    narrowest = [(facets.categories or ("",))[-1] for facets in shelf.facets(item_ids).values()]
    codes = np.unique(narrowest, return_inverse=True)[1]
    same = (codes[:, None] == codes[None, :]) & (np.array(narrowest) != "")[:, None]
    alike: NDArray[np.float64] = same.astype(np.float64)
    if model:
        rows = np.array([model.row_of.get(item_id, -1) for item_id in item_ids])
        known = np.flatnonzero(rows >= 0)
        vectors = model.likeness[rows[known]]
        alike[np.ix_(known, known)] = np.clip(vectors @ vectors.T, 0, 1)
    return alike
