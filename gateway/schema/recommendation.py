"""Products and what to offer of them in the schema."""

from collections.abc import Sequence
from typing import Annotated, Any

import strawberry
from strawberry import Parent
from tessera.common.v1 import job_pb2
from tessera.profiles.v1 import profiles_service_pb2 as profiles_pb
from tessera.recommendation.v1 import item_pb2 as item_pb
from tessera.recommendation.v1 import recommendation_list_pb2 as list_pb
from tessera.recommendation.v1 import recommendation_service_pb2 as pb

from gateway.context import Context, Info
from gateway.schema import loaders
from gateway.schema.absence import none_if_not_found
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, limited, page
from gateway.schema.global_ids import own_id as any_own_id
from gateway.schema.node import as_node, own_id
from gateway.schema.profiles import Customer
from gateway.schema.registry import edge, from_proto, input_from_proto, mutation, query
from gateway.schema.scalars import JSON
from services.common.errors import InvalidArgument


class ContextInvalid(InvalidArgument):
    """What is told of a visit is no object."""


Filter = Annotated[item_pb.ItemFilter | None, strawberry.argument(description="Which products may be answered.")]
ExcludeBought = Annotated[bool, strawberry.argument(description="True: nothing that the customer has ever bought.")]
PlacementId = Annotated[
    str | None, strawberry.argument(description="The placement whose rules make the list; null for none.")
]
ItemIds = Annotated[
    list[strawberry.ID] | None,
    strawberry.argument(description="For a placement: what is looked at, or lies in the cart."),
]
Resumable = Annotated[
    bool, strawberry.argument(description="True: `nextRecommendations` answers what comes behind, for 30 minutes.")
]
VisitContext = Annotated[
    JSON | None, strawberry.argument(description="For a placement's conditions: texts by name, of the visit.")
]


@from_proto(
    item_pb.Item,
    "item_id",
    "title",
    "categories",
    "brand",
    "price",
    "attributes",
    "out_of_stock",
    "hidden",
    "cost",
    "stock_quantity",
    "publish_time",
    "expire_time",
    "update_time",
)
class Product: ...


@input_from_proto(
    item_pb.Item,
    "item_id",
    "title",
    "categories",
    "brand",
    "price",
    "attributes",
    "out_of_stock",
    "hidden",
    "cost",
    "stock_quantity",
    "publish_time",
    "expire_time",
)
class ProductInput: ...


@input_from_proto(
    item_pb.ItemFilter,
    "categories",
    "brands",
    "item_ids",
    "excluded_item_ids",
    "include_out_of_stock",
    "price",
    "attributes",
)
class ProductFilterInput: ...


@from_proto(
    list_pb.RecommendationList,
    "items",
    "model_version",
    "empty_reason",
    "placement_version",
    "recommendation_id",
    "variant",
    "relaxed_reason",
    "resumable_until_time",
    "first_recommendation_id",
)
class RecommendationList: ...


@from_proto(list_pb.AppliedControl, "kind", "control_id", "value")
class AppliedControl: ...


@from_proto(list_pb.Recommendation, "item_id", "score", "reasons", "applied")
class Recommendation: ...


@from_proto(
    list_pb.Reason,
    "kind",
    "source_item_ids",
    "score",
    "association",
    "purchase_count",
    "repeat",
    "interaction",
    "available_time",
)
class Reason: ...


@input_from_proto(item_pb.PriceRange, "currency", "min_minor", "max_minor")
class PriceRangeInput: ...


@input_from_proto(item_pb.AttributeValues, "name", "values")
class AttributeValuesInput: ...


@from_proto(
    pb.Model,
    "model_version",
    "algorithm",
    "create_time",
    "interaction_count",
    "customer_count",
    "basket_count",
    "item_count",
    "dimensions",
    "metrics",
    "train_duration",
    "half_life_duration",
    "history_half_life_duration",
    "transition_half_life_duration",
    "worse_than_live",
    "live",
    "kept",
    "feedback_weights",
    "signal_count",
)
class RecommendationModel: ...


@from_proto(pb.Metric, "name", "value")
class ModelMetric: ...


@from_proto(
    pb.Drift,
    "line_count",
    "unknown_item_share",
    "category_psi",
    "demand_psi",
    "price_psi",
    "score_psi",
    "scored_count",
    "alarms",
)
class RecommendationDrift: ...


@from_proto(pb.GetStatusResponse, "interaction_count", "item_count", "live_model", "drift")
class RecommendationStatus: ...


@input_from_proto(pb.UpsertItemsRequest, "request_id", "items")
class UpsertProductsInput: ...


@from_proto(pb.UpsertItemsResponse, "created_count", "updated_count", "unchanged_count")
class UpsertProductsPayload: ...


@input_from_proto(pb.DeleteItemRequest, "request_id", "item_id")
class DeleteProductInput: ...


@input_from_proto(
    pb.TrainModelRequest,
    "request_id",
    "dimensions",
    "half_life_duration",
    "min_basket_count",
    "selection_cpu_seconds",
    "accept_worse",
)
class TrainModelInput: ...


@from_proto(pb.TrainModelResponse, "job")
class TrainModelPayload: ...


@input_from_proto(pb.RollbackModelRequest, "request_id", "model_version")
class RollbackModelInput: ...


@from_proto(pb.RollbackModelResponse, "model")
class RollbackModelPayload: ...


@as_node(Product, item_pb.Item, "item_id", access=by_rpc("recommendation.BatchGetItems"))
async def _product(context: Context, item_id: str) -> item_pb.Item | None:
    return await loaders.item(context, item_id)


@query(by_rpc("recommendation.BatchGetItems"))
async def product(info: Info, id: strawberry.ID) -> item_pb.Item | None:
    """One product; null if there is none."""
    return await loaders.item(info.context, own_id(Product, id))


@query(by_rpc("recommendation.ListItems"))
async def products(info: Info, first: First = 20, after: After = None) -> Page[item_pb.Item]:
    """All products, by id."""

    async def fetch(size: int, token: str) -> tuple[Sequence[item_pb.Item], str]:
        request = pb.ListItemsRequest(page_size=size, page_token=token)
        answer = await info.context.backends.recommendation.ListItems(request, metadata=info.context.metadata)
        return answer.items, answer.next_page_token

    return await page(fetch, first, after)


@query(by_rpc("recommendation.FindSimilarItems"))
async def similar_products(
    info: Info, id: strawberry.ID, first: First = 10, filter: Filter = None
) -> list_pb.RecommendationList | None:
    """Products that the same people buy: likely alternatives. Null if the product does not exist."""
    request = pb.FindSimilarItemsRequest(item_id=own_id(Product, id), count=limited(first), filter=filter)
    call = info.context.backends.recommendation.FindSimilarItems(request, metadata=info.context.metadata)
    answer = await none_if_not_found(call)
    return answer.recommendations if answer else None


@query(by_rpc("recommendation.Recommend"))
async def recommendations(
    info: Info,
    customer_id: strawberry.ID | None = None,
    session_item_ids: Annotated[
        list[strawberry.ID] | None, strawberry.argument(description="Looked at in this session, oldest first.")
    ] = None,
    first: First = 10,
    filter: Filter = None,
    exclude_bought: ExcludeBought = False,
    placement_id: PlacementId = None,
    item_ids: ItemIds = None,
    visitor_id: Annotated[
        str | None, strawberry.argument(description="A visitor who is not known, for experiments.")
    ] = None,
    context: VisitContext = None,
    resumable: Resumable = False,
) -> list_pb.RecommendationList:
    request = pb.RecommendRequest(
        resumable=resumable,
        customer_id=own_id(Customer, customer_id or ""),
        session_item_ids=[any_own_id(each) for each in session_item_ids or ()],
        count=limited(first),
        filter=filter,
        exclude_bought=exclude_bought,
        placement_id=placement_id or "",
        visitor_id=visitor_id or "",
        item_ids=[any_own_id(each) for each in item_ids or ()],
        context=texts(context),
    )
    answer = await info.context.backends.recommendation.Recommend(request, metadata=info.context.metadata)
    return answer.recommendations


def texts(context: Any) -> dict[str, str]:
    """What is told of a visit, as texts; ``ContextInvalid``."""
    if not isinstance(context or {}, dict):
        raise ContextInvalid("context must be an object, with the texts that conditions compare by name")
    return {name: str(value) for name, value in (context or {}).items()}


@query(by_rpc("recommendation.ListModels"))
async def recommendation_models(info: Info, first: First = 20, after: After = None) -> Page[pb.Model]:
    """Models with what was measured of them, newest first."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.Model], str]:
        request = pb.ListModelsRequest(page_size=size, page_token=token)
        answer = await info.context.backends.recommendation.ListModels(request, metadata=info.context.metadata)
        return answer.models, answer.next_page_token

    return await page(fetch, first, after)


@query(by_rpc("recommendation.GetJob"))
async def training_job(info: Info, id: strawberry.ID) -> job_pb2.Job | None:
    """One training of a recommendation model; null if there is none."""
    request = pb.GetJobRequest(job_id=id)
    answer = await none_if_not_found(
        info.context.backends.recommendation.GetJob(request, metadata=info.context.metadata)
    )
    return answer.job if answer else None


@query(by_rpc("recommendation.ListJobs"))
async def training_jobs(info: Info, first: First = 20, after: After = None) -> Page[job_pb2.Job]:
    """The trainings of recommendation models, newest first; `jobProgress` of RECOMMENDATION follows one."""

    async def fetch(size: int, token: str) -> tuple[Sequence[job_pb2.Job], str]:
        request = pb.ListJobsRequest(page_size=size, page_token=token)
        answer = await info.context.backends.recommendation.ListJobs(request, metadata=info.context.metadata)
        return answer.jobs, answer.next_page_token

    return await page(fetch, first, after)


@query(by_rpc("recommendation.GetStatus"))
async def recommendation_status(info: Info) -> pb.GetStatusResponse:
    request = pb.GetStatusRequest()
    return await info.context.backends.recommendation.GetStatus(request, metadata=info.context.metadata)


@edge(Customer, by_rpc("recommendation.BatchRecommend"), name="recommendations")
async def recommendations_of_customer(
    customer: Parent[profiles_pb.Customer],
    info: Info,
    first: First = 10,
    filter: Filter = None,
    exclude_bought: ExcludeBought = False,
    placement_id: PlacementId = None,
    item_ids: ItemIds = None,
    context: VisitContext = None,
    resumable: Resumable = False,
) -> list_pb.RecommendationList | None:
    """What to offer the customer next, best first, each with its reasons."""
    like = pb.BatchRecommendRequest(
        count=limited(first),
        filter=filter,
        exclude_bought=exclude_bought,
        placement_id=placement_id or "",
        item_ids=[any_own_id(each) for each in item_ids or ()],
        context=texts(context),
        resumable=resumable,
    )
    return await loaders.recommendations(info.context, customer.customer_id, like)


@edge(Recommendation, by_rpc("recommendation.BatchGetItems"))
async def item(recommendation: Parent[list_pb.Recommendation], info: Info) -> item_pb.Item | None:
    """The product; null if it was deleted meanwhile."""
    return await loaders.item(info.context, recommendation.item_id)


@edge(Reason, by_rpc("recommendation.BatchGetItems"))
async def source_items(reason: Parent[list_pb.Reason], info: Info) -> list[item_pb.Item]:
    """The products that gave the reason, those that still exist."""
    return await loaders.all_of(loaders.item(info.context, each) for each in reason.source_item_ids)


@mutation(by_rpc("recommendation.UpsertItems"))
async def upsert_products(info: Info, input: pb.UpsertItemsRequest) -> pb.UpsertItemsResponse:
    return await info.context.backends.recommendation.UpsertItems(input, metadata=info.context.metadata)


@mutation(by_rpc("recommendation.DeleteItem"))
async def delete_product(info: Info, input: pb.DeleteItemRequest) -> strawberry.ID:
    """Deletes a product, which is gone from every list at once, and answers its own id."""
    await info.context.backends.recommendation.DeleteItem(input, metadata=info.context.metadata)
    return strawberry.ID(input.item_id)


@mutation(by_rpc("recommendation.TrainModel"))
async def train_model(info: Info, input: pb.TrainModelRequest) -> pb.TrainModelResponse:
    return await info.context.backends.recommendation.TrainModel(input, metadata=info.context.metadata)


@mutation(by_rpc("recommendation.RollbackModel"))
async def rollback_model(info: Info, input: pb.RollbackModelRequest) -> pb.RollbackModelResponse:
    return await info.context.backends.recommendation.RollbackModel(input, metadata=info.context.metadata)
