"""A gateway over a real profiles, a tenant's write key, and what has landed."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import httpx
from tessera.profiles.v1 import profiles_service_pb2 as pb
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.profiles.app import Settings, serve
from tests.conftest import Keyring
from tests.gateway.platform import Configure, gateway_over


class Source:
    """A source of events that has a write key, and the profiles that it reaches."""

    def __init__(self, http: httpx.AsyncClient, stub: Any, metadata: tuple[tuple[str, str], ...]) -> None:
        self.http, self.stub, self.metadata = http, stub, metadata
        self.write_key = self.write_key_id = ""

    @property
    def url(self) -> str:
        """Where the gateway is."""
        return str(self.http.base_url).rstrip("/")

    async def open(self) -> None:
        """Get a write key."""
        made = await self.stub.CreateWriteKey(pb.CreateWriteKeyRequest(name="site"), metadata=self.metadata)
        self.write_key, self.write_key_id = made.secret, made.write_key.write_key_id

    async def send(self, call: str, **request: Any) -> httpx.Response:
        """The answer to ``POST /v1/<call>`` with the write key."""
        return await self.http.post(f"/v1/{call}", auth=(self.write_key, ""), **request)

    async def customer(self, kind: str, value: str) -> pb.Customer:
        """Who has an identifier."""
        request = pb.GetCustomerRequest(identifier=pb.Identifier(type=kind, value=value))
        customer: pb.Customer = (await self.stub.GetCustomer(request, metadata=self.metadata)).customer
        return customer

    async def timeline(self, user_id: str) -> dict[str, pb.RecordedEvent]:
        """The events of a user, by name."""
        customer = await self.customer("user_id", user_id)
        request = pb.ListEventsRequest(customer_id=customer.customer_id)
        found = await self.stub.ListEvents(request, metadata=self.metadata)
        return {event.name: event for event in found.events}

    async def dead_letters(self) -> list[pb.DeadLetter]:
        """What was rejected, oldest first."""
        found = await self.stub.ListDeadLetters(pb.ListDeadLettersRequest(page_size=1000), metadata=self.metadata)
        return list(reversed(found.dead_letters))

    async def event_count(self) -> int:
        """How many events were recorded."""
        found = await self.stub.GetStatistics(pb.GetStatisticsRequest(), metadata=self.metadata)
        return int(found.event_count)


@asynccontextmanager
async def opened(configure: Configure, keyring: Keyring) -> AsyncIterator[Source]:
    """A source of tenant ``acme``."""
    async with (
        serve(configure(Settings)) as profiles,
        gateway_over(configure, keyring, {"profiles": profiles.address}) as client,
        grpc.aio.insecure_channel(profiles.address) as channel,
    ):
        source = Source(client.http, ProfilesServiceStub(channel), keyring.header())
        await source.open()
        yield source
