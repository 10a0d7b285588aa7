"""What going on with lists needs from outside."""

from collections.abc import Sequence
from typing import Protocol

from services.recommendation.domain.open_list import OpenList


class OpenLists(Protocol):
    """The pages of lists that can be gone on with, of all tenants; each is kept until its time is over."""

    async def get(self, tenant: str, recommendation_id: str) -> OpenList | None:
        """The page of an id, also where its time has just ended."""
        ...

    async def put(self, tenant: str, pages: Sequence[OpenList]) -> None:
        """Keep pages, in one commit."""
        ...

    async def of_person(self, tenant: str, ids: Sequence[str]) -> list[OpenList]:
        """The pages of a person, named by all of their ids; at most 1,000 for each id."""
        ...
