"""The next page of a list of recommendations, in the schema."""

from typing import Annotated

import strawberry
from tessera.recommendation.v1 import next_items_pb2 as pb
from tessera.recommendation.v1 import recommendation_list_pb2 as list_pb

from gateway.context import Info
from gateway.schema.absence import none_if_not_found
from gateway.schema.access import by_rpc
from gateway.schema.connections import limited
from gateway.schema.registry import query


@query(by_rpc("recommendation.RecommendNextItems"))
async def next_recommendations(
    info: Info,
    recommendation_id: Annotated[
        str, strawberry.argument(description="Of the page before, which was asked for with `resumable`.")
    ],
    first: Annotated[int, strawberry.argument(description="From 1 to 100; 0 for as many as the page before.")] = 0,
) -> list_pb.RecommendationList | None:
    """What comes behind a page of recommendations, without repeats, by the same question, rules and variant. Null if
    the page is older than 30 minutes, or the list was asked for without `resumable`: ask anew."""
    request = pb.RecommendNextItemsRequest(recommendation_id=recommendation_id, count=limited(first) if first else 0)
    call = info.context.backends.recommendation.RecommendNextItems(request, metadata=info.context.metadata)
    answer = await none_if_not_found(call)
    return answer.recommendations if answer else None
