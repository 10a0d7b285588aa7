"""Keys of what is forgotten as a whole, wrapped by the tenant's: who destroys one has destroyed what it sealed.

A customer has one, and so has each thing that names people before it is known who they are, or several of them: a
rejected event, a file on its way in, an archive.
"""

import os
from collections.abc import Collection as Names
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag

from services.common.errors import DataLoss
from services.common.sealing import KEY_BYTES, seal, unseal
from services.common.store import Collection, Delete, Insert, Store
from services.profiles.adapters.keys import TenantKeys

CUSTOMER_KEYS = Collection("customer_keys")
CONTENT_KEYS = Collection("content_keys")
KNOWN_MAX = 50_000
"""How many keys are remembered at least; twice as many at most, some 200 bytes each."""

Keys = Mapping[str, bytes]
"""Keys by the ids of their customers."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class PersonalDataUnreadable(DataLoss):
    """What is stored of a person is not what was sealed for the person."""


class DataKeys:
    """The keys of one collection. Those that are used are remembered, in two generations; the others are forgotten."""

    def __init__(self, store: Store, tenant_keys: TenantKeys, collection: Collection, noun: str) -> None:
        self._store, self.tenant_keys, self._collection, self._noun = store, tenant_keys, collection, noun
        self._young: dict[tuple[str, str], bytes] = {}
        self._old: dict[tuple[str, str], bytes] = {}

    async def read(self, tenant: str, customer_ids: Iterable[str]) -> dict[str, bytes]:
        """Those that there are; whoever has none was erased, or is from before customers had keys."""
        found, missing = self._remembered(tenant, customer_ids)
        if missing:
            documents = await self._store.get_many(tenant, self._collection, missing)
            if documents:
                wrapping = (await self.tenant_keys.get(tenant)).wrapping
                read = {key: self._unwrapped(wrapping, tenant, key, each.body) for key, each in documents.items()}
                self.remember(tenant, read)
                found |= read
        return found

    async def for_writing(
        self, tenant: str, customer_ids: Names[str], known: Names[str]
    ) -> tuple[dict[str, bytes], dict[str, bytes]]:
        """All keys, and those that are new: commit ``writes`` of them, then ``remember`` them.

        Who is not among ``known`` has none yet.
        """
        found = await self.read(tenant, [customer_id for customer_id in customer_ids if customer_id in known])
        made = {customer_id: os.urandom(KEY_BYTES) for customer_id in customer_ids if customer_id not in found}
        return found | made, made

    async def writes(self, tenant: str, made: Keys) -> list[Insert]:
        """Those that keep new keys."""
        if not made:
            return []
        wrapping = (await self.tenant_keys.get(tenant)).wrapping
        return [
            Insert(tenant, self._collection, key, {"wrapped": seal(wrapping, secret, self._place(tenant, key))})
            for key, secret in made.items()
        ]

    def remember(self, tenant: str, keys: Keys) -> None:
        """Keep in memory what is in the store."""
        if len(self._young) >= KNOWN_MAX:
            self._old, self._young = self._young, {}
        self._young.update(((tenant, key), secret) for key, secret in keys.items())

    def destroy(self, tenant: str, customer_id: str) -> Delete:
        """The write that destroys a key. This process forgets it now, others with the generation that it is in."""
        self._young.pop((tenant, customer_id), None)
        self._old.pop((tenant, customer_id), None)
        return Delete(tenant, self._collection, customer_id)

    def _remembered(self, tenant: str, customer_ids: Iterable[str]) -> tuple[dict[str, bytes], list[str]]:
        young, old = self._young, self._old
        found: dict[str, bytes] = {}
        missing: list[str] = []
        for customer_id in customer_ids:
            place = (tenant, customer_id)
            secret = young.get(place)
            if secret is None and (secret := old.get(place)) is not None:
                young[place] = secret
            if secret is None:
                missing.append(customer_id)
            else:
                found[customer_id] = secret
        return found, missing

    def _unwrapped(self, wrapping: bytes, tenant: str, key: str, body: Mapping[str, Any]) -> bytes:
        try:
            return unseal(wrapping, body["wrapped"], self._place(tenant, key))
        except InvalidTag as error:
            raise PersonalDataUnreadable(f"the key of {self._noun} {key} cannot be read") from error

    def _place(self, tenant: str, key: str) -> bytes:
        return f"{self._noun}\0{tenant}\0{key}".encode()


class CustomerKeys(DataKeys):
    """A key for each origin."""

    def __init__(self, store: Store, tenant_keys: TenantKeys) -> None:
        super().__init__(store, tenant_keys, CUSTOMER_KEYS, "customer")


class ContentKeys(DataKeys):
    """A key for each rejected event, file and archive."""

    def __init__(self, store: Store, tenant_keys: TenantKeys) -> None:
        super().__init__(store, tenant_keys, CONTENT_KEYS, "content")

    def remember(self, tenant: str, keys: Keys) -> None:
        """They are not remembered: a key comes anew under the same id, when a file comes again."""


def seal_content(key: bytes, content: Any, place: str) -> bytes:
    """Anything a document may hold, for who has the key, bound to its place."""
    return seal(key, _encode(content), place.encode())


def unseal_content(key: bytes, sealed: bytes, place: str) -> Any:
    """What was sealed; ``PersonalDataUnreadable``."""
    try:
        return _decode(unseal(key, sealed, place.encode()))
    except InvalidTag as error:
        raise PersonalDataUnreadable("personal data cannot be read: it was changed, or moved here") from error
