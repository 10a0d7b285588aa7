"""Segmentation over real gRPC beside a real profiles, and a client of both."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.profiles.v1 import profiles_service_pb2 as profiles
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub
from tessera.segmentation.v1 import segmentation_service_pb2 as pb
from tessera.segmentation.v1.segmentation_service_pb2_grpc import SegmentationServiceStub

from services.common.clock import system_clock, to_micros
from services.common.rules import Rule, wire
from services.profiles.app import Settings as ProfilesSettings
from services.profiles.app import serve as serve_profiles
from services.segmentation.app import Settings, serve
from tests.conftest import Keyring
from tests.segmentation.histories import DAY

if TYPE_CHECKING:
    from collections.abc import Callable

    from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceAsyncStub
    from tessera.segmentation.v1.segmentation_service_pb2_grpc import SegmentationServiceAsyncStub


@dataclass
class Platform:
    """Both services and what a caller needs."""

    source: "ProfilesServiceAsyncStub"
    segmentation: "SegmentationServiceAsyncStub"
    keyring: Keyring
    metadata: tuple[tuple[str, str], ...]
    sent: int = 0

    async def send(self, *events: profiles.Event) -> None:
        """Record events and wait until memberships take them into account."""
        for event in events:
            self.sent += 1
            event.message_id = f"m{self.sent}"
        answer = await self.source.IngestEvents(profiles.IngestEventsRequest(events=events), metadata=self.metadata)
        assert answer.recorded_count == len(events), answer.rejections
        await self.caught_up()

    async def caught_up(self) -> pb.GetStatusResponse:
        statistics = await self.source.GetStatistics(profiles.GetStatisticsRequest(), metadata=self.metadata)
        while True:
            status = await self.segmentation.GetStatus(pb.GetStatusRequest(), metadata=self.metadata)
            if status.applied_cursor == statistics.end_cursor and status.memberships_current:
                return status
            await asyncio.sleep(0.01)

    async def create(self, name: str, rule: Rule, **more: Any) -> pb.Segment:
        request = pb.CreateSegmentRequest(name=name, rule=wire.write(rule), **more)
        return (await self.segmentation.CreateSegment(request, metadata=self.metadata)).segment

    async def refresh(self, segment_id: str) -> pb.Segment:
        request = pb.RefreshSegmentRequest(segment_id=segment_id)
        return (await self.segmentation.RefreshSegment(request, metadata=self.metadata)).segment

    async def customer_id(self, user_id: str) -> str:
        identifier = profiles.Identifier(type="user_id", value=user_id)
        request = profiles.GetCustomerRequest(identifier=identifier)
        return (await self.source.GetCustomer(request, metadata=self.metadata)).customer.customer_id

    async def transitions(self, count: int, **request: Any) -> list[tuple[str, str, int]]:
        found: list[tuple[str, str, int]] = []
        call = self.segmentation.FollowMemberships(pb.FollowMembershipsRequest(**request), metadata=self.metadata)
        async for batch in call:
            found += [(it.customer_id, it.segment_id, it.transition) for it in batch.changes]
            if len(found) >= count:
                break
        call.cancel()
        return found


def at(days_ago: float) -> Timestamp:
    micros = to_micros(system_clock()) - int(days_ago * DAY)
    return Timestamp(seconds=micros // 1_000_000, nanos=micros % 1_000_000 * 1000)


def ordered(user_id: str, days_ago: float, total: float) -> profiles.Event:
    order = {"order_id": "o", "currency": "USD", "total": total, "products": [{"product_id": "p", "price": total}]}
    return profiles.Event(
        type=profiles.EVENT_TYPE_TRACK,
        name="Order Completed",
        user_id=user_id,
        event_time=at(days_ago),
        properties_json=json.dumps(order),
    )


def identified(user_id: str, **traits: object) -> profiles.Event:
    return profiles.Event(
        type=profiles.EVENT_TYPE_IDENTIFY, user_id=user_id, event_time=at(1), traits_json=json.dumps(traits)
    )


@asynccontextmanager
async def platform_of(configure: "Callable[..., Any]", keyring: Keyring, **more: Any) -> AsyncIterator[Platform]:
    async with serve_profiles(configure(ProfilesSettings)) as source:
        settings = configure(Settings, profiles_addr=source.address, **{"clock_seconds": 0.1, **more})
        async with (
            serve(settings) as up,
            grpc.aio.insecure_channel(source.address) as to_profiles,
            grpc.aio.insecure_channel(up.address) as to_segmentation,
        ):
            yield Platform(
                ProfilesServiceStub(to_profiles),
                SegmentationServiceStub(to_segmentation),
                keyring,
                keyring.header(),
            )
