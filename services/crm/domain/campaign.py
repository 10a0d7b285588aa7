"""Campaigns: one sending of one template to one segment, and the states it goes through.

DRAFT ── start ─► SCHEDULED ── its time comes ─► RUNNING ── nothing is queued ─► COMPLETED
                     ▲  │ pause                   │  │
                     │  ▼                    pause│  └── cannot be carried out ─► FAILED
                 start PAUSED ◄───────────────────┘
DRAFT, SCHEDULED, RUNNING and PAUSED ── cancel ─► CANCELLED
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum

from services.common.errors import FailedPrecondition, NotFound
from services.crm.domain.consent import MARKETING, ConsentPolicy
from services.crm.domain.message import Message, MessageState
from services.crm.domain.template import Variables


class CampaignNotFound(NotFound):
    """No campaign has this id."""


class CampaignStateInvalid(FailedPrecondition):
    """The campaign's state does not allow this. Metadata ``state``."""


class ChannelNotConfigured(FailedPrecondition):
    """This installation has no provider for the channel. Metadata ``channel``."""


class Channel(IntEnum):
    """By which way customers are reached; the numbers are the contract's."""

    EMAIL = 1


class CampaignState(IntEnum):
    """Where a campaign stands; the numbers are the contract's."""

    DRAFT = 1
    SCHEDULED = 2
    RUNNING = 3
    PAUSED = 4
    COMPLETED = 5
    CANCELLED = 6
    FAILED = 7


_STARTABLE = (CampaignState.DRAFT, CampaignState.PAUSED)
_AT_WORK = (CampaignState.SCHEDULED, CampaignState.RUNNING)
_LIVE = (*_STARTABLE, *_AT_WORK)
_COUNTED = {
    MessageState.QUEUED: "queued",
    MessageState.SENT: "sent",
    MessageState.FAILED: "failed",
    MessageState.SKIPPED: "skipped",
    MessageState.HELD_BACK: "held_back",
}


@dataclass(frozen=True, slots=True)
class Sender:
    """Who sends: an address, a name beside it, and where answers go."""

    address: str
    name: str = ""
    reply_to: str = ""


@dataclass(frozen=True, slots=True)
class Counts:
    """How many messages are in each state."""

    queued: int = 0
    sent: int = 0
    failed: int = 0
    skipped: int = 0
    held_back: int = 0

    @property
    def audience(self) -> int:
        """All recipients recorded so far."""
        return self.queued + self.sent + self.failed + self.skipped + self.held_back

    def after(self, moves: Iterable[tuple[MessageState | None, MessageState]]) -> "Counts":
        """The counts after messages moved from one state (``None``: they are new) to another."""
        figures = {name: getattr(self, name) for name in _COUNTED.values()}
        for before, now in moves:
            figures[_COUNTED[now]] += 1
            if before is not None:
                figures[_COUNTED[before]] -= 1
        return Counts(**figures)


@dataclass(frozen=True, slots=True)
class Campaign:
    """One sending. ``audience_complete`` once every member of the segment has a message."""

    campaign_id: str
    name: str
    channel: Channel
    segment_id: str
    template_id: str
    sender: Sender
    create_time: datetime
    not_before_time: datetime | None = None
    state: CampaignState = CampaignState.DRAFT
    counts: Counts = field(default_factory=Counts)
    template_revision: int = 0
    audience_cursor: str = ""
    audience_complete: bool = False
    problem: str = ""
    start_time: datetime | None = None
    end_time: datetime | None = None
    consent_purpose: str = MARKETING
    consent_policy: ConsentPolicy = ConsentPolicy.NOT_REFUSED
    control_percent: int = 0

    def holds_back(self, customer_id: str) -> bool:
        """Whether the customer is in the control group: a lot that is the same whenever it is looked at."""
        lot = hashlib.blake2b(f"control\0{self.campaign_id}\0{customer_id}".encode(), digest_size=8).digest()
        return int.from_bytes(lot) % 100 < self.control_percent

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do: every recipient is recorded, and none is queued."""
        return self.audience_complete and self.counts.queued == 0

    def check_startable(self) -> None:
        """``CampaignStateInvalid`` unless it is a draft or paused."""
        self._require(_STARTABLE, "started")

    def started(self, newest_revision: int, now: datetime) -> "Campaign":
        """Scheduled or running; what was paused goes on with the revision it had."""
        self.check_startable()
        waits = self.not_before_time is not None and self.not_before_time > now
        return replace(
            self,
            state=CampaignState.SCHEDULED if waits else CampaignState.RUNNING,
            template_revision=self.template_revision or newest_revision,
            start_time=self.start_time or now,
            problem="",
        )

    def due_time(self, now: datetime) -> datetime:
        """When its work may begin."""
        return max(now, self.not_before_time or now)

    def running(self) -> "Campaign":
        """Its time has come."""
        return replace(self, state=CampaignState.RUNNING)

    def paused(self) -> "Campaign":
        """Held."""
        self._require(_AT_WORK, "paused")
        return replace(self, state=CampaignState.PAUSED, problem="")

    def cancelled(self, now: datetime) -> "Campaign":
        """Ended by a person."""
        self._require(_LIVE, "cancelled")
        return replace(self, state=CampaignState.CANCELLED, problem="", end_time=now)

    def completed(self, now: datetime) -> "Campaign":
        """Ended because everything is done."""
        return replace(self, state=CampaignState.COMPLETED, problem="", end_time=now)

    def failed(self, problem: str, now: datetime) -> "Campaign":
        """Ended because it cannot be carried out."""
        return replace(self, state=CampaignState.FAILED, problem=problem, end_time=now)

    def variables(self) -> Variables:
        """What a template may name about the campaign."""
        return {"campaign": {"id": self.campaign_id, "name": self.name}}

    def _require(self, allowed: tuple[CampaignState, ...], what: str) -> None:
        if self.state not in allowed:
            raise CampaignStateInvalid(
                f"a campaign that is {self.state.name} cannot be {what}; only {', '.join(s.name for s in allowed)}",
                state=self.state.name,
            )


def moves(changes: Iterable[tuple[Message | None, Message]]) -> list[tuple[MessageState | None, MessageState]]:
    """The moves between states that ``changes`` (message before, message after) amount to."""
    return [(before.state if before else None, after.state) for before, after in changes]
