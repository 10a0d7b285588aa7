"""Events as sources send them, and what makes one unacceptable."""

from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from services.profiles.domain.order import Order

MESSAGE_ID_LENGTH_MAX = 256
IDENTITY_LENGTH_MAX = 512
NAME_LENGTH_MAX = 256
JSON_BYTES_MAX = 32 * 1024
FUTURE_MICROS_MAX = 3_600_000_000
ORDER_COMPLETED = "Order Completed"


class EventType(IntEnum):
    """The kinds of call; the numbers are those of the contract."""

    IDENTIFY = 1
    TRACK = 2
    PAGE = 3
    SCREEN = 4
    GROUP = 5
    ALIAS = 6


FIXED_NAMES = {EventType.IDENTIFY: "Identify", EventType.GROUP: "Group", EventType.ALIAS: "Alias"}
"""The names of events that sources do not name."""
WITH_TRAITS: frozenset[int] = frozenset({EventType.IDENTIFY, EventType.GROUP})
"""The kinds whose content is traits; that of the others is properties."""


@dataclass(slots=True)
class Incoming:
    """An event as it arrives. Times are microseconds since the epoch; 0 means that the source gave none.

    Nobody changes one; it is not frozen, like observations, because a frozen one takes twice as long to make.
    """

    message_id: str
    type: int
    name: str
    user_id: str
    anonymous_id: str
    event_time: int
    json: str
    group_id: str = ""
    previous_id: str = ""
    sent_time: int = 0
    context: str = ""
    integrations: str = ""
    receive_time: int = 0
    """When it first came, if that was before now."""

    def happened(self, now: int) -> int:
        """When it happened, by our clock: the source's clock is as wrong as what it says of the time of sending."""
        received = self.receive_time or now
        if not self.event_time:
            return received
        return self.event_time + received - self.sent_time if self.sent_time else self.event_time


@dataclass(slots=True)
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
    group_id: str = ""
    previous_id: str = ""
    context: str = ""
    integrations: str = ""
    consents: dict[str, bool] | None = None
    """Whether each purpose is allowed, where the context says so."""
    content: dict[str, Any] = field(default_factory=dict)
    """The properties or traits, read."""
    identities: tuple[tuple[str, str], ...] = ()
    """The identifiers it carries, the strongest first; where they are not given, the two it is sent with."""

    def __post_init__(self) -> None:
        if not self.identities:
            named = (("user_id", self.user_id), ("anonymous_id", self.anonymous_id))
            self.identities = tuple(pair for pair in named if pair[1])

    @property
    def previous(self) -> tuple[tuple[str, str], ...]:
        """The identifiers that an alias says were the person's before: it does not tell of which kind."""
        if self.type is not EventType.ALIAS:
            return ()
        return ("anonymous_id", self.previous_id), ("user_id", self.previous_id)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why the event at ``index`` of a batch was not recorded."""

    index: int
    message_id: str
    reason: str
    message: str
    path: str = ""
    """Where in the properties or traits, if it is something there."""


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
        return "EVENT_TYPE_INVALID", f"type {event.type} is not one of {', '.join(EventType.__members__)}"
    if (event.type == EventType.TRACK and not event.name) or len(event.name) > NAME_LENGTH_MAX:
        return "NAME_MISSING", f"a TRACK event needs a name of at most {NAME_LENGTH_MAX} characters"
    if event.type >= EventType.GROUP and (wrong := _relation_fault(event)):
        return wrong
    if len(event.json) + len(event.context) + len(event.integrations) > JSON_BYTES_MAX:
        return (
            "EVENT_TOO_LARGE",
            f"properties or traits, context and integrations are longer than {JSON_BYTES_MAX} bytes",
        )
    happened = event.happened(now) if event.sent_time else event.event_time
    if not 0 <= happened <= now + FUTURE_MICROS_MAX:
        return "EVENT_TIME_INVALID", "event_time lies before 1970 or more than one hour ahead"
    return None


def _relation_fault(event: Incoming) -> tuple[str, str] | None:
    if event.type == EventType.GROUP and not (event.group_id and _is_identity(event.group_id)):
        return "GROUP_ID_MISSING", f"a GROUP event needs a group_id of at most {IDENTITY_LENGTH_MAX} characters, no NUL"
    if event.type == EventType.ALIAS and not event.user_id:
        return "IDENTITY_MISSING", "an ALIAS event needs a user_id"
    if event.type == EventType.ALIAS and not (event.previous_id and _is_identity(event.previous_id)):
        text = f"an ALIAS event needs a previous_id of at most {IDENTITY_LENGTH_MAX} characters, no NUL"
        return "PREVIOUS_ID_MISSING", text
    return None


def _is_identity(text: str) -> bool:
    return len(text) <= IDENTITY_LENGTH_MAX and "\0" not in text
