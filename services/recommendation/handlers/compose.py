"""Recommend categories and brands, and whole pages of rows."""

from dataclasses import dataclass, replace

from services.common.errors import InvalidArgument
from services.recommendation.domain.affinity import Affinity, FacetKind, affinities
from services.recommendation.domain.feedback import Origin
from services.recommendation.domain.item import ItemFilter
from services.recommendation.domain.placement import PlacementNotFound
from services.recommendation.domain.recommendation import EmptyReason, RecommendationList
from services.recommendation.handlers.placements import Placing, Visit, recommend_for_placement
from services.recommendation.handlers.recommend import Asker, Sources, Wish, recommend_one

LOOKED_AT = 300
"""Items by which categories and brands are chosen."""
FACETS_MAX = 50


class RowInvalid(InvalidArgument):
    """A row that cannot be made. Metadata ``path``."""


@dataclass(frozen=True, slots=True)
class RowSource:
    """What a row is made of: a placement, the best of a facet, which are several, or what suits the person."""

    title: str = ""
    placement_id: str = ""
    facet: FacetKind | None = None
    level: int = 0
    row_count: int = 1


@dataclass(frozen=True, slots=True)
class Row:
    """Items under a title, and of which source they are."""

    title: str
    source: int
    items: RecommendationList
    facet: Affinity | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """Who asks for a page, and what its rows are like."""

    visit: Visit
    wish: Wish
    min_count: int
    sources: tuple[RowSource, ...]


async def recommend_facets(
    sources: Sources, tenant: str, asker: Asker, wish: Wish, kind: FacetKind, level: int
) -> tuple[list[Affinity], RecommendationList]:
    """The categories or brands that suit somebody, at most ``wish.count``, and the list by which they were chosen."""
    listed = await recommend_one(sources, tenant, asker, replace(wish, count=LOOKED_AT))
    shelf = await sources.catalogue.shelf(tenant)
    facets = shelf.facets(item.item_id for item in listed.items)
    found = affinities(listed.items, facets, kind, level)[: wish.count]
    if listed.items and not found:
        listed = replace(listed, empty_reason=EmptyReason.NOTHING_RELATED)
    return found, listed


async def recommend_rows(sources: Sources, placing: Placing, tenant: str, page: Page, now: int) -> list[Row]:
    """The rows of a page, from the top down; no item is in two of them. ``RowInvalid``, ``PlacementNotFound``,
    ``ItemNeeded``, ``ItemNotFound``."""
    for index, source in enumerate(page.sources):
        if source.placement_id and source.facet:
            path = f"rows[{index}]"
            raise RowInvalid(f"{path}: name a placement or a facet, not both", path=path)
    making = _Making(sources, placing, tenant, page, now)
    for index, source in enumerate(page.sources):
        if source.placement_id:
            await making.placed(index, source)
        elif source.facet:
            await making.faceted(index, source, source.facet)
        else:
            making.add(index, source.title, await making.personal(index))
    return making.rows


class _Making:
    """A page that is being made."""

    def __init__(self, sources: Sources, placing: Placing, tenant: str, page: Page, now: int) -> None:
        self._sources, self._placing, self._tenant, self._page, self._now = sources, placing, tenant, page, now
        self._taken = set(page.visit.item_ids)
        self.rows: list[Row] = []

    def add(self, index: int, title: str, items: RecommendationList, facet: Affinity | None = None) -> bool:
        """Put a row below the others, if it has enough items."""
        if len(items.items) < self._page.min_count:
            return False
        self.rows.append(Row(title, index, items, facet))
        self._taken |= {item.item_id for item in items.items}
        return True

    async def personal(self, index: int, *also: ItemFilter) -> RecommendationList:
        """What suits the person, of what is not taken."""
        wish, visit = self._page.wish, self._page.visit
        wanted = replace(wish, filter=self._left(), also=also)
        listed = await recommend_one(self._sources, self._tenant, visit.asker, wanted)
        return replace(listed, recommendation_id=Origin().named(f"{visit.nonce}.{index}.{len(self.rows)}"))

    async def placed(self, index: int, source: RowSource) -> None:
        """The row of a placement."""
        placement = await self._placing.placements.in_use(self._tenant, source.placement_id)
        if placement is None:
            raise PlacementNotFound(f"there is no placement {source.placement_id}", placement_id=source.placement_id)
        wish = replace(self._page.wish, filter=self._left())
        visit = replace(self._page.visit, nonce=f"{self._page.visit.nonce}.{index}")
        listed = await recommend_for_placement(
            self._sources, self._placing, self._tenant, visit, source.placement_id, wish, self._now
        )
        self.add(index, source.title or placement.title, listed)

    async def faceted(self, index: int, source: RowSource, kind: FacetKind) -> None:
        """A row for each of the best of a facet, until there are enough."""
        wish, asker = replace(self._page.wish, filter=self._left(), count=FACETS_MAX), self._page.visit.asker
        found, _ = await recommend_facets(self._sources, self._tenant, asker, wish, kind, source.level)
        left = source.row_count
        for each in found:
            if not left:
                return
            listed = await self.personal(index, _of(kind, each.name))
            left -= self.add(index, source.title or each.name, listed, each)

    def _left(self) -> ItemFilter:
        wanted = self._page.wish.filter
        return replace(wanted, excluded_item_ids=wanted.excluded_item_ids | self._taken)


def _of(kind: FacetKind, name: str) -> ItemFilter:
    named = frozenset({name})
    if kind is FacetKind.BRAND:
        return ItemFilter(brands=named, include_out_of_stock=True)
    return ItemFilter(categories=named, include_out_of_stock=True)
