"""From the JSON of Segment's specification to events of the contract. Pure: bytes in, messages out.

| in JSON                                       | in the contract                                                   |
|-----------------------------------------------|-------------------------------------------------------------------|
| ``type``, or the path of a single call        | ``type``                                                          |
| ``messageId``                                 | ``message_id``; one is chosen where there is none                 |
| ``userId``, ``anonymousId``                   | ``user_id``, ``anonymous_id``; whole numbers become text          |
| ``event`` of track                            | ``name``                                                          |
| ``name`` of page and screen, or ``category``  | ``name``; the category is put into the properties too             |
| ``properties``; ``traits``                    | ``properties_json``; ``traits_json`` of identify and group        |
| ``groupId``, ``previousId``                   | ``group_id``, ``previous_id``                                     |
| ``timestamp``, or ``originalTimestamp``       | ``event_time``; unset where there is none: the time of receipt    |
| ``sentAt``, of the event or of the batch      | ``sent_time``; not for ``import``, whose times are history        |
| ``context``, ``integrations``                 | ``context_json``, ``integrations_json``; a batch's are for all    |
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from google.protobuf.timestamp_pb2 import Timestamp
from msgspec import Raw
from tessera.profiles.v1 import profiles_service_pb2 as pb

EVENT_BYTES_MAX = 32 * 1024
TYPES = {
    "identify": pb.EVENT_TYPE_IDENTIFY,
    "track": pb.EVENT_TYPE_TRACK,
    "page": pb.EVENT_TYPE_PAGE,
    "screen": pb.EVENT_TYPE_SCREEN,
    "group": pb.EVENT_TYPE_GROUP,
    "alias": pb.EVENT_TYPE_ALIAS,
}
_WITH_TRAITS = frozenset({pb.EVENT_TYPE_IDENTIFY, pb.EVENT_TYPE_GROUP})
_ABSENT = Raw(b"null")


class EventUnreadable(Exception):
    """What a source sent is no event: the reason for programs, and a sentence."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason, self.message = reason, message


class BatchUnreadable(Exception):
    """The body as a whole is not what the API takes."""


@dataclass(frozen=True, slots=True)
class Shared:
    """What a batch says for all its events."""

    sent_time: Timestamp | None = None
    context: bytes = b""
    integrations: bytes = b""
    history: bool = False
    """Times are those of a history, and say nothing about the clock of who sends it now."""


class _Sent(msgspec.Struct, rename="camel"):
    """One event as it is sent. Names and times are judged by hand, so that each fault has its own words."""

    type: Any = None
    message_id: Any = None
    user_id: Any = None
    anonymous_id: Any = None
    event: Any = None
    name: Any = None
    category: Any = None
    group_id: Any = None
    previous_id: Any = None
    timestamp: Any = None
    original_timestamp: Any = None
    sent_at: Any = None
    properties: Raw = _ABSENT
    traits: Raw = _ABSENT
    context: Raw = _ABSENT
    integrations: Raw = _ABSENT


class _Batch(msgspec.Struct, rename="camel"):
    """The body of ``batch`` and ``import``."""

    batch: list[Raw]
    sent_at: Any = None
    write_key: Any = None
    context: Raw = _ABSENT
    integrations: Raw = _ABSENT


class _Keyed(msgspec.Struct, rename="camel"):
    """The part of a single event that says who sends it."""

    write_key: Any = None


_sent = msgspec.json.Decoder(_Sent)
_batch = msgspec.json.Decoder(_Batch)
_keyed = msgspec.json.Decoder(_Keyed)
_object = msgspec.json.Decoder(dict[str, Raw])
_FAULTS = (msgspec.MsgspecError, UnicodeError, RecursionError)


def read_batch(body: bytes) -> tuple[list[bytes], Shared, str]:
    """The events of a batch, each still unread, what is said for all, and the write key in it; ``BatchUnreadable``."""
    try:
        batch = _batch.decode(body)
        shared = Shared(_time(batch.sent_at, "sentAt"), _bytes(batch.context), _bytes(batch.integrations))
    except EventUnreadable as fault:
        raise BatchUnreadable(fault.message) from None
    except _FAULTS as error:
        raise BatchUnreadable(f"the body is no batch of events: {error}") from None
    return [bytes(event) for event in batch.batch], shared, _secret(batch.write_key)


def read_write_key(body: bytes) -> str:
    """The write key in a single event, or ""; ``BatchUnreadable`` if the body is no JSON object."""
    try:
        return _secret(_keyed.decode(body).write_key)
    except _FAULTS as error:
        raise BatchUnreadable(f"the body is no event: {error}") from None


def read_event(body: bytes, call: str, shared: Shared, new_id: Callable[[], str]) -> pb.Event:
    """The event in ``body``, of the kind ``call``, or of the kind that it names itself; ``EventUnreadable``."""
    if len(body) > EVENT_BYTES_MAX:
        raise EventUnreadable(
            "EVENT_TOO_LARGE", f"the event has {len(body)} bytes; at most {EVENT_BYTES_MAX} are taken"
        )
    try:
        return _event(_sent.decode(body), call, shared, new_id)
    except _FAULTS as error:
        raise EventUnreadable("EVENT_UNREADABLE", f"this is no event: {error}"[:1000]) from None


def _event(sent: _Sent, call: str, shared: Shared, new_id: Callable[[], str]) -> pb.Event:
    kind = TYPES.get(call or sent.type) if call or isinstance(sent.type, str) else None
    if kind is None:
        raise EventUnreadable("EVENT_TYPE_INVALID", f"type must be one of {', '.join(TYPES)}")
    category = _text(sent.category, "category") if kind in (pb.EVENT_TYPE_PAGE, pb.EVENT_TYPE_SCREEN) else ""
    content = _bytes(sent.traits if kind in _WITH_TRAITS else sent.properties)
    if category:
        content = _merged(msgspec.json.encode({"category": category}), content)
    event = pb.Event(
        message_id=_text(sent.message_id, "messageId") or new_id(),
        type=kind,
        name=_name(sent, kind) or category,
        user_id=_text(sent.user_id, "userId"),
        anonymous_id=_text(sent.anonymous_id, "anonymousId"),
        group_id=_text(sent.group_id, "groupId"),
        previous_id=_text(sent.previous_id, "previousId"),
        event_time=_time(sent.timestamp, "timestamp") or _time(sent.original_timestamp, "originalTimestamp"),
        sent_time=None if shared.history else _time(sent.sent_at, "sentAt") or shared.sent_time,
        context_json=_merged(shared.context, _bytes(sent.context)).decode(),
        integrations_json=_merged(shared.integrations, _bytes(sent.integrations)).decode(),
    )
    if kind in _WITH_TRAITS:
        event.traits_json = content.decode()
    else:
        event.properties_json = content.decode()
    return event


def _name(sent: _Sent, kind: int) -> str:
    if kind == pb.EVENT_TYPE_TRACK:
        return _text(sent.event, "event")
    return _text(sent.name, "name") if kind in (pb.EVENT_TYPE_PAGE, pb.EVENT_TYPE_SCREEN) else ""


def _text(value: Any, field: str) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    if isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    raise EventUnreadable("EVENT_UNREADABLE", f"{field} must be text")


def _time(value: Any, field: str) -> Timestamp | None:
    if value is None or value == "":
        return None
    try:
        moment = datetime.fromisoformat(value)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (TypeError, ValueError, OverflowError):
        raise EventUnreadable("EVENT_TIME_INVALID", f"{field} must be a time in ISO 8601, as text") from None
    time = Timestamp()
    time.FromDatetime(moment)
    return time


def _bytes(raw: Raw) -> bytes:
    """The JSON as it came; nothing for ``null``."""
    content = bytes(raw).strip()
    return b"" if content == b"null" else content


def _merged(below: bytes, above: bytes) -> bytes:
    """Two objects as one, of which ``above`` wins; what is no object is left for profiles to refuse."""
    if not below or not above:
        return above or below
    try:
        return msgspec.json.encode({**_object.decode(below), **_object.decode(above)})
    except _FAULTS:
        return above


def _secret(value: Any) -> str:
    return value if isinstance(value, str) else ""
