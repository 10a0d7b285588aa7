"""Categories and brands that suit a person, and whole pages of rows, in the schema."""

from typing import Annotated

import strawberry
from strawberry import Parent
from tessera.recommendation.v1 import composition_pb2 as pb
from tessera.recommendation.v1 import item_pb2 as item_pb

from gateway.context import Info
from gateway.schema import loaders
from gateway.schema.access import by_rpc
from gateway.schema.connections import First, limited
from gateway.schema.global_ids import own_id as any_own_id
from gateway.schema.node import own_id
from gateway.schema.profiles import Customer
from gateway.schema.recommendation import ExcludeBought, Filter, ItemIds, VisitContext, texts
from gateway.schema.registry import edge, from_proto, input_from_proto, query

SessionItems = Annotated[
    list[strawberry.ID] | None, strawberry.argument(description="Looked at in this session, oldest first.")
]
FacetKind = Annotated[pb.FacetKind.ValueType, pb.FacetKind]


@from_proto(pb.RecommendedFacet, "name", "score", "reasons", "item_ids")
class RecommendedFacet: ...


@from_proto(pb.RecommendFacetsResponse, "facets", "model_version", "empty_reason")
class RecommendedFacets: ...


@from_proto(pb.RecommendedRow, "title", "source_index", "facet", "recommendations")
class RecommendedRow: ...


@input_from_proto(pb.RowSource, "title", "placement_id", "facet", "category_level", "row_count")
class RecommendedRowInput: ...


@query(by_rpc("recommendation.RecommendFacets"))
async def recommended_facets(
    info: Info,
    facet: FacetKind,
    customer_id: strawberry.ID | None = None,
    session_item_ids: SessionItems = None,
    category_level: Annotated[
        int, strawberry.argument(description="Of categories: 1 for the broadest, 0 for the narrowest.")
    ] = 0,
    first: First = 10,
    filter: Filter = None,
    exclude_bought: ExcludeBought = False,
) -> pb.RecommendFacetsResponse:
    """The categories or brands that suit a person, best first, each with its reasons and best products."""
    request = pb.RecommendFacetsRequest(
        customer_id=own_id(Customer, customer_id or strawberry.ID("")),
        session_item_ids=[any_own_id(each) for each in session_item_ids or ()],
        facet=facet,
        category_level=category_level,
        count=limited(first),
        filter=filter,
        exclude_bought=exclude_bought,
    )
    return await info.context.backends.recommendation.RecommendFacets(request, metadata=info.context.metadata)


@query(by_rpc("recommendation.RecommendRows"))
async def recommended_rows(
    info: Info,
    rows: Annotated[
        list[pb.RowSource], strawberry.argument(description="What the page is made of, from the top down.")
    ],
    customer_id: strawberry.ID | None = None,
    session_item_ids: SessionItems = None,
    first: First = 10,
    min_items: Annotated[int, strawberry.argument(description="A row with fewer products is left out.")] = 1,
    filter: Filter = None,
    exclude_bought: ExcludeBought = False,
    item_ids: ItemIds = None,
    visitor_id: str | None = None,
    context: VisitContext = None,
) -> list[pb.RecommendedRow]:
    """A whole page: rows of products under titles, in which no product comes twice."""
    request = pb.RecommendRowsRequest(
        customer_id=own_id(Customer, customer_id or strawberry.ID("")),
        session_item_ids=[any_own_id(each) for each in session_item_ids or ()],
        rows=rows,
        count=limited(first),
        min_count=min_items,
        filter=filter,
        exclude_bought=exclude_bought,
        item_ids=[any_own_id(each) for each in item_ids or ()],
        visitor_id=visitor_id or "",
        context=texts(context),
    )
    answer = await info.context.backends.recommendation.RecommendRows(request, metadata=info.context.metadata)
    return list(answer.rows)


@edge(RecommendedFacet, by_rpc("recommendation.BatchGetItems"))
async def items(facet: Parent[pb.RecommendedFacet], info: Info) -> list[item_pb.Item]:
    """Its products that suit the person best, those that still exist."""
    return await loaders.all_of(loaders.item(info.context, each) for each in facet.item_ids)
