"""What sending segments to other addresses needs from outside. Times are microseconds."""

from collections.abc import AsyncIterator, Mapping
from typing import Protocol

from services.segmentation.domain.delivery import Delivery, Outcome, Progress
from services.segmentation.domain.destination import Destination
from services.segmentation.ports.request import Request


class Destinations(Protocol):
    """The destinations of all tenants. Secrets are kept sealed; ``DestinationSecretUnreadable``, ``MasterKeyUnusable``
    where they cannot be."""

    async def answered(self, tenant: str, request: Request) -> str | None:
        """The destination that the first answer to ``request`` was about; ``RequestIdReused``."""
        ...

    async def get(self, tenant: str, destination_id: str) -> Destination | None:
        """The destination, or ``None``."""
        ...

    async def page(self, tenant: str, limit: int, after: str) -> tuple[list[Destination], str]:
        """A page of destinations by id, and the token of the next."""
        ...

    async def count(self, tenant: str) -> int:
        """How many there are."""
        ...

    async def create(self, tenant: str, destination: Destination, progress: Progress, request: Request) -> None:
        """Store a new destination, and from where on it is served. ``AlreadyExists``."""
        ...

    async def replace(self, tenant: str, destination: Destination, request: Request) -> None:
        """Store the next version of a destination. ``Conflict`` or ``AlreadyExists`` if another one was faster."""
        ...

    async def delete(self, tenant: str, destination_id: str, request: Request) -> None:
        """Remove a destination."""
        ...

    async def sweep(self, tenant: str, destination_id: str) -> None:
        """Remove what is known of serving a destination that is gone."""
        ...

    def all(self) -> AsyncIterator[tuple[str, Destination]]:
        """Every destination of every tenant."""
        ...

    async def progress(self, tenant: str, destination_id: str) -> Progress | None:
        """How far it was served; ``None`` before the first time."""
        ...

    async def record(
        self,
        tenant: str,
        destination_id: str,
        progress: Progress,
        delivery: Delivery | None = None,
        disabled: Destination | None = None,
    ) -> None:
        """Commit how far it was served with the delivery that made it so, and with its being disabled. ``Conflict``
        if somebody changed it meanwhile."""
        ...

    async def deliveries(self, tenant: str, destination_id: str, limit: int, after: str) -> tuple[list[Delivery], str]:
        """A page of deliveries, the newest first, and the token of the next."""
        ...


class Courier(Protocol):
    """Brings things to web addresses."""

    async def send(self, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
        """One attempt; what goes wrong is in the outcome."""
        ...
