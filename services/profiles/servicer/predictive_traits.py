"""Predictive traits as messages."""

from collections.abc import Mapping

from tessera.profiles.v1 import predictive_trait_pb2 as pb
from tessera.profiles.v1 import profiles_service_pb2 as profiles_pb

from services.common import json
from services.profiles.domain.predictive_trait import (
    SOURCE,
    ModelKind,
    PredictionQuality,
    PredictiveModel,
    PredictiveTraits,
    Saying,
    Value,
)
from services.profiles.servicer.messages import timestamp


def add_predictive_traits(message: profiles_pb.Customer, it: PredictiveTraits) -> None:
    """Put what is expected of a customer into the customer's message, each with its model."""
    if it.model is not None:
        message.predictive_traits.CopyFrom(_of_purchases(it, it.model))
    message.model_traits.extend(_of_model(said, it.expectation.change_time) for said in it.expectation.sayings)


def _of_purchases(it: PredictiveTraits, model: PredictiveModel) -> pb.PredictiveTraits:
    return pb.PredictiveTraits(
        source=SOURCE,
        model=model.name,
        model_version=model.version,
        fit_time=timestamp(model.fit_time),
        data_start_time=timestamp(model.data_start),
        as_of_time=timestamp(model.as_of),
        horizon_days=model.horizon_days,
        currency=model.currency,
        change_time=timestamp(it.expectation.change_time),
        traits=_traits(it.expectation.values),
        quality=_quality(model.quality) if model.quality else None,
        kind=pb.PredictiveModelKind.ValueType(ModelKind.PURCHASES),
    )


def _of_model(it: Saying, change_time: int) -> pb.PredictiveTraits:
    return pb.PredictiveTraits(
        source=SOURCE,
        model=it.model,
        model_version=it.version,
        fit_time=timestamp(it.fit_time) if it.fit_time else None,
        as_of_time=timestamp(it.as_of),
        horizon_days=it.horizon_days,
        currency=it.currency,
        change_time=timestamp(change_time),
        traits=_traits(it.values),
        kind=pb.PredictiveModelKind.ValueType(it.kind),
    )


def _traits(values: Mapping[str, Value]) -> list[pb.PredictiveTrait]:
    return [pb.PredictiveTrait(name=name, value_json=json.write(value)) for name, value in sorted(values.items())]


def _quality(it: PredictionQuality) -> pb.PredictionQuality:
    return pb.PredictionQuality(
        holdout_start_time=timestamp(it.holdout_start),
        customer_count=it.customer_count,
        churn_auc=it.churn_auc,
        churn_brier=it.churn_brier,
        order_bias=it.order_bias,
        revenue_rank_correlation=it.revenue_rank_correlation,
        top_decile_revenue_lift=it.top_decile_revenue_lift,
    )
