"""Keys: a master key outside the store wraps each tenant's keys, and a tenant's key wraps each customer's.

Envelope encryption with AES-256-GCM (NIST SP 800-38D). What is sealed is ``nonce || ciphertext || tag``, bound to its
place by the associated data, so that what is copied to another customer cannot be opened there.
"""

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.common.errors import AlreadyExists, Conflict, DataLoss, FailedPrecondition
from services.common.store import Collection, Insert, Replace, Store

TENANT_KEYS = Collection("tenant_keys")
CURRENT = "current"
KEY_BYTES, NONCE_BYTES = 32, 12


class MasterKeyUnusable(FailedPrecondition):
    """The master keys cannot be understood."""


class KeyUnreadable(DataLoss):
    """A key was wrapped by a master key that is not given any more."""


@dataclass(frozen=True, slots=True)
class MasterKey:
    """A key that is given from outside; its id is a digest of it."""

    key_id: str
    key: bytes


@dataclass(frozen=True, slots=True)
class TenantKey:
    """A tenant's keys: one wraps customers' keys, one makes the hashes by which names are found."""

    wrapping: bytes
    hashing: bytes

    def digest(self, kind: str, value: str) -> str:
        """The keyed hash of an identifier (HMAC-SHA256, RFC 2104): nobody without the key can try values."""
        return hmac.digest(self.hashing, f"{kind}\0{value}".encode(), "sha256").hex()


def read_master_keys(text: str, where: str) -> tuple[MasterKey, ...]:
    """The keys in ``text``, each in base64, the one in use first; ``MasterKeyUnusable`` names ``where`` it was."""
    try:
        keys = [base64.b64decode(each, validate=True) for each in text.split()]
    except (ValueError, binascii.Error) as error:
        raise MasterKeyUnusable(f"{where}: the master keys are not base64: {error}") from error
    if not keys or any(len(key) != KEY_BYTES for key in keys):
        raise MasterKeyUnusable(f"{where}: there must be master keys, of {KEY_BYTES} bytes each, in base64")
    return tuple(MasterKey(hashlib.sha256(key).hexdigest()[:16], key) for key in keys)


def make_master_key(path: Path) -> None:
    """A new key in a new file that only its owner can read; nothing if there is one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return
    with os.fdopen(descriptor, "wb") as file:
        file.write(base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
        file.flush()
        os.fsync(file.fileno())


def seal(key: bytes, text: bytes, place: bytes) -> bytes:
    """``text`` so that only who has ``key`` and knows its ``place`` can read it."""
    nonce = os.urandom(NONCE_BYTES)
    return nonce + AESGCM(key).encrypt(nonce, text, place)


def unseal(key: bytes, sealed: bytes, place: bytes) -> bytes:
    """What was sealed; ``cryptography.exceptions.InvalidTag`` if it was not, with this key and for this place."""
    return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], place)


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
