"""Messages: one to one recipient, recorded before it is sent, and moved to its end exactly once."""

import base64
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import IntEnum

from services.common.errors import InvalidArgument

ATTEMPTS_MAX = 6
DETAIL_LENGTH_MAX = 500

SMTP_REFUSED = "SMTP_REFUSED"
SMTP_DEFERRED = "SMTP_DEFERRED"
CUSTOMER_NOT_FOUND = "CUSTOMER_NOT_FOUND"
NO_ADDRESS = "NO_ADDRESS"
ADDRESS_INVALID = "ADDRESS_INVALID"
RENDER_FAILED = "RENDER_FAILED"
CAMPAIGN_CANCELLED = "CAMPAIGN_CANCELLED"
CAMPAIGN_FAILED = "CAMPAIGN_FAILED"
CONSENT_REFUSED = "CONSENT_REFUSED"
CONSENT_MISSING = "CONSENT_MISSING"
RECIPIENT_MERGED = "RECIPIENT_MERGED"


class ParentInvalid(InvalidArgument):
    """Messages were asked for without saying of what, or of two things at once."""


class MessageState(IntEnum):
    """What became of a message; the numbers are the contract's."""

    QUEUED = 1
    SENT = 2
    FAILED = 3
    SKIPPED = 4
    HELD_BACK = 5


@dataclass(frozen=True, slots=True)
class Message:
    """One message. ``due_time`` is when a queued one may be tried (again)."""

    message_id: str
    campaign_id: str
    customer_id: str
    queue_time: datetime
    due_time: datetime
    state: MessageState = MessageState.QUEUED
    address: str = ""
    reason: str = ""
    detail: str = ""
    attempt_count: int = 0
    end_time: datetime | None = None

    def sent(self, address: str, now: datetime) -> "Message":
        """Accepted by the mail server."""
        return self._ended(MessageState.SENT, now, address=address)

    def refused(self, address: str, words: str, now: datetime) -> "Message":
        """Refused for good, in the server's words."""
        refused = replace(self, attempt_count=self.attempt_count + 1)
        return refused._ended(MessageState.FAILED, now, address=address, reason=SMTP_REFUSED, detail=words)

    def deferred(self, address: str, words: str, now: datetime, backoff: timedelta) -> "Message":
        """Refused for the moment: due again after ``backoff``, twice that the next time, failed after six attempts."""
        tried = replace(self, attempt_count=self.attempt_count + 1)
        if tried.attempt_count >= ATTEMPTS_MAX:
            return tried._ended(MessageState.FAILED, now, address=address, reason=SMTP_DEFERRED, detail=words)
        wait = backoff * 2 ** (tried.attempt_count - 1)
        return replace(tried, due_time=now + wait, detail=words[:DETAIL_LENGTH_MAX])

    def skipped(self, reason: str, detail: str, now: datetime) -> "Message":
        """Not tried, and never will be."""
        return self._ended(MessageState.SKIPPED, now, reason=reason, detail=detail)

    def held_back(self, now: datetime) -> "Message":
        """Not sent, though it could have been: the recipient is in the control group."""
        return self._ended(MessageState.HELD_BACK, now)

    def _ended(
        self, state: MessageState, now: datetime, *, address: str = "", reason: str = "", detail: str = ""
    ) -> "Message":
        assert self.state is MessageState.QUEUED, f"{self.message_id} has ended as {self.state.name}"
        words = detail[:DETAIL_LENGTH_MAX]
        return replace(self, state=state, address=address, reason=reason, detail=words, end_time=now)


def queue(campaign_id: str, customer_id: str, now: datetime) -> Message:
    """A new message."""
    return Message(message_id_of(campaign_id, customer_id), campaign_id, customer_id, queue_time=now, due_time=now)


def message_id_of(campaign_id: str, customer_id: str) -> str:
    """It follows from campaign and customer, so recording a recipient twice is impossible."""
    digest = hashlib.blake2b(f"{campaign_id}\0{customer_id}".encode(), digest_size=20).digest()
    return base64.b32encode(digest).decode().lower()


def repeats(message: Message, others: Iterable[Message]) -> bool:
    """Whether a person who was merged gets this campaign by one of ``others``, their messages of it under other ids:
    one that was sent, refused or held back, or of two that wait the one that was recorded first."""
    return any(
        other.state in (MessageState.SENT, MessageState.FAILED, MessageState.HELD_BACK)
        or (
            other.state is MessageState.QUEUED
            and (other.queue_time, other.message_id) < (message.queue_time, message.message_id)
        )
        for other in others
    )
