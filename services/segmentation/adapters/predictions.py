"""Following forecasting: what it predicts of customers becomes rows, and segments that compare it are evaluated."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from dataclasses import dataclass

import grpc
import pyarrow as pa
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.forecasting.v1 import forecasting_service_pb2 as pb
from tessera.forecasting.v1.forecasting_service_pb2_grpc import ForecastingServiceStub

from services.common.columnar import Columnar, Remove, of_tenant
from services.common.feed import follow
from services.segmentation.adapters.tables import PREDICTIONS
from services.segmentation.ports.predictions import Prediction

FOLLOWER = "forecasting"
GATHERED_MAX = 50_000
"""How many customers are gathered at most, while there is more to come, before segments are evaluated for them."""

Stream = Callable[[str], AsyncIterator[pb.FollowPredictionsResponse]]
"""Batches of forecasting's feed after a cursor."""
Changed = Callable[[str, set[str]], Awaitable[None]]
"""Hears of which customers of a tenant something else is predicted."""


def predictions_stream(channel: grpc.aio.Channel) -> Stream:
    """The feed of all tenants."""
    stub = ForecastingServiceStub(channel)

    async def stream(cursor: str) -> AsyncIterator[pb.FollowPredictionsResponse]:
        async for batch in stub.FollowPredictions(pb.FollowPredictionsRequest(after_cursor=cursor)):
            yield batch

    return stream


@dataclass(frozen=True, slots=True)
class Told:
    """What is predicted of a customer from now on; ``None``: nothing any more."""

    tenant: str
    customer_id: str
    prediction: Prediction | None


class ColumnarPredictions:
    """The port ``Predictions``, and where the feed's cursor is committed together with the rows."""

    def __init__(self, columnar: Columnar) -> None:
        self._columnar = columnar

    async def cursor(self) -> str:
        """The cursor of the last batch that was applied."""
        return await self._columnar.cursor(FOLLOWER)

    async def apply(self, told: Collection[Told], cursor: str) -> None:
        """Keep what is told and remove what is taken back; the same again changes nothing."""
        rows = await asyncio.to_thread(_rows, [each for each in told if each.prediction is not None])
        gone = [each for each in told if each.prediction is None]
        keys = {"tenant": [each.tenant for each in gone], "customer_id": [each.customer_id for each in gone]}
        removals = [Remove(PREDICTIONS, pa.table(keys))] if gone else []
        await self._columnar.append({PREDICTIONS: rows} if len(rows) else {}, FOLLOWER, cursor, removals)

    async def of(self, tenant: str, customer_ids: Collection[str]) -> list[Prediction]:
        rows = of_tenant(self._columnar.table(PREDICTIONS), tenant)
        theirs = rows.filter(rows.customer_id.isin(sorted(customer_ids))).drop("tenant").order_by("customer_id")
        return [Prediction(**row) for row in (await self._columnar.execute(theirs)).to_pylist()]


class PredictionFollower:
    """Applies forecasting's feed. ``changed`` hears of the customers once all that is known of them is stored."""

    def __init__(self, stream: Stream, predictions: ColumnarPredictions, changed: Changed) -> None:
        self._stream, self._predictions, self._changed = stream, predictions, changed
        self._gathered: dict[str, set[str]] = {}

    async def run(self) -> None:
        """Follow for ever."""
        await follow(f"segmentation.{FOLLOWER}", self._resume, self._stream, self.apply)

    async def _resume(self) -> str:
        await self._pass_on()  # whom a failure kept from it
        return await self._predictions.cursor()

    async def apply(self, batch: pb.FollowPredictionsResponse) -> None:
        """Store a batch with its cursor; after the newest, pass on of whom it tells."""
        told = {(each.tenant_id, each.customer_id): _told(each) for each in batch.changes}
        await self._predictions.apply(told.values(), batch.cursor)
        for tenant, customer_id in told:
            self._gathered.setdefault(tenant, set()).add(customer_id)
        if batch.caught_up or sum(map(len, self._gathered.values())) >= GATHERED_MAX:
            await self._pass_on()

    async def _pass_on(self) -> None:
        while self._gathered:
            tenant = next(iter(self._gathered))
            await self._changed(tenant, self._gathered[tenant])
            del self._gathered[tenant]


def _told(change: pb.PredictionChange) -> Told:
    prediction = _prediction(change.prediction) if change.HasField("prediction") else None
    return Told(change.tenant_id, change.customer_id, prediction)


def _prediction(told: pb.CustomerPrediction) -> Prediction:
    due = told.expected_next_order_time
    return Prediction(
        customer_id=told.customer_id,
        time=_micros(told.as_of_time),
        alive=told.probability_alive,
        churn_probability=told.churn_probability,
        expected_orders=told.expected_orders,
        currency=told.expected_revenue.currency,
        expected_order_value_minor=told.expected_order_value.amount_minor,
        expected_revenue_minor=told.expected_revenue.amount_minor,
        lifetime_value_minor=told.lifetime_value.amount_minor,
        next_order_time=_micros(due) if told.HasField("expected_next_order_time") else None,
        version=told.version,
    )


def _micros(time: Timestamp) -> int:
    return time.seconds * 1_000_000 + time.nanos // 1000


def _rows(told: Collection[Told]) -> pa.Table:
    names = [name for name in PREDICTIONS.schema.names if name != "tenant"]
    columns = {name: [getattr(each.prediction, name) for each in told] for name in names}
    columns["tenant"] = [each.tenant for each in told]
    return pa.table({name: columns[name] for name in PREDICTIONS.schema.names}, schema=PREDICTIONS.schema)
