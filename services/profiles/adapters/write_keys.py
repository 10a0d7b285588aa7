"""Write keys as documents. Hashes are looked up before the tenant is known, so their documents are the platform's."""

from typing import Any

from services.common.auth import ALL_TENANTS
from services.common.idempotency import remember, replayed
from services.common.store import Collection, Delete, Document, Index, Insert, Put, Query, Store
from services.profiles.domain.write_key import WriteKey
from services.profiles.ports import Request

WRITE_KEYS = Collection("write_keys", (Index(("created",)), Index(("revoked",))))
WRITE_KEY_HASHES = Collection("write_key_hashes")


class StoredWriteKeys:
    """The port ``WriteKeys``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def created(self, request: Request) -> WriteKey | None:
        answer = await replayed(self._store, request.tenant, request.id, request.fingerprint)
        return await self.get(request.tenant, answer["write_key_id"]) if answer else None

    async def create(self, request: Request, key: WriteKey, digest: str) -> None:
        tenant, answer = request.tenant, {"write_key_id": key.write_key_id}
        owner = {"tenant": tenant, **answer}
        await self._store.commit(
            [
                Insert(tenant, WRITE_KEYS, key.write_key_id, _body(key, digest)),
                Insert(ALL_TENANTS, WRITE_KEY_HASHES, digest, owner),
                *remember(tenant, request.id, request.fingerprint, answer),
            ]
        )

    async def count(self, tenant: str) -> int:
        return await self._store.count(tenant, WRITE_KEYS, Query(where={"revoked": 0}))

    async def get(self, tenant: str, write_key_id: str) -> WriteKey | None:
        document = await self._store.get(tenant, WRITE_KEYS, write_key_id)
        return _key(document) if document else None

    async def page(self, tenant: str, limit: int, after: str) -> tuple[list[WriteKey], str]:
        query = Query(order_by="created", descending=True, limit=limit, after=after)
        page = await self._store.find(tenant, WRITE_KEYS, query)
        return [_key(document) for document in page.documents], page.next_cursor

    async def revoke(self, tenant: str, key: WriteKey) -> None:
        document = await self._store.get(tenant, WRITE_KEYS, key.write_key_id)
        if document is not None:
            digest = document.body["hash"]
            body = _body(key, digest)
            await self._store.commit(
                [Put(tenant, WRITE_KEYS, document.id, body), Delete(ALL_TENANTS, WRITE_KEY_HASHES, digest)]
            )

    async def resolve(self, digest: str) -> tuple[str, str] | None:
        document = await self._store.get(ALL_TENANTS, WRITE_KEY_HASHES, digest)
        return (document.body["tenant"], document.body["write_key_id"]) if document else None


def _body(key: WriteKey, digest: str) -> dict[str, Any]:
    return {"name": key.name, "created": key.create_time, "revoked": key.revoke_time, "hash": digest}


def _key(document: Document) -> WriteKey:
    body = document.body
    return WriteKey(document.id, body["name"], body["created"], body["revoked"])
