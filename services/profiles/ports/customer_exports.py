"""What exports of a person need from outside."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from services.profiles.domain.customer_export import CustomerExport
from services.profiles.ports.request import Request, Versioned

PersonalRecord = tuple[str, str]
"""A kind in lower_snake, and a JSON object."""


@dataclass(frozen=True, slots=True)
class Lease:
    """The right of one process to work on an export for a while; it is held by renewing it."""

    tenant: str
    export_id: str
    failures: int
    version: int


class CustomerExports(Protocol):
    """The exports of all tenants, their archives, and what there is to be done on them."""

    async def created(self, request: Request) -> str | None:
        """The export that ``request`` began before; ``RequestIdReused``."""
        ...

    async def create(self, request: Request, wanted: CustomerExport) -> None:
        """Keep a new one, and that there is work on it; ``AlreadyExists`` if the request was carried out meanwhile."""
        ...

    async def unfinished(self, tenant: str) -> int:
        """How many are at work."""
        ...

    async def get(self, tenant: str, export_id: str) -> Versioned[CustomerExport] | None:
        """The export."""
        ...

    async def page(self, tenant: str, customer_id: str, limit: int, after: str) -> tuple[list[CustomerExport], str]:
        """A page, asked for last first, of one customer or of all, and the token of the next."""
        ...

    async def replace(
        self, tenant: str, read: Versioned[CustomerExport], changed: CustomerExport
    ) -> Versioned[CustomerExport]:
        """Keep ``changed`` instead; its origins lead to it from now on. ``Conflict``, also if it was forgotten."""
        ...

    async def cancel(
        self, request: Request, read: Versioned[CustomerExport], ended: CustomerExport
    ) -> Versioned[CustomerExport]:
        """Keep that it was cancelled; ``Conflict``, ``AlreadyExists``."""
        ...

    async def add(
        self, tenant: str, read: Versioned[CustomerExport], offset: int, data: bytes
    ) -> Versioned[CustomerExport]:
        """Keep a part of the archive; ``Conflict``, also if the export was forgotten."""
        ...

    async def clear(self, tenant: str, export_id: str) -> None:
        """Forget all parts of the archive."""
        ...

    def parts(self, tenant: str, export_id: str) -> AsyncIterator[bytes]:
        """The parts of the archive, in order; ``DataLoss`` for one that cannot be read."""
        ...

    async def claim(self, now: int, until: int, limit: int) -> list[Lease]:
        """Take what is due; nobody else gets it before ``until``."""
        ...

    async def renew(self, lease: Lease, until: int) -> Lease:
        """Keep a lease until then, or look again then; ``Conflict`` if it is somebody else's."""
        ...

    async def put_off(self, lease: Lease, due: int) -> None:
        """Give a lease back and count a failure; ``Conflict``."""
        ...

    async def settle(self, lease: Lease) -> None:
        """Nothing is to be done any more; ``Conflict``."""
        ...


class PersonalData(Protocol):
    """What the other services hold about people."""

    @property
    def services(self) -> Sequence[str]:
        """Who can be asked."""
        ...

    def records(
        self, service: str, tenant: str, customer_id: str, origins: Sequence[str]
    ) -> AsyncIterator[list[PersonalRecord]]:
        """What a service holds about a person, some at a time; ``Unavailable`` where it does not answer."""
        ...


class Archive(Protocol):
    """Files that are to be one archive."""

    def write(self, service: str, records: Sequence[PersonalRecord]) -> None:
        """Add records of a service; ``ExportTooLarge``."""
        ...

    def drop(self, service: str) -> None:
        """Forget what a service told."""
        ...

    def close(self, manifest: dict[str, Any]) -> tuple[int, str]:
        """Make the archive, ``manifest`` with its files in it: size and SHA-256."""
        ...

    def read(self, size: int) -> bytes:
        """The next bytes of the archive; none at its end."""
        ...


class Archives(Protocol):
    """Where archives are made."""

    def open(self) -> AbstractContextManager[Archive]:
        """A new one; what it took is free again when the block is left."""
        ...
