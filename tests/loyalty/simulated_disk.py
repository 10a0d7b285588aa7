"""A store whose disk is a dictionary and whose failures come from a seed: for the simulation."""

import asyncio
import random
from collections import defaultdict
from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Any

import msgspec

from services.common.errors import AlreadyExists, Conflict, Unavailable
from services.common.store import Change, Collection, Delete, Document, Insert, Page, Put, Query, Range, Replace, Write
from services.common.store.port import Body


class Disk:
    """What is durable, whichever process wrote it."""

    def __init__(self) -> None:
        self._documents: dict[tuple[str, str], dict[str, tuple[bytes, int]]] = defaultdict(dict)
        """By tenant and collection, then by id: the body and the version."""
        self._unique: dict[tuple[str, str, tuple[Any, ...]], str] = {}

    def read(self, tenant: str, collection: Collection, id: str) -> Document | None:
        """A copy of one document."""
        found = self._documents[tenant, collection.name].get(id)
        return Document(id, msgspec.msgpack.decode(found[0]), found[1]) if found else None

    def all(self, tenant: str, collection: Collection) -> Iterator[Document]:
        """Copies of all documents, by id."""
        for found in sorted(self._documents[tenant, collection.name]):
            if document := self.read(tenant, collection, found):
                yield document

    def apply(self, writes: Sequence[Write]) -> None:
        """All or none, as the port says."""
        for write in writes:
            self._check(write)
        unique: dict[tuple[str, str, tuple[Any, ...]], str] = {}
        for write in writes:
            if isinstance(write, Insert):
                for key in _unique_keys(write):
                    if unique.setdefault(key, write.id) != write.id or key in self._unique:
                        raise AlreadyExists(f"another document of {write.collection.name} has the same {key[2]}")
        self._unique |= unique
        for write in writes:
            self._keep(write)

    def _check(self, write: Write) -> None:
        kept = self._documents[write.tenant, write.collection.name].get(write.id)
        if isinstance(write, Insert) and kept:
            raise AlreadyExists(f"{write.collection.name} {write.id} exists")
        expected = write.version if isinstance(write, (Replace, Delete)) else None
        if expected is not None and (kept is None or kept[1] != expected):
            raise Conflict(f"{write.collection.name} {write.id} is not at {expected}")

    def _keep(self, write: Write) -> None:
        documents = self._documents[write.tenant, write.collection.name]
        if isinstance(write, Delete):
            documents.pop(write.id, None)
            return
        version = documents[write.id][1] + 1 if write.id in documents else 1
        documents[write.id] = msgspec.msgpack.encode(write.body), version


def _unique_keys(write: Insert | Put | Replace) -> Iterator[tuple[str, str, tuple[Any, ...]]]:
    for index in write.collection.indexes:
        if index.unique:
            values = tuple(write.body.get(field) for field in index.fields)
            yield write.tenant, write.collection.name, (index.fields, *values)


class SimulatedStore:
    """One process's way to the disk: slow by the dice, broken by the dice, and cut when the process dies."""

    def __init__(self, disk: Disk, dice: random.Random, failing: float) -> None:
        self._disk, self._dice, self._failing = disk, dice, failing
        self.alive = True

    async def get(self, tenant: str, collection: Collection, id: str) -> Document | None:
        await self._travel()
        return self._disk.read(tenant, collection, id)

    async def get_many(self, tenant: str, collection: Collection, ids: Sequence[str]) -> dict[str, Document]:
        await self._travel()
        found = (self._disk.read(tenant, collection, each) for each in ids)
        return {document.id: document for document in found if document}

    async def find(self, tenant: str, collection: Collection, query: Query) -> Page:
        await self._travel()
        matching = [each for each in self._disk.all(tenant, collection) if _matches(each.body, query)]
        order = query.order_by or (query.range.field if query.range else None)
        if order:
            matching.sort(key=lambda each: (each.body[order], each.id), reverse=query.descending)
        start = int(query.after or 0)
        page = matching[start : start + query.limit]
        more = start + query.limit < len(matching)
        return Page(tuple(page), str(start + query.limit) if more else "")

    async def count(self, tenant: str, collection: Collection, query: Query | None = None) -> int:
        await self._travel()
        return sum(_matches(each.body, query or Query()) for each in self._disk.all(tenant, collection))

    async def commit(self, writes: Sequence[Write]) -> None:
        await self._travel()
        if self._dice.random() < self._failing:
            raise Unavailable("the disk did not take it")
        self._disk.apply(writes)
        await self._travel()
        if self._dice.random() < self._failing:
            raise Unavailable("the answer of the disk was lost")

    def changes(self, after: str = "", *, tenant: str | None = None, limit: int = 500) -> AsyncIterator[list[Change]]:
        raise NotImplementedError

    async def end_of_feed(self) -> str:
        raise NotImplementedError

    async def feed_position(self, cursor: str) -> int:
        raise NotImplementedError

    async def close(self) -> None:
        self.alive = False

    async def _travel(self) -> None:
        await asyncio.sleep(self._dice.expovariate(1000))
        if not self.alive:
            await asyncio.Event().wait()  # nobody is there to hear the answer


def _matches(body: Body, query: Query) -> bool:
    if any(body.get(field) != value for field, value in query.where.items()):
        return False
    return query.range is None or _within(body.get(query.range.field), query.range)


def _within(value: Any, wanted: Range) -> bool:
    if value is None:
        return False
    return (
        (wanted.at_least is None or value >= wanted.at_least)
        and (wanted.above is None or value > wanted.above)
        and (wanted.at_most is None or value <= wanted.at_most)
        and (wanted.below is None or value < wanted.below)
    )
