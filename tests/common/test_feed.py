"""A follower applies every change once in effect, through lost streams and failed commits."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

import pytest

from services.common import feed
from services.common.errors import InvalidCursor, Unavailable
from services.common.feed import CURSORS, advance, follow, stored_cursor
from services.common.settings import ServiceSettings
from services.common.store import Collection, Insert, Store, open_store

EFFECTS = Collection("effects")


class Settings(ServiceSettings):
    service = "test"


@dataclass
class Batch:
    cursor: str
    changes: tuple[int, ...]


@pytest.fixture
async def store(configure: Callable[..., Any]) -> AsyncIterator[Store]:
    async with open_store(configure(Settings), (EFFECTS, CURSORS)) as opened:
        yield opened


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "BACKOFF_SECONDS_MIN", 0.001)
    monkeypatch.setattr(feed, "BACKOFF_SECONDS_MAX", 0.002)


class Source:
    """A feed of ten changes that breaks off after every second batch."""

    def __init__(self) -> None:
        self.opened: list[str] = []

    async def stream(self, cursor: str) -> AsyncIterator[Batch]:
        self.opened.append(cursor)
        begin = int(cursor or 0)
        for count, number in enumerate(range(begin, 10)):
            if count == 2:
                raise Unavailable("the stream broke")
            yield Batch(str(number + 1), (number,))
        await asyncio.Event().wait()


async def test_every_change_is_applied_once_through_broken_streams_and_commits(store: Store) -> None:
    source, failures, done = Source(), iter((True, False, True)), asyncio.Event()

    async def apply(batch: Batch) -> None:
        if next(failures, False):
            raise Unavailable("the commit failed")
        effects = [Insert("acme", EFFECTS, str(number), {}) for number in batch.changes]
        await store.commit([*effects, advance("f", batch.cursor)])
        if batch.cursor == "10":
            done.set()

    task = asyncio.create_task(follow("f", lambda: stored_cursor(store, "f"), source.stream, apply))
    await asyncio.wait_for(done.wait(), 20)
    task.cancel()
    assert await store.count("acme", EFFECTS) == 10
    assert await stored_cursor(store, "f") == "10"
    assert source.opened[0] == ""
    assert "2" in source.opened or "3" in source.opened


async def test_a_cursor_that_the_other_side_does_not_know_ends_it(store: Store) -> None:
    async def stream(cursor: str) -> AsyncIterator[Batch]:
        if cursor != "known":
            raise InvalidCursor("not ours")
        yield Batch("", ())

    async def apply(batch: Batch) -> None:
        raise AssertionError("nothing to apply")

    with pytest.raises(InvalidCursor):
        await follow("f", lambda: stored_cursor(store, "f"), stream, apply)
