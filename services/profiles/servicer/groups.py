"""Groups above the person."""

from tessera.common.v1 import money_pb2
from tessera.profiles.v1 import group_pb2 as pb

from services.common import json
from services.common.auth import principal
from services.common.json import JsonInvalid, read_object
from services.profiles.domain.event import JSON_BYTES_MAX
from services.profiles.domain.group import Figures, GroupProfile
from services.profiles.handlers.groups import (
    Grouping,
    add_group_members,
    get_group,
    list_group_members,
    memberships,
    remove_group_members,
)
from services.profiles.servicer.messages import Context, named, timestamp

PAGE_SIZE_DEFAULT = 20


class GroupRpcs:
    """Reads groups, and changes who is a member."""

    _grouping: Grouping

    async def GetGroup(self, request: pb.GetGroupRequest, context: Context) -> pb.GetGroupResponse:
        group, figures = await get_group(self._grouping, principal().tenant, request.group_id)
        return pb.GetGroupResponse(group=_group(group, figures))

    async def ListGroups(self, request: pb.ListGroupsRequest, context: Context) -> pb.ListGroupsResponse:
        size = request.page_size or PAGE_SIZE_DEFAULT
        groups, token = await self._grouping.groups.page(principal().tenant, request.type, size, request.page_token)
        return pb.ListGroupsResponse(groups=map(_group, groups), next_page_token=token)

    async def ListGroupMembers(
        self, request: pb.ListGroupMembersRequest, context: Context
    ) -> pb.ListGroupMembersResponse:
        found = await list_group_members(self._grouping, principal().tenant, request.group_id)
        return pb.ListGroupMembersResponse(customer_ids=found)

    async def BatchGetGroupMemberships(
        self, request: pb.BatchGetGroupMembershipsRequest, context: Context
    ) -> pb.BatchGetGroupMembershipsResponse:
        found = await memberships(self._grouping, principal().tenant, request.customer_ids)
        asked = [it for it in dict.fromkeys(request.customer_ids) if it in found]
        return pb.BatchGetGroupMembershipsResponse(
            customers=[pb.CustomerMemberships(customer_id=it, memberships=map(_membership, found[it])) for it in asked]
        )

    async def AddGroupMembers(self, request: pb.AddGroupMembersRequest, context: Context) -> pb.AddGroupMembersResponse:
        try:
            traits = read_object(request.traits_json, JSON_BYTES_MAX)
        except JsonInvalid as error:
            raise JsonInvalid(f"traits_json {error}", field="traits_json") from error
        count = await add_group_members(
            self._grouping, named(request), request.group_id, request.member_customer_ids, traits
        )
        return pb.AddGroupMembersResponse(added_count=count)

    async def RemoveGroupMembers(
        self, request: pb.RemoveGroupMembersRequest, context: Context
    ) -> pb.RemoveGroupMembersResponse:
        count = await remove_group_members(
            self._grouping, named(request), request.group_id, request.member_customer_ids
        )
        return pb.RemoveGroupMembersResponse(removed_count=count)


def _group(group: GroupProfile, figures: Figures | None = None) -> pb.GroupProfile:
    traits = {name: trait.value for name, trait in sorted(group.traits.items()) if trait.value is not None}
    return pb.GroupProfile(
        group_id=group.group_id,
        type=group.type,
        traits_json=json.write(traits),
        event_time=timestamp(group.event_time),
        figures=_figures(figures) if figures else None,
    )


def _membership(it: tuple[GroupProfile, int]) -> pb.GroupMembership:
    group, time = it
    return pb.GroupMembership(group=_group(group), event_time=timestamp(time))


def _figures(figures: Figures) -> pb.GroupFigures:
    return pb.GroupFigures(
        member_count=figures.member_count,
        ordering_member_count=figures.ordering_member_count,
        event_count=figures.event_count,
        order_count=figures.order_count,
        spend=[
            money_pb2.Money(currency=currency, amount_minor=amount)
            for currency, amount in sorted(figures.spend_minor.items())
        ],
        last_order_time=timestamp(figures.last_order_time) if figures.last_order_time else None,
    )
