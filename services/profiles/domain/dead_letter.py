"""Dead letters: rejected events, cut to a bounded size, under an id that the same event always has."""

import hashlib
import re
from collections.abc import Collection, Set
from dataclasses import dataclass, replace
from typing import Any

import orjson

from services.profiles.domain.event import IDENTITY_LENGTH_MAX, JSON_BYTES_MAX, Incoming, Rejection

TEXT_LENGTH_MAX = 1024
"""Of ids and names; a good event's are shorter."""
CONTEXT_LENGTH_MAX = 8 * 1024
"""Of the context and of the integrations."""
NAME_LENGTH_MIN = 6
"""Of a name that makes a record somebody's wherever it stands in it: shorter ones are quantities too."""
VALUES_MAX = 64
"""By how many values a letter is found; one with more is looked into."""
TIME_MIN, TIME_MAX = -62_135_596_800_000_000, 253_402_300_799_999_999
"""The years 1 to 9999, which every clock and calendar can show."""

NO_EVENT = Incoming("", 0, "", "", "", 0, "")


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A rejected event. Times are microseconds since the epoch."""

    dead_letter_id: str
    reason: str
    message: str
    event: Incoming
    reject_time: int
    truncated: bool
    """Whether ``event`` is not all of what came."""
    source: str = ""
    """What came, where it could not be read as an event; ``event`` is empty then."""
    path: str = ""
    """Where in the properties or traits it is wrong, if it is there."""


def bury(event: Incoming, rejection: Rejection, now: int) -> DeadLetter:
    """The dead letter of ``event``, rejected now."""
    kept = _cut(event)
    reason, message, path = rejection.reason, rejection.message, rejection.path
    return DeadLetter(_identity(event), reason, message, kept, now, kept != event, path=path)


def bury_unreadable(source: str, reason: str, message: str, now: int) -> DeadLetter:
    """The dead letter of something that is no event."""
    digest = hashlib.blake2b(source.encode(), digest_size=16, person=b"unreadable")
    kept = source[:JSON_BYTES_MAX]
    return DeadLetter(digest.hexdigest(), reason, message, NO_EVENT, now, kept != source, kept)


def names_in(letter: DeadLetter, values: Collection[str], shortest: int) -> bool:
    """Whether a letter is about somebody known by one of ``values``.

    A source may have put a name anywhere: besides the fields for names, a text within the content that is one of the
    values counts, if it has at least ``shortest`` characters, since ``7`` is a quantity too.
    """
    event = letter.event
    if not {event.user_id, event.anonymous_id, event.previous_id}.isdisjoint(values):
        return True
    told = {value for value in values if len(value) >= shortest}
    return bool(told) and any(_mentions(text, told) for text in (event.json, event.context, letter.source) if text)


def may_name(letter: DeadLetter) -> set[str] | None:
    """Everything by which ``names_in`` may find the letter; ``None`` where that cannot be listed, or is too much."""
    event = letter.event
    if letter.source:
        return None
    found = {event.user_id, event.anonymous_id, event.previous_id} - {""}
    try:
        for text in filter(None, (event.json, event.context)):
            found |= {each for each in values_in(orjson.loads(text)) if len(each) >= NAME_LENGTH_MIN}
    except orjson.JSONDecodeError:
        return None
    found = {each for each in found if len(each) <= IDENTITY_LENGTH_MAX}
    return found if len(found) <= VALUES_MAX else None


def _mentions(text: str, values: Collection[str]) -> bool:
    if not any(value in text for value in values) and "\\" not in text:
        return False
    try:
        return not values_in(orjson.loads(text)).isdisjoint(values)
    except orjson.JSONDecodeError:
        return any(re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text) for value in values)


def words_among(text: str, values: Set[str], lengths: Collection[int]) -> set[str]:
    """Which of ``values``, of these ``lengths``, stand in a text, not as a part of a longer word."""
    begins = [place for place in range(len(text)) if not place or not _is_word(text[place - 1])]
    found = {text[begin : begin + length] for begin in begins for length in lengths} & values
    return {value for value in found if re.search(rf"(?<!\w){re.escape(value)}(?!\w)", text)}


def _is_word(character: str) -> bool:
    return character.isalnum() or character == "_"


def values_in(content: Any) -> set[str]:
    """All texts and whole numbers in a JSON value, as texts."""
    found: set[str] = set()
    waiting = [content]
    while waiting:
        each = waiting.pop()
        if isinstance(each, dict):
            waiting += each.values()
        elif isinstance(each, list):
            waiting += each
        elif isinstance(each, str | int) and not isinstance(each, bool):
            found.add(str(each))
    return found


def _identity(event: Incoming) -> str:
    """A digest of what the event says; when it was sent is left out, since each attempt to send it tells another."""
    digest = hashlib.blake2b(digest_size=16)
    parts = (event.message_id, str(event.type), event.name, event.user_id, event.anonymous_id, str(event.event_time))
    for part in (*parts, event.json, event.group_id, event.previous_id, event.context, event.integrations):
        content = part.encode()
        digest.update(len(content).to_bytes(8, "big"))
        digest.update(content)
    return digest.hexdigest()


def _cut(event: Incoming) -> Incoming:
    return replace(
        event,
        message_id=event.message_id[:TEXT_LENGTH_MAX],
        name=event.name[:TEXT_LENGTH_MAX],
        user_id=event.user_id[:TEXT_LENGTH_MAX],
        anonymous_id=event.anonymous_id[:TEXT_LENGTH_MAX],
        event_time=min(max(event.event_time, TIME_MIN), TIME_MAX),
        sent_time=min(max(event.sent_time, TIME_MIN), TIME_MAX),
        json=event.json[:JSON_BYTES_MAX],
        group_id=event.group_id[:TEXT_LENGTH_MAX],
        previous_id=event.previous_id[:TEXT_LENGTH_MAX],
        context=event.context[:CONTEXT_LENGTH_MAX],
        integrations=event.integrations[:CONTEXT_LENGTH_MAX],
    )
