"""Erasures: read a receipt, and hear what the others removed."""

from collections.abc import Sequence

from services.common.clock import Clock, to_micros
from services.common.errors import Conflict
from services.common.privacy import Removed
from services.profiles.domain.erasure import Erasure, ErasureNotFound
from services.profiles.ports import Erasures, Versioned

ATTEMPTS_MAX = 20


async def get_erasure(erasures: Erasures, tenant: str, erasure_id: str) -> Erasure:
    """The receipt; ``ErasureNotFound``."""
    return (await _read(erasures, tenant, erasure_id)).value


async def acknowledge_erasure(
    erasures: Erasures,
    clock: Clock,
    tenant: str,
    erasure_id: str,
    service: str,
    removed: Sequence[Removed],
    remove_time: int,
) -> None:
    """Note what a service removed; its first answer stands. ``ErasureNotFound``."""
    for _ in range(ATTEMPTS_MAX):
        read = await _read(erasures, tenant, erasure_id)
        erasure = read.value.acknowledged(service, removed, remove_time, to_micros(clock()))
        if erasure is read.value:
            return
        try:
            await erasures.replace(tenant, read, erasure)
            return
        except Conflict:  # another service answered at the same moment
            continue
    raise Conflict(f"erasure {erasure_id} is changed too often by others; try again", erasure_id=erasure_id)


async def _read(erasures: Erasures, tenant: str, erasure_id: str) -> Versioned[Erasure]:
    read = await erasures.get(tenant, erasure_id)
    if read is None:
        raise ErasureNotFound(f"there is no erasure {erasure_id}", erasure_id=erasure_id)
    return read
