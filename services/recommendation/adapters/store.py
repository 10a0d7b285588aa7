"""The catalogue and the requests as documents, and the shelves that mirror the catalogue in memory."""

import asyncio
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from services.common.clock import Clock, to_micros
from services.common.errors import AlreadyExists
from services.common.idempotency import REQUESTS, remember, replayed
from services.common.store import Collection, Delete, Document, Put, Query, Store, Write
from services.recommendation.domain.item import Item, Money
from services.recommendation.domain.shelf import Shelf
from services.recommendation.ports import Answer, Request, StoredItem

ITEMS = Collection("items")
COLLECTIONS = (ITEMS, REQUESTS)
LOADED_AT_ONCE = 1000
SHELVES_MAX = 100


class StoredRequests:
    """The port ``Requests``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def replayed(self, request: Request) -> Answer | None:
        return await replayed(self._store, request.tenant, request.id, request.fingerprint)

    async def remember(self, request: Request, answer: Answer) -> Answer:
        try:
            await self._store.commit(remember(request.tenant, request.id, request.fingerprint, answer))
        except AlreadyExists:
            return await self.replayed(request) or answer
        return answer


class StoredCatalogue:
    """The port ``Catalogue``. A tenant's writes go one after the other, so that its shelf sees them in the order in
    which they were committed."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._shelves: OrderedDict[str, Shelf] = OrderedDict()
        self._writing: dict[str, asyncio.Lock] = {}

    async def shelf(self, tenant: str) -> Shelf:
        shelf = self._shelves.get(tenant)
        if shelf is None:
            async with self._lock(tenant):
                shelf = self._shelves.get(tenant) or await self._load(tenant)
                self._shelves[tenant] = shelf
        self._shelves.move_to_end(tenant)
        shelf.advance(to_micros(self._clock()))
        while len(self._shelves) > SHELVES_MAX:
            self._shelves.popitem(last=False)
        return shelf

    async def get_many(self, tenant: str, item_ids: Sequence[str]) -> dict[str, StoredItem]:
        found = await self._store.get_many(tenant, ITEMS, item_ids)
        return {item_id: _stored(document) for item_id, document in found.items()}

    async def page(self, tenant: str, limit: int, after: str) -> tuple[list[StoredItem], str]:
        page = await self._store.find(tenant, ITEMS, Query(limit=limit, after=after))
        return [_stored(document) for document in page.documents], page.next_cursor

    async def count(self, tenant: str) -> int:
        return await self._store.count(tenant, ITEMS)

    async def put(
        self, request: Request, items: Sequence[Item], stored: Mapping[str, StoredItem], answer: Answer
    ) -> None:
        tenant, now = request.tenant, to_micros(self._clock())
        # Loaded now if it never was: while the catalogue is small, and not in the first request that recommends.
        await self.shelf(tenant)
        created = {it.item_id: stored[it.item_id].create_time if it.item_id in stored else now for it in items}
        writes: list[Write] = [
            Put(tenant, ITEMS, item.item_id, item_document(item, now, created[item.item_id])) for item in items
        ]
        async with self._lock(tenant):
            await self._store.commit([*writes, *remember(tenant, request.id, request.fingerprint, answer)])
            if (shelf := self._shelves.get(tenant)) is not None:
                for item in items:
                    shelf.put(item, created[item.item_id])

    async def delete(self, request: Request, item_id: str) -> None:
        tenant = request.tenant
        async with self._lock(tenant):
            remembered = remember(tenant, request.id, request.fingerprint, {})
            await self._store.commit([Delete(tenant, ITEMS, item_id), *remembered])
            if (shelf := self._shelves.get(tenant)) is not None:
                shelf.remove(item_id)

    def _lock(self, tenant: str) -> asyncio.Lock:
        return self._writing.setdefault(tenant, asyncio.Lock())

    async def _load(self, tenant: str) -> Shelf:
        shelf, after = Shelf(), ""
        while True:
            page = await self._store.find(tenant, ITEMS, Query(limit=LOADED_AT_ONCE, after=after))
            for document in page.documents:
                stored = _stored(document)
                shelf.put(stored.item, stored.create_time)
            if not (after := page.next_cursor):
                return shelf


def item_document(item: Item, update_time: int, create_time: int) -> dict[str, Any]:
    """An item as it is stored."""
    return {
        "title": item.title,
        "categories": list(item.categories),
        "brand": item.brand,
        "price": [item.price.currency, item.price.amount_minor] if item.price else None,
        "cost": [item.cost.currency, item.cost.amount_minor] if item.cost else None,
        "stock_quantity": item.stock_quantity,
        "publish_time": item.publish_time,
        "expire_time": item.expire_time,
        "attributes": dict(item.attributes),
        "out_of_stock": item.out_of_stock,
        "hidden": item.hidden,
        "updated": update_time,
        "created": create_time,
    }


def _stored(document: Document) -> StoredItem:
    body = document.body
    item = Item(
        item_id=document.id,
        title=body["title"],
        categories=tuple(body["categories"]),
        brand=body["brand"],
        price=Money(*body["price"]) if body["price"] else None,
        attributes=body["attributes"],
        out_of_stock=body["out_of_stock"],
        hidden=body["hidden"],
        cost=Money(*body["cost"]) if body.get("cost") else None,
        stock_quantity=body.get("stock_quantity"),
        publish_time=body.get("publish_time", 0),
        expire_time=body.get("expire_time", 0),
    )
    # Items that were stored before it was written down have been here since then at least.
    return StoredItem(item, body["updated"], body["created"] if "created" in body else body["updated"])
