"""Merges, timelines and identities through the gateway: arguments of the contract, and old ids that go on working."""

from typing import Any

from google.protobuf.json_format import MessageToDict
from tessera.profiles.v1 import identity_pb2, merge_pb2
from tessera.profiles.v1 import profiles_service_pb2 as profiles

from tests.gateway.platform import Backend, Client

MERGE = merge_pb2.Merge(
    merge_id="m1",
    customer_id="ann",
    merged_customer_id="anna",
    origin_customer_ids=["anna"],
    rule=merge_pb2.MERGE_RULE_REQUESTED,
    reason="the same person",
    actor="clerk",
)


def _asked(backend: Backend, rpc: str) -> dict[str, Any]:
    return MessageToDict(backend.requests(rpc)[-1], preserving_proto_field_name=True)


def _ann(_: object) -> profiles.BatchGetCustomersResponse:
    ann = profiles.Customer(customer_id="ann", origin_customer_ids=["ann", "anna"])
    return profiles.BatchGetCustomersResponse(customers=[ann])


async def test_the_id_of_a_merged_customer_finds_the_one_that_is_left(client: Client, backend: Backend) -> None:
    backend.on("profiles.BatchGetCustomers", _ann)
    data = await client.data("""{ old: customer(id: "anna") { customerId originCustomerIds }
                                  new: customer(id: "ann") { customerId } }""")
    assert data == {"old": {"customerId": "ann", "originCustomerIds": ["ann", "anna"]}, "new": {"customerId": "ann"}}
    assert len(backend.requests("profiles.BatchGetCustomers")) == 1


async def test_a_customer_tells_the_merges_that_it_took_part_in(client: Client, backend: Backend) -> None:
    backend.on("profiles.BatchGetCustomers", _ann)
    backend.on("profiles.ListMerges", lambda _: merge_pb2.ListMergesResponse(merges=[MERGE]))
    data = await client.data("""{ customer(id: "ann") { mergeHistory(first: 5) { nodes {
        mergeId rule reason actor unmergeTime mergedCustomer { customerId } } } } }""")
    (found,) = data["customer"]["mergeHistory"]["nodes"]
    assert found == {
        "mergeId": "m1",
        "rule": "REQUESTED",
        "reason": "the same person",
        "actor": "clerk",
        "unmergeTime": None,
        "mergedCustomer": {"customerId": "ann"},
    }
    assert _asked(backend, "profiles.ListMerges") == {"customer_id": "ann", "page_size": 5}


async def test_merging_and_unmerging_pass_the_ids_and_the_reason_on(client: Client, backend: Backend) -> None:
    backend.on("profiles.MergeCustomers", lambda _: merge_pb2.MergeCustomersResponse(merges=[MERGE]))
    backend.on("profiles.UnmergeCustomer", lambda _: merge_pb2.UnmergeCustomerResponse(merge=MERGE))
    data = await client.data(
        """mutation { mergeCustomers(input: {requestId: "r", customerId: "ann", mergedCustomerIds: ["anna"],
           reason: "the same person"}) { merges { mergeId } }
           unmergeCustomer(input: {requestId: "u", mergeId: "m1", reason: "they are two"})
           { merge { mergedCustomerId } } }"""
    )
    assert data["mergeCustomers"]["merges"] == [{"mergeId": "m1"}]
    assert data["unmergeCustomer"]["merge"] == {"mergedCustomerId": "anna"}
    assert _asked(backend, "profiles.MergeCustomers") == {
        "request_id": "r",
        "customer_id": "ann",
        "merged_customer_ids": ["anna"],
        "reason": "the same person",
    }
    assert _asked(backend, "profiles.UnmergeCustomer") == {
        "request_id": "u",
        "merge_id": "m1",
        "reason": "they are two",
    }


async def test_a_timeline_is_filtered_by_names_times_and_properties(client: Client, backend: Backend) -> None:
    backend.on("profiles.BatchGetCustomers", _ann)
    await client.data(
        """{ customer(id: "ann") { timeline(first: 3, names: ["A", "B"], fromTime: "2026-05-01T00:00:00Z",
           beforeTime: "2026-06-01T00:00:00Z", properties: {coupon: "MAY", total: 5}) { nodes { messageId } } } }"""
    )
    assert _asked(backend, "profiles.ListEvents") == {
        "customer_id": "ann",
        "names": ["A", "B"],
        "from_time": "2026-05-01T00:00:00Z",
        "before_time": "2026-06-01T00:00:00Z",
        "properties_json": '{"coupon":"MAY","total":5}',
        "page_size": 3,
    }


async def test_identities_and_their_settings_are_read_and_changed(client: Client, backend: Backend) -> None:
    settings = identity_pb2.IdentitySettings(
        types=[identity_pb2.IdentifierType(type="user_id", person=True, values_max=1)], version=4
    )
    owned = identity_pb2.OwnedIdentifier(type="user_id", value="7", origin_customer_id="anna")
    backend.on("profiles.BatchGetCustomers", _ann)
    backend.on("profiles.ListIdentifiers", lambda _: identity_pb2.ListIdentifiersResponse(identifiers=[owned]))
    backend.on("profiles.GetIdentitySettings", lambda _: identity_pb2.GetIdentitySettingsResponse(settings=settings))
    data = await client.data(
        """{ customer(id: "ann") { identities(first: 2) { nodes { type value originCustomerId } } }
             identitySettings { version types { type person valuesMax } } }"""
    )
    assert data["customer"]["identities"]["nodes"] == [{"type": "user_id", "value": "7", "originCustomerId": "anna"}]
    assert data["identitySettings"] == {
        "version": 4,
        "types": [{"type": "user_id", "person": True, "valuesMax": 1}],
    }
    await client.data(
        """mutation { updateIdentitySettings(input: {requestId: "s", settings: {
           version: 4, blockedValues: ["x"], types: [
           {type: "email", person: true, valuesMax: 3, traits: ["email"], ignoresCase: true}]}})
           { settings { version } } }"""
    )
    assert _asked(backend, "profiles.UpdateIdentitySettings") == {
        "request_id": "s",
        "settings": {
            "types": [{"type": "email", "person": True, "values_max": 3, "traits": ["email"], "ignores_case": True}],
            "blocked_values": ["x"],
            "version": 4,
        },
    }
