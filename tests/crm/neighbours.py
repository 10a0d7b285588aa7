"""The services that crm asks, speaking the real contracts from memory."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf import any_pb2
from google.rpc import error_details_pb2, status_pb2
from tessera.profiles.v1 import consent_pb2, erasure_pb2
from tessera.profiles.v1 import profiles_service_pb2 as profiles
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceServicer, add_ProfilesServiceServicer_to_server
from tessera.segmentation.v1 import segmentation_service_pb2 as segmentation
from tessera.segmentation.v1.segmentation_service_pb2_grpc import (
    SegmentationServiceServicer,
    add_SegmentationServiceServicer_to_server,
)

Context = grpc.aio.ServicerContext[Any, Any]


class Neighbours(ProfilesServiceServicer, SegmentationServiceServicer):
    """Profiles and segmentation in one server."""

    def __init__(self) -> None:
        self.members: dict[str, list[str]] = {}
        self.traits: dict[str, dict[str, Any]] = {}
        self.tenants: list[str] = []
        self.tokens_expired = 0
        """How many of the next page tokens are refused."""
        self.down = False
        self.address = ""
        self.consents: dict[str, consent_pb2.ConsentState.ValueType] = {}
        self.checked: list[tuple[str, str, int]] = []
        """Purpose, channel and how many customers profiles was asked about."""
        self.erased: list[profiles.CustomerErased] = []
        self.changes: list[profiles.Change] = []
        """What else profiles tells."""
        self.acknowledged: list[erasure_pb2.AcknowledgeErasureRequest] = []
        self.heard = asyncio.Event()

    def add(self, segment_id: str, count: int, **traits: Any) -> None:
        """A segment of ``count`` customers with addresses."""
        ids = [f"c{number:05d}" for number in range(count)]
        self.members[segment_id] = ids
        for customer_id in ids:
            known = {"email": f"{customer_id}@example.com", "first_name": f"Name {customer_id}"}
            self.traits[customer_id] = {**known, **traits}

    async def ListMembers(  # noqa: N802 (the contract's name)
        self, request: segmentation.ListMembersRequest, context: Context
    ) -> segmentation.ListMembersResponse:
        await self._admit(context)
        if request.segment_id not in self.members:
            await _abort(context, grpc.StatusCode.NOT_FOUND, "SEGMENT_NOT_FOUND")
        if request.page_token and self.tokens_expired:
            self.tokens_expired -= 1
            await _abort(context, grpc.StatusCode.INVALID_ARGUMENT, "INVALID_CURSOR")
        begin = int(request.page_token or 0)
        ids = self.members[request.segment_id]
        end = begin + request.page_size
        return segmentation.ListMembersResponse(
            members=[segmentation.Member(customer_id=customer_id) for customer_id in ids[begin:end]],
            next_page_token=str(end) if end < len(ids) else "",
        )

    async def BatchGetCustomers(  # noqa: N802
        self, request: profiles.BatchGetCustomersRequest, context: Context
    ) -> profiles.BatchGetCustomersResponse:
        await self._admit(context)
        found = [customer_id for customer_id in request.customer_ids if customer_id in self.traits]
        return profiles.BatchGetCustomersResponse(customers=map(self._customer, found))

    async def CheckConsents(  # noqa: N802
        self, request: consent_pb2.CheckConsentsRequest, context: Context
    ) -> consent_pb2.CheckConsentsResponse:
        await self._admit(context)
        self.checked.append((request.purpose, request.channel, len(request.customer_ids)))
        states = [self.consents.get(each, consent_pb2.CONSENT_STATE_UNSPECIFIED) for each in request.customer_ids]
        answers = [
            consent_pb2.ConsentAnswer(customer_id=each, state=state)
            for each, state in zip(request.customer_ids, states, strict=True)
        ]
        return consent_pb2.CheckConsentsResponse(answers=answers)

    async def FollowChanges(  # noqa: N802
        self, request: profiles.FollowChangesRequest, context: Context
    ) -> AsyncIterator[profiles.FollowChangesResponse]:
        done = int(request.after_cursor or 0)
        while True:
            told = [profiles.Change(tenant_id="acme", customer_erased=each) for each in self.erased] + self.changes
            if fresh := told[done:]:
                done += len(fresh)
                yield profiles.FollowChangesResponse(changes=fresh, cursor=str(done), caught_up=True)
            await asyncio.sleep(0.02)

    async def AcknowledgeErasure(  # noqa: N802
        self, request: erasure_pb2.AcknowledgeErasureRequest, context: Context
    ) -> erasure_pb2.AcknowledgeErasureResponse:
        await self._admit(context)
        self.acknowledged.append(request)
        self.heard.set()
        return erasure_pb2.AcknowledgeErasureResponse()

    async def _admit(self, context: Context) -> None:
        metadata = dict(context.invocation_metadata() or ())
        self.tenants.append(str(metadata.get("tessera-tenant", "")))
        assert str(metadata["authorization"]).startswith("Bearer ")
        if self.down:
            await context.abort(grpc.StatusCode.DEADLINE_EXCEEDED, "too slow today")

    def _customer(self, customer_id: str) -> profiles.Customer:
        traits = self.traits[customer_id]
        return profiles.Customer(
            customer_id=customer_id,
            traits=[profiles.Trait(name=name, value_json=json.dumps(value)) for name, value in traits.items()],
            lifetime=profiles.Lifetime(order_count=2),
        )


async def _abort(context: Context, code: grpc.StatusCode, reason: str) -> None:
    detail = any_pb2.Any()
    detail.Pack(error_details_pb2.ErrorInfo(reason=reason, domain="segmentation.tessera"))
    status = status_pb2.Status(code=code.value[0], message=reason, details=[detail])
    await context.abort(code, reason, (("grpc-status-details-bin", status.SerializeToString()),))


async def listen(neighbours: Neighbours) -> tuple[grpc.aio.Server, str]:
    """A server that answers for both, and its address."""
    server = grpc.aio.server()
    add_ProfilesServiceServicer_to_server(neighbours, server)
    add_SegmentationServiceServicer_to_server(neighbours, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    return server, f"127.0.0.1:{port}"
