"""Whatever is posted to the tracking API is recorded or refused event by event, and the gateway goes on."""

import asyncio
import json
import uuid
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import Keyring
from tests.gateway.platform import Configure
from tests.gateway.tracking.sources import opened

CALLS = ("identify", "track", "page", "screen", "group", "alias", "batch", "import")
FIELDS = (
    "type", "messageId", "userId", "anonymousId", "event", "name", "category", "groupId", "previousId", "timestamp",
    "originalTimestamp", "sentAt", "properties", "traits", "context", "integrations", "batch", "writeKey", "__proto__",
)  # fmt: skip
LEAVES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=12),
    st.sampled_from(["track", "2999-01-01", "0001-01-01T00:00:00Z", "-1", "{'$ne': 1}", "\0", "x" * 40_000, "a.$b"]),
)
VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)
EVENTS = st.dictionaries(st.sampled_from(FIELDS), VALUES, max_size=8)
RAW = st.sampled_from(
    [
        b'{"userId": "\xff"}',
        b'{"userId": "\\ud800", "event": "e"}',
        b'{"userId": "7", "event": "e", "properties": {"a": NaN}}',
        b'{"userId": "7", "event": "e", "properties": ' + b"[" * 10_000 + b"]" * 10_000 + b"}",
        b'{"userId": 1e999, "event": "e"}',
        b'{"userId": "7", "userId": "8", "event": "e"}',
    ]
)
BODIES = st.one_of(
    st.binary(max_size=50),
    RAW,
    EVENTS.map(lambda event: json.dumps(event).encode()),
    st.lists(EVENTS | LEAVES, max_size=5).map(lambda batch: json.dumps({"batch": batch}).encode()),
    st.lists(RAW, max_size=3).map(lambda batch: b'{"batch": [' + b",".join(batch) + b"]}"),
)


@settings(max_examples=4)
@given(posts=st.lists(st.tuples(st.sampled_from(CALLS), BODIES), min_size=25, max_size=40))
def test_whatever_is_posted_is_answered_and_good_events_land(
    posts: list[tuple[str, bytes]], configure: Configure, keyring: Keyring
) -> None:
    async def post() -> None:
        async with opened(configure, keyring) as source:
            for call, body in posts:
                answer = await source.send(call, content=body)
                said: dict[str, Any] = answer.json()
                assert answer.status_code in (200, 400), said
                assert said["success"] is (answer.status_code == 200)
                assert answer.status_code == 200 or (said["code"] and said["message"])
                rejections = said.get("rejections", ())
                assert all(it["reason"] and it["message"] for it in rejections), rejections
            user = uuid.uuid4().hex
            batch = [{"type": "track"}, {"type": "track", "event": "Landed", "userId": user}, 7]
            answer = await source.send("batch", json={"batch": batch})
            assert [it["index"] for it in answer.json()["rejections"]] == [0, 2]
            assert set(await source.timeline(user)) == {"Landed"}

    asyncio.run(post())
