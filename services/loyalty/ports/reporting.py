"""What reports and notices need from outside."""

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from services.loyalty.domain.entry import Entry
from services.loyalty.domain.notice import ExpiryNotices, Notice, Sweep
from services.loyalty.domain.point_cost import PointCost
from services.loyalty.domain.report import Kept, ReportRequest


@dataclass(frozen=True, slots=True)
class Noticed:
    """Notices in commit order, each with its tenant and the cursor after it, and the cursor after all of them."""

    notices: Sequence[tuple[str, Notice, str]]
    cursor: str
    caught_up: bool


class Notices(Protocol):
    """Notices, and when they are due."""

    def follow(self, after: str, tenant: str | None) -> AsyncIterator[Noticed]:
        """The feed after a cursor, of one tenant or of all, live and without end."""
        ...

    async def newest(self) -> str:
        """The cursor after everything that has happened."""
        ...

    async def setting(self, tenant: str, program_id: str) -> ExpiryNotices:
        """How long before points expire that is told."""
        ...

    async def sweep(self, tenant: str, program_id: str) -> Sweep | None:
        """How far the last sweep came."""
        ...

    async def existing(self, tenant: str, notice_ids: Sequence[str]) -> set[str]:
        """Those that were told."""
        ...

    async def before(self, tenant: str, before: int, limit: int) -> list[str]:
        """The ids of some notices from before that instant."""
        ...


class EntryWriter(Protocol):
    """Writes entries into a file, part by part."""

    def write(self, entries: Sequence[Entry]) -> bytes:
        """More entries; what the file has more of."""
        ...

    def end(self) -> bytes:
        """The end of the file."""
        ...


class Reports(Protocol):
    """What reports are made of."""

    async def counted(self) -> tuple[str, bool]:
        """Wait a little for what is entered to be counted: up to which cursor it is, and whether that is all."""
        ...

    async def kept(self, tenant: str, request: ReportRequest, currency: str) -> Kept:
        """What was counted, as far as a report about a programme in this currency needs it."""
        ...

    async def cost(self, tenant: str, program_id: str) -> PointCost | None:
        """What a point costs, if somebody has said so."""
        ...
