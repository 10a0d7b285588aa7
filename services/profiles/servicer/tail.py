"""The newest part of the feed, read and encoded once for everybody who follows it.

A follower that is no further behind than the tail is answered from memory. One that is, or is only after what one
tenant did long ago, reads the store until it is there.
"""

import asyncio
from bisect import bisect_right
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tessera.profiles.v1 import profiles_service_pb2 as pb

from services.profiles.ports import Changes, CustomerErased, Profiles, Recorded
from services.profiles.servicer.changes import encoded

RESPONSE_CHANGES_MAX = 1000
TOLD_BYTES = 250
"""What a change in the tail takes besides its encoding, about."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a follower asked for."""

    tenant: str | None = None
    """``None`` for all."""
    names: frozenset[str] = frozenset()
    """Of events; empty for all."""


ALL = Wanted()


@dataclass(slots=True)
class Told:
    """A change as followers hear it."""

    position: int
    tenant: str
    name: str | None
    """The event's; ``None`` for changes of other kinds."""
    encoded: bytes


@dataclass(slots=True)
class Page:
    """Some of the feed, in order, up to and with the position ``end``."""

    told: Sequence[Told]
    end: int
    cursor: str
    caught_up: bool
    bytes: int = 0
    erases: bool = False
    """Whether somebody is to be forgotten from here on."""


def page_of(changes: Changes, names: frozenset[str] = frozenset()) -> Page:
    """The page, without events of other names if some are given."""
    told = [
        Told(position, change.tenant, name, encoded(change))
        for position, change in zip(changes.positions, changes.changes, strict=True)
        if (name := change.name if isinstance(change, Recorded) else None) is None or not names or name in names
    ]
    return Page(
        told,
        changes.end,
        changes.cursor,
        changes.caught_up,
        sum(len(each.encoded) for each in told) + TOLD_BYTES * len(told),
        any(isinstance(change, CustomerErased) for change in changes.changes),
    )


def response(pages: Sequence[Page], after: int, wanted: Wanted, caught_up: bool) -> tuple[bytes, int]:
    """The encoded response that tells what is wanted of ``pages`` behind ``after``; of how many of the tenant's."""
    tenant, names = wanted.tenant, wanted.names
    told = [
        each
        for page in pages
        for each in page.told
        if each.position > after and (tenant is None or each.tenant == tenant)
    ]
    parts = [each.encoded for each in told if not names or each.name is None or each.name in names]
    parts.append(pb.FollowChangesResponse(cursor=pages[-1].cursor, caught_up=caught_up).SerializeToString())
    return b"".join(parts), len(told)


class Tail:
    """The newest pages, at most ``bytes_max`` of them, from the moment at which ``read`` begins."""

    def __init__(self, profiles: Profiles, bytes_max: int) -> None:
        self._profiles, self._bytes_max = profiles, bytes_max
        self._pages: deque[Page] = deque()
        self._bytes = 0
        self._floor: int | None = None
        """Behind this position everything up to the newest page is here."""
        self._moved = asyncio.Event()
        self._failure: Exception | None = None

    async def read(self) -> None:
        """Read the feed, for ever. Whoever waits for pages hears of a failure."""
        try:
            cursor = await self._profiles.end_of_feed()
            self._floor = await self._profiles.position(cursor)
            self._wake()
            async for changes in self._profiles.changes(cursor, None):
                self._add(page_of(changes))
                self._wake()
        except Exception as failure:
            self._failure = failure
            self._wake()

    def reaches(self, position: int) -> bool:
        """Whether the tail can go on from ``position``."""
        return self._floor is not None and position >= self._floor

    async def after(self, position: int) -> tuple[list[Page], bool] | None:
        """Pages behind ``position``, once there are some, and whether they are all; ``None`` if the tail begins later.

        They have 1,000 changes at most, or are one page.
        """
        while True:
            if self._failure is not None:
                raise self._failure
            if self._floor is not None and position < self._floor:
                return None
            if self._floor is not None and self._pages and self._pages[-1].end > position:
                return self._some(position)
            await self._moved.wait()

    def _some(self, position: int) -> tuple[list[Page], bool]:
        first = bisect_right(self._pages, position, key=lambda page: page.end)
        last, count = first, len(self._pages[first].told)
        while last + 1 < len(self._pages) and count + len(self._pages[last + 1].told) <= RESPONSE_CHANGES_MAX:
            last += 1
            count += len(self._pages[last].told)
        newest = last + 1 == len(self._pages)
        return [self._pages[number] for number in range(first, last + 1)], newest and self._pages[-1].caught_up

    def _add(self, page: Page) -> None:
        self._pages.append(page)
        self._bytes += page.bytes
        # Who is forgotten is not remembered here: what comes before is in the store, without them.
        while self._pages and (page.erases or self._bytes > self._bytes_max):
            gone = self._pages.popleft()
            self._bytes -= gone.bytes
            self._floor = gone.end

    def _wake(self) -> None:
        self._moved.set()
        self._moved = asyncio.Event()


class Feed:
    """The feed for any number of followers. While there is one, a tail is kept."""

    def __init__(self, profiles: Profiles, tail_bytes_max: int) -> None:
        self._profiles, self._tail_bytes_max = profiles, tail_bytes_max
        self._tail = Tail(profiles, tail_bytes_max)
        self._reading: asyncio.Task[None] | None = None
        self._followers = 0

    async def follow(self, cursor: str, wanted: Wanted) -> AsyncIterator[bytes]:
        """Encoded responses with everything that is wanted behind ``cursor``, without end. ``InvalidCursor``."""
        position = await self._profiles.position(cursor)
        was_caught_up = False
        async with self._followed() as tail:
            while True:
                found = await tail.after(position)
                if found is None:
                    async for changes in self._profiles.changes(cursor, wanted.tenant):
                        page = page_of(changes, wanted.names)
                        yield response([page], position, wanted, page.caught_up)[0]
                        cursor, position, was_caught_up = page.cursor, page.end, page.caught_up
                        if tail.reaches(position):
                            break
                    continue
                pages, caught_up = found
                answer, count = response(pages, position, wanted, caught_up)
                if count or (caught_up and not was_caught_up):  # what others do is not told to a tenant
                    yield answer
                    was_caught_up = caught_up
                cursor, position = pages[-1].cursor, pages[-1].end

    @asynccontextmanager
    async def _followed(self) -> AsyncIterator[Tail]:
        self._followers += 1
        if self._reading is None or self._reading.done():
            self._tail = Tail(self._profiles, self._tail_bytes_max)
            self._reading = asyncio.create_task(self._tail.read(), name="feed-tail")
        try:
            yield self._tail
        finally:
            self._followers -= 1
            if not self._followers and self._reading is not None:
                self._reading.cancel()
                self._reading = None
