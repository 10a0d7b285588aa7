"""Lists of customers that rules may name."""

from collections.abc import Sequence

import strawberry
from strawberry import Parent
from tessera.profiles.v1 import profiles_service_pb2 as profiles_pb
from tessera.segmentation.v1 import customer_list_pb2 as pb

from gateway.context import Info
from gateway.schema import loaders
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.registry import edge, from_proto, input_from_proto, mutation, query


@from_proto(pb.CustomerList, "list_id", "name", "description", "create_time", "member_count")
class CustomerList: ...


@from_proto(pb.CustomerListMember, "customer_id", "add_time")
class CustomerListMember: ...


@from_proto(pb.UnknownCustomer, "index", "value")
class UnknownCustomer: ...


@input_from_proto(pb.CreateCustomerListRequest, "request_id", "name", "description")
class CreateCustomerListInput: ...


@from_proto(pb.CreateCustomerListResponse, "list")
class CreateCustomerListPayload: ...


@input_from_proto(pb.DeleteCustomerListRequest, "request_id", "list_id")
class DeleteCustomerListInput: ...


@input_from_proto(pb.ListIdentifier, "type", "value")
class ListIdentifierInput: ...


@input_from_proto(pb.ChangeCustomerListRequest, "request_id", "list_id", "identifiers", "csv", "remove")
class ChangeCustomerListInput: ...


@from_proto(pb.ChangeCustomerListResponse, "changed_count", "unknown", "unknown_count", "list")
class ChangeCustomerListPayload: ...


@query(by_rpc("segmentation.GetCustomerList"))
async def customer_list(info: Info, list_id: strawberry.ID) -> pb.CustomerList | None:
    """One list; null if there is none."""
    request = pb.GetCustomerListRequest(list_id=list_id)
    return (await info.context.backends.segmentation.GetCustomerList(request, metadata=info.context.metadata)).list


@query(by_rpc("segmentation.ListCustomerLists"))
async def customer_lists(info: Info, first: First = 20, after: After = None) -> Page[pb.CustomerList]:
    """All lists, by id."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.CustomerList], str]:
        request = pb.ListCustomerListsRequest(page_size=size, page_token=token)
        answer = await info.context.backends.segmentation.ListCustomerLists(request, metadata=info.context.metadata)
        return answer.lists, answer.next_page_token

    return await page(fetch, first, after)


@edge(CustomerList, by_rpc("segmentation.ListCustomerListMembers"), name="members")
async def members_of_list(
    listed: Parent[pb.CustomerList], info: Info, first: First = 20, after: After = None
) -> Page[pb.CustomerListMember]:
    """Who is on it, by customer id."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.CustomerListMember], str]:
        request = pb.ListCustomerListMembersRequest(list_id=listed.list_id, page_size=size, page_token=token)
        segmentation = info.context.backends.segmentation
        answer = await segmentation.ListCustomerListMembers(request, metadata=info.context.metadata)
        return answer.members, answer.next_page_token

    return await page(fetch, first, after)


@edge(CustomerListMember, by_rpc("profiles.BatchGetCustomers"), name="customer")
async def customer_of_list_member(member: Parent[pb.CustomerListMember], info: Info) -> profiles_pb.Customer | None:
    """The customer; null once merged into another."""
    return await loaders.customer(info.context, member.customer_id)


@mutation(by_rpc("segmentation.CreateCustomerList"))
async def create_customer_list(info: Info, input: pb.CreateCustomerListRequest) -> pb.CreateCustomerListResponse:
    return await info.context.backends.segmentation.CreateCustomerList(input, metadata=info.context.metadata)


@mutation(by_rpc("segmentation.DeleteCustomerList"))
async def delete_customer_list(info: Info, input: pb.DeleteCustomerListRequest) -> strawberry.ID:
    """Deletes a list that no segment names, and answers its id."""
    await info.context.backends.segmentation.DeleteCustomerList(input, metadata=info.context.metadata)
    return strawberry.ID(input.list_id)


@mutation(by_rpc("segmentation.ChangeCustomerList"))
async def change_customer_list(info: Info, input: pb.ChangeCustomerListRequest) -> pb.ChangeCustomerListResponse:
    return await info.context.backends.segmentation.ChangeCustomerList(input, metadata=info.context.metadata)
