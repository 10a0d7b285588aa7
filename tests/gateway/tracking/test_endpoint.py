"""The HTTP of the tracking API over a real profiles: keys, limits, statuses, rejections, gzip."""

import asyncio
import base64
import gzip
import json
from typing import Any

import pytest
from tessera.profiles.v1 import profiles_service_pb2 as pb

from gateway.tracking.endpoint import BATCH_BYTES_MAX, BATCH_EVENTS_MAX
from gateway.tracking.write_keys import KNOWN_SECONDS, UNKNOWN_SECONDS, WriteKeys, WriteKeyUnknown, basic_user
from services.common.errors import Unavailable
from tests.conftest import Keyring
from tests.gateway.platform import Backend, Client, Configure, gateway_over, stand_ins
from tests.gateway.tracking.sources import Source

CALLS: dict[str, dict[str, Any]] = {
    "identify": {"traits": {"city": "Lyon"}},
    "track": {"event": "Product Viewed", "properties": {"product_id": "p1"}},
    "page": {"name": "Home"},
    "screen": {"name": "Start"},
    "group": {"groupId": "family", "traits": {"size": 4}},
    "alias": {"previousId": "device"},
}
PACKED = gzip.compress(b"{}", mtime=0)
NAMES = {"Identify", "Product Viewed", "Home", "Start", "Group", "Alias"}


async def test_each_of_the_six_calls_lands(source: Source) -> None:
    for call, content in CALLS.items():
        response = await source.send(call, json={"userId": "7", **content})
        assert (response.status_code, response.json()) == (200, {"success": True})
    timeline = await source.timeline("7")
    assert set(timeline) == NAMES
    customer = await source.customer("anonymous_id", "device")
    assert [(trait.name, trait.value_json) for trait in customer.traits] == [("city", '"Lyon"')]
    assert [group.group_id for group in customer.groups] == ["family"]


@pytest.mark.parametrize("call", ["batch", "import"])
async def test_a_batch_of_all_six_lands_packed_and_twice_is_once(source: Source, call: str) -> None:
    events = [{"type": kind, "userId": "7", "messageId": kind, **content} for kind, content in CALLS.items()]
    packed = gzip.compress(json.dumps({"batch": events, "sentAt": "2024-03-01T00:00:00Z"}).encode())
    for _ in range(2):
        response = await source.send(call, content=packed, headers={"content-encoding": "gzip"})
        assert (response.status_code, response.json()) == (200, {"success": True})
    assert set(await source.timeline("7")) == NAMES
    assert await source.event_count() == 6


async def test_one_bad_event_is_rejected_alone_and_kept_with_its_reason(source: Source) -> None:
    good = {"type": "track", "event": "Paid", "userId": "7", "messageId": "good"}
    order = {"order_id": "o", "currency": "USD"}
    batch = [
        5,
        good,
        {"type": "merge", "userId": "7"},
        {"type": "track", "event": "Order Completed", "userId": "7", "messageId": "order", "properties": order},
        {"type": "page", "messageId": "nobody"},
        {"type": "page", "userId": "7", "messageId": "large", "properties": {"text": "x" * 40_000}},
    ]
    response = await source.send("batch", json={"batch": batch})
    assert response.status_code == 200
    answer = response.json()
    assert answer["success"] is True
    reasons = ["EVENT_UNREADABLE", "EVENT_TYPE_INVALID", "ORDER_INVALID", "IDENTITY_MISSING", "EVENT_TOO_LARGE"]
    assert [it["index"] for it in answer["rejections"]] == [0, 2, 3, 4, 5]
    assert [it["reason"] for it in answer["rejections"]] == reasons
    assert set(await source.timeline("7")) == {"Paid"}
    letters = await source.dead_letters()
    assert sorted(letter.reason for letter in letters) == sorted(reasons)
    kept = {letter.reason: letter for letter in letters}
    assert kept["EVENT_UNREADABLE"].source_text == "5"
    assert json.loads(kept["ORDER_INVALID"].event.properties_json) == order
    again = await source.send("batch", json={"batch": batch})
    assert [it["reason"] for it in again.json()["rejections"]] == reasons
    assert len(await source.dead_letters()) == 5


@pytest.mark.parametrize(
    ("content", "status", "code"),
    [
        (b'{"event": "Paid"}', 400, "IDENTITY_MISSING"),
        (b'{"userId": "7"', 400, "EVENT_UNREADABLE"),
        (b"", 400, "EVENT_UNREADABLE"),
        (b'{"userId": "7", "event": "Paid", "properties": [1]}', 400, "JSON_INVALID"),
        (b'{"userId": "7", "event": "Paid", "x": "' + b"x" * 40_000 + b'"}', 400, "EVENT_TOO_LARGE"),
        (b"x" * (BATCH_BYTES_MAX + 1), 400, "BODY_TOO_LARGE"),
    ],
)
async def test_a_single_event_that_is_wrong_is_answered_with_its_reason(
    source: Source, content: bytes, status: int, code: str
) -> None:
    response = await source.send("track", content=content)
    answer = response.json()
    assert (response.status_code, answer["success"], answer["code"]) == (status, False, code)
    assert answer["message"]
    assert len(await source.dead_letters()) == (code != "BODY_TOO_LARGE" and content != b"")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"batch": 5}', b'{"batch": [], "sentAt": 5}', b"\xff"])
async def test_a_body_that_is_no_batch_is_a_400(source: Source, content: bytes) -> None:
    assert (await source.send("batch", content=content)).status_code == 400


async def test_of_a_batch_that_is_too_long_the_first_are_taken_and_one_that_is_too_large_is_a_400(
    source: Source,
) -> None:
    event = {"type": "page", "userId": "7"}
    full = {"batch": [event] * BATCH_EVENTS_MAX}
    assert (await source.send("batch", json=full)).json() == {"success": True}
    assert await source.event_count() == BATCH_EVENTS_MAX
    longer = await source.send("batch", json={"batch": [event] * (BATCH_EVENTS_MAX + 2)})
    (surplus,) = longer.json()["rejections"]
    assert (longer.status_code, surplus["index"], surplus["reason"]) == (200, BATCH_EVENTS_MAX, "BATCH_TOO_LONG")
    assert "the 2 from here on" in surplus["message"]
    assert await source.event_count() == 2 * BATCH_EVENTS_MAX
    large = json.dumps({"batch": [event], "x": "x" * BATCH_BYTES_MAX}).encode()
    for content, headers in ((large, {}), (gzip.compress(large), {"content-encoding": "gzip"})):
        response = await source.send("batch", content=content, headers=headers)
        assert (response.status_code, response.json()["code"]) == (400, "BODY_TOO_LARGE")


@pytest.mark.parametrize(
    "content", [b"", b"plain", PACKED[:-4], PACKED + b"more"], ids=["none", "plain", "cut", "long"]
)
async def test_a_body_that_is_no_gzip_is_a_400(source: Source, content: bytes) -> None:
    response = await source.send("track", content=content, headers={"content-encoding": "gzip"})
    assert (response.status_code, response.json()["code"]) == (400, "REQUEST_INVALID")


async def test_a_bomb_is_not_unpacked(source: Source) -> None:
    bomb = gzip.compress(b"\0" * 200_000_000, 9)
    assert len(bomb) < BATCH_BYTES_MAX
    assert (await source.send("batch", content=bomb, headers={"content-encoding": "gzip"})).status_code == 400


async def test_another_encoding_is_a_400(source: Source) -> None:
    assert (await source.send("track", content=b"", headers={"content-encoding": "br"})).status_code == 400


async def test_without_a_good_key_nothing_lands(source: Source) -> None:
    event = {"userId": "7", "event": "Paid"}
    for headers in ({}, {"authorization": "Basic %%%"}, {"authorization": f"Bearer {source.write_key}"}):
        response = await source.http.post("/v1/track", json=event, headers=headers)
        assert (response.status_code, response.json()["code"]) == (401, "WRITE_KEY_MISSING")
        assert response.headers["www-authenticate"].startswith("Basic")
    for key in ("guess", "x" * 5000, "\0"):
        response = await source.http.post("/v1/track", json=event, auth=(key, ""))
        assert (response.status_code, response.json()["code"]) == (401, "WRITE_KEY_UNKNOWN")
    assert await source.event_count() == 0


async def test_the_key_can_come_in_the_body(source: Source) -> None:
    event = {"type": "track", "userId": "7", "event": "Paid"}
    single = await source.http.post("/v1/track", json={**event, "writeKey": source.write_key})
    batch = await source.http.post("/v1/batch", json={"batch": [event], "writeKey": source.write_key})
    assert (single.status_code, batch.status_code) == (200, 200)
    assert await source.event_count() == 2


async def test_an_event_without_id_and_time_gets_both(source: Source) -> None:
    for _ in range(2):
        await source.send("track", json={"userId": "7", "event": "Paid"})
    assert await source.event_count() == 2
    event = (await source.timeline("7"))["Paid"]
    assert event.message_id
    assert event.event_time == event.record_time


async def test_a_wrong_clock_is_set_right_except_for_history(source: Source) -> None:
    event = {"type": "track", "userId": "7", "timestamp": "2001-01-01T00:00:00Z"}
    sent = "2001-01-01T00:01:00Z"
    await source.send("batch", json={"batch": [{**event, "event": "Now"}], "sentAt": sent})
    await source.send("import", json={"batch": [{**event, "event": "Then", "sentAt": sent}], "sentAt": sent})
    timeline = await source.timeline("7")
    now = timeline["Now"]
    assert round(now.record_time.seconds - now.event_time.seconds) in (59, 60, 61)
    assert timeline["Then"].event_time.seconds == 978307200


async def test_context_and_integrations_stay_with_the_event(source: Source) -> None:
    event = {"userId": "7", "event": "Paid", "context": {"ip": "192.0.2.1"}, "integrations": {"All": True}}
    await source.send("track", json=event)
    kept = (await source.timeline("7"))["Paid"]
    assert json.loads(kept.context_json) == {"ip": "192.0.2.1"}
    assert json.loads(kept.integrations_json) == {"All": True}


async def test_only_posts_are_taken_and_only_the_calls_of_the_api(source: Source) -> None:
    assert (await source.http.get("/v1/track")).status_code == 405
    assert (await source.send("merge", json={})).status_code == 404


async def test_the_gateway_acts_for_the_tenant_of_the_key_with_a_token_of_its_own(
    client: Client, backend: Backend
) -> None:
    backend.on("profiles.ResolveWriteKey", lambda _: pb.ResolveWriteKeyResponse(tenant_id="globex"))
    for _ in range(3):
        response = await client.http.post("/v1/page", json={"userId": "7"}, auth=("key", ""))
        assert response.status_code == 200
    assert backend.names() == ["profiles.ResolveWriteKey", *["profiles.IngestEvents"] * 3]
    assert backend.tenants == ["*", *["globex"] * 3]


async def test_without_profiles_or_a_token_events_are_to_be_sent_again(
    configure: Configure, keyring: Keyring, backend: Backend
) -> None:
    async def refused(client: Client) -> None:
        response = await client.http.post("/v1/page", json={"userId": "7"}, auth=("key", ""))
        assert (response.status_code, response.json()["code"]) == (503, "UNAVAILABLE")
        assert response.headers["retry-after"] == "1"

    async with stand_ins(backend, configure) as addresses:
        async with gateway_over(configure, keyring, addresses, service_token_file=None) as client:
            await refused(client)
        backend.on("profiles.ResolveWriteKey", lambda _: pb.ResolveWriteKeyResponse(tenant_id="globex"))
        backend.on("profiles.IngestEvents", Unavailable("not now"))
        async with gateway_over(configure, keyring, addresses) as client:
            await refused(client)


async def test_past_the_limit_of_requests_at_work_the_next_one_is_a_503(
    configure: Configure, keyring: Keyring, backend: Backend
) -> None:
    asked, released = asyncio.Event(), asyncio.Event()

    async def slow(_: Any) -> pb.ResolveWriteKeyResponse:
        asked.set()
        await released.wait()
        return pb.ResolveWriteKeyResponse(tenant_id="globex")

    backend.on("profiles.ResolveWriteKey", slow)
    async with (
        stand_ins(backend, configure) as addresses,
        gateway_over(configure, keyring, addresses, concurrent_calls_max=1) as client,
    ):
        running = asyncio.create_task(client.http.post("/v1/page", json={"userId": "7"}, auth=("key", "")))
        await asked.wait()
        response = await client.http.post("/v1/page", json={"userId": "7"}, auth=("key", ""))
        assert (response.status_code, response.json()["code"]) == (503, "TOO_MANY_REQUESTS")
        released.set()
        assert (await running).status_code == 200


class _Profiles:
    """Stands for the stub of profiles, for a clock that is not the system's."""

    def __init__(self, source: Source, keyring: Keyring) -> None:
        self.asked = 0
        self._stub, self._metadata = source.stub, keyring.header("*")

    async def ResolveWriteKey(self, request: pb.ResolveWriteKeyRequest) -> Any:  # noqa: N802
        self.asked += 1
        return await self._stub.ResolveWriteKey(request, metadata=self._metadata)


class _Backends:
    def __init__(self, profiles: _Profiles) -> None:
        self.profiles = profiles


async def test_a_revoked_key_is_refused_after_half_a_minute_at_the_latest(source: Source, keyring: Keyring) -> None:
    now = 0.0
    profiles = _Profiles(source, keyring)
    keys = WriteKeys(_Backends(profiles), lambda: now)  # type: ignore[arg-type]
    assert [await keys.tenant(source.write_key) for _ in range(3)] == ["acme"] * 3
    assert profiles.asked == 1
    revoke = pb.RevokeWriteKeyRequest(write_key_id=source.write_key_id)
    await source.stub.RevokeWriteKey(revoke, metadata=source.metadata)
    now = KNOWN_SECONDS
    for _ in range(3):
        with pytest.raises(WriteKeyUnknown):
            await keys.tenant(source.write_key)
    assert profiles.asked == 2
    now += UNKNOWN_SECONDS
    with pytest.raises(WriteKeyUnknown):
        await keys.tenant(source.write_key)
    assert profiles.asked == 3


@pytest.mark.parametrize(
    ("header", "user"),
    [
        ("", ""),
        ("Basic", ""),
        ("Basic !", ""),
        ("Basic " + base64.b64encode(b"\xff").decode(), ""),
        ("basic " + base64.b64encode(b"key:").decode(), "key"),
        ("Basic " + base64.b64encode(b"key").decode(), "key"),
        ("Basic é", ""),
    ],
)
def test_the_user_of_basic_authentication_is_the_key(header: str, user: str) -> None:
    assert basic_user(header) == user
