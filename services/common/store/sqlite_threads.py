"""The threads of a SQLite store: one that writes, by group commit, and a few that read beside it."""

import asyncio
import contextlib
import queue
import sqlite3
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from services.common.errors import Refusal, Unavailable
from services.common.store.sqlite_writes import Work, apply

T = TypeVar("T")
Translate = Callable[[sqlite3.Error], Refusal]

GROUP_MAX = 256
"""How many commits share one transaction at most, and how many may wait before ``commit`` itself waits."""


class Readers:
    """Threads that read, each with a connection of its own; a read never waits for the writer."""

    def __init__(self, connect: Callable[[], sqlite3.Connection], count: int, translate: Translate) -> None:
        self._loop = asyncio.get_running_loop()
        self._queue: queue.SimpleQueue[tuple[Callable[[sqlite3.Connection], Any], asyncio.Future[Any]] | None]
        self._queue = queue.SimpleQueue()
        self._translate = translate
        self._connections = [connect() for _ in range(count)]
        self._threads = [
            threading.Thread(target=self._serve, args=(connection,), name=f"store-reader-{number}", daemon=True)
            for number, connection in enumerate(self._connections)
        ]
        for thread in self._threads:
            thread.start()

    async def run(self, read: Callable[[sqlite3.Connection], T]) -> T:
        """``read`` on a thread's connection."""
        if not self._threads:
            raise Unavailable("the store is closed")
        future: asyncio.Future[T] = self._loop.create_future()
        self._queue.put((read, future))
        return await future

    async def close(self) -> None:
        """Finish what is queued and stop."""
        threads, self._threads = self._threads, []
        for _ in threads:
            self._queue.put(None)
        for thread in threads:
            await asyncio.to_thread(thread.join)
        for connection in self._connections:
            connection.close()

    def _serve(self, connection: sqlite3.Connection) -> None:
        while (job := self._queue.get()) is not None:
            read, future = job
            result: Any = None
            failure: BaseException | None = None
            try:
                result = read(connection)
            except sqlite3.Error as error:
                failure = self._translate(error)
                failure.__cause__ = error
            except Exception as error:
                failure = error
            _call(self._loop, _settle, future, result, failure)
            del job, read, future, result, failure  # so that an idle thread keeps nothing alive


@dataclass(slots=True)
class Commit:
    """A commit that waits for the writer."""

    work: Work
    done: asyncio.Future[None]


class Writer:
    """The thread that writes: commits that wait while it syncs share the next transaction, and one sync."""

    def __init__(self, connection: sqlite3.Connection, translate: Translate, on_published: Callable[[], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._connection = connection
        self._translate = translate
        self._on_published = on_published
        self._queue: queue.SimpleQueue[Commit | None] = queue.SimpleQueue()
        self._slots = asyncio.Semaphore(GROUP_MAX)
        self._closed = False
        self._next_seq = 0
        self._thread = threading.Thread(target=self._serve, name="store-writer", daemon=True)
        self._thread.start()

    async def commit(self, work: Work) -> None:
        """Return when ``work`` is on disk. A caller that is cancelled meanwhile does not know whether it is."""
        await self._slots.acquire()
        if self._closed:
            self._slots.release()
            raise Unavailable("the store is closed")
        done: asyncio.Future[None] = self._loop.create_future()
        self._queue.put(Commit(work, done))
        await done

    async def close(self) -> None:
        """Write what was accepted and stop."""
        if self._closed:
            return
        self._closed = True
        self._queue.put(None)
        await asyncio.to_thread(self._thread.join)
        self._connection.close()

    def _serve(self) -> None:
        stopping = False
        while not stopping:
            group, stopping = self._next_group()
            if group:
                failures = self._transact(group)
                _call(self._loop, self._settle_group, group, failures)

    def _next_group(self) -> tuple[list[Commit], bool]:
        group: list[Commit] = []
        first = self._queue.get()
        if first is None:
            return group, True
        group.append(first)
        with contextlib.suppress(queue.Empty):
            while len(group) < GROUP_MAX:
                commit = self._queue.get_nowait()
                if commit is None:
                    return group, True
                group.append(commit)
        return group, False

    def _transact(self, group: list[Commit]) -> list[Exception | None]:
        """One transaction for the group: what each commit failed with, or ``None``."""
        connection = self._connection
        failures: list[Exception | None] = []
        try:
            connection.execute("BEGIN IMMEDIATE")
            row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = '_feed'").fetchone()
            self._next_seq = row[0] + 1 if row else 1
            for together in _independent(group):
                failures += self._apply(together)
            connection.execute("COMMIT")
        except Exception as error:
            with contextlib.suppress(sqlite3.Error):
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
            failure = self._translate(error) if isinstance(error, sqlite3.Error) else error
            return [failure] * len(group)
        return failures

    def _apply(self, commits: Sequence[Commit]) -> list[Exception | None]:
        """Apply commits that touch different documents as one; if one of them fails, each by itself."""
        work = commits[0].work
        if len(commits) > 1:
            work = Work()
            for commit in commits:
                work.add(commit.work)
        try:
            apply(self._connection, work, self._allocate)
        except Refusal as refusal:
            if len(commits) == 1:
                return [refusal]
            return [failure for commit in commits for failure in self._apply([commit])]
        return [None] * len(commits)

    def _allocate(self, count: int) -> int:
        first = self._next_seq
        self._next_seq += count
        return first

    def _settle_group(self, group: list[Commit], failures: list[Exception | None]) -> None:
        for commit, failure in zip(group, failures, strict=True):
            self._slots.release()
            _settle(commit.done, None, failure)
        if any(failure is None and commit.work.publishes for commit, failure in zip(group, failures, strict=True)):
            self._on_published()


def _independent(group: list[Commit]) -> list[list[Commit]]:
    """The group in its order, cut where a commit touches a document that one before it in its part has touched."""
    parts: list[list[Commit]] = []
    keys: set[tuple[str, str, str]] = set()
    for commit in group:
        if not parts or not keys.isdisjoint(commit.work.keys):
            parts.append([])
            keys = set()
        parts[-1].append(commit)
        keys |= commit.work.keys
    return parts


def _settle(future: asyncio.Future[Any], result: object, failure: BaseException | None) -> None:
    if future.done():  # the caller was cancelled
        return
    if failure is None:
        future.set_result(result)
    else:
        future.set_exception(failure)


def _call(loop: asyncio.AbstractEventLoop, callback: Callable[..., None], *args: object) -> None:
    with contextlib.suppress(RuntimeError):  # the loop was closed before the store
        loop.call_soon_threadsafe(callback, *args)
