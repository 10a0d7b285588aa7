"""What customers are expected to do, in the schema: the model, and its predictions by customer."""

from collections.abc import Sequence
from typing import Annotated

import strawberry
from strawberry import Parent
from tessera.forecasting.v1 import customer_value_pb2 as value_pb
from tessera.forecasting.v1 import forecasting_service_pb2 as pb
from tessera.profiles.v1 import profiles_service_pb2 as profiles_pb

from gateway.context import Info
from gateway.schema import loaders
from gateway.schema.absence import none_if_not_found
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.profiles import Customer
from gateway.schema.registry import edge, from_proto, input_from_proto, mutation, query

Order = Annotated[pb.CustomerPredictionOrder.ValueType, pb.CustomerPredictionOrder]


@from_proto(
    pb.CustomerPrediction,
    "customer_id",
    "version",
    "as_of_time",
    "horizon_days",
    "purchase_count",
    "last_purchase_time",
    "probability_alive",
    "churn_probability",
    "churn_band",
    "expected_orders",
    "expected_order_value",
    "expected_revenue",
    "expected_next_order_time",
    "lifetime_value",
    "historic_revenue",
    "days_between_orders",
)
class CustomerPrediction: ...


@from_proto(
    pb.CustomerModel,
    "version",
    "fit_time",
    "purchase_model",
    "purchase_parameters",
    "purchase_log_likelihood",
    "spending_parameters",
    "spending_log_likelihood",
    "currency",
    "start_time",
    "as_of_time",
    "customer_count",
    "repeat_customer_count",
    "frequency_amount_correlation",
    "horizon_days",
    "lifetime_days",
    "discount_rate",
    "holdout",
    "warnings",
    "value_method",
    "moment_count",
)
class CustomerModel: ...


@from_proto(
    pb.CustomerHoldout,
    "start_time",
    "customer_count",
    "order_rmse",
    "order_bias",
    "revenue_bias",
    "revenue_rank_correlation",
    "brier",
    "churn_auc",
    "top_decile_revenue_share",
    "deciles",
    "purchase_model_errors",
    "value_methods",
)
class CustomerHoldout: ...


@from_proto(
    pb.CustomerDecile,
    "customer_count",
    "expected_orders",
    "actual_orders",
    "expected_revenue",
    "actual_revenue",
    "churn_probability",
    "churned_share",
)
class CustomerDecile: ...


@from_proto(
    value_pb.ValueMethodScore,
    "value_method",
    "revenue_rank_correlation",
    "top_decile_revenue_share",
    "revenue_bias",
    "churn_auc",
    "brier",
)
class ValueMethodScore: ...


@from_proto(pb.PurchaseModelError, "purchase_model", "order_rmse", "order_bias", "log_likelihood")
class PurchaseModelError: ...


@from_proto(pb.MonitorCustomerModelResponse, "version", "outcome")
class CustomerModelOutcome: ...


@input_from_proto(
    pb.FitCustomerModelRequest,
    "request_id",
    "horizon_days",
    "holdout_days",
    "lifetime_days",
    "discount_rate",
    "currency",
    "as_of_time",
    "purchase_model",
    "value_method",
)
class FitCustomerModelInput: ...


@from_proto(pb.FitCustomerModelResponse, "job")
class FitCustomerModelPayload: ...


@edge(Customer, by_rpc("forecasting.BatchGetCustomerPredictions"))
async def predictions(customer: Parent[profiles_pb.Customer], info: Info) -> pb.CustomerPrediction | None:
    """What the customer is expected to do, by the newest customer model; null if that does not know them."""
    return await loaders.customer_prediction(info.context, customer.customer_id)


@edge(CustomerPrediction, by_rpc("profiles.BatchGetCustomers"), name="customer")
async def _customer(prediction: Parent[pb.CustomerPrediction], info: Info) -> profiles_pb.Customer | None:
    """Whose prediction this is; null if profiles no longer knows the customer."""
    return await loaders.customer(info.context, prediction.customer_id)


@query(by_rpc("forecasting.GetCustomerModel"))
async def customer_model(
    info: Info, version: Annotated[int | None, strawberry.argument(description="Null: the newest.")] = None
) -> pb.CustomerModel | None:
    """The customer model: its parameters, and how its expectations compared with what came; null if there is none."""
    request = pb.GetCustomerModelRequest(version=version or 0)
    call = info.context.backends.forecasting.GetCustomerModel(request, metadata=info.context.metadata)
    answer = await none_if_not_found(call)
    return answer.customer_model if answer else None


@query(by_rpc("forecasting.MonitorCustomerModel"))
async def customer_model_outcome(
    info: Info,
    version: Annotated[
        int | None, strawberry.argument(description="Null: the newest one whose horizon has passed.")
    ] = None,
) -> pb.MonitorCustomerModelResponse:
    """What came of what a version of the customer model said, once its horizon has passed."""
    request = pb.MonitorCustomerModelRequest(version=version or 0)
    return await info.context.backends.forecasting.MonitorCustomerModel(request, metadata=info.context.metadata)


@query(by_rpc("forecasting.ListCustomerPredictions"))
async def customer_predictions(
    info: Info,
    first: First = 20,
    after: After = None,
    order: Order = pb.CUSTOMER_PREDICTION_ORDER_EXPECTED_REVENUE,
) -> Page[pb.CustomerPrediction]:
    """What all customers are expected to do, by the newest customer model, the highest first."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.CustomerPrediction], str]:
        request = pb.ListCustomerPredictionsRequest(order=order, page_size=size, page_token=token)
        answer = await info.context.backends.forecasting.ListCustomerPredictions(
            request, metadata=info.context.metadata
        )
        return answer.predictions, answer.next_page_token

    return await page(fetch, first, after)


@mutation(by_rpc("forecasting.FitCustomerModel"))
async def fit_customer_model(info: Info, input: pb.FitCustomerModelRequest) -> pb.FitCustomerModelResponse:
    return await info.context.backends.forecasting.FitCustomerModel(input, metadata=info.context.metadata)
