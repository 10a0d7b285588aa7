"""Groups above the person in the schema: households and accounts, with their members."""

from collections.abc import Sequence
from typing import Annotated

import strawberry
from strawberry import Parent
from tessera.profiles.v1 import group_pb2 as pb
from tessera.profiles.v1 import profiles_service_pb2 as profiles_pb

from gateway.context import Info
from gateway.schema import loaders
from gateway.schema.absence import none_if_not_found
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.profiles import Customer
from gateway.schema.registry import edge, from_proto, input_from_proto, mutation, query


@from_proto(
    pb.GroupFigures,
    "member_count",
    "ordering_member_count",
    "event_count",
    "order_count",
    "spend",
    "last_order_time",
)
class GroupFigures: ...


@from_proto(pb.GroupProfile, "group_id", "type", "traits_json", "event_time")
class GroupProfile: ...


@from_proto(pb.GroupMembership, "group", "event_time")
class GroupMembership: ...


@input_from_proto(pb.AddGroupMembersRequest, "request_id", "group_id", "member_customer_ids", "traits_json")
class AddGroupMembersInput: ...


@from_proto(pb.AddGroupMembersResponse, "added_count")
class AddGroupMembersPayload: ...


@input_from_proto(pb.RemoveGroupMembersRequest, "request_id", "group_id", "member_customer_ids")
class RemoveGroupMembersInput: ...


@from_proto(pb.RemoveGroupMembersResponse, "removed_count")
class RemoveGroupMembersPayload: ...


@query(by_rpc("profiles.GetGroup"))
async def group(info: Info, id: strawberry.ID) -> pb.GroupProfile | None:
    """A group, by the id that its source gave it; null if there is none."""
    request = pb.GetGroupRequest(group_id=id)
    answer = await none_if_not_found(info.context.backends.profiles.GetGroup(request, metadata=info.context.metadata))
    return answer.group if answer else None


@query(by_rpc("profiles.ListGroups"))
async def groups(
    info: Info,
    first: First = 20,
    after: After = None,
    type: Annotated[str | None, strawberry.argument(description="Only groups of this type.")] = None,
) -> Page[pb.GroupProfile]:
    """Groups of customers, by id."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.GroupProfile], str]:
        request = pb.ListGroupsRequest(type=type or "", page_size=min(size, 100), page_token=token)
        answer = await info.context.backends.profiles.ListGroups(request, metadata=info.context.metadata)
        return answer.groups, answer.next_page_token

    return await page(fetch, first, after)


@edge(Customer, by_rpc("profiles.BatchGetGroupMemberships"))
async def memberships(customer: Parent[profiles_pb.Customer], info: Info) -> list[pb.GroupMembership]:
    """The groups that the customer is a member of, by events or by request, by id: at most 100."""
    return await loaders.memberships_of_groups(info.context, customer.customer_id)


@edge(GroupProfile, by_rpc("profiles.GetGroup"))
async def figures(group: Parent[pb.GroupProfile], info: Info) -> pb.GroupFigures | None:
    """What its members are together."""
    if group.HasField("figures"):
        return group.figures
    request = pb.GetGroupRequest(group_id=group.group_id)
    answer = await none_if_not_found(info.context.backends.profiles.GetGroup(request, metadata=info.context.metadata))
    return answer.group.figures if answer else None


@edge(GroupProfile, by_rpc("profiles.ListGroupMembers"))
async def members(group: Parent[pb.GroupProfile], info: Info) -> list[profiles_pb.Customer]:
    """The customers who are members."""
    request = pb.ListGroupMembersRequest(group_id=group.group_id)
    answer = await none_if_not_found(
        info.context.backends.profiles.ListGroupMembers(request, metadata=info.context.metadata)
    )
    return await loaders.all_of(
        loaders.customer(info.context, customer_id) for customer_id in (answer.customer_ids if answer else ())
    )


@mutation(by_rpc("profiles.AddGroupMembers"))
async def add_group_members(info: Info, input: pb.AddGroupMembersRequest) -> pb.AddGroupMembersResponse:
    return await info.context.backends.profiles.AddGroupMembers(input, metadata=info.context.metadata)


@mutation(by_rpc("profiles.RemoveGroupMembers"))
async def remove_group_members(info: Info, input: pb.RemoveGroupMembersRequest) -> pb.RemoveGroupMembersResponse:
    return await info.context.backends.profiles.RemoveGroupMembers(input, metadata=info.context.metadata)
