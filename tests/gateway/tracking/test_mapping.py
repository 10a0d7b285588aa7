"""What sources send in Segment's form, and the events of the contract that it becomes."""

import json
from typing import Any

import pytest
from tessera.profiles.v1 import profiles_service_pb2 as pb

from gateway.tracking.mapping import (
    EVENT_BYTES_MAX,
    BatchUnreadable,
    EventUnreadable,
    Shared,
    read_batch,
    read_event,
    read_write_key,
)


def read(content: Any, call: str = "", shared: Shared | None = None) -> pb.Event:
    body = content if isinstance(content, bytes) else json.dumps(content).encode()
    return read_event(body, call, shared or Shared(), lambda: "chosen")


def test_every_call_becomes_its_event() -> None:
    common = {"messageId": "m", "userId": "7", "anonymousId": "d"}
    same = {"message_id": "m", "user_id": "7", "anonymous_id": "d"}
    calls: list[tuple[dict[str, Any], pb.Event]] = [
        ({"type": "identify", "traits": {"a": 1}}, pb.Event(type=pb.EVENT_TYPE_IDENTIFY, traits_json='{"a": 1}')),
        (
            {"type": "track", "event": "Paid", "properties": {"b": 2}},
            pb.Event(type=pb.EVENT_TYPE_TRACK, name="Paid", properties_json='{"b": 2}'),
        ),
        ({"type": "page", "name": "Home"}, pb.Event(type=pb.EVENT_TYPE_PAGE, name="Home")),
        ({"type": "screen", "name": "Start"}, pb.Event(type=pb.EVENT_TYPE_SCREEN, name="Start")),
        (
            {"type": "group", "groupId": "g", "traits": {"c": None}},
            pb.Event(type=pb.EVENT_TYPE_GROUP, group_id="g", traits_json='{"c": null}'),
        ),
        ({"type": "alias", "previousId": "p"}, pb.Event(type=pb.EVENT_TYPE_ALIAS, previous_id="p")),
    ]
    for sent, expected in calls:
        expected.MergeFrom(pb.Event(**same))  # type: ignore[arg-type]
        assert read({**common, **sent}) == expected
        unnamed = {key: value for key, value in sent.items() if key != "type"}
        assert read({**common, **unnamed}, call=sent["type"]) == expected


def test_json_passes_through_as_it_came() -> None:
    body = b'{"event":"e","properties":{"big":123456789012345678901234567890,"x":1.10, "x":2},"context":{"a": [1,2]}}'
    event = read(body, "track")
    assert event.properties_json == '{"big":123456789012345678901234567890,"x":1.10, "x":2}'
    assert event.context_json == '{"a": [1,2]}'


def test_numbers_that_name_people_become_text_and_nulls_nothing() -> None:
    event = read({"userId": 7, "anonymousId": None, "properties": None, "context": None, "name": None}, "page")
    assert event == pb.Event(message_id="chosen", type=pb.EVENT_TYPE_PAGE, user_id="7")


def test_the_category_of_a_page_is_a_property() -> None:
    event = read({"category": "Docs", "properties": {"url": "x"}}, "page")
    assert (event.name, json.loads(event.properties_json)) == ("Docs", {"category": "Docs", "url": "x"})
    given = read({"name": "Start", "category": "Docs", "properties": {"category": "Own"}}, "page")
    assert (given.name, json.loads(given.properties_json)) == ("Start", {"category": "Own"})
    assert read({"category": "Docs", "properties": 5}, "page").properties_json == "5"


@pytest.mark.parametrize(
    ("text", "seconds", "nanos"),
    [
        ("2024-03-01T12:00:00Z", 1709294400, 0),
        ("2024-03-01T12:00:00", 1709294400, 0),
        ("2024-03-01T13:00:00.123456789+01:00", 1709294400, 123456000),
        ("2024-03-01", 1709251200, 0),
    ],
)
def test_times_are_read_in_every_form_that_clients_write(text: str, seconds: int, nanos: int) -> None:
    for field in ("timestamp", "originalTimestamp"):
        time = read({field: text}, "page").event_time
        assert (time.seconds, time.nanos) == (seconds, nanos)
    assert read({"sentAt": text}, "page").sent_time.seconds == seconds


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "EVENT_UNREADABLE"),
        (b"5", "EVENT_UNREADABLE"),
        (b'{"userId": "\xff"}', "EVENT_UNREADABLE"),
        (b'{"properties": {"a": "\xff"}}', "EVENT_UNREADABLE"),
        (b'{"userId": "\\ud800"}', "EVENT_UNREADABLE"),
        (b'{"properties":' + b"[" * 12_000 + b"]" * 12_000 + b"}", "EVENT_UNREADABLE"),
        ({"userId": True}, "EVENT_UNREADABLE"),
        ({"userId": {"$ne": None}}, "EVENT_UNREADABLE"),
        ({"messageId": 1.5}, "EVENT_UNREADABLE"),
        ({"timestamp": "yesterday"}, "EVENT_TIME_INVALID"),
        ({"timestamp": 1709294400}, "EVENT_TIME_INVALID"),
        ({"timestamp": "0001-01-01T00:00:00+12:00"}, "EVENT_TIME_INVALID"),
        ({"traits": "x" * EVENT_BYTES_MAX}, "EVENT_TOO_LARGE"),
    ],
)
def test_what_is_no_event_says_why(content: Any, reason: str) -> None:
    with pytest.raises(EventUnreadable) as refused:
        read(content, "page")
    assert refused.value.reason == reason
    assert len(refused.value.message) <= 1024


@pytest.mark.parametrize("kind", [None, 5, "merge", ["track"], "Track"])
def test_an_event_of_a_batch_says_of_which_kind_it_is(kind: Any) -> None:
    with pytest.raises(EventUnreadable) as refused:
        read({"type": kind})
    assert refused.value.reason == "EVENT_TYPE_INVALID"


def test_what_a_batch_says_is_for_all_its_events() -> None:
    body = {
        "batch": [{"type": "page", "context": {"a": 1}}, {"type": "page", "sentAt": "2024-03-02T00:00:00Z"}],
        "sentAt": "2024-03-01T00:00:00Z",
        "context": {"a": 0, "b": 0},
        "integrations": {"All": False},
        "writeKey": "w",
    }
    events, shared, write_key = read_batch(json.dumps(body).encode())
    assert write_key == "w"
    one, two = (read(event, "", shared) for event in events)
    assert (json.loads(one.context_json), json.loads(two.context_json)) == ({"a": 1, "b": 0}, {"a": 0, "b": 0})
    assert json.loads(two.integrations_json) == {"All": False}
    assert (two.sent_time.seconds - one.sent_time.seconds) == 86_400
    assert not read(events[1], "", Shared(history=True)).HasField("sent_time")


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b'{"batch": {}}', b'{"batch": [}', b'{"batch":[],"sentAt":"now"}'])
def test_a_body_that_is_no_batch_is_told_apart_from_its_events(body: bytes) -> None:
    with pytest.raises(BatchUnreadable):
        read_batch(body)


def test_a_write_key_can_come_with_the_event() -> None:
    assert read_write_key(b'{"writeKey": "w", "userId": 5}') == "w"
    assert read_write_key(b'{"writeKey": 5}') == ""
    with pytest.raises(BatchUnreadable):
        read_write_key(b"[]")
