"""What is bought together with a product, in the schema."""

from typing import Annotated

import strawberry
from google.protobuf.duration_pb2 import Duration as DurationMessage
from tessera.recommendation.v1 import recommendation_list_pb2 as list_pb
from tessera.recommendation.v1 import recommendation_service_pb2 as pb

from gateway.context import Info
from gateway.schema.absence import none_if_not_found
from gateway.schema.access import by_rpc
from gateway.schema.connections import First, limited
from gateway.schema.node import own_id
from gateway.schema.recommendation import Filter, Product
from gateway.schema.registry import from_proto, query

Variant = Annotated[
    Annotated[list_pb.TogetherVariant.ValueType, list_pb.TogetherVariant] | None,
    strawberry.argument(description="Which counts to go by; null: STRICT."),
]
WindowDays = Annotated[
    float | None,
    strawberry.argument(
        description="Relaxed: within how many days purchases of a customer are one basket, to 90; null: 30."
    ),
]
SECONDS_A_DAY = 86_400
DAYS_MAX = 1e6


@from_proto(
    list_pb.Association,
    "basket_count",
    "support",
    "confidence",
    "lift",
    "leverage",
    "variant",
    "smoothed_lift",
    "category_lift",
)
class Association: ...


@query(by_rpc("recommendation.FindBoughtTogether"))
async def bought_together(
    info: Info,
    id: strawberry.ID,
    first: First = 10,
    filter: Filter = None,
    variant: Variant = None,
    window_days: WindowDays = None,
) -> list_pb.RecommendationList | None:
    """Products that lie in the same baskets, with the exact counts; where those are few, and `variant` allows it, those
    that the same customers bought within a window, or whose categories they did. Null if the product does not exist."""
    request = pb.FindBoughtTogetherRequest(
        item_id=own_id(Product, id),
        count=limited(first),
        filter=filter,
        variant=variant or list_pb.TOGETHER_VARIANT_UNSPECIFIED,
        window_duration=_window(window_days),
    )
    call = info.context.backends.recommendation.FindBoughtTogether(request, metadata=info.context.metadata)
    answer = await none_if_not_found(call)
    return answer.recommendations if answer else None


def _window(days: float | None) -> DurationMessage | None:
    if days is None:
        return None
    held = min(max(days, -DAYS_MAX), DAYS_MAX)  # more fits into no message, and is refused either way
    return DurationMessage(seconds=round(held * SECONDS_A_DAY))
