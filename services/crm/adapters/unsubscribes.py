"""Keys of links, and wishes to leave that profiles has not heard of, as documents."""

import os
from datetime import datetime
from typing import Any

from services.common.clock import from_micros, to_micros
from services.common.errors import AlreadyExists
from services.common.store import Collection, Delete, Index, Insert, Put, Query, Range, Replace, Store
from services.crm.domain.unsubscribe import Leaving

UNSUBSCRIBE_KEYS = Collection("unsubscribe_keys")
UNSUBSCRIBES = Collection("unsubscribes", (Index(("due",)),))
UNSUBSCRIBE_COLLECTIONS = (UNSUBSCRIBE_KEYS, UNSUBSCRIBES)
PLATFORM, CURRENT, KEY_BYTES = "*", "current", 32


class StoredUnsubscribes:
    """The port ``Unsubscribes``."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._keys: dict[str, bytes] = {}

    async def key(self, tenant: str) -> bytes:
        known = await self.known_key(tenant)
        if known is not None:
            return known
        made = os.urandom(KEY_BYTES)
        try:
            await self._store.commit([Insert(tenant, UNSUBSCRIBE_KEYS, CURRENT, {"key": made})])
        except AlreadyExists:  # another process made it
            return await self.key(tenant)
        return made

    async def known_key(self, tenant: str) -> bytes | None:
        if tenant not in self._keys:
            document = await self._store.get(tenant, UNSUBSCRIBE_KEYS, CURRENT)
            if document is None:
                return None
            self._keys[tenant] = document.body["key"]
        return self._keys[tenant]

    async def add(self, leaving: Leaving) -> None:
        await self._store.commit([Put(PLATFORM, UNSUBSCRIBES, _id(leaving), _body(leaving, leaving.time))])

    async def due(self, now: datetime, limit: int) -> list[tuple[Leaving, int]]:
        query = Query(range=Range("due", at_most=to_micros(now)), order_by="due", limit=limit)
        page = await self._store.find(PLATFORM, UNSUBSCRIBES, query)
        return [(_leaving(document.body), document.version) for document in page.documents]

    async def put_off(self, leaving: Leaving, version: int, due: datetime) -> None:
        await self._store.commit([Replace(PLATFORM, UNSUBSCRIBES, _id(leaving), _body(leaving, due), version)])

    async def settle(self, leaving: Leaving, version: int) -> None:
        await self._store.commit([Delete(PLATFORM, UNSUBSCRIBES, _id(leaving), version)])


def _id(leaving: Leaving) -> str:
    return f"{leaving.tenant}:{leaving.message_id}"


def _body(leaving: Leaving, due: datetime) -> dict[str, Any]:
    return {
        "tenant": leaving.tenant,
        "message_id": leaving.message_id,
        "customer_id": leaving.customer_id,
        "purpose": leaving.purpose,
        "channel": leaving.channel,
        "time": to_micros(leaving.time),
        "due": to_micros(due),
    }


def _leaving(body: dict[str, Any]) -> Leaving:
    return Leaving(
        body["tenant"],
        body["message_id"],
        body["customer_id"],
        body["purpose"],
        body["channel"],
        from_micros(body["time"]),
    )
