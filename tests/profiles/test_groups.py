"""Households and accounts: who is a member, by events and by request, through merges, and what they are together."""

import json
from typing import Any

import grpc
from hypothesis import given
from hypothesis import strategies as st
from tessera.profiles.v1 import group_pb2 as pb

from services.profiles.domain.group import GroupProfile, Membership
from tests.profiles.client import Client, order, track
from tests.profiles.test_calls import group
from tests.profiles.test_merging import ids, merge, unmerging

MISSING, FAILED = grpc.StatusCode.NOT_FOUND, grpc.StatusCode.FAILED_PRECONDITION
SAYINGS = st.lists(st.tuples(st.integers(0, 5), st.booleans(), st.sampled_from("ab")), max_size=10)


@given(SAYINGS, st.randoms())
def test_the_order_in_which_a_group_is_heard_of_does_not_matter(sayings: list[Any], random: Any) -> None:
    outcomes = []
    for _ in range(2):
        one, member = GroupProfile("g"), Membership("g", "c")
        for time, joins, city in sayings:
            one.learn({"city": city}, time)
            member.hear(one, time, member=joins)
        assert one.member_count == int(member.member)
        outcomes.append((one, member))
        random.shuffle(sayings)
    assert outcomes[0] == outcomes[1]


async def got(client: Client, group_id: str) -> pb.GroupProfile:
    answer = await client.call("GetGroup", pb.GetGroupRequest(group_id=group_id))
    assert isinstance(answer, pb.GetGroupResponse)
    return answer.group


async def members(client: Client, group_id: str) -> list[str]:
    return list((await client.call("ListGroupMembers", pb.ListGroupMembersRequest(group_id=group_id))).customer_ids)


def adding(group_id: str, *customers: str, request_id: str = "", **traits: Any) -> pb.AddGroupMembersRequest:
    return pb.AddGroupMembersRequest(
        request_id=request_id, group_id=group_id, member_customer_ids=customers, traits_json=json.dumps(traits)
    )


async def test_events_make_a_household_with_the_figures_of_its_members(acme: Client) -> None:
    await acme.ingest(
        group("g1", "ann", "home", at=20, type="household", city="Lyon"),
        group("g2", "bob", "home", at=10, city="Paris"),
    )
    await acme.ingest(order("o1", "ann", 5, at=50), order("o2", "ann", 7, at=90))
    home = await got(acme, "home")
    assert (home.type, json.loads(home.traits_json)) == ("household", {"city": "Lyon", "type": "household"})
    assert await members(acme, "home") == sorted(await ids(acme, "ann", "bob"))
    figures = home.figures
    assert (figures.member_count, figures.ordering_member_count, figures.event_count) == (2, 1, 4)
    assert (figures.order_count, figures.spend[0].amount_minor, figures.last_order_time.seconds) == (2, 1200, 90)


async def test_a_customers_groups_are_told_however_they_joined(acme: Client) -> None:
    await acme.ingest(group("g1", "ann", "home", at=20), group("g2", "anna", "club", at=10), track("m", "bob"))
    ann, anna, bob = await ids(acme, "ann", "anna", "bob")
    await acme.call("AddGroupMembers", adding("acme ltd.", ann, bob, type="account"))

    async def joined(*customers: str) -> dict[str, list[str]]:
        answer = await acme.call("BatchGetGroupMemberships", pb.BatchGetGroupMembershipsRequest(customer_ids=customers))
        assert isinstance(answer, pb.BatchGetGroupMembershipsResponse)
        return {it.customer_id: [each.group.group_id for each in it.memberships] for it in answer.customers}

    apart = {bob: ["acme ltd."], ann: ["acme ltd.", "home"], anna: ["club"]}
    assert await joined(bob, ann, "nobody", anna) == apart
    (made,) = await merge(acme, ann, anna)
    assert (await joined(ann))[ann] == ["acme ltd.", "club", "home"]
    await acme.call("UnmergeCustomer", unmerging(made.merge_id))
    assert await joined(bob, ann, anna) == apart
    await acme.call("RemoveGroupMembers", pb.RemoveGroupMembersRequest(group_id="acme ltd.", member_customer_ids=[bob]))
    assert await joined(bob) == {}


async def test_members_follow_merges_and_unmerges(acme: Client) -> None:
    await acme.ingest(group("g1", "ann", "home"), group("g2", "anna", "home"), order("o", "anna", 5), track("m", "bob"))
    ann, anna, bob = await ids(acme, "ann", "anna", "bob")
    (made,) = await merge(acme, ann, anna)
    assert await members(acme, "home") == [ann]
    assert (await got(acme, "home")).figures.order_count == 1
    (other,) = await merge(acme, bob, ann)
    assert await members(acme, "home") == [bob]
    await acme.call("UnmergeCustomer", unmerging(other.merge_id))
    await acme.call("UnmergeCustomer", unmerging(made.merge_id))
    assert await members(acme, "home") == sorted([ann, anna])


async def test_members_are_added_and_removed_by_request_once(acme: Client) -> None:
    await acme.ingest(track("m1", "ann"), track("m2", "bob"))
    ann, bob = await ids(acme, "ann", "bob")
    add = adding("acme ltd.", ann, bob, ann, request_id="r", type="account")
    assert [(await acme.call("AddGroupMembers", add)).added_count for _ in range(2)] == [2, 2]
    assert (await acme.call("AddGroupMembers", adding("acme ltd.", ann))).added_count == 0
    remove = pb.RemoveGroupMembersRequest(request_id="x", group_id="acme ltd.", member_customer_ids=[ann])
    assert [(await acme.call("RemoveGroupMembers", remove)).removed_count for _ in range(2)] == [1, 1]
    assert await members(acme, "acme ltd.") == [bob]
    await acme.ingest(group("late", "ann", "acme ltd.", at=1000))
    assert await members(acme, "acme ltd.") == [bob]
    assert (await acme.call("AddGroupMembers", adding("acme ltd.", ann))).added_count == 1
    reused = adding("other", ann, request_id="r")
    assert await acme.refusal("AddGroupMembers", reused) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_removing_a_customer_removes_all_that_they_are_made_of(acme: Client) -> None:
    await acme.ingest(group("g1", "ann", "home"), group("g2", "anna", "home"))
    ann, anna = await ids(acme, "ann", "anna")
    (made,) = await merge(acme, ann, anna)
    await acme.call("RemoveGroupMembers", pb.RemoveGroupMembersRequest(group_id="home", member_customer_ids=[ann]))
    await acme.call("UnmergeCustomer", unmerging(made.merge_id))
    assert await members(acme, "home") == []


async def test_groups_are_listed_by_type_and_paged(acme: Client, rival: Client) -> None:
    await acme.ingest(
        *(group(f"g{n}", "ann", f"home{n}", type="household") for n in range(3)), group("a", "ann", "firm")
    )
    first = await acme.call("ListGroups", pb.ListGroupsRequest(type="household", page_size=2))
    rest = await acme.call(
        "ListGroups", pb.ListGroupsRequest(type="household", page_size=2, page_token=first.next_page_token)
    )
    assert [it.group_id for it in (*first.groups, *rest.groups)] == ["home0", "home1", "home2"]
    assert len((await acme.call("ListGroups", pb.ListGroupsRequest())).groups) == 4
    assert not (await rival.call("ListGroups", pb.ListGroupsRequest())).groups


async def test_a_full_group_takes_nobody_else_and_says_so(acme: Client) -> None:
    await acme.ingest(*(group(f"g{n}", f"u{n}", "crowd") for n in range(1000)))
    answer = await acme.ingest(group("more", "one more", "crowd"), group("again", "u7", "crowd", at=2000))
    assert [(it.message_id, it.reason) for it in answer.notices] == [("more", "GROUP_FULL")]
    assert answer.recorded_count == 2
    (late,) = await ids(acme, "one more")
    assert await acme.refusal("AddGroupMembers", adding("crowd", late)) == (FAILED, "GROUP_FULL")
    assert len(await members(acme, "crowd")) == (await got(acme, "crowd")).figures.member_count == 1000


async def test_who_is_not_there_is_refused(acme: Client, rival: Client) -> None:
    await acme.ingest(group("g", "ann", "home"))
    await rival.ingest(track("m", "eve"))
    (eve,) = await ids(rival, "eve")
    assert await acme.refusal("GetGroup", pb.GetGroupRequest(group_id="nothing")) == (MISSING, "GROUP_NOT_FOUND")
    assert await rival.refusal("GetGroup", pb.GetGroupRequest(group_id="home")) == (MISSING, "GROUP_NOT_FOUND")
    assert await acme.refusal("AddGroupMembers", adding("home", eve)) == (MISSING, "CUSTOMER_NOT_FOUND")
    remove = pb.RemoveGroupMembersRequest(group_id="nothing", member_customer_ids=(await ids(acme, "ann")))
    assert await acme.refusal("RemoveGroupMembers", remove) == (MISSING, "GROUP_NOT_FOUND")
    broken = adding("home", *(await ids(acme, "ann")))
    broken.traits_json = "[]"
    assert await acme.refusal("AddGroupMembers", broken) == (grpc.StatusCode.INVALID_ARGUMENT, "JSON_INVALID")
