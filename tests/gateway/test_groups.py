"""Households and accounts through the gateway."""

from google.protobuf.json_format import MessageToDict
from tessera.common.v1.money_pb2 import Money
from tessera.profiles.v1 import group_pb2 as pb
from tessera.profiles.v1 import profiles_service_pb2 as profiles

from tests.gateway.platform import Backend, Client

HOME = pb.GroupProfile(group_id="home", type="household", traits_json='{"city":"Lyon"}')
FIGURES = pb.GroupFigures(member_count=2, ordering_member_count=1, spend=[Money(currency="EUR", amount_minor=1250)])


async def test_a_group_has_figures_and_members(client: Client, backend: Backend) -> None:
    whole = pb.GroupProfile(figures=FIGURES)
    whole.MergeFrom(HOME)
    backend.on("profiles.GetGroup", lambda _: pb.GetGroupResponse(group=whole))
    backend.on("profiles.ListGroupMembers", lambda _: pb.ListGroupMembersResponse(customer_ids=["ann", "bob"]))
    backend.on(
        "profiles.BatchGetCustomers",
        lambda asked: profiles.BatchGetCustomersResponse(
            customers=[profiles.Customer(customer_id=each) for each in asked.customer_ids]
        ),
    )
    data = await client.data(
        """{ group(id: "home") { groupId type traits figures { memberCount orderingMemberCount spend { amount } }
             members { customerId } } }"""
    )
    assert data["group"] == {
        "groupId": "home",
        "type": "household",
        "traits": {"city": "Lyon"},
        "figures": {"memberCount": 2, "orderingMemberCount": 1, "spend": [{"amount": "12.50"}]},
        "members": [{"customerId": "ann"}, {"customerId": "bob"}],
    }
    assert len(backend.requests("profiles.BatchGetCustomers")) == len(backend.requests("profiles.GetGroup")) == 1


async def test_the_groups_of_a_page_of_customers_are_one_rpc(client: Client, backend: Backend) -> None:
    everyone = [profiles.Customer(customer_id=each) for each in ("ann", "bob")]
    backend.on("profiles.ListCustomers", lambda _: profiles.ListCustomersResponse(customers=everyone))
    member = pb.CustomerMemberships(customer_id="ann", memberships=[pb.GroupMembership(group=HOME)])
    backend.on("profiles.BatchGetGroupMemberships", lambda _: pb.BatchGetGroupMembershipsResponse(customers=[member]))
    data = await client.data("{ customers(first: 2) { nodes { memberships { group { groupId type } } } } }")
    assert data["customers"]["nodes"] == [
        {"memberships": [{"group": {"groupId": "home", "type": "household"}}]},
        {"memberships": []},
    ]
    assert len(backend.requests("profiles.BatchGetGroupMemberships")) == 1


async def test_groups_are_listed_and_their_members_changed(client: Client, backend: Backend) -> None:
    backend.on("profiles.ListGroups", lambda _: pb.ListGroupsResponse(groups=[HOME]))
    backend.on("profiles.AddGroupMembers", lambda _: pb.AddGroupMembersResponse(added_count=1))
    backend.on("profiles.RemoveGroupMembers", lambda _: pb.RemoveGroupMembersResponse(removed_count=1))
    data = await client.data("""{ groups(type: "household", first: 5) { nodes { groupId } } }""")
    assert data["groups"]["nodes"] == [{"groupId": "home"}]
    await client.data(
        """mutation { addGroupMembers(input: {requestId: "a", groupId: "home", memberCustomerIds: ["ann"],
           traits: {city: "Lyon"}}) { addedCount }
           removeGroupMembers(input: {requestId: "b", groupId: "home", memberCustomerIds: ["bob"]})
           { removedCount } }"""
    )
    asked = {name: MessageToDict(request, preserving_proto_field_name=True) for name, request in backend.calls}
    assert asked == {
        "profiles.ListGroups": {"type": "household", "page_size": 5},
        "profiles.AddGroupMembers": {
            "request_id": "a",
            "group_id": "home",
            "member_customer_ids": ["ann"],
            "traits_json": '{"city":"Lyon"}',
        },
        "profiles.RemoveGroupMembers": {"request_id": "b", "group_id": "home", "member_customer_ids": ["bob"]},
    }
