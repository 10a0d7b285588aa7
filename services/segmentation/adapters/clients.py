"""Profiles, asked who is who; and recommendation, what customers like."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import grpc
from tessera.profiles.v1 import profiles_service_pb2 as pb
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub
from tessera.recommendation.v1 import customer_vector_pb2
from tessera.recommendation.v1.recommendation_service_pb2_grpc import RecommendationServiceStub

from services.common.channels import on_behalf_of
from services.segmentation.domain.customer_list import CUSTOMER_ID, Named

CALLS_AT_ONCE = 32
VECTORS_A_PAGE = 1000


class ProfilesPeople:
    """The port ``People`` over profiles."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = ProfilesServiceStub(channel)

    async def resolve(self, tenant: str, named: Sequence[Named]) -> list[str | None]:
        turns = asyncio.Semaphore(CALLS_AT_ONCE)
        found: dict[Named, str | None] = {}

        async def find(each: Named) -> None:
            async with turns:
                found[each] = await self._one(tenant, each)

        async with asyncio.TaskGroup() as group:
            for each in dict.fromkeys(named):
                group.create_task(find(each))
        return [found[each] for each in named]

    async def _one(self, tenant: str, named: Named) -> str | None:
        request = (
            pb.GetCustomerRequest(customer_id=named.value)
            if named.type == CUSTOMER_ID
            else pb.GetCustomerRequest(identifier=pb.Identifier(type=named.type, value=named.value))
        )
        try:
            answer = await self._stub.GetCustomer(request, metadata=on_behalf_of(tenant))
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise
        return answer.customer.customer_id


async def customer_vectors(
    channel: grpc.aio.Channel, tenant: str
) -> AsyncIterator[customer_vector_pb2.ListCustomerVectorsResponse]:
    """Every page of customers' vectors; fails with the status of recommendation."""
    stub, token = RecommendationServiceStub(channel), ""
    while True:
        request = customer_vector_pb2.ListCustomerVectorsRequest(page_size=VECTORS_A_PAGE, page_token=token)
        page = await stub.ListCustomerVectors(request, metadata=on_behalf_of(tenant))
        yield page
        token = page.next_page_token
        if not token:
            return
