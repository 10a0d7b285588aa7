"""Order events, and a forecasting server that follows a real profiles server."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.forecasting.v1 import forecasting_service_pb2 as pb
from tessera.forecasting.v1.forecasting_service_pb2_grpc import ForecastingServiceStub
from tessera.profiles.v1 import profiles_service_pb2 as profiles_pb
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.common.channels import connect
from services.forecasting import app as forecasting_app
from services.profiles import app as profiles_app
from tests.conftest import Keyring

if TYPE_CHECKING:
    from tessera.forecasting.v1.forecasting_service_pb2_grpc import ForecastingServiceAsyncStub
    from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceAsyncStub


def instant(text: str) -> datetime:
    """An ISO time, in UTC."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def timestamp(time: datetime) -> Timestamp:
    """The time as the contracts have it."""
    stamp = Timestamp()
    stamp.FromDatetime(time)
    return stamp


def line(product_id: str, amount: float, category: str | None, quantity: float = 1) -> dict[str, Any]:
    """One product of an order."""
    return {
        "product_id": product_id,
        "price": amount,
        "quantity": quantity,
        "total": amount,
        **({} if category is None else {"category": category}),
    }


def properties(order_id: str, products: Sequence[dict[str, Any]], currency: str = "USD", **more: Any) -> str:
    """What an ``Order Completed`` says."""
    return json.dumps({"order_id": order_id, "currency": currency, "products": list(products), **more})


def order(order_id: str, time: datetime, products: Sequence[dict[str, Any]], **more: Any) -> profiles_pb.Event:
    """An order as a shop sends it."""
    return profiles_pb.Event(
        message_id=f"order-{order_id}",
        type=profiles_pb.EVENT_TYPE_TRACK,
        name="Order Completed",
        user_id="ada",
        event_time=timestamp(time),
        properties_json=properties(order_id, products, **more),
    )


@dataclass(frozen=True)
class Shop:
    """Two servers and a tenant's clients."""

    profiles: "ProfilesServiceAsyncStub"
    forecasting: "ForecastingServiceAsyncStub"
    keyring: Keyring

    def header(self, tenant: str = "acme") -> tuple[tuple[str, str], ...]:
        return self.keyring.header(tenant)

    async def sell(self, events: Sequence[profiles_pb.Event], tenant: str = "acme") -> None:
        """Record orders and wait until forecasting has applied them."""
        sent = profiles_pb.IngestEventsRequest(events=events)
        answer = await self.profiles.IngestEvents(sent, metadata=self.header(tenant))
        assert not answer.rejections
        figures = await self.profiles.GetStatistics(profiles_pb.GetStatisticsRequest(), metadata=self.header(tenant))
        async with asyncio.timeout(20):
            while True:
                status = await self.forecasting.GetStatus(pb.GetStatusRequest(), metadata=self.header(tenant))
                if status.applied_cursor == figures.end_cursor:
                    return
                await asyncio.sleep(0.02)

    async def finished(self, job_id: str) -> Any:
        """The job, once it has ended."""
        async with asyncio.timeout(90):
            while True:
                answer = await self.forecasting.GetJob(pb.GetJobRequest(job_id=job_id), metadata=self.header())
                if answer.job.state in (3, 4):
                    return answer.job
                await asyncio.sleep(0.02)


@pytest.fixture
async def shop(configure: Callable[..., Any], keyring: Keyring) -> AsyncIterator[Shop]:
    async with AsyncExitStack() as stack:
        profiles = await stack.enter_async_context(profiles_app.serve(configure(profiles_app.Settings)))
        nobody = "127.0.0.1:1"
        settings = configure(
            forecasting_app.Settings, profiles_addr=profiles.address, segmentation_addr=nobody, crm_addr=nobody
        )
        forecasting = await stack.enter_async_context(forecasting_app.serve(settings))
        to_profiles = await stack.enter_async_context(connect(profiles.address, settings))
        to_forecasting = await stack.enter_async_context(connect(forecasting.address, settings))
        yield Shop(ProfilesServiceStub(to_profiles), ForecastingServiceStub(to_forecasting), keyring)
