"""What forecasting tells of a customer, as predictive traits."""

from collections.abc import Iterator

from google.protobuf.timestamp_pb2 import Timestamp
from tessera.forecasting.v1 import category_preference_pb2, propensity_pb2, uplift_pb2
from tessera.forecasting.v1 import forecasting_service_pb2 as pb

from services.common.clock import from_micros
from services.common.money import decimals
from services.profiles.domain.predictive_trait import (
    CATEGORIES_MAX,
    NAMED_MAX,
    Expectation,
    ModelKind,
    PredictionQuality,
    PredictiveModel,
    Saying,
    Value,
    decile,
)

CATEGORIES = "categories"
"""What the model of category preferences, of which a tenant has one, is called."""
DECILE = 0.1


def expectation_of(change: pb.PredictionChange, now: int) -> Expectation | None:
    """What is expected of a customer from now on; ``None``: nothing any more."""
    sayings = tuple(_sayings(change))
    if not change.HasField("prediction"):
        return Expectation(change.customer_id, 0, {}, now, sayings) if sayings else None
    values = _values(change.prediction)
    return Expectation(change.customer_id, change.prediction.version, values, now, sayings)


def _values(told: pb.CustomerPrediction) -> dict[str, Value]:
    units = 10 ** decimals(told.expected_revenue.currency)
    values: dict[str, Value] = {
        "churn_band": pb.ChurnBand.Name(told.churn_band).removeprefix("CHURN_BAND_").lower(),
        "churn_probability": told.churn_probability,
        "expected_order_value": told.expected_order_value.amount_minor / units,
        "expected_orders": told.expected_orders,
        "expected_revenue": told.expected_revenue.amount_minor / units,
        "lifetime_value": told.lifetime_value.amount_minor / units,
        "probability_alive": told.probability_alive,
    }
    if told.HasField("expected_next_order_time"):
        values["next_order_time"] = from_micros(_micros(told.expected_next_order_time)).isoformat()
    return values


def _sayings(change: pb.PredictionChange) -> Iterator[Saying]:
    yield from map(_likely, change.propensities[:NAMED_MAX])
    if change.category_preferences.categories:
        yield _liked(change.category_preferences)
    yield from map(_moved, change.uplifts[:NAMED_MAX])


def _likely(told: propensity_pb2.Propensity) -> Saying:
    values: dict[str, Value] = {"probability": told.probability} | _place(told.percentile)
    return _saying(ModelKind.PROPENSITY, told.model_id, told, values)


def _liked(told: category_preference_pb2.CategoryPreferences) -> Saying:
    best = told.categories[:CATEGORIES_MAX]
    values: dict[str, Value] = {
        "categories": [{"category": it.category, "probability": it.probability, "share": it.share} for it in best],
        "top_category": best[0].category,
        "top_category_probability": best[0].probability,
    }
    return _saying(ModelKind.CATEGORY_PREFERENCE, CATEGORIES, told, values)


def _moved(told: uplift_pb2.Uplift) -> Saying:
    of_amounts = told.HasField("base_amount")
    units = 10 ** decimals(told.currency) if of_amounts else 1
    group = uplift_pb2.UpliftGroup.Name(told.group).removeprefix("UPLIFT_GROUP_").lower()
    values: dict[str, Value] = {
        "uplift": told.uplift.value / units,
        "uplift_low": told.uplift.low / units,
        "uplift_high": told.uplift.high / units,
        "uplift_group": group,
        **({"base_amount": told.base_amount / units} if of_amounts else {"base_probability": told.base_probability}),
        **_place(told.percentile),
    }
    return _saying(ModelKind.UPLIFT, told.model_id, told, values, told.currency if of_amounts else "")


def _place(percentile: int) -> dict[str, Value]:
    return {"percentile": percentile, "decile": decile(percentile)}


def _saying(
    kind: ModelKind,
    model: str,
    told: propensity_pb2.Propensity | category_preference_pb2.CategoryPreferences | uplift_pb2.Uplift,
    values: dict[str, Value],
    currency: str = "",
) -> Saying:
    times = _micros(told.fit_time), _micros(told.as_of_time)
    return Saying(kind, model, told.version, *times, told.horizon_days, currency, values)


def model_of(told: pb.CustomerModel) -> PredictiveModel:
    """The model of purchases."""
    return PredictiveModel(
        version=told.version,
        name=pb.PurchaseModel.Name(told.purchase_model).removeprefix("PURCHASE_MODEL_").lower(),
        fit_time=_micros(told.fit_time),
        data_start=_micros(told.start_time),
        as_of=_micros(told.as_of_time),
        horizon_days=told.horizon_days,
        currency=told.currency,
        quality=_quality(told.holdout) if told.HasField("holdout") else None,
    )


def _quality(held_out: pb.CustomerHoldout) -> PredictionQuality:
    def told(name: str) -> float | None:
        return getattr(held_out, name) if held_out.HasField(name) else None  # type: ignore[arg-type]

    share = told("top_decile_revenue_share")
    return PredictionQuality(
        holdout_start=_micros(held_out.start_time),
        customer_count=held_out.customer_count,
        churn_auc=told("churn_auc"),
        churn_brier=held_out.brier,
        order_bias=told("order_bias"),
        revenue_rank_correlation=told("revenue_rank_correlation"),
        top_decile_revenue_lift=None if share is None else share / DECILE,
    )


def _micros(time: Timestamp) -> int:
    return time.seconds * 1_000_000 + time.nanos // 1000
