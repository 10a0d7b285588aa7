"""What the use cases of groups need from outside."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from services.profiles.domain.group import GroupChanges, GroupProfile, Membership
from services.profiles.ports.request import Request

MemberKey = tuple[str, str]
"""A group id and an origin."""


class Groups(Protocol):
    """The groups of all tenants, and who is a member."""

    async def read(self, tenant: str, group_ids: Sequence[str], members: Sequence[MemberKey]) -> GroupChanges:
        """Those groups and memberships that exist."""
        ...

    async def page(self, tenant: str, kind: str, limit: int, after: str) -> tuple[list[GroupProfile], str]:
        """A page by id, of one type or of all, and the token of the next."""
        ...

    async def origins(self, tenant: str, group_id: str) -> list[str]:
        """The origins that are members, by id."""
        ...

    async def of_origin(self, tenant: str, origin: str) -> list[Membership]:
        """What was said of an origin's memberships, at most 10,000."""
        ...

    async def answered(self, request: Request) -> Mapping[str, Any] | None:
        """What ``request`` was answered before; ``RequestIdReused``."""
        ...

    async def commit(
        self, request: Request, changes: GroupChanges, owners: Mapping[str, str], answer: Mapping[str, Any]
    ) -> None:
        """Commit, while the origins belong to these ``owners``. ``Conflict`` or ``AlreadyExists`` if they do not any
        more, or if another writer was faster: read again and retry."""
        ...
