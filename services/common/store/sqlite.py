"""The embedded engine: one SQLite file a service.

WAL with ``synchronous=FULL``: a commit that returned is on disk. One thread writes and shares a transaction, and its
sync, among the commits that wait; two threads read beside it. Other processes may use the same file.
"""

import asyncio
import contextlib
import sqlite3
from collections.abc import AsyncIterator, Sequence
from functools import partial
from pathlib import Path
from typing import cast

from services.common.errors import DataLoss, FailedPrecondition, Refusal, ResourceExhausted, Unavailable
from services.common.store import feed_cursor
from services.common.store import sqlite_reads as reads
from services.common.store.port import Change, Collection, Document, Page, Query, Write
from services.common.store.sqlite_schema import Table, prepare_file
from services.common.store.sqlite_threads import Readers, Writer
from services.common.store.sqlite_writes import encode

_READERS = 2
_PAGE_BYTES = 8192
_POLL_INTERVAL_S = 0.25


class SqliteStore:
    """A ``Store`` in one file. Open it with ``SqliteStore.open``."""

    def __init__(self, path: Path, tables: dict[str, Table], feed_id: str, file_bytes_max: int | None) -> None:
        translate = partial(_translate, path)
        self._path = path
        self._tables = tables
        self._published = [table for table in tables.values() if table.published]
        self._feed_id = feed_id
        self._appended = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None
        self._readers = Readers(partial(_connect, path, read_only=True), _READERS, translate)
        self._writer = Writer(_connect(path, file_bytes_max=file_bytes_max), translate, self._wake)

    @classmethod
    async def open(
        cls, path: Path, collections: Sequence[Collection], *, file_bytes_max: int | None = None
    ) -> "SqliteStore":
        """Open or create the file and bring it to what ``collections`` declare.

        ``DataLoss`` if it is damaged, ``Unavailable`` if it cannot be opened. ``file_bytes_max`` is a quota: past it,
        commits are refused as on a full disk.
        """
        tables = {collection.name: Table(collection) for collection in collections}
        try:
            feed_id = await asyncio.to_thread(_prepare, path, list(tables.values()))
            return cls(path, tables, feed_id, file_bytes_max)
        except sqlite3.Error as error:
            raise _translate(path, error) from error
        except OSError as error:
            raise Unavailable(f"cannot create {path.parent}: {error.strerror}") from error

    async def get(self, tenant: str, collection: Collection, id: str) -> Document | None:
        """See ``Store.get``."""
        table = self._table(collection)
        return await self._readers.run(lambda connection: reads.get(connection, table, tenant, id))

    async def get_many(self, tenant: str, collection: Collection, ids: Sequence[str]) -> dict[str, Document]:
        """See ``Store.get_many``."""
        table = self._table(collection)
        return await self._readers.run(lambda connection: reads.get_many(connection, table, tenant, ids))

    async def find(self, tenant: str, collection: Collection, query: Query) -> Page:
        """See ``Store.find``."""
        table = self._table(collection)
        return await self._readers.run(lambda connection: reads.find(connection, table, tenant, collection, query))

    async def count(self, tenant: str, collection: Collection, query: Query | None = None) -> int:
        """See ``Store.count``."""
        table, asked = self._table(collection), query or Query()
        return await self._readers.run(lambda connection: reads.count(connection, table, tenant, collection, asked))

    async def commit(self, writes: Sequence[Write]) -> None:
        """See ``Store.commit``."""
        for write in writes:
            self._table(write.collection)
        if writes:
            await self._writer.commit(encode(writes, self._tables))

    async def changes(
        self, after: str = "", *, tenant: str | None = None, limit: int = 500
    ) -> AsyncIterator[list[Change]]:
        """See ``Store.changes``."""
        if not self._published:
            raise ValueError("the store was opened without a published collection")
        position = await self.feed_position(after)
        self._watch = self._watch or asyncio.create_task(self._watch_other_processes(), name="store-watch")
        while True:
            appended = self._appended
            entries = await self._readers.run(
                partial(reads.feed_page, tables=self._published, after=position, tenant=tenant, limit=limit)
            )
            if entries:
                position = entries[-1][0]
                yield [
                    Change(seq, self._cursor(seq), owner, collection, document_id, body)
                    for seq, owner, collection, document_id, body in entries
                ]
            else:
                await appended.wait()

    async def feed_position(self, cursor: str) -> int:
        """See ``Store.feed_position``."""
        newest = await self._readers.run(
            lambda connection: _one(connection, "SELECT seq FROM sqlite_sequence WHERE name = '_feed'")
        )
        return feed_cursor.decode(self._feed_id, cursor, newest[0] if newest else 0)

    async def end_of_feed(self) -> str:
        """See ``Store.end_of_feed``."""
        (seq,) = await self._readers.run(lambda connection: _one(connection, "SELECT max(seq) FROM _feed"))
        return self._cursor(seq) if seq else ""

    async def close(self) -> None:
        """See ``Store.close``."""
        if self._watch:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        await self._writer.close()
        await self._readers.close()
        self._wake()  # tails learn that the store is closed

    def _table(self, collection: Collection) -> Table:
        table = self._tables.get(collection.name)
        if table is None or (table.collection is not collection and table.collection != collection):
            raise ValueError(f"the store was not opened with this collection {collection.name!r}")
        return table

    def _cursor(self, seq: int) -> str:
        return feed_cursor.encode(self._feed_id, seq)

    def _wake(self) -> None:
        self._appended.set()
        self._appended = asyncio.Event()

    async def _watch_other_processes(self) -> None:
        """Wake the tails when another connection committed; this process's own commits wake them at once."""
        connection = _connect(self._path, read_only=True)
        try:
            seen = None
            while True:
                version = _one(connection, "PRAGMA data_version")  # looks at shared memory, not at the disk
                if version != seen:
                    seen = version
                    self._wake()
                await asyncio.sleep(_POLL_INTERVAL_S)
        finally:
            connection.close()


def _prepare(path: Path, tables: Sequence[Table]) -> str:
    path.parent.mkdir(parents=True, exist_ok=True)
    connection = _connect(path)
    try:
        return prepare_file(connection, tables)
    finally:
        connection.close()


def _connect(path: Path, *, read_only: bool = False, file_bytes_max: int | None = None) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False, cached_statements=32)
    try:
        connection.execute(f"PRAGMA page_size = {_PAGE_BYTES}")
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA cache_size = {-16_000 if read_only else -64_000}")  # negative: KiB
        connection.execute("PRAGMA wal_autocheckpoint = 4000")
        connection.execute("PRAGMA secure_delete = FAST")  # what is erased does not linger in free pages
        if read_only:
            connection.execute("PRAGMA query_only = ON")
        if file_bytes_max is not None:
            connection.execute(f"PRAGMA max_page_count = {max(1, file_bytes_max // _PAGE_BYTES)}")
    except BaseException:
        connection.close()
        raise
    return connection


def _one(connection: sqlite3.Connection, sql: str) -> tuple[int, ...]:
    return cast(tuple[int, ...], connection.execute(sql).fetchone())


def _translate(path: Path, error: sqlite3.Error) -> Refusal:
    """The refusal that an engine's failure means, with the file and what to do about it."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return DataLoss(f"{path} is damaged ({error}): restore it from a backup, or move it away to begin empty")
    if code == sqlite3.SQLITE_FULL:
        return ResourceExhausted(f"no space is left for {path}: free some, then try again; nothing was written")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return Unavailable(f"another process keeps {path} locked: try again, or stop that process")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH):
        return FailedPrecondition(f"{path} cannot be written: give this user the right to write it and its folder")
    if code == sqlite3.SQLITE_CANTOPEN:
        return Unavailable(f"{path} cannot be opened: check that its folder exists and may be written")
    return Unavailable(f"{path} cannot be read or written for the moment: {error}")
