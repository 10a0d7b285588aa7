"""The categories and brands that suit a person: by how much of the relevance of their best items is of each."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from services.recommendation.domain.item import Facets
from services.recommendation.domain.recommendation import Reason, ReasonKind, Recommendation

SOURCES_MAX = 3
ITEMS_TOLD = 5
FILLING = (ReasonKind.POPULAR, ReasonKind.NEW)


class FacetKind(IntEnum):
    """By what items are put together; the numbers are those of the contract."""

    CATEGORY = 1
    BRAND = 2


@dataclass(frozen=True, slots=True)
class Affinity:
    """A category or a brand, its share of the relevance, from 0 to 1, what makes that up, and its best items."""

    name: str
    score: float
    reasons: tuple[Reason, ...]
    item_ids: tuple[str, ...]


def affinities(
    items: Sequence[Recommendation], facets: Mapping[str, Facets], kind: FacetKind, level: int = 0
) -> list[Affinity]:
    """Of the items of a list, best first; categories at a ``level`` of their paths, from 1, or at the narrowest. Items
    that only fill the list up say nothing of the person, and count where there are no others."""
    items = [item for item in items if any(reason.kind not in FILLING for reason in item.reasons)] or items
    total = sum(item.relevance for item in items)
    groups: dict[str, list[Recommendation]] = defaultdict(list)
    for item in items:
        if name := _name(facets.get(item.item_id, Facets()), kind, level):
            groups[name].append(item)
    found = [_affinity(name, group, total) for name, group in groups.items()] if total > 0 else []
    return sorted(found, key=lambda each: (-each.score, each.name))


def _name(facets: Facets, kind: FacetKind, level: int) -> str:
    if kind is FacetKind.BRAND:
        return facets.brand
    path = facets.categories[:level] if level else facets.categories
    return path[-1] if path else ""


def _affinity(name: str, items: Sequence[Recommendation], total: float) -> Affinity:
    scores: dict[ReasonKind, float] = defaultdict(float)
    given: dict[ReasonKind, dict[str, float]] = defaultdict(lambda: defaultdict(float))
    for item in items:
        for reason in item.reasons:
            scores[reason.kind] += reason.score / total
            sources = reason.source_item_ids or (item.item_id,)
            for source in sources:
                given[reason.kind][source] += reason.score / len(sources)
    reasons = [Reason(kind, score, _weightiest(given[kind])) for kind, score in scores.items()]
    reasons.sort(key=lambda reason: (-reason.score, reason.kind))
    best = tuple(item.item_id for item in items[:ITEMS_TOLD])
    score = min(sum(reason.score for reason in reasons), 1.0)  # of shares, which are rounded
    return Affinity(name, score, tuple(reasons), best)


def _weightiest(weights: Mapping[str, float]) -> tuple[str, ...]:
    return tuple(sorted(weights, key=lambda source: (-weights[source], source))[:SOURCES_MAX])
