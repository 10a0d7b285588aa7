"""A request id replays the first answer, and refuses other content."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from tessera.loyalty.v1 import loyalty_service_pb2 as loyalty

from services.common.errors import AlreadyExists, RequestIdReused
from services.common.idempotency import REQUESTS, fingerprint, remember, replayed
from services.common.settings import ServiceSettings
from services.common.store import Store, open_store


class Settings(ServiceSettings):
    service = "test"


@pytest.fixture
async def store(configure: Callable[..., Any]) -> AsyncIterator[Store]:
    async with open_store(configure(Settings), (REQUESTS,)) as opened:
        yield opened


async def test_the_first_answer_is_replayed(store: Store) -> None:
    assert await replayed(store, "acme", "r1", "f") is None
    await store.commit(remember("acme", "r1", "f", {"points": 5}))
    assert await replayed(store, "acme", "r1", "f") == {"points": 5}
    assert await replayed(store, "rival", "r1", "f") is None


async def test_other_content_under_the_same_id_is_refused(store: Store) -> None:
    await store.commit(remember("acme", "r1", "f", {}))
    with pytest.raises(RequestIdReused, match="r1"):
        await replayed(store, "acme", "r1", "g")


async def test_the_second_of_two_at_once_is_refused(store: Store) -> None:
    await store.commit(remember("acme", "r1", "f", {}))
    with pytest.raises(AlreadyExists):
        await store.commit(remember("acme", "r1", "f", {}))


async def test_without_an_id_nothing_is_kept(store: Store) -> None:
    assert remember("acme", "", "f", {}) == []
    assert await replayed(store, "acme", "", "f") is None


def test_equal_requests_have_equal_fingerprints() -> None:
    one, same = (loyalty.BurnPointsRequest(member_id="m", points=5) for _ in range(2))
    assert fingerprint(one) == fingerprint(same)
    assert fingerprint(one) != fingerprint(loyalty.BurnPointsRequest(member_id="m", points=6))


def test_requests_of_two_kinds_differ_even_with_the_same_bytes() -> None:
    assert fingerprint(loyalty.GetProgramRequest(program_id="p")) != fingerprint(
        loyalty.GetMemberRequest(program_id="p")
    )
