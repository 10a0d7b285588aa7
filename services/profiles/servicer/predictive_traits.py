"""Predictive traits as messages."""

from tessera.profiles.v1 import predictive_trait_pb2 as pb

from services.common import json
from services.profiles.domain.predictive_trait import SOURCE, PredictionQuality, PredictiveTraits
from services.profiles.servicer.messages import timestamp


def predictive_message(it: PredictiveTraits) -> pb.PredictiveTraits:
    """What is expected of a customer, with the model."""
    model = it.model
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
        traits=[
            pb.PredictiveTrait(name=name, value_json=json.write(value))
            for name, value in sorted(it.expectation.values.items())
        ],
        quality=_quality(model.quality) if model.quality else None,
    )


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
