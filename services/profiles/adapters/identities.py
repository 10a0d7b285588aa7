"""Whose an identifier is: found by a keyed hash, with the identifier itself sealed with the key of its owner.

Documents from before have the identifier in plain for an id, ``<type>:<value>``. As long as a tenant has such, both are
looked for; they are written anew in the background.
"""

import contextlib
from collections.abc import Mapping, Sequence

from services.common.errors import AlreadyExists, Conflict
from services.common.store import Collection, Delete, Document, Index, Insert, Query, Store, Write
from services.profiles.adapters.customer_keys import CustomerKeys, Keys, seal_content, unseal_content
from services.profiles.adapters.keys import TenantKey
from services.profiles.ports.request import Identifier

IDENTITIES = Collection("identities", (Index(("customer_id",)),))
BLIND = "#"
"""What ids begin with that are hashes; it comes before all that types begin with."""
CHUNK_MAX = 200


class Identities:
    """The identifiers of all tenants."""

    def __init__(self, store: Store, keys: CustomerKeys) -> None:
        self._store, self._keys = store, keys
        self._sealed: set[str] = set()
        self._old: set[str] = set()

    async def owners(self, tenant: str, identifiers: Sequence[Identifier]) -> dict[Identifier, str]:
        """Whose they are, of those that somebody has."""
        key = await self._keys.tenant_keys.get(tenant)
        ids = {identity_id(key, identifier): identifier for identifier in identifiers}
        if tenant not in self._sealed and await self._has_old(tenant):
            ids |= {_plain_id(identifier): identifier for identifier in identifiers}
        found = await self._store.get_many(tenant, IDENTITIES, list(ids))
        return {ids[each]: document.body["customer_id"] for each, document in found.items()}

    async def writes(self, tenant: str, learnt: Mapping[Identifier, str], keys: Keys) -> list[Write]:
        """Those that keep whose new identifiers are; ``keys`` has those of the owners."""
        tenant_key = await self._keys.tenant_keys.get(tenant)
        return [identity_write(tenant, tenant_key, each, owner, keys[owner]) for each, owner in learnt.items()]

    async def page(self, tenant: str, customer_id: str, limit: int, after: str) -> tuple[list[Identifier], str]:
        """A page of those of an origin, and the token of the next."""
        query = Query(where={"customer_id": customer_id}, limit=limit, after=after)
        page = await self._store.find(tenant, IDENTITIES, query)
        return await self.read(tenant, page.documents), page.next_cursor

    async def read(self, tenant: str, documents: Sequence[Document]) -> list[Identifier]:
        """The identifiers in documents, without those whose keys are destroyed."""
        keys = await self._keys.read(tenant, {each.body["customer_id"] for each in documents if "sealed" in each.body})
        found = (_identifier(tenant, document, keys) for document in documents)
        return [identifier for identifier in found if identifier is not None]

    async def seal_old(self) -> None:
        """Write anew what is in plain, of tenants of whom this process knows that they have such."""
        for tenant in tuple(self._old):
            query = Query(descending=True, limit=CHUNK_MAX)
            while old := [
                each for each in (await self._store.find(tenant, IDENTITIES, query)).documents if _is_old(each)
            ]:
                with contextlib.suppress(Conflict, AlreadyExists):  # an erasure or another process was faster
                    await self._seal(tenant, old)
            self._old.discard(tenant)
            self._sealed.add(tenant)

    async def _seal(self, tenant: str, old: Sequence[Document]) -> None:
        owners = {document.body["customer_id"] for document in old}
        keys, made = await self._keys.for_writing(tenant, owners, owners)
        learnt = {_plain(document.id): document.body["customer_id"] for document in old}
        writes: list[Write] = [Delete(tenant, IDENTITIES, document.id, document.version) for document in old]
        writes += [*await self._keys.writes(tenant, made), *await self.writes(tenant, learnt, keys)]
        await self._store.commit(writes)
        self._keys.remember(tenant, made)

    async def _has_old(self, tenant: str) -> bool:
        last = (await self._store.find(tenant, IDENTITIES, Query(descending=True, limit=1))).documents
        (self._old if last and _is_old(last[0]) else self._sealed).add(tenant)
        return tenant in self._old


def identity_id(key: TenantKey, identifier: Identifier) -> str:
    """The id of the document that says whose ``identifier`` is."""
    kind, value = identifier
    return BLIND + key.blind("identity", f"{kind}\0{value}")


def identity_write(tenant: str, tenant_key: TenantKey, identifier: Identifier, customer_id: str, key: bytes) -> Insert:
    """The write that gives a customer, who has ``key``, an identifier."""
    place = identity_id(tenant_key, identifier)
    sealed = seal_content(key, list(identifier), _place(tenant, place))
    return Insert(tenant, IDENTITIES, place, {"customer_id": customer_id, "sealed": sealed})


def _identifier(tenant: str, document: Document, keys: Keys) -> Identifier | None:
    if _is_old(document):
        return _plain(document.id)
    key = keys.get(document.body["customer_id"])
    if key is None:
        return None
    kind, value = unseal_content(key, document.body["sealed"], _place(tenant, document.id))
    return kind, value


def _is_old(document: Document) -> bool:
    return not document.id.startswith(BLIND)


def _plain_id(identifier: Identifier) -> str:
    return f"{identifier[0]}:{identifier[1]}"


def _plain(key: str) -> Identifier:
    kind, _, value = key.partition(":")
    return kind, value


def _place(tenant: str, identity: str) -> str:
    return f"identity\0{tenant}\0{identity}"
