"""Deliveries to destinations: what they hold, how they are signed, and when a failed one is tried again."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from services.common.clock import from_micros

SECOND = 1_000_000
SECRET_PREFIX = "whsec_"  # noqa: S105 - of every secret, by the standard
SECRET_BYTES = 32
RETRY_AFTER_MAX = 24 * 60 * 60 * SECOND
GONE = 410


class DeliveryState(IntEnum):
    """Where a delivery stands; the numbers are those of the contract."""

    RETRYING = 1
    SUCCEEDED = 2
    FAILED = 3


@dataclass(frozen=True, slots=True)
class Delivery:
    """What is known of a delivery; times in microseconds."""

    delivery_id: str
    destination_id: str
    state: DeliveryState
    attempts: int
    items: int
    create_time: int
    attempt_time: int
    http_status: int = 0
    error: str = ""
    object_key: str = ""


@dataclass(frozen=True, slots=True)
class Parcel:
    """What is sent: the id, the body and the headers that say what it is."""

    delivery_id: str
    body: bytes
    headers: Mapping[str, str]
    items: int


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of an attempt: the status of the answer (0: none came), what went wrong, and for how long (in
    microseconds) the other side asks to be left alone."""

    http_status: int
    error: str = ""
    retry_after: int = 0

    @property
    def delivered(self) -> bool:
        """Whether the other side has it."""
        return not self.error

    @property
    def gone(self) -> bool:
        """Whether the other side wants nothing more, ever."""
        return self.http_status == GONE


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a delivery is tried; times in microseconds."""

    first_wait: int = 5 * SECOND
    wait_max: int = 4 * 60 * 60 * SECOND
    attempts_max: int = 20
    time_max: int = 72 * 60 * 60 * SECOND

    def wait(self, failures: int, chance: float, asked: int = 0) -> int:
        """How long to wait after so many failures; ``chance``, from 0 to 1, shortens it by up to a half."""
        longest = min(self.first_wait << min(failures - 1, 40), self.wait_max)
        return max(round(longest * (1 - chance / 2)), min(asked, RETRY_AFTER_MAX))


@dataclass(frozen=True, slots=True)
class Run:
    """A push of an audience that is under way: where it goes on, and with which chunk."""

    push_id: str
    chunk: int = 0
    token: str = ""


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a destination was served. Kept with every delivery, so that nothing is left out after a crash."""

    cursor: str
    """Of the feed of memberships."""
    generation: int = 0
    attempts: int = 0
    """Of the delivery that is not made yet."""
    failed_since: int = 0
    next_attempt: int = 0
    success_time: int = 0
    run: Run | None = None
    due: int = 0
    """When the next push begins."""
    asked: int = 0
    """The newest request for a push that was heeded."""
    base: str = ""
    """Of files of changes: the push that arrived last, up to ``cursor``."""
    lineage: str = ""
    """Of files of changes: what the push that arrived last was of."""

    def succeeded(self, now: int) -> "Progress":
        """After a delivery."""
        return replace(self, attempts=0, failed_since=0, next_attempt=0, success_time=now)

    def failed(self, outcome: Outcome, patience: Patience, chance: float, now: int) -> "Progress":
        """After an attempt that failed."""
        attempts = self.attempts + 1
        wait = patience.wait(attempts, chance, outcome.retry_after)
        since = self.failed_since or now
        return replace(self, attempts=attempts, failed_since=since, next_attempt=now + wait)


def given_up(progress: Progress, outcome: Outcome, patience: Patience) -> str:
    """Why the destination is to be disabled; empty if it is not."""
    if outcome.gone:
        return "the address answered 410: it wants nothing more"
    if progress.attempts >= patience.attempts_max:
        return f"{progress.attempts} attempts at one delivery failed, the last: {outcome.error}"
    if progress.next_attempt - progress.failed_since > patience.time_max:
        hours = patience.time_max // (3600 * SECOND)
        return f"one delivery failed for {hours} hours, the last time: {outcome.error}"
    return ""


def signed(parcel: Parcel, secrets: Iterable[bytes], now: int) -> dict[str, str]:
    """The headers of an attempt, by Standard Webhooks (symmetric signatures, ``v1``)."""
    seconds = str(now // SECOND)
    content = b".".join((parcel.delivery_id.encode(), seconds.encode(), parcel.body))
    signatures = [base64.b64encode(hmac.digest(secret, content, "sha256")).decode() for secret in secrets]
    return {
        **parcel.headers,
        "webhook-id": parcel.delivery_id,
        "webhook-timestamp": seconds,
        "webhook-signature": " ".join(f"v1,{signature}" for signature in signatures),
    }


def told_secret(secret: bytes) -> str:
    """The secret as the other side is given it."""
    return SECRET_PREFIX + base64.b64encode(secret).decode()


@dataclass(frozen=True, slots=True)
class Moved:
    """Somebody who entered or left a segment; ``cursor`` is that of the feed, and the id of this change."""

    cursor: str
    segment_id: str
    customer_id: str
    entered: bool
    time: int


def transitions_parcel(destination_id: str, moved: Sequence[Moved]) -> Parcel:
    """The delivery of these changes. The same changes make the same delivery."""
    named = "\n".join((destination_id, moved[0].cursor, moved[-1].cursor, str(len(moved))))
    changes = [
        {
            "id": each.cursor,
            "segment_id": each.segment_id,
            "customer_id": each.customer_id,
            "transition": "entered" if each.entered else "left",
            "time": rfc3339(each.time),
        }
        for each in moved
    ]
    body = {
        "type": "segment.members.changed",
        "timestamp": rfc3339(max(each.time for each in moved)),
        "data": {"changes": changes},
    }
    digest = hashlib.blake2b(named.encode(), digest_size=16).hexdigest()
    content = json.dumps(body, separators=(",", ":"), ensure_ascii=False).encode()
    return Parcel(f"msg_{digest}", content, {"content-type": "application/json"}, len(moved))


def test_parcel(destination_id: str, delivery_id: str, now: int) -> Parcel:
    """A delivery that says nothing of anybody."""
    body = {"type": "destination.test", "timestamp": rfc3339(now), "data": {"destination_id": destination_id}}
    content = json.dumps(body, separators=(",", ":")).encode()
    return Parcel(delivery_id, content, {"content-type": "application/json"}, 0)


def ndjson(members: Iterable[tuple[str, int]]) -> bytes:
    """Members, one JSON object a line."""
    return b"".join(
        json.dumps({"customer_id": who, "enter_time": rfc3339(since)}, ensure_ascii=False).encode() + b"\n"
        for who, since in members
    )


def rfc3339(micros: int) -> str:
    """A time in words."""
    return from_micros(micros).isoformat().replace("+00:00", "Z")
