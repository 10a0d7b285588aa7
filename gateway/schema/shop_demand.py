"""What many want and what is new, in the schema."""

from datetime import timedelta
from typing import Annotated

import strawberry
from google.protobuf.duration_pb2 import Duration
from tessera.recommendation.v1 import demand_pb2 as pb
from tessera.recommendation.v1 import recommendation_list_pb2 as list_pb
from tessera.recommendation.v1 import scenario_pb2

from gateway.context import Info
from gateway.schema.access import by_rpc
from gateway.schema.connections import First, limited
from gateway.schema.global_ids import own_id as any_own_id
from gateway.schema.recommendation import Filter
from gateway.schema.registry import from_proto, input_from_proto, query

_WEIGHT = ("kind", "weight", "half_life_duration", "window_duration")
_OPTIONS = ("interactions", "half_life_duration", "segment_id", "max_age_duration")

SegmentId = Annotated[
    strawberry.ID | None, strawberry.argument(description="Only what those did who are in this segment now.")
]
HalfLifeDays = Annotated[
    float | None, strawberry.argument(description="After how many days something counts half; null for the usual.")
]
Interactions = Annotated[
    list[pb.InteractionWeight] | None,
    strawberry.argument(description="What counts, and how much; null: purchases alone."),
]


@from_proto(pb.InteractionWeight, *_WEIGHT)
class InteractionWeight: ...


@input_from_proto(pb.InteractionWeight, *_WEIGHT)
class InteractionWeightInput: ...


@from_proto(pb.DemandOptions, *_OPTIONS)
class DemandOptions: ...


@input_from_proto(pb.DemandOptions, *_OPTIONS)
class DemandOptionsInput: ...


@query(by_rpc("recommendation.FindPopular"))
async def popular(
    info: Info,
    first: First = 10,
    filter: Filter = None,
    segment_id: SegmentId = None,
    half_life_days: HalfLifeDays = None,
    interactions: Interactions = None,
) -> list_pb.RecommendationList:
    """What is bought most, or looked at, as the weights say; what is older counts less and less."""
    request = scenario_pb2.FindPopularRequest(
        count=limited(first),
        filter=filter,
        segment_id=any_own_id(segment_id or strawberry.ID("")),
        half_life_duration=days(half_life_days),
        interactions=interactions or (),
    )
    answer = await info.context.backends.recommendation.FindPopular(request, metadata=info.context.metadata)
    return answer.recommendations


@query(by_rpc("recommendation.FindTrending"))
async def trending(
    info: Info,
    first: First = 10,
    filter: Filter = None,
    segment_id: SegmentId = None,
    half_life_days: HalfLifeDays = None,
    interactions: Interactions = None,
) -> list_pb.RecommendationList:
    """What is bought, or looked at, more than usual, each product against its own usual rate and the swing of the
    shop."""
    request = scenario_pb2.FindTrendingRequest(
        count=limited(first),
        filter=filter,
        segment_id=any_own_id(segment_id or strawberry.ID("")),
        half_life_duration=days(half_life_days),
        interactions=interactions or (),
    )
    answer = await info.context.backends.recommendation.FindTrending(request, metadata=info.context.metadata)
    return answer.recommendations


@query(by_rpc("recommendation.FindNewest"))
async def newest(
    info: Info,
    first: First = 10,
    filter: Filter = None,
    within_days: Annotated[
        float | None, strawberry.argument(description="Only what became available within so many days; null: all.")
    ] = None,
) -> list_pb.RecommendationList:
    """What became available last."""
    request = pb.FindNewestRequest(count=limited(first), filter=filter, max_age_duration=days(within_days))
    answer = await info.context.backends.recommendation.FindNewest(request, metadata=info.context.metadata)
    return answer.recommendations


def days(count: float | None) -> Duration | None:
    """So many days as messages carry them."""
    if count is None:
        return None
    span = Duration()
    span.FromTimedelta(timedelta(days=count))
    return span
