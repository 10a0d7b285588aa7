"""Customers become one and two again, over real gRPC."""

import asyncio
import json
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.profiles.v1 import merge_pb2
from tessera.profiles.v1 import profiles_service_pb2 as pb

from tests.profiles.client import Client, identify, order, track

INVALID, MISSING = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND
FAILED, TAKEN = grpc.StatusCode.FAILED_PRECONDITION, grpc.StatusCode.ALREADY_EXISTS


def merging(survivor: str, *merged: str, request_id: str = "") -> merge_pb2.MergeCustomersRequest:
    return merge_pb2.MergeCustomersRequest(
        request_id=request_id, customer_id=survivor, merged_customer_ids=merged, reason="the same person"
    )


def unmerging(merge_id: str, request_id: str = "") -> merge_pb2.UnmergeCustomerRequest:
    return merge_pb2.UnmergeCustomerRequest(request_id=request_id, merge_id=merge_id, reason="they are two")


async def ids(client: Client, *users: str) -> list[str]:
    return [(await client.customer("user_id", user)).customer_id for user in users]


async def merge(client: Client, survivor: str, *merged: str) -> list[merge_pb2.Merge]:
    return list((await client.call("MergeCustomers", merging(survivor, *merged))).merges)


async def log(client: Client, customer_id: str = "", **options: Any) -> merge_pb2.ListMergesResponse:
    answer = await client.call("ListMerges", merge_pb2.ListMergesRequest(customer_id=customer_id, **options))
    assert isinstance(answer, merge_pb2.ListMergesResponse)
    return answer


async def told(client: Client, kind: str) -> list[Any]:
    """The changes of a kind that the feed has told by now."""
    found: list[Any] = []
    async for batch in client.follow():
        found += [getattr(change, kind) for change in batch.changes if change.WhichOneof("kind") == kind]
        if batch.caught_up:
            break
    return found


async def test_a_merged_customer_is_one_with_all_that_both_were(acme: Client) -> None:
    await acme.ingest(identify("i1", "ann", at=10, city="Lyon", vip=True), order("o1", "ann", 5, at=20))
    await acme.ingest(identify("i2", "anna", at=30, city="Paris"), order("o2", "anna", 7, at=40))
    ann, anna = await ids(acme, "ann", "anna")
    (made,) = await merge(acme, ann, anna)
    assert (made.customer_id, made.merged_customer_id, made.reason) == (ann, anna, "the same person")
    assert (made.rule, made.actor) == (merge_pb2.MERGE_RULE_REQUESTED, "developer")
    customer = await acme.customer("user_id", "anna")
    assert customer.customer_id == ann
    assert list(customer.origin_customer_ids) == [ann, anna]
    assert {(it.type, it.value) for it in customer.identifiers} == {("user_id", "ann"), ("user_id", "anna")}
    assert {trait.name: json.loads(trait.value_json) for trait in customer.traits} == {"city": "Paris", "vip": True}
    assert (customer.lifetime.event_count, customer.lifetime.spend[0].amount_minor) == (4, 1200)
    assert (customer.first_seen_time.seconds, customer.last_seen_time.seconds) == (10, 40)


async def test_old_ids_go_on_working_and_lists_hold_who_is_left(acme: Client) -> None:
    await acme.ingest(track("m1", "ann"), track("m2", "bob"), track("m3", "cid"))
    ann, bob, cid = await ids(acme, "ann", "bob", "cid")
    await merge(acme, ann, bob)
    got = (await acme.call("GetCustomer", pb.GetCustomerRequest(customer_id=bob))).customer
    assert got.customer_id == ann
    many = await acme.call("BatchGetCustomers", pb.BatchGetCustomersRequest(customer_ids=[bob, ann, cid, "nobody"]))
    assert sorted(each.customer_id for each in many.customers) == sorted([ann, cid])
    listed = [each async for each in _listed(acme)]
    assert sorted(each.customer_id for each in listed) == sorted([ann, cid])
    assert {each.customer_id: each.lifetime.event_count for each in listed} == {ann: 2, cid: 1}
    statistics = await acme.call("GetStatistics", pb.GetStatisticsRequest())
    assert (statistics.customer_count, statistics.event_count) == (2, 3)


async def _listed(client: Client) -> Any:
    token = ""
    while True:
        page = await client.call("ListCustomers", pb.ListCustomersRequest(page_size=1, page_token=token))
        for customer in page.customers:
            yield customer
        if not (token := page.next_page_token):
            return


async def test_unmerging_brings_back_exactly_who_there_was_with_what_came_since(acme: Client) -> None:
    await acme.ingest(
        identify("i1", "ann", at=10, city="Lyon"), identify("i2", "bob", anonymous="d", at=30, city="Rome")
    )
    before = [await acme.customer("user_id", user) for user in ("ann", "bob")]
    (made,) = await merge(acme, before[0].customer_id, before[1].customer_id)
    await acme.ingest(track("late", anonymous="d", at=5))
    answer = await acme.call("UnmergeCustomer", unmerging(made.merge_id))
    assert (answer.merge.unmerge_reason, answer.merge.unmerge_actor) == ("they are two", "developer")
    ann, bob = [await acme.customer("user_id", user) for user in ("ann", "bob")]
    assert ann == before[0]
    assert [event.message_id for event in (await acme.events(bob.customer_id)).events] == ["i2", "late"]
    before[1].lifetime.event_count += 1
    before[1].first_seen_time.seconds = 5
    assert bob == before[1]


async def test_merges_go_back_in_another_order(acme: Client) -> None:
    await acme.ingest(track("m1", "ann"), track("m2", "bob"), track("m3", "cid"))
    before = [await acme.customer("user_id", user) for user in ("ann", "bob", "cid")]
    ann, bob, cid = (each.customer_id for each in before)
    (first,) = await merge(acme, bob, ann)
    (second,) = await merge(acme, cid, bob)
    assert list(second.origin_customer_ids) == [bob, ann]
    await acme.call("UnmergeCustomer", unmerging(first.merge_id))
    assert (await acme.customer("user_id", "ann")) == before[0]
    assert (await acme.customer("user_id", "bob")).customer_id == cid
    await acme.call("UnmergeCustomer", unmerging(second.merge_id))
    assert [await acme.customer("user_id", user) for user in ("ann", "bob", "cid")] == before


async def test_the_feed_names_the_origins_that_move(acme: Client) -> None:
    await acme.ingest(track("m1", "ann"), track("m2", "bob"), track("m3", "cid"))
    ann, bob, cid = await ids(acme, "ann", "bob", "cid")
    (first,) = await merge(acme, bob, ann)
    (second,) = await merge(acme, cid, bob)
    await acme.ingest(track("after", "ann"))
    await acme.call("UnmergeCustomer", unmerging(first.merge_id))
    merged = await told(acme, "customers_merged")
    assert [(it.merge_id, it.customer_id, it.merged_customer_id, list(it.origin_customer_ids)) for it in merged] == [
        (first.merge_id, bob, ann, [ann]),
        (second.merge_id, cid, bob, [bob, ann]),
    ]
    (unmerged,) = await told(acme, "customers_unmerged")
    assert (unmerged.merge_id, unmerged.customer_id, unmerged.restored_customer_id) == (first.merge_id, cid, ann)
    assert list(unmerged.origin_customer_ids) == [ann]
    events = {it.message_id: (it.customer_id, it.origin_customer_id) for it in await told(acme, "event_recorded")}
    assert events == {"m1": (ann, ann), "m2": (bob, bob), "m3": (cid, cid), "after": (cid, ann)}


async def test_a_visitors_history_moves_to_who_signs_in_and_can_move_back(acme: Client) -> None:
    await acme.ingest(track("v1", anonymous="d"), track("m1", "ann"))
    visitor = (await acme.customer("anonymous_id", "d")).customer_id
    await acme.ingest(identify("i", "ann", anonymous="d"))
    ann = await acme.customer("user_id", "ann")
    assert {it.message_id for it in (await acme.events(ann.customer_id)).events} == {"v1", "m1", "i"}
    assert (await acme.customer("anonymous_id", "d")).customer_id == ann.customer_id
    (entry,) = (await log(acme, visitor)).merges
    assert (entry.rule, entry.message_id, entry.actor) == (merge_pb2.MERGE_RULE_SIGNED_IN, "i", "")
    assert [it.merge_id for it in await told(acme, "customers_merged")] == [entry.merge_id]
    await acme.call("UnmergeCustomer", unmerging(entry.merge_id))
    again = await acme.customer("anonymous_id", "d")
    assert (again.customer_id, again.lifetime.event_count) == (visitor, 1)


async def test_a_visitor_and_a_person_that_meet_in_one_batch_are_one(acme: Client) -> None:
    await acme.ingest(track("v1", anonymous="d"), track("m1", "ann"), identify("i", "ann", anonymous="d"))
    assert (await acme.customer("anonymous_id", "d")).lifetime.event_count == 3
    events = {it.message_id: it for it in await told(acme, "event_recorded")}
    assert len({it.customer_id for it in events.values()}) == 1
    assert events["v1"].origin_customer_id != events["m1"].origin_customer_id


async def test_a_shared_device_stays_with_the_first_also_after_a_merge(acme: Client) -> None:
    await acme.ingest(track("v1", anonymous="tablet"), track("m1", "ann"), identify("i1", "ann", anonymous="tablet"))
    await acme.ingest(identify("i2", "bob", anonymous="tablet"), track("m2", anonymous="tablet"))
    ann, bob = await acme.customer("user_id", "ann"), await acme.customer("user_id", "bob")
    assert ann.customer_id != bob.customer_id
    assert (ann.lifetime.event_count, bob.lifetime.event_count) == (4, 1)
    assert len((await log(acme)).merges) == 1


async def test_the_log_is_paged_newest_first_with_what_was_taken_back(acme: Client) -> None:
    await acme.ingest(*(track(f"m{n}", f"u{n}") for n in range(5)))
    customers = await ids(acme, *(f"u{n}" for n in range(5)))
    made = [(await merge(acme, customers[0], other))[0].merge_id for other in customers[1:4]]
    await acme.call("UnmergeCustomer", unmerging(made[1]))
    first = await log(acme, customers[0], page_size=2)
    rest = await log(acme, customers[0], page_size=2, page_token=first.next_page_token)
    assert [it.merge_id for it in (*first.merges, *rest.merges)] == made[::-1]
    assert not rest.next_page_token
    assert [it.HasField("unmerge_time") for it in (*first.merges, *rest.merges)] == [False, True, False]
    assert [it.merge_id for it in (await log(acme, customers[2])).merges] == [made[1]]
    assert not (await log(acme, customers[4])).merges
    assert [it.merge_id for it in (await log(acme)).merges] == made[::-1]
    request = merge_pb2.ListMergesRequest(customer_id=customers[1], page_token="nonsense")
    assert await acme.refusal("ListMerges", request) == (INVALID, "INVALID_CURSOR")


async def test_what_cannot_be_merged_is_refused_and_nothing_changes(acme: Client, rival: Client) -> None:
    await acme.ingest(track("m1", "ann"), track("m2", "bob"), track("m3", "cid"))
    await rival.ingest(track("m1", "eve"))
    (eve,) = await ids(rival, "eve")
    ann, bob, cid = await ids(acme, "ann", "bob", "cid")
    (made,) = await merge(acme, ann, bob)
    for request, refusal in (
        (merging(ann, ann), (INVALID, "SAME_CUSTOMER")),
        (merging(bob, ann), (INVALID, "SAME_CUSTOMER")),
        (merging(cid, bob), (FAILED, "CUSTOMER_ALREADY_MERGED")),
        (merging(cid, ann, "nobody"), (MISSING, "CUSTOMER_NOT_FOUND")),
        (merging(cid, ann, bob), (FAILED, "CUSTOMER_ALREADY_MERGED")),
        (merging(ann, eve), (MISSING, "CUSTOMER_NOT_FOUND")),
        (merging(ann), (INVALID, "FIELD_INVALID")),
        (merging(ann, *(f"c{n}" for n in range(101))), (INVALID, "FIELD_INVALID")),
    ):
        assert await acme.refusal("MergeCustomers", request) == refusal
    assert (await acme.customer("user_id", "cid")).customer_id == cid
    assert await acme.refusal("UnmergeCustomer", unmerging("nothing")) == (MISSING, "MERGE_NOT_FOUND")
    assert await rival.refusal("UnmergeCustomer", unmerging(made.merge_id)) == (MISSING, "MERGE_NOT_FOUND")
    await acme.call("UnmergeCustomer", unmerging(made.merge_id))
    assert await acme.refusal("UnmergeCustomer", unmerging(made.merge_id)) == (FAILED, "MERGE_TAKEN_BACK")


async def test_the_same_request_again_gets_the_same_answer(acme: Client) -> None:
    await acme.ingest(track("m1", "ann"), track("m2", "bob"), track("m3", "cid"))
    ann, bob, cid = await ids(acme, "ann", "bob", "cid")
    answers = await asyncio.gather(*(acme.call("MergeCustomers", merging(ann, bob, request_id="r")) for _ in range(5)))
    assert all(answer == answers[0] for answer in answers)
    other = merging(ann, cid, request_id="r")
    assert await acme.refusal("MergeCustomers", other) == (TAKEN, "REQUEST_ID_REUSED")
    back = unmerging(answers[0].merges[0].merge_id, request_id="u")
    again = [await acme.call("UnmergeCustomer", back) for _ in range(2)]
    assert again[0] == again[1]
    assert (await acme.call("MergeCustomers", merging(ann, bob, request_id="r"))) == answers[0]
    assert (await acme.customer("user_id", "bob")).customer_id == bob
    assert len(await told(acme, "customers_merged")) == len(await told(acme, "customers_unmerged")) == 1


async def test_merges_at_once_of_the_same_customers_all_find_their_place(acme: Client) -> None:
    await acme.ingest(*(track(f"m{n}", f"u{n}") for n in range(8)))
    customers = await ids(acme, *(f"u{n}" for n in range(8)))
    calls = [acme.call("MergeCustomers", merging(customers[0], other)) for other in customers[1:]]
    ingests = [acme.ingest(track(f"e{n}", f"u{n}")) for n in range(8)]
    await asyncio.gather(*calls, *ingests)
    whole = await acme.customer("user_id", "u5")
    assert (whole.customer_id, whole.lifetime.event_count) == (customers[0], 16)
    assert set(whole.origin_customer_ids) == set(customers)


async def test_a_timeline_covers_all_origins_and_pages_through_them(acme: Client) -> None:
    users = ("ann", "bob", "cid")
    await acme.ingest(*(track(f"m{n}", users[n % 3], name="ABC"[n % 2], at=1 + n // 2) for n in range(40)))
    ann, *others = await ids(acme, *users)
    await merge(acme, ann, *others)
    expected = [f"m{n}" for n in sorted(range(40), key=lambda n: (n // 2, f"m{n}"), reverse=True)]
    for options, wanted in (
        ({}, expected),
        ({"names": ["A", "B"]}, expected),
        ({"name": "B"}, [key for key in expected if int(key[1:]) % 2]),
        (
            {"from_time": Timestamp(seconds=5), "before_time": Timestamp(seconds=9)},
            [key for key in expected if 5 <= 1 + int(key[1:]) // 2 < 9],
        ),
    ):
        found, token = [], ""
        while True:
            page = await acme.events(others[0], page_size=7, page_token=token, **options)
            found += [event.message_id for event in page.events]
            assert {event.customer_id for event in page.events} <= {ann}
            if not (token := page.next_page_token):
                break
        assert found == wanted


async def test_a_timeline_is_filtered_by_properties(acme: Client) -> None:
    events = [track(f"m{n}", "ann", name="Shared", at=n + 1) for n in range(6)]
    for event, text in zip(
        events, ('{"a":1}', '{"a":1.0,"b":"x"}', '{"a":true}', '{"a":"1"}', "", '{"b":"x"}'), strict=True
    ):
        event.properties_json = text
    await acme.ingest(*events)
    (ann,) = await ids(acme, "ann")
    for wanted, found in (
        ('{"a":1}', ["m1", "m0"]),
        ('{"a":true}', ["m2"]),
        ('{"a":1,"b":"x"}', ["m1"]),
        ('{"c":null}', []),
    ):
        answer = await acme.events(ann, properties_json=wanted)
        assert [event.message_id for event in answer.events] == found
    first = await acme.events(ann, page_size=1)
    other = pb.ListEventsRequest(customer_id=ann, name="Shared", page_token=first.next_page_token)
    assert await acme.refusal("ListEvents", other) == (INVALID, "INVALID_CURSOR")
    broken = pb.ListEventsRequest(customer_id=ann, properties_json="[1]")
    assert await acme.refusal("ListEvents", broken) == (INVALID, "JSON_INVALID")


@pytest.mark.parametrize("rpc", ["MergeCustomers", "UnmergeCustomer"])
async def test_who_merges_says_why(acme: Client, rpc: str) -> None:
    request = merging("a", "b") if rpc == "MergeCustomers" else unmerging("m")
    request.reason = ""
    assert await acme.refusal(rpc, request) == (INVALID, "FIELD_INVALID")
