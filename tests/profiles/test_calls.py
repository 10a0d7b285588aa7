"""All six calls land over real gRPC: groups, aliases, clocks and contexts."""

import json
import time
from typing import Any

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.profiles.v1 import profiles_service_pb2 as pb

from tests.profiles.client import Client, identify, track


def group(message_id: str, user: str, group_id: str, at: int = 1000, **traits: Any) -> pb.Event:
    return pb.Event(
        message_id=message_id,
        type=pb.EVENT_TYPE_GROUP,
        user_id=user,
        group_id=group_id,
        event_time=Timestamp(seconds=at),
        traits_json=json.dumps(traits),
    )


def alias(message_id: str, user: str, previous: str) -> pb.Event:
    return pb.Event(message_id=message_id, type=pb.EVENT_TYPE_ALIAS, user_id=user, previous_id=previous)


async def test_all_six_calls_are_on_the_timeline(acme: Client) -> None:
    page = track("p", "7", name="Home", at=1001)
    page.type = pb.EVENT_TYPE_PAGE
    screen = track("s", "7", name="Start", at=1002)
    screen.type = pb.EVENT_TYPE_SCREEN
    events = (identify("i", "7"), track("t", "7"), page, screen, group("g", "7", "acme inc"), alias("a", "7", "device"))
    assert (await acme.ingest(*events)).recorded_count == 6
    customer = await acme.customer("anonymous_id", "device")
    recorded = {event.message_id: event for event in (await acme.events(customer.customer_id)).events}
    names = {key: event.name for key, event in recorded.items()}
    assert names == {"i": "Identify", "t": "Product Viewed", "p": "Home", "s": "Start", "g": "Group", "a": "Alias"}
    assert recorded["g"].group_id == "acme inc"
    assert (recorded["a"].previous_id, recorded["a"].alias_outcome) == ("device", pb.ALIAS_OUTCOME_JOINED)
    assert recorded["t"].alias_outcome == pb.ALIAS_OUTCOME_UNSPECIFIED


async def test_a_customer_knows_its_groups_with_the_newest_of_their_traits(acme: Client) -> None:
    await acme.ingest(
        group("g1", "7", "a.b$", at=50, plan="pro", seats=3), group("g2", "7", "a.b$", at=40, plan="free")
    )
    await acme.ingest(group("g3", "7", "other", at=60))
    customer = await acme.customer("user_id", "7")
    known = {it.group_id: {each.name: json.loads(each.value_json) for each in it.traits} for it in customer.groups}
    assert known == {"a.b$": {"plan": "pro", "seats": 3}, "other": {}}
    assert {it.group_id: it.event_time.seconds for it in customer.groups} == {"a.b$": 50, "other": 60}
    assert not customer.traits


async def test_an_alias_that_would_merge_two_people_is_recorded_and_says_that_it_did_not(acme: Client) -> None:
    await acme.ingest(track("m1", "ann"), track("m2", "bob"))
    answer = await acme.ingest(alias("a", "bob", "ann"), alias("b", "bob", "new"))
    assert answer.recorded_count == 2
    assert [(notice.message_id, notice.reason) for notice in answer.notices] == [("a", "ALIAS_NOT_JOINED")]
    ann, bob = await acme.customer("user_id", "ann"), await acme.customer("user_id", "bob")
    assert ann.customer_id != bob.customer_id
    events = {event.message_id: event for event in (await acme.events(bob.customer_id)).events}
    assert events["a"].alias_outcome == pb.ALIAS_OUTCOME_NOT_JOINED
    assert not (await acme.ingest(alias("a", "bob", "ann"))).notices


async def test_a_visitor_becomes_known_by_an_alias_in_the_same_batch(acme: Client) -> None:
    await acme.ingest(track("m1", anonymous="device"), alias("a", "ann", "device"), track("m2", "ann"))
    customer = await acme.customer("user_id", "ann")
    assert customer.lifetime.event_count == 3
    assert customer.customer_id == (await acme.customer("anonymous_id", "device")).customer_id


async def test_the_error_of_the_sources_clock_is_taken_out(acme: Client) -> None:
    event = track("m", "7", at=1000)
    event.sent_time.seconds = 1060
    before = int(time.time())
    await acme.ingest(event)
    seen = (await acme.customer("user_id", "7")).last_seen_time.seconds
    assert before - 60 <= seen <= int(time.time()) - 59


async def test_the_context_stays_with_the_event_and_out_of_the_feed(acme: Client) -> None:
    event = track("m", "7")
    event.context_json, event.integrations_json = '{"ip": "192.0.2.1"}', '{"All":false}'
    await acme.ingest(event)
    (kept,) = (await acme.events((await acme.customer("user_id", "7")).customer_id)).events
    assert (kept.context_json, kept.integrations_json) == (event.context_json, event.integrations_json)
    told = (await anext(acme.follow())).changes[0].event_recorded
    assert (told.message_id, told.context_json, told.integrations_json) == ("m", "", "")


@pytest.mark.parametrize("field", ["context_json", "integrations_json"])
async def test_a_context_that_is_no_object_is_rejected(acme: Client, field: str) -> None:
    event = track("m", "7")
    setattr(event, field, "[1]")
    (rejection,) = (await acme.ingest(event)).rejections
    assert (rejection.reason, rejection.message.split()[0]) == ("JSON_INVALID", field.removesuffix("_json"))


async def test_a_rejected_group_or_alias_is_kept_whole(acme: Client) -> None:
    nameless = group("g", "7", "", plan="pro")
    nameless.context_json = "{}"
    nameless.sent_time.seconds = 5
    await acme.ingest(nameless, alias("a", "", "device"))
    answer = await acme.call("ListDeadLetters", pb.ListDeadLettersRequest(reason="GROUP_ID_MISSING"))
    assert [letter.event for letter in answer.dead_letters] == [nameless]
