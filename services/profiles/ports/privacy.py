"""What consent and privacy need from outside, and what the feed tells of them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from services.profiles.domain.consent import Consents, Statement
from services.profiles.domain.erasure import Erasure, ErasureState
from services.profiles.domain.suppression import Occasion, Suppression
from services.profiles.ports.request import Identifier, Request, Versioned


@dataclass(frozen=True, slots=True)
class ConsentChanged:
    """What holds for a purpose and channel is something else; as in the contract."""

    tenant: str
    customer_id: str
    origin_customer_id: str
    purpose: str
    channel: str
    state: int
    change_time: int
    expire_time: int


@dataclass(frozen=True, slots=True)
class CustomerErased:
    """A person is to be forgotten by everybody; as in the contract."""

    tenant: str
    erasure_id: str
    customer_id: str
    origin_customer_ids: tuple[str, ...]
    erase_time: int
    pseudonym: str


@dataclass(frozen=True, slots=True)
class ConsentUpdate:
    """What is new of one origin's consents: what holds afterwards, what was said, and what followers hear."""

    consents: Consents
    version: int | None
    """At which the consents were read; ``None`` where there were none."""
    statements: Sequence[Statement] = ()
    changes: Sequence[ConsentChanged] = ()


class ConsentBook(Protocol):
    """The consents of all tenants, by origin, with everything that was ever said."""

    async def get_many(self, tenant: str, customer_ids: Sequence[str]) -> dict[str, Versioned[Consents]]:
        """Of those origins that said something."""
        ...

    async def history(
        self, tenant: str, customer_ids: Sequence[str], purpose: str, limit: int, after: str
    ) -> tuple[list[Statement], str]:
        """A page of what these origins said, newest first, of one purpose or of all, and the token of the next."""
        ...

    async def answered(self, request: Request) -> dict[str, Any] | None:
        """What ``request`` was answered before; ``RequestIdReused``."""
        ...

    async def commit(
        self, tenant: str, updates: Sequence[ConsentUpdate], request: Request | None, answer: dict[str, Any]
    ) -> None:
        """Commit, with the answer to ``request``. ``Conflict`` or ``AlreadyExists`` if another was faster."""
        ...

    async def expired(self, now: int, limit: int) -> list[tuple[str, str]]:
        """Tenants and origins of whose consents one has run out and was not told yet."""
        ...

    async def forget_expiry(self, tenant: str, customer_id: str) -> None:
        """Nothing of this origin runs out."""
        ...


class Erasures(Protocol):
    """The erasures of all tenants: what is to be done, and the receipts of what was done."""

    async def get(self, tenant: str, erasure_id: str) -> Versioned[Erasure] | None:
        """The erasure."""
        ...

    async def get_many(self, tenant: str, erasure_ids: Sequence[str]) -> dict[str, Versioned[Erasure]]:
        """Those that there are."""
        ...

    async def page(self, tenant: str, state: ErasureState | None, limit: int, after: str) -> tuple[list[Erasure], str]:
        """A page, asked for last first, and the token of the next."""
        ...

    async def answered(self, request: Request) -> dict[str, Any] | None:
        """What ``request`` was answered before; ``RequestIdReused``."""
        ...

    async def answer(self, request: Request, body: dict[str, Any]) -> None:
        """Keep the answer to ``request``; ``AlreadyExists``."""
        ...

    async def accept(self, tenant: str, erasures: Sequence[Erasure]) -> None:
        """Keep new ones, and that there is work on them. ``AlreadyExists`` if there is one already."""
        ...

    async def replace(self, tenant: str, read: Versioned[Erasure], erasure: Erasure) -> Versioned[Erasure]:
        """Keep ``erasure`` instead; ``Conflict``."""
        ...

    async def due(self, now: int, limit: int) -> list[tuple[str, str]]:
        """Tenants and ids of those that profiles has still to carry out, the longest due first."""
        ...

    async def put_off(self, tenant: str, erasure_id: str, problem: str, now: int) -> None:
        """Try again later: the longer, the more often it failed."""
        ...


class Forgetting(Protocol):
    """Removes what profiles holds of a person."""

    async def forget(self, tenant: str, read: Versioned[Erasure], now: int) -> None:
        """Remove everything, in bounded commits, and publish it with the last. ``Conflict`` if another is at it."""
        ...


class Suppressions(Protocol):
    """The identifiers that are not taken in, of all tenants."""

    async def among(self, tenant: str, identifiers: Sequence[Identifier]) -> frozenset[Identifier]:
        """Those that are suppressed."""
        ...

    async def add(self, tenant: str, identifiers: Sequence[Identifier], occasion: Occasion) -> int:
        """Suppress; how many were not before."""
        ...

    async def lift(
        self, tenant: str, identifiers: Sequence[Identifier], suppression_ids: Sequence[str], occasion: Occasion
    ) -> int:
        """Take in again, and keep who wanted it; how many were suppressed."""
        ...

    async def page(self, tenant: str, lifted: bool, limit: int, after: str) -> tuple[list[Suppression], str]:
        """A page of those that hold, or that were lifted, the newest first, and the token of the next."""
        ...
