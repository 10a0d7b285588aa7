"""Sealing: what is secret is kept so that only who has a key, given from outside the store, can read it.

AES-256-GCM (NIST SP 800-38D). What is sealed is ``nonce || ciphertext || tag``, bound to its place by the associated
data, so that what is copied to another place cannot be opened there.
"""

import base64
import binascii
import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from services.common.errors import FailedPrecondition

KEY_BYTES, NONCE_BYTES = 32, 12


class MasterKeyUnusable(FailedPrecondition):
    """The master keys cannot be understood, or there are none."""


@dataclass(frozen=True, slots=True)
class MasterKey:
    """A key that is given from outside; its id is a digest of it."""

    key_id: str
    key: bytes


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
