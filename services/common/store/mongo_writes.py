"""Commits to MongoDB: one document without a transaction, more in one, published ones in the order of the feed.

Every published insert takes the next number of the feed from one counter document *inside its transaction*. So
numbers become visible in their order and without a hole behind which something could still appear, and a reader
that has seen number n has seen all before it. Writers contend for the counter; therefore a process merges the
published commits that wait into one transaction, and has one such transaction under way.
"""

import asyncio
import contextlib
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from motor.motor_asyncio import AsyncIOMotorClient, AsyncIOMotorClientSession, AsyncIOMotorDatabase
from pymongo import DeleteOne, UpdateOne
from pymongo.errors import PyMongoError
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from services.common.errors import Conflict
from services.common.store.document_checks import check_address
from services.common.store.mongo_documents import Stored, key, to_stored
from services.common.store.mongo_errors import is_transient, translate
from services.common.store.port import Delete, Insert, Put, Replace, Write

FEED = "_feed"
"""The collection of one document: the feed's id, its newest number, the names of the published collections."""

DURABLE = WriteConcern(w="majority", j=True, wtimeout=10_000)
_ATTEMPTS_MAX = 200
_BACKOFF_MS_MAX = 50


@dataclass(frozen=True, slots=True)
class Prepared:
    """A write in the form of the database; ``fields`` is empty for a delete."""

    write: Write
    key: str
    fields: Stored

    @property
    def address(self) -> tuple[str, str]:
        """Where the document is."""
        return self.write.collection.name, self.key

    @property
    def publishes(self) -> bool:
        """Whether the write may add an entry to the feed."""
        return self.write.collection.published and isinstance(self.write, (Insert, Put))


def prepare(writes: Sequence[Write]) -> list[Prepared]:
    """``ValueError`` if a document is written twice, or cannot be stored."""
    prepared: list[Prepared] = []
    addresses: set[tuple[str, str]] = set()
    for write in writes:
        check_address(write.tenant, write.id)
        fields = {} if isinstance(write, Delete) else to_stored(write.tenant, write.collection, write.body)
        prepared.append(Prepared(write, key(write.tenant, write.id), fields))
        if prepared[-1].address in addresses:
            raise ValueError(f"one commit writes {write.collection.name} {write.id!r} twice")
        addresses.add(prepared[-1].address)
    return prepared


class Transactions:
    """Applies prepared writes, all or none."""

    def __init__(self, client: "AsyncIOMotorClient[Any]", database: "AsyncIOMotorDatabase[Any]") -> None:
        self._client = client
        self._database = database

    async def apply(self, writes: Sequence[Prepared]) -> None:
        """Apply ``writes`` durably or raise ``Conflict``, ``AlreadyExists``, ``Unavailable``."""
        if len(writes) == 1 and not writes[0].publishes:
            await self._attempt(lambda: self._apply_kinds(writes, 0, None))
        else:
            await self._attempt(lambda: self._transact(writes))

    async def _transact(self, writes: Sequence[Prepared]) -> None:
        async with self._transaction() as session:
            number = sum(write.publishes for write in writes)
            first = await self._allocate(number, session) if number else 0
            await self._apply_kinds(writes, first, session)

    async def enter_feed(self, name: str, keys: Sequence[str]) -> None:
        """Give documents that are there already their places in the feed."""
        await self._attempt(lambda: self._number(name, keys))

    async def _number(self, name: str, keys: Sequence[str]) -> None:
        async with self._transaction() as session:
            first = await self._allocate(len(keys), session)
            requests = [
                UpdateOne({"_id": key, "seq": None}, {"$set": {"seq": seq}}) for seq, key in enumerate(keys, first)
            ]
            await self._database[name].bulk_write(requests, session=session)

    @contextlib.asynccontextmanager
    async def _transaction(self) -> AsyncIterator[AsyncIOMotorClientSession]:
        async with (
            await self._client.start_session() as session,
            session.start_transaction(read_concern=ReadConcern("snapshot"), write_concern=DURABLE),
        ):
            yield session

    async def _attempt(self, apply: Callable[[], Awaitable[None]]) -> None:
        """Retry what lost a race inside the database, a bounded number of times."""
        for attempt in range(_ATTEMPTS_MAX):
            try:
                return await apply()
            except PyMongoError as error:
                if not is_transient(error):
                    raise translate(error) from error
            backoff_ms = min(_BACKOFF_MS_MAX, 2 ** min(attempt, 10))
            await asyncio.sleep(random.uniform(0, backoff_ms) / 1000)
        raise Conflict("too many writers contend for the same documents; try again")

    async def _allocate(self, number: int, session: AsyncIOMotorClientSession) -> int:
        """The first of ``number`` places in the feed. First in the transaction: losing the race costs least here."""
        counter = await self._database[FEED].find_one_and_update(
            {"_id": "feed"}, {"$inc": {"last": number}}, session=session
        )
        return int(counter["last"]) + 1

    async def _apply_kinds(
        self, writes: Sequence[Prepared], first: int, session: AsyncIOMotorClientSession | None
    ) -> None:
        groups: dict[tuple[_Kind, str], list[Prepared]] = defaultdict(list)
        for write in writes:
            groups[_kind(write.write), write.write.collection.name].append(write)
        for kind, name in sorted(groups):
            group = groups[kind, name]
            collection = self._database[name]
            numbers: list[int | None] = [None] * len(group)
            if group[0].publishes:
                numbers = list(range(first, first + len(group)))
                first += len(group)
            if kind is _Kind.INSERT:
                await collection.insert_many(list(map(_new, group, numbers)), session=session)
                continue
            result = await collection.bulk_write(list(map(_request, group, numbers)), session=session)
            if kind is _Kind.REPLACE and result.matched_count < len(group):
                raise await self._stale(group, 1, session)
            if kind is _Kind.EXPECTED_DELETE and result.deleted_count < len(group):
                raise await self._stale(group, 0, session)

    async def _stale(self, group: list[Prepared], grown: int, session: AsyncIOMotorClientSession | None) -> Conflict:
        """Name a document that was not as expected; those that were have moved on by ``grown``."""
        name = group[0].write.collection.name
        if len(group) > 1:
            cursor = self._database[name].find(
                {"_id": {"$in": [write.key for write in group]}}, {"version": 1}, session=session
            )
            found = {stored["_id"]: stored["version"] async for stored in cursor}
            done = {
                write.key for write in group if found.get(write.key) == (_expected(write) + grown if grown else None)
            }
            group = [write for write in group if write.key not in done] or group
        document_id, version = group[0].write.id, _expected(group[0])
        return Conflict(f"{name} {document_id!r} is not at version {version}", collection=name, id=document_id)


class _Kind(IntEnum):
    """In the order of execution: deletes first, so that a commit can move a unique value to another document."""

    DELETE = 0
    EXPECTED_DELETE = 1
    REPLACE = 2
    PUT = 3
    INSERT = 4


def _kind(write: Write) -> _Kind:
    if isinstance(write, Delete):
        return _Kind.DELETE if write.version is None else _Kind.EXPECTED_DELETE
    if isinstance(write, Replace):
        return _Kind.REPLACE
    return _Kind.PUT if isinstance(write, Put) else _Kind.INSERT


def _expected(prepared: Prepared) -> int:
    assert isinstance(prepared.write, (Replace, Delete))
    return prepared.write.version or 0


def _new(prepared: Prepared, number: int | None) -> Stored:
    stored = {"_id": prepared.key, "version": 1, **prepared.fields}
    return stored if number is None else {**stored, "seq": number}


def _request(prepared: Prepared, number: int | None) -> DeleteOne | UpdateOne:
    write = prepared.write
    if isinstance(write, Delete):
        return DeleteOne({"_id": prepared.key} if write.version is None else _at(prepared, write.version))
    change: Stored = {"$set": prepared.fields, "$inc": {"version": 1}}
    if isinstance(write, Replace):
        return UpdateOne(_at(prepared, write.version), change)
    if number is not None:
        change["$setOnInsert"] = {"seq": number}
    return UpdateOne({"_id": prepared.key}, change, upsert=True)


def _at(prepared: Prepared, version: int) -> Stored:
    return {"_id": prepared.key, "version": version}
