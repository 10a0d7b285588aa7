"""The rpcs of categories, brands and whole pages."""

from uuid import uuid4

from tessera.recommendation.v1 import composition_pb2 as pb
from tessera.recommendation.v1 import recommendation_list_pb2 as list_pb
from tessera.recommendation.v1.recommendation_service_pb2_grpc import RecommendationServiceServicer

from services.common.auth import principal
from services.common.clock import Clock, to_micros
from services.recommendation.domain.affinity import Affinity, FacetKind
from services.recommendation.handlers.compose import Page, Row, RowSource, recommend_facets, recommend_rows
from services.recommendation.handlers.placements import Placing, Visit
from services.recommendation.handlers.recommend import Asker, Sources, Wish
from services.recommendation.servicer.messages import (
    COUNT_DEFAULT,
    Context,
    known,
    list_message,
    read_filter,
    write_reason,
)

ROWS_DEFAULT = 3


class CompositionRpcs(RecommendationServiceServicer):
    """What a page is composed of."""

    _sources: Sources
    _placing: Placing
    _clock: Clock

    async def RecommendFacets(self, request: pb.RecommendFacetsRequest, context: Context) -> pb.RecommendFacetsResponse:
        asker = Asker(request.customer_id, tuple(request.session_item_ids))
        wish = Wish(request.count or COUNT_DEFAULT, read_filter(request.filter), request.exclude_bought)
        kind = known(FacetKind, request.facet, "facet")
        found, listed = await recommend_facets(
            self._sources, principal().tenant, asker, wish, kind, request.category_level
        )
        return pb.RecommendFacetsResponse(
            facets=map(_facet, found),
            model_version=listed.model_version,
            empty_reason=list_pb.EmptyReason.ValueType(listed.empty_reason),
        )

    async def RecommendRows(self, request: pb.RecommendRowsRequest, context: Context) -> pb.RecommendRowsResponse:
        asker = Asker(request.customer_id, tuple(request.session_item_ids))
        page = Page(
            Visit(asker, tuple(request.item_ids), dict(request.context), request.visitor_id, uuid4().hex),
            Wish(request.count or COUNT_DEFAULT, read_filter(request.filter), request.exclude_bought),
            request.min_count or 1,
            tuple(_source(index, each) for index, each in enumerate(request.rows)),
        )
        now = to_micros(self._clock())
        rows = await recommend_rows(self._sources, self._placing, principal().tenant, page, now)
        return pb.RecommendRowsResponse(rows=map(_row, rows))


def _source(index: int, message: pb.RowSource) -> RowSource:
    kind = known(FacetKind, message.facet, f"rows[{index}].facet") if message.facet else None
    count = message.row_count or ROWS_DEFAULT
    return RowSource(message.title, message.placement_id, kind, message.category_level, count)


def _row(row: Row) -> pb.RecommendedRow:
    return pb.RecommendedRow(
        title=row.title,
        source_index=row.source,
        facet=_facet(row.facet) if row.facet else None,
        recommendations=list_message(row.items),
    )


def _facet(affinity: Affinity) -> pb.RecommendedFacet:
    message = pb.RecommendedFacet(name=affinity.name, score=affinity.score, item_ids=affinity.item_ids)
    for reason in affinity.reasons:
        write_reason(message.reasons.add(), reason)
    return message
