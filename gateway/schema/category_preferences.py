"""Of which categories customers are likely to buy, in the schema."""

from collections.abc import Sequence
from typing import Annotated

import strawberry
from strawberry import Parent
from tessera.forecasting.v1 import category_preference_pb2 as pb
from tessera.forecasting.v1 import forecasting_service_pb2 as forecasting_pb
from tessera.profiles.v1 import profiles_service_pb2 as profiles_pb

from gateway.context import Info
from gateway.schema import loaders
from gateway.schema.absence import none_if_not_found
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.customer_value import CustomerPrediction
from gateway.schema.profiles import Customer
from gateway.schema.registry import edge, from_proto, input_from_proto, mutation, query


@from_proto(
    pb.CategoryPreferenceModel,
    "version",
    "horizon_days",
    "currency",
    "fit_time",
    "as_of_time",
    "customer_count",
    "categories",
    "moment_count",
    "quality",
    "features",
    "warnings",
)
class CategoryPreferenceModel: ...


@from_proto(
    pb.CategoryPreferenceQuality,
    "start_time",
    "customer_count",
    "buyer_count",
    "base_rate",
    "calibration_error",
    "rankings",
    "base_log_loss",
    "deciles",
    "categories",
)
class CategoryPreferenceQuality: ...


@from_proto(pb.CategoryPreferenceDecile, "pair_count", "probability", "bought_share", "lift")
class CategoryPreferenceDecile: ...


@from_proto(
    pb.CategoryQuality,
    "category",
    "base_rate",
    "probability",
    "log_loss",
    "personal_frequency_log_loss",
    "base_log_loss",
    "average_precision",
    "calibration_error",
    "first_count",
    "first_hit_rate",
    "first_three_count",
    "first_three_hit_rate",
    "deciles",
)
class CategoryQuality: ...


@from_proto(pb.CategoryRanking, "method", "hit_rate", "hit_rate_of_three", "average_precision", "log_loss")
class CategoryRanking: ...


@from_proto(pb.CategoryPreferences, "customer_id", "version", "as_of_time", "horizon_days", "categories")
class CategoryPreferences: ...


@from_proto(pb.CategoryPreference, "category", "probability", "share", "reasons")
class CategoryPreference: ...


@from_proto(pb.MonitorCategoryPreferencesResponse, "version", "quality")
class CategoryPreferenceOutcome: ...


@input_from_proto(
    pb.FitCategoryPreferencesRequest,
    "request_id",
    "horizon_days",
    "categories_per_customer",
    "currency",
    "as_of_time",
)
class FitCategoryPreferencesInput: ...


@from_proto(pb.FitCategoryPreferencesResponse, "job")
class FitCategoryPreferencesPayload: ...


@input_from_proto(pb.DeleteCategoryPreferenceModelRequest, "request_id")
class DeleteCategoryPreferenceModelInput: ...


@edge(Customer, by_rpc("forecasting.BatchGetCategoryPreferences"))
async def category_preferences(customer: Parent[profiles_pb.Customer], info: Info) -> pb.CategoryPreferences | None:
    """Of which categories the customer is likely to buy, the likeliest first; null if the newest model does not know
    them."""
    return await loaders.category_preferences(info.context, customer.customer_id)


@edge(CustomerPrediction, by_rpc("forecasting.BatchGetCategoryPreferences"), name="categoryPreferences")
async def _of_prediction(
    prediction: Parent[forecasting_pb.CustomerPrediction], info: Info
) -> pb.CategoryPreferences | None:
    """Of which categories the customer is likely to buy, by the newest model of category preferences; null if that does
    not know them."""
    return await loaders.category_preferences(info.context, prediction.customer_id)


@edge(CategoryPreferences, by_rpc("profiles.BatchGetCustomers"), name="customer")
async def _customer(preferences: Parent[pb.CategoryPreferences], info: Info) -> profiles_pb.Customer | None:
    """Whose preferences these are; null if profiles no longer knows the customer."""
    return await loaders.customer(info.context, preferences.customer_id)


@query(by_rpc("forecasting.GetCategoryPreferenceModel"))
async def category_preference_model(
    info: Info,
    version: Annotated[int | None, strawberry.argument(description="Null: the newest.")] = None,
) -> pb.CategoryPreferenceModel | None:
    """The model of category preferences, and how good it was on the last horizon; null if there is none."""
    request = pb.GetCategoryPreferenceModelRequest(version=version or 0)
    call = info.context.backends.forecasting.GetCategoryPreferenceModel(request, metadata=info.context.metadata)
    answer = await none_if_not_found(call)
    return answer.category_preference_model if answer else None


@query(by_rpc("forecasting.ListCategoryPreferenceModels"))
async def category_preference_models(info: Info) -> list[pb.CategoryPreferenceModel]:
    """The versions of the model of category preferences that are kept, the newest first."""
    answer = await info.context.backends.forecasting.ListCategoryPreferenceModels(
        pb.ListCategoryPreferenceModelsRequest(), metadata=info.context.metadata
    )
    return list(answer.category_preference_models)


@query(by_rpc("forecasting.MonitorCategoryPreferences"))
async def category_preference_outcome(
    info: Info,
    version: Annotated[
        int | None, strawberry.argument(description="Null: the newest one whose horizon has passed.")
    ] = None,
) -> pb.MonitorCategoryPreferencesResponse:
    """What customers bought beside what the model of category preferences said, once its horizon has passed."""
    request = pb.MonitorCategoryPreferencesRequest(version=version or 0)
    return await info.context.backends.forecasting.MonitorCategoryPreferences(request, metadata=info.context.metadata)


@query(by_rpc("forecasting.ListCategoryPreferences"))
async def customer_category_preferences(
    info: Info,
    category: Annotated[
        str | None, strawberry.argument(description="Only customers of whom this category is the likeliest.")
    ] = None,
    first: First = 20,
    after: After = None,
) -> Page[pb.CategoryPreferences]:
    """Of which categories all customers are likely to buy, those surest of their first category first."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.CategoryPreferences], str]:
        request = pb.ListCategoryPreferencesRequest(category=category or "", page_size=size, page_token=token)
        answer = await info.context.backends.forecasting.ListCategoryPreferences(
            request, metadata=info.context.metadata
        )
        return answer.preferences, answer.next_page_token

    return await page(fetch, first, after)


@mutation(by_rpc("forecasting.FitCategoryPreferences"))
async def fit_category_preferences(
    info: Info, input: pb.FitCategoryPreferencesRequest
) -> pb.FitCategoryPreferencesResponse:
    return await info.context.backends.forecasting.FitCategoryPreferences(input, metadata=info.context.metadata)


@mutation(by_rpc("forecasting.DeleteCategoryPreferenceModel"))
async def delete_category_preference_model(info: Info, input: pb.DeleteCategoryPreferenceModelRequest) -> bool:
    """Delete the model of category preferences, all its versions, and what it says of customers: true, also where there
    was none."""
    await info.context.backends.forecasting.DeleteCategoryPreferenceModel(input, metadata=info.context.metadata)
    return True
