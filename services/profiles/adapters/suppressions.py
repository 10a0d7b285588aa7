"""Suppressed identifiers as documents: keyed hashes, and who wanted them suppressed or taken in again."""

from collections.abc import Sequence
from typing import Any

from services.common.store import Collection, Delete, Document, Index, Insert, Put, Query, Store, Write
from services.profiles.adapters.keys import TenantKey, TenantKeys
from services.profiles.domain.suppression import Occasion, Suppression
from services.profiles.ports import Identifier

SUPPRESSIONS = Collection("suppressions", (Index(("time",)),))
LIFTED_SUPPRESSIONS = Collection("lifted_suppressions", (Index(("time",)),))
SUPPRESSION_COLLECTIONS = (SUPPRESSIONS, LIFTED_SUPPRESSIONS)
CHUNK_MAX = 250


class StoredSuppressions:
    """The port ``Suppressions``."""

    def __init__(self, store: Store, keys: TenantKeys) -> None:
        self._store, self._keys = store, keys

    async def among(self, tenant: str, identifiers: Sequence[Identifier]) -> frozenset[Identifier]:
        if not (await self._store.find(tenant, SUPPRESSIONS, Query(limit=1))).documents:
            return frozenset()  # as with most tenants: no hash is made of anything
        key = await self._keys.get(tenant)
        digests = {key.digest(*identifier): identifier for identifier in identifiers}
        found = await self._store.get_many(tenant, SUPPRESSIONS, list(digests))
        return frozenset(digests[digest] for digest in found)

    async def add(self, tenant: str, identifiers: Sequence[Identifier], occasion: Occasion) -> int:
        known = await self.among(tenant, identifiers)
        fresh = [identifier for identifier in dict.fromkeys(identifiers) if identifier not in known]
        writes = suppression_writes(tenant, await self._keys.get(tenant), fresh, occasion)
        for begin in range(0, len(writes), CHUNK_MAX):
            await self._store.commit(writes[begin : begin + CHUNK_MAX])
        return len(fresh)

    async def lift(
        self, tenant: str, identifiers: Sequence[Identifier], suppression_ids: Sequence[str], occasion: Occasion
    ) -> int:
        key = await self._keys.get(tenant)
        wanted = sorted({*(key.digest(*identifier) for identifier in identifiers), *suppression_ids})
        count = 0
        for begin in range(0, len(wanted), CHUNK_MAX):
            found = await self._store.get_many(tenant, SUPPRESSIONS, wanted[begin : begin + CHUNK_MAX])
            writes: list[Write] = []
            for document in found.values():
                body = {**_occasion_body(occasion), "suppression_id": document.id, "suppressed": document.body}
                writes.append(Insert(tenant, LIFTED_SUPPRESSIONS, f"{document.id}:{document.body['time']}", body))
                writes.append(Delete(tenant, SUPPRESSIONS, document.id, document.version))
            if writes:
                await self._store.commit(writes)
            count += len(found)
        return count

    async def page(self, tenant: str, lifted: bool, limit: int, after: str) -> tuple[list[Suppression], str]:
        collection = LIFTED_SUPPRESSIONS if lifted else SUPPRESSIONS
        query = Query(order_by="time", descending=True, limit=limit, after=after)
        page = await self._store.find(tenant, collection, query)
        read = _lifted if lifted else _suppression
        return [read(document) for document in page.documents], page.next_cursor


def suppression_writes(tenant: str, key: TenantKey, identifiers: Sequence[Identifier], occasion: Occasion) -> list[Put]:
    """The writes that suppress ``identifiers``."""
    told = _occasion_body(occasion)
    return [
        Put(tenant, SUPPRESSIONS, key.digest(*identifier), {**told, "type": identifier[0]})
        for identifier in identifiers
    ]


def _occasion_body(occasion: Occasion) -> dict[str, Any]:
    return {
        "time": occasion.time,
        "actor": occasion.actor,
        "reason": occasion.reason,
        "erasure_id": occasion.erasure_id,
    }


def _occasion(body: dict[str, Any]) -> Occasion:
    """Of suppressions from before it was kept, the time alone is known."""
    return Occasion(body["time"], body.get("actor", ""), body.get("reason", ""), body.get("erasure_id", ""))


def _suppression(document: Document) -> Suppression:
    return Suppression(document.id, document.body.get("type", ""), _occasion(document.body))


def _lifted(document: Document) -> Suppression:
    body = document.body
    before = body["suppressed"]
    return Suppression(body["suppression_id"], before.get("type", ""), _occasion(before), _occasion(body))
