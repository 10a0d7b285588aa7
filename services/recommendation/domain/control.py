"""From candidates to the list of a placement: what the shop wants beside what suits the person.

An item's value is its relevance (its score over the best one's) times what objectives add and controls multiply. The
list takes, again and again, the item with the largest (1 - diversity) x value - diversity x its likeness to what is
taken already (maximal marginal relevance: Carbonell and Goldstein, 1998) that no quota forbids; pins come last, into
their places.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from services.recommendation.domain.item import Facets
from services.recommendation.domain.placement import Effect, Placement, Quota, QuotaField, Weights
from services.recommendation.domain.recommendation import Applied, AppliedKind, Reason, ReasonKind, Recommendation

Floats = NDArray[np.float64]
STOCK_HALF = 10
"""With so many pieces in stock the objective of stock adds half of its weight."""


@dataclass(frozen=True, slots=True)
class Matched:
    """A control that holds, with the candidates that it is about; those of a pin in their order."""

    control_id: str
    effect: Effect
    factor: float
    position: int
    item_ids: tuple[str, ...]


@dataclass(frozen=True)
class Situation:
    """What a list is made with: facets by item, likeness of candidates (cosines, a row and a column for each), and the
    controls that hold."""

    facets: Mapping[str, Facets]
    likeness: Callable[[Sequence[str]], Floats]
    matched: Sequence[Matched]
    now: int
    shown: Mapping[str, float] = field(default_factory=dict)
    """How often the person saw an item and did not click it; older times count less."""


def controlled(
    candidates: Sequence[Recommendation],
    placement: Placement,
    situation: Situation,
    count: int,
    before: Sequence[str] = (),
) -> list[Recommendation]:
    """The list: ``candidates`` best first, without what is excluded; pinned items are among them or come with
    ``situation``. Every item says which controls and objectives made it what it is. Where the list begins with the
    items ``before``, what comes behind them."""
    pins = _pins(situation.matched, before)
    valued = _valued(candidates, placement.weights, situation)
    ordinary = [item for item in valued if item.item_id not in {item_id for _, item_id, _ in pins}]
    chosen = _chosen(ordinary, placement, situation, count, before)
    return _pinned(chosen, valued, pins, count, len(before))


def _valued(candidates: Sequence[Recommendation], weights: Weights, situation: Situation) -> list[Recommendation]:
    """With values and what they are made of, best first."""
    best = max((item.relevance for item in candidates), default=0.0) or 1.0
    found = []
    for item in candidates:
        share = item.relevance / best
        if share < weights.min_relevance:
            continue
        applied = [*_objectives(situation.facets.get(item.item_id, Facets()), weights, situation.now)]
        value = share * (1 + sum(each.value for each in applied))
        for control in situation.matched:
            if control.effect in (Effect.BOOST, Effect.BURY) and item.item_id in control.item_ids:
                kind = AppliedKind.BOOST if control.effect is Effect.BOOST else AppliedKind.BURY
                applied.append(Applied(kind, control.factor, control.control_id))
                value *= control.factor
        if weights.rotation and (times := situation.shown.get(item.item_id, 0.0)):
            factor = (1 - weights.rotation) ** times
            applied.append(Applied(AppliedKind.ROTATION, factor))
            value *= factor
        found.append(replace(item, value=value, applied=tuple(applied)))
    return sorted(found, key=lambda item: (-item.score, item.item_id))


def _objectives(facets: Facets, weights: Weights, now: int) -> list[Applied]:
    """What each objective adds, as a share of the relevance."""
    found = []
    if weights.freshness and facets.publish_time:
        age = max(now - facets.publish_time, 0)
        found.append(Applied(AppliedKind.FRESHNESS, weights.freshness * 2.0 ** (-age / weights.freshness_half_life)))
    if weights.margin and facets.margin is not None:
        found.append(Applied(AppliedKind.MARGIN, weights.margin * facets.margin))
    if weights.stock and facets.stock is not None:
        found.append(Applied(AppliedKind.STOCK, weights.stock * facets.stock / (facets.stock + STOCK_HALF)))
    return found


def _chosen(
    valued: Sequence[Recommendation], placement: Placement, situation: Situation, count: int, before: Sequence[str]
) -> list[Recommendation]:
    """At most ``count``, in order, as different from each other, and from those ``before``, and as many of a kind as
    the placement wants; what was pinned does not matter to the others."""
    diversity = placement.weights.diversity
    peak = max((item.score for item in valued), default=0.0) or 1.0
    left = [item for item in valued if item.item_id not in before]
    names = [item.item_id for item in left]
    values = np.array([item.score for item in left])
    pinned = {item_id for each in situation.matched if each.effect is Effect.PIN for item_id in each.item_ids}
    taken = [item_id for item_id in before if item_id not in pinned]
    alike = situation.likeness([*names, *taken]) if diversity and names else np.zeros((len(names), len(names)))
    nearest = alike[: len(names), len(names) :].max(axis=1, initial=0.0)
    free = np.ones(len(names), dtype=bool)
    held: dict[QuotaField, Counter[str]] = {quota.field: Counter() for quota in placement.quotas}
    for quota in placement.quotas:
        for item_id in taken:
            held[quota.field].update(_kinds(quota, situation.facets.get(item_id, Facets())))
    chosen: list[Recommendation] = []
    while len(chosen) < count and free.any():
        marks = np.where(free, (1 - diversity) * values / peak - diversity * nearest, -np.inf)
        at = int(np.argmax(marks))
        free[at] = False
        facets = situation.facets.get(names[at], Facets())
        if not all(_fits(quota, facets, held[quota.field]) for quota in placement.quotas):
            continue
        for quota in placement.quotas:
            held[quota.field].update(_kinds(quota, facets))
        item = left[at]
        if diversity and nearest[at] > 0:
            item = replace(item, applied=(*item.applied, Applied(AppliedKind.DIVERSITY, -diversity * nearest[at])))
        chosen.append(item)
        if diversity:
            nearest = np.maximum(nearest, alike[: len(names), at])
    return chosen


def _kinds(quota: Quota, facets: Facets) -> tuple[str, ...]:
    """What the quota counts an item as: its narrowest category, or its brand."""
    if quota.field is QuotaField.BRAND:
        return (facets.brand,) if facets.brand else ()
    return facets.categories[-1:]


def _fits(quota: Quota, facets: Facets, held: Counter[str]) -> bool:
    return all(held[kind] < quota.max_items for kind in _kinds(quota, facets))


def _pins(matched: Sequence[Matched], before: Sequence[str]) -> list[tuple[int, str, str]]:
    """Places, from 0, with the items and the controls that are about them, in order: those behind the items
    ``before``."""
    pins = sorted((each for each in matched if each.effect is Effect.PIN), key=lambda pin: pin.position)
    found: dict[str, tuple[int, str, str]] = {}
    for pin in pins:
        for place, item_id in enumerate(pin.item_ids, pin.position - 1):
            if place >= len(before) and item_id not in before:
                found.setdefault(item_id, (place, item_id, pin.control_id))
    return list(found.values())


def _pinned(
    chosen: list[Recommendation],
    valued: Sequence[Recommendation],
    pins: Sequence[tuple[int, str, str]],
    count: int,
    first: int,
) -> list[Recommendation]:
    """With the pinned items in their places, of a list whose place ``first`` is this one's beginning; what has no room
    behind them falls off the end."""
    by_id = {item.item_id: item for item in valued}
    answer = list(chosen)
    for place, item_id, control_id in pins:
        known = by_id.get(item_id) or Recommendation(item_id, (Reason(ReasonKind.PINNED, 0.0),))
        applied = (*known.applied, Applied(AppliedKind.PIN, float(place + 1), control_id))
        answer.insert(place - first, replace(known, applied=applied))
    return answer[:count]
