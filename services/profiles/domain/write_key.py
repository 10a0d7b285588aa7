"""Write keys: credentials of sources, good for sending events and for nothing else."""

import hashlib
from dataclasses import dataclass

from services.common.errors import FailedPrecondition, NotFound

WRITE_KEYS_MAX = 100
"""Of a tenant, revoked ones not counted."""


class WriteKeyNotFound(NotFound):
    """No write key has this id or secret, or it is revoked."""


class TooManyWriteKeys(FailedPrecondition):
    """The tenant has as many write keys as it may: revoke one. Metadata ``maximum``."""


@dataclass(frozen=True, slots=True)
class WriteKey:
    """A write key without its secret. Times are microseconds; it is good while ``revoke_time`` is 0."""

    write_key_id: str
    name: str
    create_time: int
    revoke_time: int = 0


def digest(secret: str) -> str:
    """What is kept of a secret. Secrets are random and long, so that a fast hash gives nothing away."""
    return hashlib.sha256(secret.encode()).hexdigest()
