"""Suppressed identifiers as documents: keyed hashes, and nothing else."""

from collections.abc import Sequence

from services.common.store import Collection, Delete, Put, Store
from services.profiles.adapters.keys import TenantKey, TenantKeys
from services.profiles.ports import Identifier

SUPPRESSIONS = Collection("suppressions")
CHUNK_MAX = 500


class StoredSuppressions:
    """The port ``Suppressions``."""

    def __init__(self, store: Store, keys: TenantKeys) -> None:
        self._store, self._keys = store, keys

    async def among(self, tenant: str, identifiers: Sequence[Identifier]) -> frozenset[Identifier]:
        key = await self._keys.get(tenant)
        digests = {key.digest(*identifier): identifier for identifier in identifiers}
        found = await self._store.get_many(tenant, SUPPRESSIONS, list(digests))
        return frozenset(digests[digest] for digest in found)

    async def add(self, tenant: str, identifiers: Sequence[Identifier], now: int) -> int:
        known = await self.among(tenant, identifiers)
        fresh = [identifier for identifier in dict.fromkeys(identifiers) if identifier not in known]
        writes = suppression_writes(tenant, await self._keys.get(tenant), fresh, now)
        for begin in range(0, len(writes), CHUNK_MAX):
            await self._store.commit(writes[begin : begin + CHUNK_MAX])
        return len(fresh)

    async def remove(self, tenant: str, identifiers: Sequence[Identifier]) -> int:
        key, known = await self._keys.get(tenant), await self.among(tenant, identifiers)
        deletes = [Delete(tenant, SUPPRESSIONS, key.digest(*identifier)) for identifier in sorted(known)]
        for begin in range(0, len(deletes), CHUNK_MAX):
            await self._store.commit(deletes[begin : begin + CHUNK_MAX])
        return len(deletes)


def suppression_writes(tenant: str, key: TenantKey, identifiers: Sequence[Identifier], now: int) -> list[Put]:
    """The writes that suppress ``identifiers``."""
    return [Put(tenant, SUPPRESSIONS, key.digest(*identifier), {"time": now}) for identifier in identifiers]
