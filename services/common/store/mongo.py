"""The production engine: one MongoDB database a service, over motor.

A commit is acknowledged by the majority's journals, and what is read is what a majority has. Transactions and change
streams need a replica set (one member is enough) or a sharded cluster.
"""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from bson.errors import InvalidDocument
from motor.motor_asyncio import AsyncIOMotorClient
from pymongo.errors import ConfigurationError, InvalidOperation, InvalidURI, PyMongoError
from pymongo.read_concern import ReadConcern

from services.common.errors import FailedPrecondition
from services.common.store import feed_cursor
from services.common.store.mongo_documents import CODEC, key, tenant_keys, to_body, to_document
from services.common.store.mongo_errors import translate
from services.common.store.mongo_feed import PublishedCommits
from services.common.store.mongo_schema import prepare_database
from services.common.store.mongo_writes import DURABLE, FEED, Transactions, prepare
from services.common.store.port import Change, Collection, Document, Page, Query, Scalar, Write
from services.common.store.query_plan import Scan, cursor_after, first_scan, plan

_CLIENT_DEFAULTS = {"serverSelectionTimeoutMS": 5_000, "maxPoolSize": 50, "appname": "tessera"}
_WATCH_AWAIT_MS = 1_000
_WATCH_RETRY_S = 1.0
_WINDOW_MAX = 100_000
_INT_MAX = 2**63 - 1
_EXACT_FLOAT_MAX = 2**53


class MongoStore:
    """A ``Store`` in one database. Open it with ``MongoStore.open``."""

    def __init__(self, client: "AsyncIOMotorClient[Any]", name: str, collections: Sequence[Collection]) -> None:
        self._client = client
        self._database = client.get_database(
            name, codec_options=CODEC, write_concern=DURABLE, read_concern=ReadConcern("majority")
        )
        self._collections = {collection.name: collection for collection in collections}
        self._published = [collection.name for collection in collections if collection.published]
        self._transactions = Transactions(client, self._database)
        self._publisher = PublishedCommits(self._transactions)
        self._feed_id = ""
        self._appended = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None

    @classmethod
    async def open(cls, url: str, database: str, collections: Sequence[Collection]) -> "MongoStore":
        """Connect and create what ``collections`` declare.

        ``Unavailable`` if no server answers, ``FailedPrecondition`` if it cannot serve (the sentence says why).
        """
        try:
            client: AsyncIOMotorClient[Any] = AsyncIOMotorClient(url, **_defaults(url))
        except (InvalidURI, ConfigurationError, ValueError) as error:
            raise FailedPrecondition(f"STORE_URL is not a MongoDB address: {error}") from error
        store = cls(client, database, collections)
        try:
            await store._prepare()
        except BaseException:
            client.close()
            raise
        return store

    async def _prepare(self) -> None:
        with _translated():
            hello = await self._client.admin.command("hello")
            if "setName" not in hello and hello.get("msg") != "isdbgrid":
                raise FailedPrecondition("the MongoDB server is not a replica set: start it with --replSet")
            self._feed_id = await prepare_database(self._database, self._transactions, list(self._collections.values()))

    async def get(self, tenant: str, collection: Collection, id: str) -> Document | None:
        """See ``Store.get``."""
        with _translated():
            stored = await self._collection(collection).find_one({"_id": key(tenant, id)})
        return None if stored is None else to_document(stored)

    async def get_many(self, tenant: str, collection: Collection, ids: Sequence[str]) -> dict[str, Document]:
        """See ``Store.get_many``."""
        keys = [key(tenant, document_id) for document_id in ids]
        with _translated():
            stored = await self._collection(collection).find({"_id": {"$in": keys}}).to_list(None)
        return {document.id: document for document in map(to_document, stored)}

    async def find(self, tenant: str, collection: Collection, query: Query) -> Page:
        """See ``Store.find``."""
        documents: list[Document] = []
        for scan in plan(tenant, collection, query):
            wanted = query.limit + 1 - len(documents)
            cursor = self._collection(collection).find(_filter(scan, tenant)).sort(_order(scan)).limit(wanted)
            with _translated():
                documents += map(to_document, await cursor.to_list(wanted))
            if len(documents) > query.limit:
                del documents[query.limit :]
                last = documents[-1]
                return Page(tuple(documents), cursor_after(tenant, collection, query, last.id, last.body))
        return Page(tuple(documents), "")

    async def count(self, tenant: str, collection: Collection, query: Query | None = None) -> int:
        """See ``Store.count``."""
        condition = _filter(first_scan(collection, query or Query()), tenant)
        with _translated():
            return int(await self._collection(collection).count_documents(condition))

    async def commit(self, writes: Sequence[Write]) -> None:
        """See ``Store.commit``."""
        for write in writes:
            self._collection(write.collection)
        prepared = prepare(writes)
        if not prepared:
            return
        try:
            if any(write.publishes for write in prepared):
                await self._publisher.apply(prepared)
                self._wake()
            else:
                await self._transactions.apply(prepared)
        except (InvalidDocument, OverflowError) as error:
            raise ValueError(f"a body cannot be stored: {error}") from error

    async def changes(
        self, after: str = "", *, tenant: str | None = None, limit: int = 500
    ) -> AsyncIterator[list[Change]]:
        """See ``Store.changes``."""
        if not self._published:
            raise ValueError("the store was opened without a published collection")
        position = await self.feed_position(after)
        self._watch = self._watch or asyncio.create_task(self._watch_feed(), name="store-watch")
        while True:
            appended = self._appended
            newest = await self._newest()
            window = limit
            while position < newest:
                upto = min(newest, position + window)
                entries = await self._entries(position, upto, tenant)
                position = upto
                # Erased documents and other tenants leave holes: the emptier the window, the wider the next.
                window = limit if entries else min(_WINDOW_MAX, window * 4)
                for start in range(0, len(entries), limit):
                    yield entries[start : start + limit]
            await appended.wait()

    async def feed_position(self, cursor: str) -> int:
        """See ``Store.feed_position``."""
        return feed_cursor.decode(self._feed_id, cursor, await self._newest())

    async def end_of_feed(self) -> str:
        """See ``Store.end_of_feed``."""
        newest = 0
        for name in self._published:
            with _translated():
                cursor = self._database[name].find({"seq": {"$gt": 0}}, {"seq": 1}).sort("seq", -1).limit(1)
                newest = max([newest, *(stored["seq"] for stored in await cursor.to_list(1))])
        return feed_cursor.encode(self._feed_id, newest) if newest else ""

    async def close(self) -> None:
        """See ``Store.close``."""
        if self._watch:
            self._watch.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watch
        await self._publisher.close()
        with contextlib.suppress(InvalidOperation):  # closed before, while a cursor was still to be killed
            self._client.close()
        self._wake()  # tails learn that the store is closed

    def _collection(self, collection: Collection) -> Any:
        if self._collections.get(collection.name) != collection:
            raise ValueError(f"the store was not opened with this collection {collection.name!r}")
        return self._database[collection.name]

    async def _newest(self) -> int:
        with _translated():
            feed: Any = await self._database[FEED].find_one({"_id": "feed"})
        return int(feed["last"])

    async def _entries(self, after: int, upto: int, tenant: str | None) -> list[Change]:
        condition: dict[str, Any] = {"seq": {"$gt": after, "$lte": upto}}
        if tenant is not None:
            condition["tenant"] = tenant
        found: list[tuple[int, str, Mapping[str, Any]]] = []
        for name in self._published:
            with _translated():
                found += [
                    (stored["seq"], name, stored) for stored in await self._database[name].find(condition).to_list(None)
                ]
        found.sort(key=lambda entry: entry[0])
        return [self._change(name, stored) for _, name, stored in found]

    def _change(self, name: str, stored: Mapping[str, Any]) -> Change:
        owner, document_id = stored["_id"].split("\0", 1)
        cursor = feed_cursor.encode(self._feed_id, stored["seq"])
        return Change(stored["seq"], cursor, owner, name, document_id, to_body(stored))

    def _wake(self) -> None:
        self._appended.set()
        self._appended = asyncio.Event()

    async def _watch_feed(self) -> None:
        """Wake the tails at each published commit of any process, told by a change stream on the feed's counter."""
        while True:
            with contextlib.suppress(PyMongoError):
                async with self._database[FEED].watch(
                    [{"$match": {"operationType": "update"}}], max_await_time_ms=_WATCH_AWAIT_MS
                ) as stream:
                    self._wake()  # for what was committed before the stream was open
                    while stream.alive:
                        if await stream.try_next() is not None:
                            self._wake()
            await asyncio.sleep(_WATCH_RETRY_S)
            self._wake()


def _defaults(url: str) -> dict[str, Any]:
    """The driver lets arguments win over the URL; here what the operator wrote into the URL wins."""
    return {name: value for name, value in _CLIENT_DEFAULTS.items() if f"{name.lower()}=" not in url.lower()}


def _filter(scan: Scan, tenant: str) -> dict[str, Any]:
    condition: dict[str, Any] = {}
    if scan.equal or scan.order_by:
        condition["tenant"] = tenant
    for field, value in scan.equal:
        condition[f"body.{field}"] = value
    bounds: dict[str, Scalar] = {}
    if scan.lower:
        bounds["$gte" if scan.lower.inclusive else "$gt"] = scan.lower.value
    if scan.upper:
        bounds |= _at_most(scan.upper.value) if scan.upper.inclusive else {"$lt": scan.upper.value}
    if scan.not_null:
        bounds["$ne"] = None
    if bounds:
        condition[f"body.{scan.order_by}"] = bounds
    if scan.id_after is not None:
        condition["_id"] = {**tenant_keys(tenant), "$lt" if scan.descending else "$gt": key(tenant, scan.id_after)}
    elif not condition:
        condition["_id"] = tenant_keys(tenant)
    return condition


def _at_most(value: Scalar) -> dict[str, Scalar]:
    """``$lte``, said as being below the next larger value where there is one.

    It selects the same, and also on SecantusDB, whose ``$lte`` misses equal values in all but an index's last field.
    """
    if isinstance(value, str):
        return {"$lt": value + "\0"}
    if isinstance(value, bool) or value is None or abs(value) >= _INT_MAX:
        return {"$lte": value}
    if isinstance(value, int) and abs(value) >= _EXACT_FLOAT_MAX:
        return {"$lt": value + 1}
    return {"$lt": math.nextafter(value, math.inf)}


def _order(scan: Scan) -> list[tuple[str, int]]:
    direction = -1 if scan.descending else 1
    names = [f"body.{scan.order_by}", "_id"] if scan.order_by else ["_id"]
    return [(name, direction) for name in names]


class _translated(contextlib.AbstractContextManager[None]):  # noqa: N801 - reads as a word in a with statement
    """Turns the driver's errors into refusals."""

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        if isinstance(error, PyMongoError):
            raise translate(error) from error
