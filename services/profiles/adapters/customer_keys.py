"""A key for each customer, wrapped by the tenant's: who destroys it has destroyed what was sealed with it."""

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
KNOWN_MAX = 50_000
"""How many keys are remembered at least; twice as many at most, some 200 bytes each."""

Keys = Mapping[str, bytes]
"""Keys by the ids of their customers."""

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder().decode


class PersonalDataUnreadable(DataLoss):
    """What is stored of a person is not what was sealed for the person."""


class CustomerKeys:
    """The keys of all customers. Those that are used are remembered, in two generations; the others are forgotten."""

    def __init__(self, store: Store, tenant_keys: TenantKeys) -> None:
        self._store, self._tenant_keys = store, tenant_keys
        self._young: dict[tuple[str, str], bytes] = {}
        self._old: dict[tuple[str, str], bytes] = {}

    async def read(self, tenant: str, customer_ids: Iterable[str]) -> dict[str, bytes]:
        """Those that there are; whoever has none was erased, or is from before customers had keys."""
        found, missing = self._remembered(tenant, customer_ids)
        if missing:
            documents = await self._store.get_many(tenant, CUSTOMER_KEYS, missing)
            if documents:
                wrapping = (await self._tenant_keys.get(tenant)).wrapping
                read = {key: _unwrapped(wrapping, tenant, key, each.body) for key, each in documents.items()}
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
        wrapping = (await self._tenant_keys.get(tenant)).wrapping
        return [
            Insert(tenant, CUSTOMER_KEYS, key, {"wrapped": seal(wrapping, secret, _place(tenant, key))})
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
        return Delete(tenant, CUSTOMER_KEYS, customer_id)

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


def seal_content(key: bytes, content: Any, place: str) -> bytes:
    """Anything a document may hold, for who has the key, bound to its place."""
    return seal(key, _encode(content), place.encode())


def unseal_content(key: bytes, sealed: bytes, place: str) -> Any:
    """What was sealed; ``PersonalDataUnreadable``."""
    try:
        return _decode(unseal(key, sealed, place.encode()))
    except InvalidTag as error:
        raise PersonalDataUnreadable("personal data cannot be read: it was changed, or moved here") from error


def _unwrapped(wrapping: bytes, tenant: str, customer_id: str, body: Mapping[str, Any]) -> bytes:
    try:
        return unseal(wrapping, body["wrapped"], _place(tenant, customer_id))
    except InvalidTag as error:
        raise PersonalDataUnreadable(f"the key of customer {customer_id} cannot be read") from error


def _place(tenant: str, customer_id: str) -> bytes:
    return f"customer\0{tenant}\0{customer_id}".encode()
