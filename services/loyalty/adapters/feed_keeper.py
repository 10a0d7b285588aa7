"""Keeping what is counted from loyalty's own feed, so that the ledger's writer has nothing more to do.

The cursor is in the commit of what is counted, with its version, so each change is counted once, whatever crashes and
however many processes count.
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any

from services.common.feed import CURSORS, follow, stored_cursor
from services.common.store import Change, Document, Insert, Replace, Store, Write
from services.common.store.feed_cursor import position
from services.loyalty.adapters.records import RECORDS, record_body
from services.loyalty.domain.records import Kind

BATCH_MAX = 500
PAUSE_SECONDS = 0.5
"""Waited after what is new was counted, so that many entries cost one commit; nobody who asks waits for it."""
POLL_SECONDS = 0.02
CATCH_UP_SECONDS = 5.0
ALL = "*"


@dataclass(frozen=True, slots=True)
class Counted:
    """Changes of the feed, and the cursor after them."""

    changes: Sequence[Change]
    cursor: str


class FeedKeeper(ABC):
    """Follows loyalty's own feed, for ever."""

    follower: str
    """Under which name it keeps its cursor."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._asked = asyncio.Event()
        self._version: int | None = None

    @abstractmethod
    async def counted(self, changes: Sequence[Change]) -> list[Write]:
        """The writes that count these changes."""

    async def run(self) -> None:
        """Count, through failures."""
        await follow(self.follower, self._load_cursor, self._stream, self.apply)

    def hurry(self) -> None:
        """Somebody waits for it."""
        self._asked.set()

    async def apply(self, batch: Counted) -> None:
        """Count a batch, once; ``Conflict`` if another process was faster."""
        await self._store.commit([*await self.counted(batch.changes), self._advance(batch.cursor)])
        self._version = (self._version or 0) + 1

    async def catch_up(self) -> tuple[str, bool]:
        """Wait until what was entered before is counted: how far it is, and whether it is that far."""
        newest = position(await self._store.end_of_feed())
        deadline = asyncio.get_running_loop().time() + CATCH_UP_SECONDS
        while position(cursor := await stored_cursor(self._store, self.follower)) < newest:
            if asyncio.get_running_loop().time() > deadline:
                return cursor, False
            self.hurry()
            await asyncio.sleep(POLL_SECONDS)
        return cursor, True

    async def _load_cursor(self) -> str:
        document = await self._store.get(ALL, CURSORS, self.follower)
        self._version = document.version if document else None
        return str(document.body["cursor"]) if document else ""

    def _advance(self, cursor: str) -> Write:
        body = {"cursor": cursor}
        if self._version is None:
            return Insert(ALL, CURSORS, self.follower, body)
        return Replace(ALL, CURSORS, self.follower, body, self._version)

    async def _stream(self, cursor: str) -> AsyncIterator[Counted]:
        async for changes in self._store.changes(cursor, limit=BATCH_MAX):
            yield Counted(changes, changes[-1].cursor)
            if len(changes) < BATCH_MAX:
                await self._pause()

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self._asked.wait(), PAUSE_SECONDS)
        except TimeoutError:
            return
        self._asked.clear()


def kept(tenant: str, kind: Kind[Any], id: str, record: object, known: Document | None) -> Write:
    """The write that keeps a record which was read as ``known``."""
    if known is None:
        return Insert(tenant, RECORDS[kind.name], id, record_body(record))
    return Replace(tenant, RECORDS[kind.name], id, record_body(record), known.version)
