"""A tenant's own schemas of events: enforced, versioned, bounded."""

import asyncio
import json
import time
from collections.abc import Callable
from typing import Any

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tessera.profiles.v1 import event_schema_pb2 as pb
from tessera.profiles.v1 import profiles_service_pb2
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.profiles.adapters.event_schemas import StoredEventSchemas
from services.profiles.app import Settings, serve
from services.profiles.domain.event_schema import NODES_MAX, SchemaInvalid, check_shape
from tests.conftest import Keyring
from tests.profiles.client import Client, identify, track

SCAN = {
    "type": "object",
    "required": ["card"],
    "properties": {"card": {"type": "string", "pattern": "^[0-9]{4}$"}, "points": {"$ref": "#/$defs/points"}},
    "$defs": {"points": {"type": "array", "items": {"type": "integer", "minimum": 0}}},
}
REJECT, WARN = pb.SCHEMA_MODE_REJECT, pb.SCHEMA_MODE_WARN
MISSING = (grpc.StatusCode.NOT_FOUND, "EVENT_SCHEMA_NOT_FOUND")


async def put(client: Client, schema: Any, name: str = "Card Scanned", request_id: str = "", **options: Any) -> Any:
    request = pb.PutEventSchemaRequest(
        event_name=name,
        schema_json=json.dumps(schema),
        mode=options.pop("mode", REJECT),
        request_id=request_id,
    )
    return (await client.call("PutEventSchema", request)).event_schema


def scan(message_id: str, **properties: Any) -> profiles_service_pb2.Event:
    event = track(message_id, "7", name="Card Scanned")
    event.properties_json = json.dumps(properties)
    return event


async def test_what_breaks_its_schema_is_rejected_alone_with_its_path(acme: Client, rival: Client) -> None:
    await put(acme, SCAN)
    answer = await acme.ingest(scan("a", card="1234", points=[1]), scan("b"), scan("c", card="1234", points=[1, -1]))
    assert answer.recorded_count == 1
    assert [(it.index, it.reason, it.path) for it in answer.rejections] == [
        (1, "SCHEMA_VIOLATED", ""),
        (2, "SCHEMA_VIOLATED", "points[1]"),
    ]
    assert "version 1 of the schema of Card Scanned" in answer.rejections[1].message
    assert (await rival.ingest(scan("b"))).recorded_count == 1


async def test_a_schema_that_warns_lets_the_event_through_with_a_notice(acme: Client) -> None:
    await put(acme, SCAN, mode=WARN)
    answer = await acme.ingest(scan("a", card="12345"), scan("b", card="1234"))
    assert answer.recorded_count == 2
    assert [(notice.message_id, notice.reason) for notice in answer.notices] == [("a", "SCHEMA_VIOLATED")]
    assert "12345" not in answer.notices[0].message  # what people say about themselves stays out of sentences
    assert not (await acme.ingest(scan("a", card="12345"))).notices


async def test_traits_have_schemas_too(acme: Client) -> None:
    await put(acme, {"properties": {"age": {"type": "integer", "maximum": 150}}}, name="Identify")
    answer = await acme.ingest(identify("i", "7", age=200), identify("j", "7", age=20))
    assert [it.path for it in answer.rejections] == ["age"]


async def test_each_change_is_a_version_and_the_same_again_is_none(acme: Client) -> None:
    first = await put(acme, SCAN, request_id="one")
    assert (first.version, await put(acme, SCAN, request_id="one"), await put(acme, SCAN)) == (1, first, first)
    assert (await put(acme, SCAN, mode=WARN)).version == 2
    assert (await put(acme, {}, mode=WARN)).version == 3
    get = pb.GetEventSchemaRequest(event_name="Card Scanned")
    assert (await acme.call("GetEventSchema", get)).event_schema.version == 3
    get.version = 1
    assert (await acme.call("GetEventSchema", get)).event_schema == first
    get.version = 9
    assert await acme.refusal("GetEventSchema", get) == MISSING
    versions = await acme.call("ListEventSchemas", pb.ListEventSchemasRequest(event_name="Card Scanned", page_size=2))
    assert [it.version for it in versions.event_schemas] == [3, 2]
    assert versions.next_page_token
    used = pb.PutEventSchemaRequest(event_name="Other", schema_json="{}", mode=WARN, request_id="one")
    assert await acme.refusal("PutEventSchema", used) == (grpc.StatusCode.ALREADY_EXISTS, "REQUEST_ID_REUSED")


async def test_a_deleted_schema_demands_nothing(acme: Client) -> None:
    await put(acme, SCAN)
    await put(acme, {}, name="Another")
    delete = pb.DeleteEventSchemaRequest(event_name="Card Scanned", request_id="d")
    for _ in range(2):
        await acme.call("DeleteEventSchema", delete)
    assert (await acme.ingest(scan("b"))).recorded_count == 1
    left = (await acme.call("ListEventSchemas", pb.ListEventSchemasRequest())).event_schemas
    assert [it.event_name for it in left] == ["Another"]
    assert await acme.refusal("DeleteEventSchema", pb.DeleteEventSchemaRequest(event_name="Card Scanned")) == MISSING
    assert (await put(acme, SCAN)).version == 1


async def test_another_server_enforces_it_seconds_later(configure: Callable[..., Any], keyring: Keyring) -> None:
    configured = configure(Settings)
    async with (
        serve(configured) as one,
        serve(configured) as two,
        grpc.aio.insecure_channel(one.address) as here,
        grpc.aio.insecure_channel(two.address) as there,
    ):
        client, other = (Client(ProfilesServiceStub(channel), keyring.header()) for channel in (here, there))
        assert (await other.ingest(scan("first"))).recorded_count == 1
        await put(client, SCAN)
        assert (await client.ingest(scan("wrong"))).recorded_count == 0
        deadline, number = time.monotonic() + 30, 0
        while (await other.ingest(scan(f"wrong-{number}"))).recorded_count:
            assert time.monotonic() < deadline
            number += 1


async def test_two_puts_at_once_make_two_versions(acme: Client) -> None:
    made = await asyncio.gather(*(put(acme, {"maxProperties": number}) for number in range(5)))
    assert sorted(it.version for it in made) == [1, 2, 3, 4, 5]


@pytest.mark.parametrize(
    ("schema", "path"),
    [
        ([], ""),
        ({"type": "nonsense"}, "/type"),
        ({"properties": {"a": {"pattern": "("}}}, "/properties/a/pattern"),
        ({"pattern": "(?=a)b"}, "/pattern"),
        ({"pattern": r"(a)\1"}, "/pattern"),
        ({"pattern": "(a{1000}){1000}"}, "/pattern"),
        ({"$ref": "https://example.com/schema.json"}, ""),
        ({"$ref": "file:///etc/passwd"}, ""),
        ({"$ref": "#"}, ""),
        ({"$defs": {"a": {"items": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"}, "/$defs/a/items"),
        ({"$ref": "#/$defs/none"}, ""),
        ({"properties": {"a": {"$dynamicRef": "#x"}}}, "/properties/a"),
        ({"properties": {"a": {"$id": "https://example.com"}}}, "/properties/a"),
    ],
)
async def test_a_schema_that_cannot_be_enforced_is_refused_with_its_path(acme: Client, schema: Any, path: str) -> None:
    request = pb.PutEventSchemaRequest(event_name="e", schema_json=json.dumps(schema), mode=REJECT)
    assert await acme.refusal("PutEventSchema", request) == (grpc.StatusCode.INVALID_ARGUMENT, "SCHEMA_INVALID")
    if schema:
        assert fault(schema) == path


def fault(schema: Any) -> str:
    """Where the schema is wrong."""
    try:
        check_shape(schema)
        StoredEventSchemas.compile(schema)
    except SchemaInvalid as refusal:
        return refusal.metadata["path"]
    return "nowhere"


def test_references_that_multiply_are_refused() -> None:
    levels = {f"l{n}": {"allOf": [{"$ref": f"#/$defs/l{n + 1}"}] * 4} for n in range(6)}
    with pytest.raises(SchemaInvalid, match=f"more than {NODES_MAX}"):
        check_shape({"$defs": {**levels, "l6": {}}, "$ref": "#/$defs/l0"})
    with pytest.raises(SchemaInvalid, match="deeper"):
        check_shape(json.loads('{"not":' * 40 + "{}" + "}" * 40))


SCHEMAS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["$ref", "type", "items", "allOf", "pattern", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=200)
@given(st.dictionaries(st.sampled_from(["$ref", "type", "properties", "enum", "$defs", "$id", "$schema"]), SCHEMAS))
def test_whatever_is_put_is_compiled_or_refused(schema: dict[str, Any]) -> None:
    try:
        check_shape(schema)
        check = StoredEventSchemas.compile(schema)
    except SchemaInvalid:
        return
    check({"a": [1, {"b": None}]})
