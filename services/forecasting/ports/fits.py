"""What use cases need of models that are fitted again and again, and of what these say of customers."""

from collections.abc import Sequence
from typing import Protocol, TypeVar

M = TypeVar("M")
S = TypeVar("S")


class Fits(Protocol[M, S]):
    """The models of a kind, of all tenants, and what the newest version of each says of customers."""

    kept: int
    """How many versions of a name are kept."""

    async def names(self, tenant: str) -> list[str]:
        """The names that were fitted, or are being fitted."""
        ...

    async def claim(self, tenant: str, model_id: str) -> int:
        """A version for a fit that begins to write."""
        ...

    async def write(self, tenant: str, sayings: Sequence[S]) -> None:
        """Write what a claimed version says."""
        ...

    async def drop(self, tenant: str, model_id: str, version: int, customer_ids: Sequence[str]) -> None:
        """Remove what a version says of these customers."""
        ...

    async def publish(self, tenant: str, model: M) -> None:
        """Let this version be read; the kind's refusal of a model that is not there if it was deleted meanwhile."""
        ...

    async def delete(self, tenant: str, model_id: str) -> None:
        """Remove all of a name; one that is not there is passed over."""
        ...

    async def get(self, tenant: str, model_id: str, version: int = 0) -> M | None:
        """The model of that version, 0 for the newest."""
        ...

    async def versions(self, tenant: str, model_id: str) -> list[M]:
        """The versions of a name that are kept, the newest first."""
        ...

    async def newest(self, tenant: str) -> list[M]:
        """The newest version of each name, by name."""
        ...

    async def below(self, tenant: str, model_id: str, version: int, value: float) -> S | None:
        """What a version says of the customer of whom it says the most that is not above ``value``."""
        ...

    async def correct(
        self, tenant: str, model_id: str, version: int, sayings: Sequence[S], gone: Sequence[str]
    ) -> None:
        """Let the version say this instead, and no version anything of who is ``gone``; followers are told."""
        ...

    async def carry(self, tenant: str, model_id: str, moved: Sequence[tuple[str, str]]) -> None:
        """Of the first of each pair nothing is said any more. Of the second is said what was said of them, or, where
        that is nothing, what was said of the first."""
        ...

    async def page(self, tenant: str, model_id: str, version: int, limit: int, after: str) -> tuple[list[S], str]:
        """A page of what a version says, the highest first, and the token of the next."""
        ...

    async def of_customers(self, tenant: str, customer_ids: Sequence[str], model_ids: Sequence[str] = ()) -> list[S]:
        """What the newest version of each name (or of these) says of these customers, in their order."""
        ...
