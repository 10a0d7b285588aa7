"""Pages of lists that can be gone on with, as documents that are removed when their time is over."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from services.common.clock import Clock, to_micros
from services.common.store import Collection, Delete, Index, Put, Query, Store, Write
from services.common.store.port import Range
from services.recommendation.adapters.placements import filter_body, filter_of
from services.recommendation.domain.feedback import Origin
from services.recommendation.domain.open_list import OpenList

LISTS = Collection("open_lists", (Index(("customer_id",)), Index(("expire_time",))))
TENANTS = Collection("open_list_tenants")
"""Who had such lists, under the tenant ``*``: whose are looked through for what is over."""
COLLECTIONS = (LISTS, TENANTS)
EVERYBODY = "*"
PAGE = 500
OF_CUSTOMER_MAX = 1000


class StoredOpenLists:
    """The port ``OpenLists``."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._told: set[str] = set()

    async def get(self, tenant: str, recommendation_id: str) -> OpenList | None:
        document = await self._store.get(tenant, LISTS, _key(recommendation_id))
        return _read(document.body) if document else None

    async def put(self, tenant: str, pages: Sequence[OpenList]) -> None:
        writes: list[Write] = [Put(tenant, LISTS, _key(page.recommendation_id), _body(page)) for page in pages]
        if tenant not in self._told:
            writes.append(Put(EVERYBODY, TENANTS, tenant, {}))
        await self._store.commit(writes)
        self._told.add(tenant)

    async def of_person(self, tenant: str, ids: Sequence[str]) -> list[OpenList]:
        found: list[OpenList] = []
        for customer_id in ids:
            query = Query(where={"customer_id": customer_id}, limit=OF_CUSTOMER_MAX)
            found += [_read(each.body) for each in (await self._store.find(tenant, LISTS, query)).documents]
        return found

    async def forget(self, tenant: str, customer_id: str) -> None:
        """Remove the pages of a person who is erased."""
        await self._remove(tenant, Query(where={"customer_id": customer_id}, limit=PAGE))

    async def remove_expired(self) -> None:
        """Remove what can be gone on with no more, of all tenants."""
        now, after = to_micros(self._clock()), ""
        while True:
            page = await self._store.find(EVERYBODY, TENANTS, Query(limit=PAGE, after=after))
            for document in page.documents:
                await self._remove(document.id, Query(range=Range("expire_time", at_most=now), limit=PAGE))
            if not (after := page.next_cursor):
                return

    async def _remove(self, tenant: str, query: Query) -> None:
        while documents := (await self._store.find(tenant, LISTS, query)).documents:
            await self._store.commit([Delete(tenant, LISTS, document.id) for document in documents])


def _key(recommendation_id: str) -> str:
    return hashlib.blake2b(recommendation_id.encode(), digest_size=16).hexdigest()


def _body(page: OpenList) -> dict[str, Any]:
    return {
        "customer_id": page.customer_id,
        "session_item_ids": list(page.session_item_ids),
        "item_ids": list(page.item_ids),
        "context": dict(page.context),
        "visitor_id": page.visitor_id,
        "filter": filter_body(page.filter),
        "exclude_bought": page.exclude_bought,
        "count": page.count,
        "origin": asdict(page.origin),
        "recommendation_id": page.recommendation_id,
        "first_recommendation_id": page.first_recommendation_id,
        "page": page.page,
        "answered": list(page.answered),
        "expire_time": page.expire_time,
    }


def _read(body: dict[str, Any]) -> OpenList:
    lists = {name: tuple(body[name]) for name in ("session_item_ids", "item_ids", "answered")}
    return OpenList(**{**body, **lists, "filter": filter_of(body["filter"]), "origin": Origin(**body["origin"])})
