"""Whatever is sent to the tracking API, it is answered, and never with a fault of ours."""

import asyncio
import gzip
import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.tracking.endpoint import BATCH_CALLS
from gateway.tracking.mapping import TYPES
from tests.conftest import Keyring
from tests.gateway.tracking.sources import Source, opened

CALLS = st.sampled_from([*TYPES, *BATCH_CALLS])
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)
FIELDS = ["type", "messageId", "userId", "anonymousId", "event", "name", "category", "groupId", "previousId"]
FIELDS += ["timestamp", "originalTimestamp", "sentAt", "properties", "traits", "context", "integrations", "writeKey"]
TIMES = st.sampled_from(["2024-03-01T00:00:00Z", "9999-12-31T23:59:59Z", "0001-01-01", "2024-03-01T00:00:00+23:59"])
EVENTS = st.dictionaries(st.sampled_from(FIELDS), JSON | st.sampled_from(sorted(TYPES)) | TIMES)
BATCHES = st.fixed_dictionaries({"batch": st.lists(EVENTS | JSON, max_size=5)}, optional={"sentAt": JSON | TIMES})


class Fuzzed:
    """A source on a loop of its own, so that examples are ordinary functions."""

    def __init__(self, runner: asyncio.Runner, source: Source) -> None:
        self._runner, self._source = runner, source

    def send(self, call: str, content: bytes, **headers: str) -> httpx.Response:
        return self._runner.run(self._source.send(call, content=content, headers=headers))

    def landed(self) -> int:
        return self._runner.run(self._source.event_count())


@pytest.fixture
def fuzzed(configure: Any, keyring: Keyring) -> Iterator[Fuzzed]:
    with asyncio.Runner() as runner:
        context = opened(configure, keyring)
        source = runner.run(context.__aenter__())
        yield Fuzzed(runner, source)
        runner.run(context.__aexit__(None, None, None))


def answered(response: httpx.Response) -> bool:
    """Whether the answer is one that the API promises; a fault would be retried for ever."""
    answer = response.json()
    return response.status_code in (200, 400) and answer["success"] is (response.status_code == 200)


def test_bytes(fuzzed: Fuzzed) -> None:
    @settings(max_examples=50)
    @given(CALLS, st.binary(), st.booleans())
    def check(call: str, content: bytes, packed: bool) -> None:
        assert answered(fuzzed.send(call, content))
        assert answered(
            fuzzed.send(call, gzip.compress(content) if packed else content, **{"content-encoding": "gzip"})
        )

    check()


def test_json(fuzzed: Fuzzed) -> None:
    @settings(max_examples=50)
    @given(CALLS, BATCHES | EVENTS | JSON)
    def check(call: str, content: Any) -> None:
        assert answered(fuzzed.send(call, json.dumps(content).encode()))

    check()


def test_of_any_batch_each_event_is_recorded_or_rejected(fuzzed: Fuzzed) -> None:
    @settings(max_examples=50)
    @given(st.lists(EVENTS, max_size=5))
    def check(events: list[Any]) -> None:
        for event in events:
            event.pop("messageId", None)
        before = fuzzed.landed()
        response = fuzzed.send("batch", json.dumps({"batch": events}).encode())
        assert response.status_code == 200
        rejected = [rejection["index"] for rejection in response.json().get("rejections", ())]
        assert len(set(rejected)) == len(rejected)
        assert fuzzed.landed() == before + len(events) - len(rejected)

    check()


@pytest.mark.parametrize(
    "content",
    [
        b'{"batch":[' + b"[" * 10_000 + b"]" * 10_000 + b"]}",
        b'{"batch":[{"type":"page","userId":"7","properties":' + b'{"a":' * 4_000 + b"1" + b"}" * 4_000 + b"}]}",
        b"[" * 250_000,
        b'{"userId":"' + b"\\u0000" * 10 + b'","name":"x"}',
        b'{"userId":"\xed\xa0\x80"}',
    ],
)
@pytest.mark.parametrize("call", ["page", "batch"])
def test_json_that_is_deep_or_broken(fuzzed: Fuzzed, call: str, content: bytes) -> None:
    assert answered(fuzzed.send(call, content))
