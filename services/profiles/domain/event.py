"""Events as sources send them, and what makes one unacceptable."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from services.profiles.domain.order import Order

MESSAGE_ID_LENGTH_MAX = 256
IDENTITY_LENGTH_MAX = 512
NAME_LENGTH_MAX = 256
JSON_BYTES_MAX = 32 * 1024
FUTURE_MICROS_MAX = 3_600_000_000
ORDER_COMPLETED = "Order Completed"
IDENTIFY = "Identify"


class EventType(IntEnum):
    """The kinds of call; the numbers are those of the contract."""

    IDENTIFY = 1
    TRACK = 2
    PAGE = 3
    SCREEN = 4


@dataclass(frozen=True, slots=True)
class Incoming:
    """An event as it arrives. Times are microseconds since the epoch; 0 means that the source gave none."""

    message_id: str
    type: int
    name: str
    user_id: str
    anonymous_id: str
    event_time: int
    json: str
    receive_time: int = 0
    """When it first came, if that was before now."""


@dataclass(frozen=True, slots=True)
class Observation:
    """An acceptable event: what it says, ready to be applied to a customer."""

    message_id: str
    type: EventType
    name: str
    user_id: str
    anonymous_id: str
    event_time: int
    json: str
    traits: dict[str, Any]
    order: Order | None

    @property
    def identities(self) -> tuple[tuple[str, str], ...]:
        """The identifiers it carries, the strongest first."""
        named = (("user_id", self.user_id), ("anonymous_id", self.anonymous_id))
        return tuple(pair for pair in named if pair[1])


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why the event at ``index`` of a batch was not recorded."""

    index: int
    message_id: str
    reason: str
    message: str


def fault(event: Incoming, now: int) -> tuple[str, str] | None:
    """The first thing that is wrong with ``event``, as reason and message, or ``None``.

    The order is part of the contract. JSON and orders are judged by whoever parses them, after this.
    """
    if not event.message_id or len(event.message_id) > MESSAGE_ID_LENGTH_MAX or "\0" in event.message_id:
        return "MESSAGE_ID_MISSING", f"message_id is needed, at most {MESSAGE_ID_LENGTH_MAX} characters, no NUL"
    if not (event.user_id or event.anonymous_id):
        return "IDENTITY_MISSING", "user_id or anonymous_id is needed"
    if not (_is_identity(event.user_id) and _is_identity(event.anonymous_id)):
        return "IDENTITY_MISSING", f"user_id and anonymous_id are at most {IDENTITY_LENGTH_MAX} characters, no NUL"
    if event.type not in EventType._value2member_map_:
        return "EVENT_TYPE_INVALID", f"type {event.type} is not one of IDENTIFY, TRACK, PAGE, SCREEN"
    if (event.type == EventType.TRACK and not event.name) or len(event.name) > NAME_LENGTH_MAX:
        return "NAME_MISSING", f"a TRACK event needs a name of at most {NAME_LENGTH_MAX} characters"
    if len(event.json) > JSON_BYTES_MAX:
        return "EVENT_TOO_LARGE", f"properties or traits are longer than {JSON_BYTES_MAX} bytes"
    if not 0 <= event.event_time <= now + FUTURE_MICROS_MAX:
        return "EVENT_TIME_INVALID", "event_time lies before 1970 or more than one hour ahead"
    return None


def _is_identity(text: str) -> bool:
    return len(text) <= IDENTITY_LENGTH_MAX and "\0" not in text
