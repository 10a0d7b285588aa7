"""What customers are likely to do, in the schema: models of goals, and each customer's probabilities."""

from collections.abc import Sequence
from typing import Annotated

import strawberry
from strawberry import Parent
from tessera.common.v1 import rule_pb2
from tessera.forecasting.v1 import propensity_pb2 as pb
from tessera.profiles.v1 import profiles_service_pb2 as profiles_pb

from gateway.context import Info
from gateway.schema import loaders
from gateway.schema.absence import none_if_not_found
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.profiles import Customer
from gateway.schema.registry import edge, from_proto, input_from_proto, mutation, query


@from_proto(
    pb.PropensityGoal,
    "categories",
    "product_ids",
    "store_ids",
    "min_orders",
    "min_amount",
    "horizon_days",
    "absent",
    "event_name",
    "channels",
    "where",
    "sum_property",
    "min_sum",
)
class PropensityGoal: ...


@from_proto(rule_pb2.Comparison, "field", "operator", "values")
class PropertyCondition: ...


@from_proto(
    pb.PropensityModel,
    "model_id",
    "version",
    "goal",
    "currency",
    "fit_time",
    "as_of_time",
    "customer_count",
    "moment_count",
    "reached_count",
    "missed_count",
    "quality",
    "features",
    "warnings",
)
class PropensityModel: ...


@from_proto(
    pb.PropensityQuality,
    "start_time",
    "customer_count",
    "base_rate",
    "auc",
    "average_precision",
    "brier",
    "base_brier",
    "log_loss",
    "calibration_error",
    "deciles",
)
class PropensityQuality: ...


@from_proto(pb.PropensityDecile, "customer_count", "probability", "reached_share", "lift")
class PropensityDecile: ...


@from_proto(pb.PropensityFeature, "name", "importance")
class PropensityFeature: ...


@from_proto(
    pb.Propensity,
    "model_id",
    "version",
    "customer_id",
    "probability",
    "percentile",
    "as_of_time",
    "horizon_days",
    "reasons",
)
class Propensity: ...


@from_proto(pb.PropensityReason, "feature", "value", "contribution")
class PropensityReason: ...


@from_proto(pb.MonitorPropensityModelResponse, "version", "quality")
class PropensityOutcome: ...


@input_from_proto(
    pb.PropensityGoal,
    "categories",
    "product_ids",
    "store_ids",
    "min_orders",
    "min_amount",
    "horizon_days",
    "absent",
    "event_name",
    "channels",
    "where",
    "sum_property",
    "min_sum",
)
class PropensityGoalInput: ...


@input_from_proto(pb.FitPropensityModelRequest, "request_id", "model_id", "goal", "currency", "as_of_time")
class FitPropensityModelInput: ...


@from_proto(pb.FitPropensityModelResponse, "job")
class FitPropensityModelPayload: ...


@edge(Customer, by_rpc("forecasting.BatchGetPropensities"))
async def propensities(customer: Parent[profiles_pb.Customer], info: Info) -> list[pb.Propensity]:
    """How likely the customer is to reach each goal that there is a model of, by the models' names."""
    return await loaders.propensities(info.context, customer.customer_id)


@edge(Propensity, by_rpc("profiles.BatchGetCustomers"), name="customer")
async def _customer(propensity: Parent[pb.Propensity], info: Info) -> profiles_pb.Customer | None:
    """Whose probability this is; null if profiles no longer knows the customer."""
    return await loaders.customer(info.context, propensity.customer_id)


@query(by_rpc("forecasting.ListPropensityModels"))
async def propensity_models(info: Info) -> list[pb.PropensityModel]:
    """The newest version of each propensity model, by name."""
    answer = await info.context.backends.forecasting.ListPropensityModels(
        pb.ListPropensityModelsRequest(), metadata=info.context.metadata
    )
    return list(answer.propensity_models)


@query(by_rpc("forecasting.GetPropensityModel"))
async def propensity_model(
    info: Info,
    model_id: str,
    version: Annotated[int | None, strawberry.argument(description="Null: the newest.")] = None,
) -> pb.PropensityModel | None:
    """A propensity model, how good it was on the last horizon, and what it goes by; null if there is none."""
    request = pb.GetPropensityModelRequest(model_id=model_id, version=version or 0)
    call = info.context.backends.forecasting.GetPropensityModel(request, metadata=info.context.metadata)
    answer = await none_if_not_found(call)
    return answer.propensity_model if answer else None


@query(by_rpc("forecasting.MonitorPropensityModel"))
async def propensity_outcome(
    info: Info,
    model_id: str,
    version: Annotated[
        int | None, strawberry.argument(description="Null: the newest one whose horizon has passed.")
    ] = None,
) -> pb.MonitorPropensityModelResponse:
    """What came of a model's probabilities, once its horizon has passed."""
    request = pb.MonitorPropensityModelRequest(model_id=model_id, version=version or 0)
    return await info.context.backends.forecasting.MonitorPropensityModel(request, metadata=info.context.metadata)


@query(by_rpc("forecasting.ListPropensities"))
async def customer_propensities(
    info: Info, model_id: str, first: First = 20, after: After = None
) -> Page[pb.Propensity]:
    """What a propensity model says of all customers, the likeliest first."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.Propensity], str]:
        request = pb.ListPropensitiesRequest(model_id=model_id, page_size=size, page_token=token)
        answer = await info.context.backends.forecasting.ListPropensities(request, metadata=info.context.metadata)
        return answer.propensities, answer.next_page_token

    return await page(fetch, first, after)


@mutation(by_rpc("forecasting.FitPropensityModel"))
async def fit_propensity_model(info: Info, input: pb.FitPropensityModelRequest) -> pb.FitPropensityModelResponse:
    return await info.context.backends.forecasting.FitPropensityModel(input, metadata=info.context.metadata)


@mutation(by_rpc("forecasting.DeletePropensityModel"))
async def delete_propensity_model(info: Info, model_id: str) -> str:
    """Delete a propensity model, all its versions, and what it says of customers: its id, also if it was not there."""
    request = pb.DeletePropensityModelRequest(model_id=model_id)
    await info.context.backends.forecasting.DeletePropensityModel(request, metadata=info.context.metadata)
    return model_id
