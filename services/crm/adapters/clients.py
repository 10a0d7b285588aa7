"""The other services that crm asks: segmentation for the audience, profiles for what is known of it."""

import logging
from collections.abc import Sequence

import grpc
import orjson
from tessera.profiles.v1 import consent_pb2
from tessera.profiles.v1 import profiles_service_pb2 as profiles
from tessera.profiles.v1.person_pb2 import Person
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub
from tessera.segmentation.v1 import segmentation_service_pb2 as segmentation
from tessera.segmentation.v1.segmentation_service_pb2_grpc import SegmentationServiceStub

from services.common.channels import on_behalf_of
from services.common.errors import InvalidCursor, Unavailable
from services.common.grpc_errors import error_info
from services.crm.domain.consent import ConsentState
from services.crm.domain.customer import Customer
from services.crm.domain.unsubscribe import SOURCE, Leaving
from services.crm.ports import Page, SegmentNotFound

log = logging.getLogger(__name__)


class SegmentationAudience:
    """The port ``Audience``."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = SegmentationServiceStub(channel)

    async def members(self, tenant: str, segment_id: str, limit: int, token: str) -> Page[str]:
        request = segmentation.ListMembersRequest(segment_id=segment_id, page_size=limit, page_token=token)
        try:
            answer = await self._stub.ListMembers(request, metadata=on_behalf_of(tenant))
        except grpc.aio.AioRpcError as error:
            info = error_info(error)
            if info is not None and info.reason == "SEGMENT_NOT_FOUND":
                raise SegmentNotFound(f"there is no segment {segment_id}", segment_id=segment_id) from error
            if info is not None and info.reason == "INVALID_CURSOR":
                raise InvalidCursor(error.details() or "segmentation does not know the page token") from error
            raise _unavailable("segmentation", error) from error
        return Page(tuple(member.customer_id for member in answer.members), answer.next_page_token)


class ProfilesCustomers:
    """The port ``Customers``."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = ProfilesServiceStub(channel)

    async def get_many(self, tenant: str, customer_ids: Sequence[str]) -> dict[str, Customer]:
        request = profiles.BatchGetCustomersRequest(customer_ids=customer_ids)
        try:
            answer = await self._stub.BatchGetCustomers(request, metadata=on_behalf_of(tenant))
        except grpc.aio.AioRpcError as error:
            raise _unavailable("profiles", error) from error
        return {customer.customer_id: _customer(customer) for customer in answer.customers}


class ProfilesConsents:
    """The port ``Consents``."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = ProfilesServiceStub(channel)

    async def states(
        self, tenant: str, customer_ids: Sequence[str], purpose: str, channel: str
    ) -> dict[str, ConsentState]:
        request = consent_pb2.CheckConsentsRequest(customer_ids=customer_ids, purpose=purpose, channel=channel)
        try:
            answer = await self._stub.CheckConsents(request, metadata=on_behalf_of(tenant))
        except grpc.aio.AioRpcError as error:
            raise _unavailable("profiles", error) from error
        return {each.customer_id: _state(each.state) for each in answer.answers}

    async def withdraw(self, leaving: Leaving) -> None:
        said = consent_pb2.NewConsentStatement(
            person=Person(customer_id=leaving.customer_id),
            purpose=leaving.purpose,
            channel=leaving.channel,
            state=consent_pb2.CONSENT_STATE_WITHDRAWN,
            proof=consent_pb2.ConsentProof(source=SOURCE, message_id=leaving.message_id, actor="the recipient"),
        )
        said.statement_time.FromDatetime(leaving.time)
        request = consent_pb2.SetConsentsRequest(statements=[said])
        try:
            answer = await self._stub.SetConsents(request, metadata=on_behalf_of(leaving.tenant))
        except grpc.aio.AioRpcError as error:
            raise _unavailable("profiles", error) from error
        for rejection in answer.rejections:
            log.warning("a withdrawal was rejected: %s %s", rejection.reason, rejection.message)


def _state(number: int) -> ConsentState:
    """What a newer profiles calls something that is not known here does not allow anything."""
    return ConsentState(number) if number in set(ConsentState) else ConsentState.DENIED


def _unavailable(service: str, error: grpc.aio.AioRpcError) -> Unavailable:
    return Unavailable(f"{service}: {error.code().name}: {error.details()}", service=service)


def _customer(customer: profiles.Customer) -> Customer:
    lifetime = customer.lifetime
    ordered = lifetime.order_count > 0
    return Customer(
        customer_id=customer.customer_id,
        traits={trait.name: orjson.loads(trait.value_json) for trait in customer.traits},
        emails=tuple(identifier.value for identifier in customer.identifiers if identifier.type == "email"),
        order_count=lifetime.order_count,
        first_order_time=lifetime.first_order_time.ToJsonString() if ordered else "",
        last_order_time=lifetime.last_order_time.ToJsonString() if ordered else "",
    )
