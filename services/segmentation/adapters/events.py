"""Following profiles: its events become rows, and the customers that they touch are evaluated."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
import orjson
from tessera.profiles.v1 import profiles_service_pb2 as pb
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.common.feed import follow
from services.segmentation.adapters.analytics import FOLLOWER, ColumnarAnalytics
from services.segmentation.adapters.tables import Observed

Touch = Callable[[str, set[str]], None]
"""Hears which customers of a tenant were touched."""
Stream = Callable[[str], AsyncIterator[pb.FollowChangesResponse]]
"""Batches of profiles' feed after a cursor."""


def profiles_stream(channel: grpc.aio.Channel) -> Stream:
    """The feed of all tenants."""
    stub = ProfilesServiceStub(channel)

    async def stream(cursor: str) -> AsyncIterator[pb.FollowChangesResponse]:
        async for batch in stub.FollowChanges(pb.FollowChangesRequest(after_cursor=cursor)):
            yield batch

    return stream


class Follower:
    """Applies profiles' feed. ``touch`` hears of the customers of each batch once its rows are stored."""

    def __init__(self, stream: Stream, analytics: ColumnarAnalytics, touch: Touch) -> None:
        self._stream, self._analytics, self._touch = stream, analytics, touch
        self._applying = False
        self._caught_up = False

    @property
    def settled(self) -> bool:
        """Whether everything that was applied was also told to ``touch``."""
        return not self._applying

    @property
    def caught_up(self) -> bool:
        """Whether the last batch was the newest."""
        return self._caught_up

    async def run(self) -> None:
        """Follow for ever."""
        load: Callable[[], Awaitable[str]] = self._analytics.applied_cursor
        await follow(f"segmentation.{FOLLOWER}", load, self._stream, self.apply)

    async def apply(self, batch: pb.FollowChangesResponse) -> None:
        """Store a batch with its cursor, then tell whom it touched."""
        self._applying = True
        try:
            observed = await asyncio.to_thread(_observed, batch)
            await self._analytics.append(observed, batch.cursor)
            self._caught_up = batch.caught_up
            touched: dict[str, set[str]] = {}
            for event in observed:
                touched.setdefault(event.tenant, set()).add(event.customer_id)
            for tenant, customer_ids in touched.items():
                self._touch(tenant, customer_ids)
        finally:
            self._applying = False


def _observed(batch: pb.FollowChangesResponse) -> list[Observed]:
    observed = []
    for change in batch.changes:
        if change.WhichOneof("kind") != "event_recorded":
            continue
        event = change.event_recorded
        time = event.event_time
        observed.append(
            Observed(
                tenant=change.tenant_id,
                customer_id=event.customer_id,
                message_id=event.message_id,
                type=event.type,
                name=event.name,
                time=time.seconds * 1_000_000 + time.nanos // 1000,
                content=orjson.loads(event.properties_json) if event.properties_json else {},
            )
        )
    return observed
