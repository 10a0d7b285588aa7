"""A client of profiles, and the events that tests send."""

import json
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.profiles.v1 import profiles_service_pb2 as pb

from services.common.grpc_errors import error_info

if TYPE_CHECKING:
    from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceAsyncStub


def track(
    message_id: str, user: str = "", anonymous: str = "", name: str = "Product Viewed", at: int = 1000
) -> pb.Event:
    return pb.Event(
        message_id=message_id,
        type=pb.EVENT_TYPE_TRACK,
        name=name,
        user_id=user,
        anonymous_id=anonymous,
        event_time=Timestamp(seconds=at),
        properties_json='{"product_id": "p1"}' if name == "Product Viewed" else "",
    )


def order(message_id: str, user: str, total: float, at: int = 1000) -> pb.Event:
    event = track(message_id, user, name="Order Completed", at=at)
    line = {"product_id": "p1", "price": total, "quantity": 1}
    event.properties_json = json.dumps({"order_id": message_id, "currency": "USD", "products": [line]})
    return event


def identify(message_id: str, user: str, anonymous: str = "", at: int = 1000, **traits: Any) -> pb.Event:
    return pb.Event(
        message_id=message_id,
        type=pb.EVENT_TYPE_IDENTIFY,
        user_id=user,
        anonymous_id=anonymous,
        event_time=Timestamp(seconds=at),
        traits_json=json.dumps(traits),
    )


class Client:
    """Calls profiles as one tenant."""

    def __init__(self, stub: "ProfilesServiceAsyncStub", metadata: tuple[tuple[str, str], ...]) -> None:
        self.stub, self.metadata = stub, metadata

    async def ingest(self, *events: pb.Event) -> pb.IngestEventsResponse:
        return await self.stub.IngestEvents(pb.IngestEventsRequest(events=events), metadata=self.metadata)

    async def customer(self, kind: str, value: str) -> pb.Customer:
        request = pb.GetCustomerRequest(identifier=pb.Identifier(type=kind, value=value))
        return (await self.stub.GetCustomer(request, metadata=self.metadata)).customer

    async def events(self, customer_id: str, **options: Any) -> pb.ListEventsResponse:
        request = pb.ListEventsRequest(customer_id=customer_id, **options)
        return await self.stub.ListEvents(request, metadata=self.metadata)

    def follow(self, after: str = "", *names: str) -> AsyncIterator[pb.FollowChangesResponse]:
        request = pb.FollowChangesRequest(after_cursor=after, event_names=names)
        return aiter(self.stub.FollowChanges(request, metadata=self.metadata, timeout=20))

    async def call(self, rpc: str, request: Any) -> Any:
        """Any other rpc."""
        return await getattr(self.stub, rpc)(request, metadata=self.metadata)

    async def refusal(self, rpc: str, request: Any) -> tuple[grpc.StatusCode, str]:
        """The status and the reason with which an rpc refuses."""
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await self.call(rpc, request)
        info = error_info(refused.value)
        return refused.value.code(), info.reason if info else ""
