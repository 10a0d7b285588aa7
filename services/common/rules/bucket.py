"""Buckets: a stable, evenly spread number for every subject."""

BUCKETS = 10_000
FNV_PRIME = 16777619
FNV_MODULUS = 2**32
_FNV_OFFSET = 2166136261


def fnv1a(data: bytes, state: int = _FNV_OFFSET) -> int:
    """The 32-bit FNV-1a hash of ``data``, or of what led to ``state`` followed by ``data``."""
    for byte in data:
        state = ((state ^ byte) * FNV_PRIME) % FNV_MODULUS
    return state


def bucket(salt: str, subject_id: str) -> int:
    """The bucket, 0 to 9,999: FNV-1a of the id followed by the four bytes of the salt's own FNV-1a, modulo 10,000.

    The id comes first, so that an engine can keep its hash in a column and finish it for any salt in four steps.
    """
    return fnv1a(salt_bytes(salt), fnv1a(subject_id.encode())) % BUCKETS


def salt_bytes(salt: str) -> bytes:
    """What a salt adds to the hash of an id."""
    return fnv1a(salt.encode()).to_bytes(4, "big")
