"""Lists of customers: documents, which are the truth, and rows made of them in the order in which they were changed."""

from collections.abc import Sequence

import pyarrow as pa

from services.common.errors import AlreadyExists, Conflict
from services.common.idempotency import remember, replayed
from services.common.store import Collection, Delete, Index, Insert, Put, Query, Replace, Store, Write
from services.common.store.port import Body, Change
from services.segmentation.adapters.analytics import ColumnarAnalytics
from services.segmentation.adapters.events import Touch
from services.segmentation.adapters.store import CATALOGUE, CATALOGUES, LISTS, TENANTS
from services.segmentation.adapters.tables import LIST_ENTRIES
from services.segmentation.domain.customer_list import CustomerList
from services.segmentation.ports import Catalogue, Request

LIST_MEMBERS = Collection("list_members", (Index(("list_id",)), Index(("customer_id",))))
ENTRIES = Collection("list_entries", (Index(("customer_id",)),), published=True)
COLLECTIONS = (LISTS, LIST_MEMBERS, ENTRIES)
FOLLOWER = "lists"
CHANGED_A_COMMIT = 500
IDLE_BATCHES = 20


class StoredLists:
    """The port ``Lists`` over the document store."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._newest = 0

    async def get(self, tenant: str, list_id: str) -> CustomerList | None:
        document = await self._store.get(tenant, LISTS, list_id)
        return _list(document.id, document.body) if document else None

    async def page(self, tenant: str, limit: int, after: str) -> tuple[list[CustomerList], str]:
        page = await self._store.find(tenant, LISTS, Query(limit=limit, after=after))
        return [_list(document.id, document.body) for document in page.documents], page.next_cursor

    async def answered(self, tenant: str, request: Request) -> str | None:
        answer = await replayed(self._store, tenant, request.request_id, request.fingerprint)
        return None if answer is None else str(answer["list_id"])

    async def create(self, tenant: str, made: CustomerList, request: Request) -> None:
        body: Body = {"name": made.name, "description": made.description, "created": made.create_time}
        replay = remember(tenant, request.request_id, request.fingerprint, {"list_id": made.list_id})
        await self._store.commit([Insert(tenant, LISTS, made.list_id, body), Put("*", TENANTS, tenant, {}), *replay])

    async def delete(self, tenant: str, list_id: str, catalogue: Catalogue, request: Request) -> None:
        guard: Write = (
            Replace(tenant, CATALOGUES, CATALOGUE, {}, catalogue.version)
            if catalogue.version
            else Insert(tenant, CATALOGUES, CATALOGUE, {})
        )
        replay = remember(tenant, request.request_id, request.fingerprint, {"list_id": list_id})
        await self._store.commit([Delete(tenant, LISTS, list_id), guard, *replay])

    async def members(self, tenant: str, list_id: str, limit: int, after: str) -> tuple[list[tuple[str, int]], str]:
        page = await self._store.find(tenant, LIST_MEMBERS, Query({"list_id": list_id}, limit=limit, after=after))
        return [(document.body["customer_id"], document.body["time"]) for document in page.documents], page.next_cursor

    async def size(self, tenant: str, list_id: str) -> int:
        return await self._store.count(tenant, LIST_MEMBERS, Query({"list_id": list_id}))

    async def lists_of(self, tenant: str, customer_id: str) -> list[tuple[str, int]]:
        page = await self._store.find(tenant, LIST_MEMBERS, Query({"customer_id": customer_id}, limit=1000))
        return [(document.body["list_id"], document.body["time"]) for document in page.documents]

    async def change(self, tenant: str, list_id: str, customer_ids: Sequence[str], listed: bool, time: int) -> int:
        changed = 0
        time = self._newest = max(time, self._newest + 1)  # so that of two changes the later has the later time
        for start in range(0, len(customer_ids), CHANGED_A_COMMIT):
            part = customer_ids[start : start + CHANGED_A_COMMIT]
            while True:
                try:
                    changed += await self._change(tenant, list_id, part, listed, time)
                    break
                except (Conflict, AlreadyExists):  # somebody else changed the same customers: look again, later
                    time += 1
        return changed

    async def _change(self, tenant: str, list_id: str, part: Sequence[str], listed: bool, time: int) -> int:
        known = await self._store.get_many(tenant, LIST_MEMBERS, [f"{list_id}:{who}" for who in part])
        moved = [who for who in part if (f"{list_id}:{who}" in known) is not listed]
        writes: list[Write] = []
        for who in moved:
            key = f"{list_id}:{who}"
            body: Body = {"list_id": list_id, "customer_id": who, "time": time}
            writes.append(Insert(tenant, LIST_MEMBERS, key, body) if listed else Delete(tenant, LIST_MEMBERS, key, 1))
            writes.append(Insert(tenant, ENTRIES, f"{key}:{time}:{listed:d}", {**body, "listed": listed}))
        if writes:
            await self._store.commit(writes)
        return len(moved)


class ListFollower:
    """Brings what was written of lists into the analytical tables, exactly once, and touches whom it concerns."""

    def __init__(self, store: Store, analytics: ColumnarAnalytics, touch: Touch) -> None:
        self._store, self._analytics, self._touch = store, analytics, touch
        self._idle = 0

    async def run(self) -> None:
        """Follow for ever."""
        async for batch in self._store.changes(await self._analytics.cursor(FOLLOWER)):
            await self.apply(batch)

    async def apply(self, batch: Sequence[Change]) -> None:
        """Store a batch of the own feed with its cursor; of batches that are not about lists, that of some."""
        entries = [entry for entry in batch if entry.collection == ENTRIES.name]
        self._idle = 0 if entries else self._idle + 1
        if not entries and self._idle % IDLE_BATCHES:
            return
        await self._analytics.apply_listed(_rows(entries), FOLLOWER, batch[-1].cursor)
        touched: dict[str, set[str]] = {}
        for entry in entries:
            touched.setdefault(entry.tenant, set()).add(entry.body["customer_id"])
        for tenant, customer_ids in touched.items():
            self._touch(tenant, set((await self._analytics.owners(tenant, customer_ids)).values()))


def _rows(entries: Sequence[Change]) -> pa.Table:
    return pa.table(
        {
            "tenant": [entry.tenant for entry in entries],
            "customer_id": [entry.body["customer_id"] for entry in entries],
            "origin_id": [entry.body["customer_id"] for entry in entries],
            "list_id": [entry.body["list_id"] for entry in entries],
            "time": [entry.body["time"] for entry in entries],
            "tie": [entry.id for entry in entries],
            "listed": [entry.body["listed"] for entry in entries],
        },
        schema=LIST_ENTRIES.schema,
    )


def _list(list_id: str, body: Body) -> CustomerList:
    return CustomerList(list_id, body["name"], body["description"], body["created"])
