"""What computed traits are kept in."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from services.profiles.domain.computed_trait import Computed, ComputedTrait
from services.profiles.domain.computing import Advance, Definitions
from services.profiles.ports.request import Request


class ComputedTraits(Protocol):
    """The computed traits of all tenants."""

    reread_seconds: float
    """How long it takes until every server knows of a new definition."""

    def turn(self, tenant: str) -> AbstractAsyncContextManager[object]:
        """The right to write, one at a time in this process: who records much would lose to who writes often."""
        ...

    async def definitions(self, tenant: str, *, fresh: bool = False) -> Definitions:
        """All of a tenant's; what another server has changed, seconds later unless ``fresh``."""
        ...

    async def get(self, tenant: str, name: str) -> tuple[ComputedTrait, int] | None:
        """A definition, and the version of its document."""
        ...

    async def page(self, tenant: str, limit: int, after: str) -> tuple[list[ComputedTrait], str]:
        """A page by name, and the token of the next."""
        ...

    async def tenants(self) -> list[str]:
        """Those that have or had a definition."""
        ...

    async def answered(self, request: Request) -> Mapping[str, Any] | None:
        """The answer that ``request`` got before; ``RequestIdReused``."""
        ...

    async def answered_trait(self, request: Request) -> ComputedTrait | None:
        """The definition that ``request`` made before; ``RequestIdReused``."""
        ...

    async def define(self, request: Request | None, tenant: str, trait: ComputedTrait, version: int | None) -> None:
        """Keep a definition, new or instead of that at ``version``; ``Conflict``, ``AlreadyExists``."""
        ...

    async def forget(self, request: Request, name: str, version: int, answer: Mapping[str, Any]) -> None:
        """Forget a definition that is still at ``version``; ``Conflict``."""
        ...

    async def remember(self, request: Request, answer: Mapping[str, Any]) -> None:
        """Keep the answer to a request."""
        ...

    async def read(self, tenant: str, customer_ids: Sequence[str]) -> dict[str, tuple[Computed, int]]:
        """What is known of origins, as far as something is, with versions."""
        ...

    async def advance(self, tenant: str, advance: Advance) -> None:
        """Commit; ``Conflict`` or ``AlreadyExists`` if another writer was faster."""
        ...

    async def due(self, tenant: str, now: int, limit: int) -> list[str]:
        """Origins of which time has changed something."""
        ...

    async def marks(self, tenant: str, limit: int) -> dict[str, int]:
        """Customers to look at again, because they were merged or taken apart, with the versions of their marks."""
        ...

    async def ids(self, tenant: str, limit: int, after: str) -> tuple[list[str], str]:
        """A page of the origins of which something is known, and the token of the next."""
        ...
