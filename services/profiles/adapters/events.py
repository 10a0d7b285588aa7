"""Following forecasting: what it expects of customers becomes traits of their profiles.

They stay here: profiles' own feed does not tell them, because whoever follows that can follow forecasting, and a fit
changes them for everybody at once (decision 0022).
"""

from collections.abc import AsyncIterator, Callable

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.forecasting.v1 import forecasting_service_pb2 as pb
from tessera.forecasting.v1.forecasting_service_pb2_grpc import ForecastingServiceStub

from services.common.clock import Clock, from_micros, to_micros
from services.common.feed import follow
from services.common.money import decimals
from services.profiles.adapters.predictive_traits import FOLLOWER, StoredPredictiveTraits
from services.profiles.domain.predictive_trait import Expectation, PredictionQuality, PredictiveModel, Value

Stream = Callable[[str], AsyncIterator[pb.FollowPredictionsResponse]]
"""Batches of forecasting's feed after a cursor."""
DECILE = 0.1


def predictions_stream(channel: grpc.aio.Channel) -> Stream:
    """The feed of all tenants."""
    stub = ForecastingServiceStub(channel)

    async def stream(cursor: str) -> AsyncIterator[pb.FollowPredictionsResponse]:
        async for batch in stub.FollowPredictions(pb.FollowPredictionsRequest(after_cursor=cursor)):
            yield batch

    return stream


class PredictionFollower:
    """Applies forecasting's feed."""

    def __init__(self, stream: Stream, traits: StoredPredictiveTraits, clock: Clock) -> None:
        self._stream, self._traits, self._clock = stream, traits, clock

    async def run(self) -> None:
        """Follow for ever."""
        await follow(FOLLOWER, self._traits.load_cursor, self._stream, self.apply, self._traits.begin_again)

    async def apply(self, batch: pb.FollowPredictionsResponse) -> None:
        """Keep what a batch tells, with its cursor."""
        now = to_micros(self._clock())
        expected = {(each.tenant_id, each.customer_id): _expectation(each, now) for each in batch.changes}
        models = [(each.tenant_id, _model(each.customer_model)) for each in batch.models]
        await self._traits.apply(expected, models, batch.cursor)


def _expectation(change: pb.PredictionChange, now: int) -> Expectation | None:
    if not change.HasField("prediction"):
        return None
    told = change.prediction
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
    return Expectation(change.customer_id, told.version, values, now)


def _model(told: pb.CustomerModel) -> PredictiveModel:
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
