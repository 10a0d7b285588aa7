"""The feed for many followers: from memory where they are close, from the store where they are not, exact in both."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any, cast

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tessera.profiles.v1 import profiles_service_pb2 as pb
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.common.errors import InvalidCursor, Unavailable
from services.profiles.app import Settings, serve
from services.profiles.ports import Change, Changes, CustomerErased, Profiles, Recorded
from services.profiles.servicer.tail import ALL, Feed, Tail, Wanted
from tests.conftest import Keyring
from tests.profiles.client import Client, track

SECONDS = 30
BATCH = 3


def event(number: int, tenant: str = "acme", name: str = "Seen") -> Recorded:
    return Recorded(tenant, f"m{number}", 2, name, "c1", 1_000_001, 2_000_000, "{}")


ERASURE = "an erasure"
ERASED = CustomerErased("acme", "e1", "c1", (), 3_000_000, "nobody")


@dataclass
class Log:
    """A feed in memory, as the port ``Profiles`` has it; ``reads`` counts the pages that the store was asked for."""

    entries: list[Change] = field(default_factory=list)
    reads: int = 0
    failure: Exception | None = None
    grown: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, *changes: Change) -> None:
        self.entries += changes
        self._wake()

    def fail(self, failure: Exception) -> None:
        self.failure = failure
        self._wake()

    def _wake(self) -> None:
        self.grown.set()
        self.grown = asyncio.Event()

    async def end_of_feed(self) -> str:
        await asyncio.sleep(0)
        return str(len(self.entries) or "")

    async def position(self, cursor: str) -> int:
        await asyncio.sleep(0)
        if cursor and not cursor.isdecimal():
            raise InvalidCursor("not ours")
        return int(cursor or 0)

    async def changes(self, after: str, tenant: str | None) -> AsyncIterator[Changes]:
        position = int(after or 0)
        while True:
            grown = self.grown
            await asyncio.sleep(0)
            if self.failure is not None:
                raise self.failure
            found = [
                (number, each)
                for number, each in enumerate(self.entries[position:], position + 1)
                if tenant in (None, each.tenant)
            ][:BATCH]
            if found:
                self.reads += 1
                position = found[-1][0]
                numbers, changes = [number for number, _ in found], [each for _, each in found]
                yield Changes(changes, numbers, str(position), position == len(self.entries), position)
            else:
                await grown.wait()

    def feed(self, tail_bytes_max: int = 1 << 20) -> Feed:
        return Feed(cast(Profiles, self), tail_bytes_max)


def read(answer: bytes) -> pb.FollowChangesResponse:
    return pb.FollowChangesResponse.FromString(answer)


def ids(answers: list[pb.FollowChangesResponse]) -> list[str]:
    return [change.event_recorded.message_id or ERASURE for answer in answers for change in answer.changes]


async def settle() -> None:
    """Let every task come to where it waits for something new: nothing here waits for anything else."""
    for _ in range(50):
        await asyncio.sleep(0)


async def take(feed: AsyncIterator[bytes], last: str) -> list[pb.FollowChangesResponse]:
    """Responses up to that with the cursor ``last``."""
    answers: list[pb.FollowChangesResponse] = []
    async with asyncio.timeout(SECONDS):
        while not answers or answers[-1].cursor != last:
            answers.append(read(await anext(feed)))
    return answers


@dataclass(frozen=True)
class Follower:
    start: int
    tenant: str | None
    names: frozenset[str]
    pace: int
    """Of how many turns of the loop it takes for each response."""

    def expects(self, entries: list[Change]) -> list[str]:
        mine = [each for each in entries[self.start :] if self.tenant in (None, each.tenant)]
        events = [(each.message_id, each.name) if isinstance(each, Recorded) else (ERASURE, None) for each in mine]
        return [key for key, name in events if not self.names or name is None or name in self.names]

    async def listen(self, feed: Feed, log: Log, heard: list[str]) -> None:
        """Follow and, after each third response, come back with the cursor."""
        cursor = str(self.start or "")
        while True:
            count = 0
            async for answer in feed.follow(cursor, Wanted(self.tenant, self.names)):
                told = read(answer)
                heard += ids([told])
                assert int(told.cursor) > int(cursor or 0) or (told.cursor == cursor and told.caught_up)
                cursor, count = told.cursor, count + 1
                for _ in range(self.pace):
                    await asyncio.sleep(0)
                if count == 3:
                    break


FOLLOWERS = st.builds(
    Follower,
    st.integers(0, 4),
    st.sampled_from([None, "acme", "rival"]),
    st.sampled_from([frozenset[str](), frozenset({"Bought"})]),
    st.integers(0, 40),
)
ENTRIES = st.tuples(st.sampled_from(["acme", "rival"]), st.sampled_from(["Seen", "Bought"]), st.booleans())


@given(
    before=st.integers(4, 8),
    later=st.lists(st.tuples(ENTRIES, st.integers(0, 10)), max_size=40),
    followers=st.lists(FOLLOWERS, min_size=1, max_size=4),
    tail_bytes_max=st.sampled_from([0, 700, 2_000, 1 << 20]),
)
def test_every_follower_hears_everything_once_and_in_order_however_slow_it_is(
    before: int, later: list[tuple[Any, int]], followers: list[Follower], tail_bytes_max: int
) -> None:
    async def scenario() -> None:
        log = Log()
        log.add(*(event(number) for number in range(before)))
        feed, heard = log.feed(tail_bytes_max), [list[str]() for _ in followers]
        tasks = [asyncio.create_task(each.listen(feed, log, mine)) for each, mine in zip(followers, heard, strict=True)]
        for number, ((tenant, name, erases), turns) in enumerate(later, before):
            log.add(ERASED if erases and number % 7 == 0 else event(number, tenant, name))
            for _ in range(turns):
                await asyncio.sleep(0)
        expected = [each.expects(log.entries) for each in followers]
        async with asyncio.timeout(SECONDS):
            while any(len(mine) < len(all_) for mine, all_ in zip(heard, expected, strict=True)):
                assert not any(task.done() for task in tasks), [task.result() for task in tasks if task.done()]
                await asyncio.sleep(0)
        await settle()  # nothing comes after it
        assert heard == expected
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)

    asyncio.run(scenario())


async def test_followers_that_are_up_to_date_are_answered_from_one_reading() -> None:
    log = Log()
    log.add(event(0))
    feed = log.feed()
    followers = [feed.follow("1", ALL) for _ in range(10)]
    waiting = [asyncio.create_task(take(each, "10")) for each in followers]
    await settle()
    log.add(*(event(number) for number in range(1, 10)))
    for answers in await asyncio.gather(*waiting):
        assert ids(answers) == [f"m{number}" for number in range(1, 10)]
        assert answers[-1].caught_up
    assert log.reads == 3
    for each in followers:
        await cast(Any, each).aclose()


async def test_a_tenant_does_not_hear_that_others_do_something() -> None:
    log = Log()
    log.add(event(0))
    mine = log.feed().follow("1", Wanted("acme"))
    waiting = asyncio.create_task(take(mine, "3"))
    await settle()
    log.add(event(1, "rival"))
    await settle()
    log.add(event(2))
    answers = await waiting
    assert [[change.tenant_id for change in answer.changes] for answer in answers if answer.changes] == [["acme"]]
    assert len([answer for answer in answers if not answer.changes]) <= 1  # once: that it is up to date


async def test_after_an_erasure_the_tail_holds_nothing_of_what_was_before() -> None:
    log = Log()
    log.add(event(0))
    tail = Tail(cast(Profiles, log), 1 << 20)
    reading = asyncio.create_task(tail.read())
    waiting = asyncio.create_task(tail.after(1))
    await settle()
    log.add(event(1), event(2))
    found = await waiting
    assert found is not None
    assert [each.position for page in found[0] for each in page.told] == [2, 3]
    log.add(ERASED)
    await settle()
    assert not tail.reaches(3)
    assert await tail.after(3) is None
    log.add(event(3))
    found = await tail.after(4)
    assert found is not None
    assert [each.position for page in found[0] for each in page.told] == [5]
    reading.cancel()


async def test_where_the_store_fails_every_follower_hears_of_it_and_can_come_back() -> None:
    log = Log()
    log.add(event(0))
    feed = log.feed()
    followers = [asyncio.create_task(take(feed.follow("1", ALL), "2")) for _ in range(3)]
    await settle()
    log.fail(Unavailable("the disk is gone"))
    for each in followers:
        with pytest.raises(Unavailable):
            await each
    log.failure = None
    log.add(event(1))
    assert ids(await take(feed.follow("1", ALL), "2")) == ["m1"]


async def test_a_follower_that_rests_while_more_comes_than_the_tail_holds_misses_nothing(
    configure: Callable[..., Any], keyring: Keyring
) -> None:
    settings = configure(Settings, feed_tail_bytes_max=3000)
    async with serve(settings) as up, grpc.aio.insecure_channel(up.address) as channel:
        client = Client(ProfilesServiceStub(channel), keyring.header("acme"))
        quick, slow = client.follow(), client.follow()
        await client.ingest(track("m0", "7"))
        heard = [change.event_recorded.message_id for change in (await anext(slow)).changes]
        for number in range(1, 30):
            await client.ingest(track(f"m{number}", "7"))
        live: list[str] = []
        while len(live) < 30:
            live += [change.event_recorded.message_id for change in (await anext(quick)).changes]
        while len(heard) < 30:
            heard += [change.event_recorded.message_id for change in (await anext(slow)).changes]
        assert heard == live == [f"m{number}" for number in range(30)]
