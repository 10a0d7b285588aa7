"""Whatever is sent: a clear error for that event, the rest recorded, and the service goes on."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given, settings
from hypothesis import strategies as st
from tessera.profiles.v1 import profiles_service_pb2 as pb
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.profiles.app import Settings, serve
from tests.conftest import Keyring
from tests.profiles.client import Client, identify, track

REASONS = {
    "MESSAGE_ID_MISSING",
    "IDENTITY_MISSING",
    "IDENTITY_BLOCKED",
    "EVENT_TYPE_INVALID",
    "NAME_MISSING",
    "GROUP_ID_MISSING",
    "PREVIOUS_ID_MISSING",
    "EVENT_TOO_LARGE",
    "EVENT_TIME_INVALID",
    "JSON_INVALID",
    "CONSENT_INVALID",
    "TRAITS_INVALID",
    "ORDER_INVALID",
    "PROPERTIES_INVALID",
    "SUPPRESSED",
}
NASTY = [
    "",
    "{'$ne': null}",
    "$where",
    "a.b.c",
    "__proto__",
    "constructor",
    "' OR 1=1; DROP TABLE events; --",
    "\0",
    "\ufeff",
    "a:b",
    "😀" * 200,
    "x" * 10_000,
    "../../etc/passwd",
    "%00",
    "NaN",
]
NAMES = [text for text in NASTY if text != "NaN" and 0 < len(text) <= 512 and "\0" not in text]
TEXTS = st.sampled_from(NASTY) | st.text(max_size=20)
NUMBERS = st.integers(-(2**70), 2**70) | st.floats() | st.sampled_from([2**63, 2**64, -(2**63) - 1, 1e308])
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
BROKEN = st.sampled_from(
    [
        "{",
        "[]",
        "null",
        '"text"',
        "{}{}",
        '{"a": NaN}',
        '{"a": Infinity}',
        '{"a": "\\ud800"}',
        '{"a": 1e999}',
        '{"a":' * 10_000 + "1" + "}" * 10_000,
        "[" * 10_000,
        '{"a": ' + "[" * 500 + "]" * 500 + "}",
        '{"a": ' + "9" * 400 + "}",
        "\0",
    ]
)
CONTENTS = BROKEN | st.dictionaries(TEXTS, VALUES, max_size=4).map(lambda said: json.dumps(said, allow_nan=True))
TIMES = st.sampled_from([0, -1, 1, 2**31, 2**40, -(2**40), 253_402_300_799, 2**62])
EVENTS = st.builds(
    pb.Event,
    message_id=TEXTS,
    type=st.sampled_from([0, 1, 2, 3, 4, 5, 6, 7, -1, 2**31 - 1]),
    name=TEXTS | st.sampled_from(["Order Completed", "Product Viewed", "Identify"]),
    user_id=TEXTS,
    anonymous_id=TEXTS,
    event_time=TIMES.map(lambda seconds: Timestamp(seconds=seconds)),
    properties_json=CONTENTS,
    traits_json=CONTENTS,
    group_id=TEXTS,
    previous_id=TEXTS,
    sent_time=st.none() | TIMES.map(lambda seconds: Timestamp(seconds=seconds)),
    context_json=st.just("") | CONTENTS,
    integrations_json=st.just("") | CONTENTS,
)


@asynccontextmanager
async def client(configure: Callable[..., Any], keyring: Keyring) -> AsyncIterator[Client]:
    async with serve(configure(Settings)) as up, grpc.aio.insecure_channel(up.address) as channel:
        yield Client(ProfilesServiceStub(channel), keyring.header())


@settings(max_examples=6)
@given(floods=st.lists(st.lists(EVENTS, max_size=8), min_size=5, max_size=5))
def test_whatever_events_come_each_is_recorded_or_refused_with_a_reason(
    floods: list[list[pb.Event]], configure: Callable[..., Any], keyring: Keyring
) -> None:
    async def flood() -> None:
        async with client(configure, keyring) as shop:
            for events in floods:
                good = track(f"good-{uuid.uuid4().hex}", "someone", name="Cart Viewed")
                answer = await shop.ingest(*events, good)
                assert answer.recorded_count + answer.duplicate_count + len(answer.rejections) == len(events) + 1
                assert len(events) not in {it.index for it in answer.rejections}
                assert {it.reason for it in answer.rejections} <= REASONS
                assert all(it.message for it in answer.rejections)
            found = await shop.call("ListCustomers", pb.ListCustomersRequest(page_size=1000))
            for customer in found.customers:
                await shop.events(customer.customer_id, page_size=1000)
            await shop.call("ListDeadLetters", pb.ListDeadLettersRequest(page_size=1000))

    asyncio.run(flood())


@pytest.mark.parametrize(
    "name", [name for name in NASTY if name != "NaN" and 0 < len(name) <= 512 and "\0" not in name]
)
async def test_names_that_look_like_something_else_are_only_names(acme: Client, name: str) -> None:
    said: dict[str, Any] = {name[:256]: {name[:256]: [name, 2**53]}}
    answer = await acme.ingest(identify("i", name, **said), identify("j", "other", city="Lyon"))
    assert answer.recorded_count == 2
    customer = await acme.customer("user_id", name)
    assert {trait.name: json.loads(trait.value_json) for trait in customer.traits} == said


@pytest.mark.parametrize(
    ("traits", "path"),
    [
        ({"a": 2**63}, "a"),
        ({"a": {"b": [1, 2**63]}}, "a.b[1]"),
        ({"": 1}, ""),
        ({"n" * 257: 1}, ""),
        ({"a": {"b\0": 1}}, "a"),
        ({f"t{n}": n for n in range(501)}, ""),
    ],
)
async def test_traits_that_cannot_be_kept_are_refused_with_their_path(
    acme: Client, traits: dict[str, Any], path: str
) -> None:
    answer = await acme.ingest(identify("i", "7", **traits), identify("j", "7", ok=1))
    assert answer.recorded_count == 1
    assert [it.path for it in answer.rejections] == [path]


async def test_a_trait_nested_too_deeply_is_refused(acme: Client) -> None:
    deep: Any = 1
    for _ in range(17):
        deep = [deep]
    answer = await acme.ingest(identify("i", "7", deep=deep), identify("j", "7", deep=deep[0]))
    assert [(it.reason, answer.recorded_count) for it in answer.rejections] == [("TRAITS_INVALID", 1)]
