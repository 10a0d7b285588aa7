"""Keys: a master key outside the store wraps each tenant's keys, and a tenant's key wraps each customer's."""

import hmac
import os
from base64 import urlsafe_b64encode
from collections.abc import Sequence
from dataclasses import dataclass

from cryptography.exceptions import InvalidTag

from services.common.errors import AlreadyExists, Conflict, DataLoss
from services.common.sealing import KEY_BYTES, MasterKey, seal, unseal
from services.common.store import Collection, Insert, Replace, Store

TENANT_KEYS = Collection("tenant_keys")
CURRENT = "current"
BLIND_BYTES = 18


class KeyUnreadable(DataLoss):
    """A key was wrapped by a master key that is not given any more."""


@dataclass(frozen=True, slots=True)
class TenantKey:
    """A tenant's keys: one wraps customers' keys, one makes the hashes by which names are found."""

    wrapping: bytes
    hashing: bytes

    def digest(self, kind: str, value: str) -> str:
        """The keyed hash of an identifier (HMAC-SHA256, RFC 2104): nobody without the key can try values."""
        return hmac.digest(self.hashing, f"{kind}\0{value}".encode(), "sha256").hex()

    def blind(self, purpose: str, value: str) -> str:
        """A keyed hash by which ``value`` is found (a blind index): 24 characters, others for each purpose."""
        digest = hmac.digest(self.hashing, f"{purpose}\0\0{value}".encode(), "sha256")
        return urlsafe_b64encode(digest[:BLIND_BYTES]).decode()


class TenantKeys:
    """The keys of all tenants, unwrapped in memory, wrapped in the store."""

    def __init__(self, store: Store, master: Sequence[MasterKey]) -> None:
        self._store, self._master = store, {each.key_id: each for each in master}
        self._in_use = master[0]
        self._known: dict[str, TenantKey] = {}

    async def get(self, tenant: str) -> TenantKey:
        """The tenant's keys, made when they are first needed; ``KeyUnreadable``.

        Keys that another master key wrapped are wrapped again by the one in use: so a master key is rotated.
        """
        if tenant not in self._known:
            self._known[tenant] = await self._load(tenant)
        return self._known[tenant]

    async def _load(self, tenant: str) -> TenantKey:
        document = await self._store.get(tenant, TENANT_KEYS, CURRENT)
        if document is None:
            made = TenantKey(os.urandom(KEY_BYTES), os.urandom(KEY_BYTES))
            try:
                await self._store.commit([Insert(tenant, TENANT_KEYS, CURRENT, self._wrapped(tenant, made))])
            except AlreadyExists:  # another process made them
                return await self._load(tenant)
            return made
        found = self._unwrapped(tenant, document.body)
        if document.body["master"] != self._in_use.key_id:
            again = Replace(tenant, TENANT_KEYS, CURRENT, self._wrapped(tenant, found), document.version)
            try:
                await self._store.commit([again])
            except Conflict:  # another process wrapped them again
                return await self._load(tenant)
        return found

    def _wrapped(self, tenant: str, key: TenantKey) -> dict[str, object]:
        sealed = seal(self._in_use.key, key.wrapping + key.hashing, _place(tenant))
        return {"master": self._in_use.key_id, "wrapped": sealed}

    def _unwrapped(self, tenant: str, body: dict[str, object]) -> TenantKey:
        master, wrapped = self._master.get(str(body["master"])), body["wrapped"]
        assert isinstance(wrapped, bytes)
        try:
            if master is None:
                raise InvalidTag
            both = unseal(master.key, wrapped, _place(tenant))
        except InvalidTag as error:
            text = f"the keys of tenant {tenant} were wrapped by master key {body['master']}, which is not given"
            raise KeyUnreadable(text, master_key=str(body["master"])) from error
        return TenantKey(both[:KEY_BYTES], both[KEY_BYTES:])


def _place(tenant: str) -> bytes:
    return f"tenant\0{tenant}".encode()
