"""The store in a trace: a span for each call of a sampled request, and nothing for the others."""

from collections.abc import AsyncIterator, Sequence

from opentelemetry.trace import SpanKind

from services.common.store.port import Change, Collection, Document, Page, Query, Store, Write
from services.common.telemetry import recording, span


class TracedStore:
    """The port ``Store`` over another one. ``system`` is its name in traces (``db.system.name``)."""

    def __init__(self, store: Store, system: str) -> None:
        self._store, self._system = store, system

    async def get(self, tenant: str, collection: Collection, id: str) -> Document | None:
        if not recording():
            return await self._store.get(tenant, collection, id)
        with span("store.get", SpanKind.CLIENT, **self._attributes(collection)):
            return await self._store.get(tenant, collection, id)

    async def get_many(self, tenant: str, collection: Collection, ids: Sequence[str]) -> dict[str, Document]:
        if not recording():
            return await self._store.get_many(tenant, collection, ids)
        with span("store.get_many", SpanKind.CLIENT, **self._attributes(collection)):
            return await self._store.get_many(tenant, collection, ids)

    async def find(self, tenant: str, collection: Collection, query: Query) -> Page:
        if not recording():
            return await self._store.find(tenant, collection, query)
        with span("store.find", SpanKind.CLIENT, **self._attributes(collection)):
            return await self._store.find(tenant, collection, query)

    async def count(self, tenant: str, collection: Collection, query: Query | None = None) -> int:
        if not recording():
            return await self._store.count(tenant, collection, query)
        with span("store.count", SpanKind.CLIENT, **self._attributes(collection)):
            return await self._store.count(tenant, collection, query)

    async def commit(self, writes: Sequence[Write]) -> None:
        if not recording():
            return await self._store.commit(writes)
        with span("store.commit", SpanKind.CLIENT, **{"db.system.name": self._system}) as current:
            current.set_attribute("db.operation.batch.size", len(writes))
            return await self._store.commit(writes)

    def changes(self, after: str = "", *, tenant: str | None = None, limit: int = 500) -> AsyncIterator[list[Change]]:
        return self._store.changes(after, tenant=tenant, limit=limit)

    async def feed_position(self, cursor: str) -> int:
        return await self._store.feed_position(cursor)

    async def end_of_feed(self) -> str:
        return await self._store.end_of_feed()

    async def close(self) -> None:
        await self._store.close()

    def _attributes(self, collection: Collection) -> dict[str, str]:
        return {"db.system.name": self._system, "db.collection.name": collection.name}
