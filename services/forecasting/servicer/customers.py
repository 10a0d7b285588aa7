"""Customer models and predictions as messages, and the feed of what changes in them."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.common.v1.money_pb2 import Money
from tessera.forecasting.v1 import customer_value_pb2
from tessera.forecasting.v1 import forecasting_service_pb2 as pb

from services.common.auth import ALL_TENANTS, principal
from services.forecasting.domain.customers import (
    CustomerModel,
    Decile,
    Holdout,
    MethodScore,
    ModelError,
    Prediction,
    churn_band,
)
from services.forecasting.handlers.fit_customer_model import CustomerFitting
from services.forecasting.handlers.monitor_customers import monitor_customers
from services.forecasting.ports import PredictionChange, PredictionChanges, PredictionFeed
from services.forecasting.servicer.preference import preferences_message
from services.forecasting.servicer.propensity import propensity_message
from services.forecasting.servicer.uplift import uplift_message

Context = grpc.aio.ServicerContext[Any, Any]


class MonitorRpcs:
    """The rpc that compares what was said of customers with what came."""

    _customers: CustomerFitting

    async def MonitorCustomerModel(
        self, request: pb.MonitorCustomerModelRequest, context: Context
    ) -> pb.MonitorCustomerModelResponse:
        tenant = principal().tenant
        version, currency, found = await monitor_customers(self._customers, tenant, request.version)
        return pb.MonitorCustomerModelResponse(version=version, outcome=holdout_message(found, currency))


class PredictionFeedRpcs:
    """The rpc that followers of predictions call."""

    _feed: PredictionFeed

    async def FollowPredictions(
        self, request: pb.FollowPredictionsRequest, context: Context
    ) -> AsyncIterator[pb.FollowPredictionsResponse]:
        tenant = principal().tenant
        async for told in self._feed.changes(request.after_cursor, None if tenant == ALL_TENANTS else tenant):
            yield _changes(told)


def _changes(told: PredictionChanges) -> pb.FollowPredictionsResponse:
    return pb.FollowPredictionsResponse(
        changes=map(_change, told.changes),
        models=[
            pb.TenantCustomerModel(tenant_id=tenant, customer_model=customer_model_message(model))
            for tenant, model in told.models
        ],
        cursor=told.cursor,
        caught_up=told.caught_up,
    )


def _change(it: PredictionChange) -> pb.PredictionChange:
    prediction = None if it.prediction is None else prediction_message(it.prediction)
    return pb.PredictionChange(
        tenant_id=it.tenant,
        customer_id=it.customer_id,
        prediction=prediction,
        propensities=map(propensity_message, it.propensities),
        category_preferences=None if it.preferences is None else preferences_message(it.preferences),
        uplifts=map(uplift_message, it.uplifts),
    )


def customer_model_message(it: CustomerModel) -> pb.CustomerModel:
    """A model."""
    return pb.CustomerModel(
        version=it.version,
        fit_time=_timestamp(it.fit_time),
        purchase_model=pb.PurchaseModel.ValueType(it.model),
        purchase_parameters=it.purchase_parameters,
        purchase_log_likelihood=it.purchase_log_likelihood,
        spending_parameters=it.spending_parameters,
        spending_log_likelihood=it.spending_log_likelihood,
        currency=it.currency,
        start_time=_timestamp(it.start),
        as_of_time=_timestamp(it.as_of),
        customer_count=it.customer_count,
        repeat_customer_count=it.repeat_customer_count,
        frequency_amount_correlation=it.frequency_amount_correlation,
        horizon_days=it.horizon_days,
        lifetime_days=it.lifetime_days,
        discount_rate=it.discount_rate,
        holdout=holdout_message(it.holdout, it.currency) if it.holdout else None,
        warnings=it.warnings,
        value_method=customer_value_pb2.ValueMethod.ValueType(it.method),
        moment_count=it.moment_count,
    )


def holdout_message(it: Holdout, currency: str) -> pb.CustomerHoldout:
    """Expectations against what came."""
    return pb.CustomerHoldout(
        start_time=_timestamp(it.start),
        customer_count=it.customer_count,
        order_rmse=it.order_rmse,
        order_bias=it.order_bias,
        revenue_bias=it.revenue_bias,
        revenue_rank_correlation=it.revenue_rank_correlation,
        brier=it.brier,
        churn_auc=it.churn_auc,
        top_decile_revenue_share=it.top_decile_revenue_share,
        deciles=[_decile(decile, currency) for decile in it.deciles],
        purchase_model_errors=map(_model_error, it.errors),
        value_methods=map(_method_score, it.methods),
    )


def _decile(it: Decile, currency: str) -> pb.CustomerDecile:
    return pb.CustomerDecile(
        customer_count=it.customer_count,
        expected_orders=it.expected_orders,
        actual_orders=it.actual_orders,
        expected_revenue=Money(currency=currency, amount_minor=round(it.expected_revenue)),
        actual_revenue=Money(currency=currency, amount_minor=round(it.actual_revenue)),
        churn_probability=it.churn_probability,
        churned_share=it.churned_share,
    )


def _model_error(it: ModelError) -> pb.PurchaseModelError:
    return pb.PurchaseModelError(
        purchase_model=pb.PurchaseModel.ValueType(it.model),
        order_rmse=it.order_rmse,
        order_bias=it.order_bias,
        log_likelihood=it.log_likelihood,
    )


def _method_score(it: MethodScore) -> customer_value_pb2.ValueMethodScore:
    return customer_value_pb2.ValueMethodScore(
        value_method=customer_value_pb2.ValueMethod.ValueType(it.method),
        revenue_rank_correlation=it.revenue_rank_correlation,
        top_decile_revenue_share=it.top_decile_revenue_share,
        revenue_bias=it.revenue_bias,
        churn_auc=it.churn_auc,
        brier=it.brier,
    )


def prediction_message(it: Prediction) -> pb.CustomerPrediction:
    """What is expected of one customer."""
    return pb.CustomerPrediction(
        customer_id=it.customer_id,
        version=it.version,
        as_of_time=_timestamp(it.as_of),
        horizon_days=it.horizon_days,
        purchase_count=it.purchase_count,
        last_purchase_time=_timestamp(it.last_purchase),
        probability_alive=it.probability_alive,
        churn_probability=it.churn_probability,
        churn_band=pb.ChurnBand.ValueType(churn_band(it.churn_probability)),
        expected_orders=it.expected_orders,
        expected_order_value=Money(currency=it.currency, amount_minor=it.expected_order_value),
        expected_revenue=Money(currency=it.currency, amount_minor=it.expected_revenue),
        expected_next_order_time=None if it.next_order is None else _timestamp(it.next_order),
        lifetime_value=Money(currency=it.currency, amount_minor=it.lifetime_value),
        historic_revenue=None
        if it.historic_revenue is None
        else Money(currency=it.currency, amount_minor=it.historic_revenue),
        days_between_orders=it.days_between_orders,
    )


def _timestamp(micros: int) -> Timestamp:
    seconds, rest = divmod(micros, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000)
