"""A household in a real profiles moves the members of segments, over gRPC: purchases, joining, leaving, merging."""

import asyncio
import json
from typing import Any

import grpc
import pytest
from tessera.profiles.v1 import group_pb2, merge_pb2
from tessera.profiles.v1 import profiles_service_pb2 as profiles
from tessera.segmentation.v1 import segmentation_service_pb2 as pb

from services.common.grpc_errors import error_info
from tests.segmentation.platform import Platform, at, identified, ordered
from tests.segmentation.test_merges_service import members

OTHERS = 'others("household").any(events("Order Completed").within(duration("7d")).count() >= 1)'
SMALL = 'members("household").count() <= 2 && group("household").city == "Lyon"'


def grouped(user_id: str, group_id: str, **traits: object) -> profiles.Event:
    return profiles.Event(
        type=profiles.EVENT_TYPE_GROUP,
        user_id=user_id,
        group_id=group_id,
        event_time=at(2),
        traits_json=json.dumps(traits),
    )


async def created(platform: Platform, name: str, text: str) -> str:
    request = pb.CreateSegmentRequest(name=name, rule_text=text)
    answer = await platform.segmentation.CreateSegment(request, metadata=platform.metadata)
    assert answer.segment.rule_text == text
    return answer.segment.segment_id


async def changed(platform: Platform, rpc: str, request: Any) -> Any:
    """Ask profiles to change something, and wait until memberships take it into account."""
    answer = await getattr(platform.source, rpc)(request, metadata=platform.metadata)
    await platform.caught_up()
    return answer


async def test_what_a_member_of_the_household_buys_makes_the_other_enter(platform: Platform) -> None:
    async with asyncio.timeout(60):
        others, small = await created(platform, "others", OTHERS), await created(platform, "small", SMALL)
        await platform.send(
            grouped("ann", "home", type="household", city="Lyon"), identified("bob"), identified("eve", city="Lyon")
        )
        ann, bob, eve = [await platform.customer_id(name) for name in ("ann", "bob", "eve")]
        assert set(await members(platform, small)) == {ann}
        add = group_pb2.AddGroupMembersRequest(group_id="home", member_customer_ids=[bob])
        await changed(platform, "AddGroupMembers", add)
        assert set(await members(platform, small)) == {ann, bob}

        await platform.send(ordered("bob", 1, 60))
        assert await platform.transitions(1, segment_ids=[others]) == [(ann, others, pb.TRANSITION_ENTERED)]

        request = pb.ExplainMembershipRequest(customer_id=ann, segment_id=others)
        explained = await platform.segmentation.ExplainMembership(request, metadata=platform.metadata)
        assert [(it.path, it.fulfilled, it.member_customer_id) for it in explained.nodes] == [
            ("members", True, bob),
            ("members.rule.event", True, bob),
        ]
        merging = merge_pb2.MergeCustomersRequest(customer_id=eve, merged_customer_ids=[bob], reason="the same")
        merges = (await changed(platform, "MergeCustomers", merging)).merges
        assert set(await members(platform, small)) == {ann, eve}
        await changed(
            platform, "UnmergeCustomer", merge_pb2.UnmergeCustomerRequest(merge_id=merges[0].merge_id, reason="two")
        )
        assert (set(await members(platform, small)), set(await members(platform, others))) == ({ann, bob}, {ann})

        await changed(
            platform,
            "RemoveGroupMembers",
            group_pb2.RemoveGroupMembersRequest(group_id="home", member_customer_ids=[bob]),
        )
        assert (set(await members(platform, small)), set(await members(platform, others))) == ({ann}, set())
        past = pb.PreviewSegmentRequest(rule_text='others().count() == 0 && has(group("household").city)')
        past.as_of_time.CopyFrom(at(0))
        preview = await platform.segmentation.PreviewSegment(past, metadata=platform.metadata)
        assert [(it.path, it.count) for it in preview.nodes] == [
            ("all_of", 1),
            ("all_of.rules[0].members", 3),
            ("all_of.rules[1].group", 1),
        ]


WRONG = {
    "city == 5 && members().any(members().count() > 1)": "all_of.rules[1].members.rule.members",
    'members().all(events("x").sum(total).contains("a"))': "members.rule.event.operator",
    'group("household").city.matches("(")': "group.trait.values[0]",
    "members().count().between(2, 3) && others().count().isTrue()": "all_of.rules[1].members.operator",
}


async def test_what_cannot_be_asked_of_members_is_refused_with_the_path(platform: Platform) -> None:
    for text, path in WRONG.items():
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await created(platform, "wrong", text)
        info = error_info(refused.value)
        assert info is not None
        assert (info.reason, info.metadata["path"]) == ("RULE_INVALID", path)
