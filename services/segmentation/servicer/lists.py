"""The rpcs of lists of customers."""

import uuid
from dataclasses import dataclass

from google.protobuf.timestamp_pb2 import Timestamp
from tessera.segmentation.v1 import customer_list_pb2 as pb
from tessera.segmentation.v1.segmentation_service_pb2_grpc import SegmentationServiceServicer

from services.common.auth import principal
from services.common.clock import Clock
from services.common.idempotency import fingerprint
from services.segmentation.domain.customer_list import CUSTOMER_ID, CustomerList, Named, named_in_csv
from services.segmentation.handlers.lists import change_list, create_list, delete_list, get_list
from services.segmentation.ports import Lists, People, Request, Segments
from services.segmentation.servicer.context import Context

PAGE_SIZE_DEFAULT = 100
UNKNOWN_TOLD_MAX = 1000


@dataclass(frozen=True, kw_only=True)
class ListRpcs(SegmentationServiceServicer):
    """Lists that were put together by hand or from files."""

    segments: Segments
    lists: Lists
    people: People
    clock: Clock

    async def CreateCustomerList(
        self, request: pb.CreateCustomerListRequest, context: Context
    ) -> pb.CreateCustomerListResponse:
        tenant = principal().tenant
        made = await create_list(
            self.lists,
            self.clock,
            lambda: uuid.uuid4().hex,
            tenant,
            Request(request.request_id, fingerprint(request), principal().subject),
            request.name,
            request.description,
        )
        return pb.CreateCustomerListResponse(list=await self._list(tenant, made))

    async def GetCustomerList(self, request: pb.GetCustomerListRequest, context: Context) -> pb.GetCustomerListResponse:
        tenant = principal().tenant
        found = await get_list(self.lists, tenant, request.list_id)
        return pb.GetCustomerListResponse(list=await self._list(tenant, found))

    async def ListCustomerLists(
        self, request: pb.ListCustomerListsRequest, context: Context
    ) -> pb.ListCustomerListsResponse:
        tenant, size = principal().tenant, request.page_size or PAGE_SIZE_DEFAULT
        found, token = await self.lists.page(tenant, size, request.page_token)
        return pb.ListCustomerListsResponse(
            lists=[await self._list(tenant, each) for each in found], next_page_token=token
        )

    async def DeleteCustomerList(
        self, request: pb.DeleteCustomerListRequest, context: Context
    ) -> pb.DeleteCustomerListResponse:
        named = Request(request.request_id, fingerprint(request), principal().subject)
        await delete_list(self.lists, self.segments, self.clock, principal().tenant, named, request.list_id)
        return pb.DeleteCustomerListResponse()

    async def ChangeCustomerList(
        self, request: pb.ChangeCustomerListRequest, context: Context
    ) -> pb.ChangeCustomerListResponse:
        tenant = principal().tenant
        named = [Named(CUSTOMER_ID, each) for each in request.customer_ids]
        named += [Named(each.type, each.value) for each in request.identifiers]
        named += named_in_csv(request.csv)
        made = await change_list(
            self.lists, self.people, self.clock, tenant, request.list_id, named, remove=request.remove
        )
        changed = await get_list(self.lists, tenant, request.list_id)
        return pb.ChangeCustomerListResponse(
            changed_count=made.changed,
            unknown=[pb.UnknownCustomer(index=at, value=value) for at, value in made.unknown[:UNKNOWN_TOLD_MAX]],
            unknown_count=len(made.unknown),
            list=await self._list(tenant, changed),
        )

    async def ListCustomerListMembers(
        self, request: pb.ListCustomerListMembersRequest, context: Context
    ) -> pb.ListCustomerListMembersResponse:
        tenant, size = principal().tenant, request.page_size or PAGE_SIZE_DEFAULT
        await get_list(self.lists, tenant, request.list_id)
        found, token = await self.lists.members(tenant, request.list_id, size, request.page_token)
        return pb.ListCustomerListMembersResponse(
            members=[pb.CustomerListMember(customer_id=who, add_time=_timestamp(since)) for who, since in found],
            next_page_token=token,
        )

    async def _list(self, tenant: str, found: CustomerList) -> pb.CustomerList:
        return pb.CustomerList(
            list_id=found.list_id,
            name=found.name,
            description=found.description,
            create_time=_timestamp(found.create_time),
            member_count=await self.lists.size(tenant, found.list_id),
        )


def _timestamp(micros: int) -> Timestamp:
    seconds, rest = divmod(micros, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000)
