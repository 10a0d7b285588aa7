"""Exports of a person: what is asked, who has answered, and what follows. Times are microseconds, 0 for never."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from services.common.errors import FailedPrecondition, NotFound

PROFILES = "profiles"
UNFINISHED_MAX = 100
"""How many exports of a tenant are at work at once."""
KINDS_MAX = 200
"""How many kinds of records a service tells."""
KIND = re.compile(r"[a-z][a-z0-9_]{0,63}")
"""What names a file of the archive: nothing that leads out of it."""


class State(IntEnum):
    """Where an export stands; the numbers are those of ``tessera.common.v1.JobState``."""

    PENDING = 1
    RUNNING = 2
    SUCCEEDED = 3
    FAILED = 4
    CANCELLED = 5


class ExportNotFound(NotFound):
    """No export has this id."""


class ExportNotReady(FailedPrecondition):
    """There is no archive: it is being collected, or that failed."""


class ExportExpired(FailedPrecondition):
    """The archive was there and is gone; ask for another. Metadata ``expire_time``."""


class ExportTooLarge(FailedPrecondition):
    """There is more about the person than an archive may hold. Metadata ``maximum``."""


class TooManyExports(FailedPrecondition):
    """The tenant has as many unfinished exports as it may. Metadata ``maximum``."""


@dataclass(frozen=True, slots=True)
class ServicePart:
    """What one service has answered."""

    service: str
    done: bool = False
    record_count: int = 0
    problem: str = ""


@dataclass(frozen=True, slots=True)
class CustomerExport:
    """An archive about a person that is wanted, being collected, or there."""

    export_id: str
    customer_id: str
    requested_by: str
    reason: str
    create_time: int
    parts: tuple[ServicePart, ...]
    state: State = State.PENDING
    origin_customer_ids: tuple[str, ...] = ()
    message: str = "waiting"
    end_time: int = 0
    expire_time: int = 0
    size_bytes: int = 0
    sha256: str = ""

    @property
    def finished(self) -> bool:
        """Whether nothing more is collected."""
        return self.state in (State.SUCCEEDED, State.FAILED, State.CANCELLED)

    @property
    def progress(self) -> float:
        """The share of the services that have answered."""
        if self.state is State.SUCCEEDED:
            return 1.0
        return sum(part.done for part in self.parts) / len(self.parts)

    def available(self, now: int) -> bool:
        """Whether there is an archive."""
        return self.state is State.SUCCEEDED and now < self.expire_time

    def begun(self, origins: Sequence[str], services: Sequence[str]) -> "CustomerExport":
        """Collecting, about these origins, from these services."""
        known = {part.service: part for part in self.parts}
        return replace(
            self,
            state=State.RUNNING,
            origin_customer_ids=tuple(origins),
            parts=tuple(known.get(service, ServicePart(service)) for service in services),
            message="asking the services" if self.state is State.PENDING else self.message,
        )

    def answered(self, parts: Sequence[ServicePart]) -> "CustomerExport":
        """After everybody was asked; for whom it waits is in the message."""
        waiting = [f"{part.service} ({part.problem})" for part in parts if not part.done]
        message = f"waiting for {', '.join(waiting)}" if waiting else "everybody has answered"
        return replace(self, parts=tuple(sorted(parts, key=lambda each: each.service)), message=message)

    def failed(self, message: str, now: int) -> "CustomerExport":
        """It ends without an archive."""
        return replace(self, state=State.FAILED, message=message, end_time=now)

    def cancelled(self, now: int) -> "CustomerExport":
        """It ends because somebody asked for that."""
        return replace(self, state=State.CANCELLED, message="cancelled by request", end_time=now)

    def succeeded(self, size_bytes: int, sha256: str, now: int, expire_time: int) -> "CustomerExport":
        """The archive is there."""
        return replace(
            self,
            state=State.SUCCEEDED,
            message="done",
            end_time=now,
            expire_time=expire_time,
            size_bytes=size_bytes,
            sha256=sha256,
        )
