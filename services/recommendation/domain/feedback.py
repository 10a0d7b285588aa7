"""What became of lists: where a list came from, written into its id; and what may be recorded of it."""

import base64
import binascii
import json
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Any

from services.common.errors import InvalidArgument
from services.recommendation.domain.exploration import Explored
from services.recommendation.domain.policy import DIGEST_BYTES

DAY = 86_400_000_000
HOUR = 3_600_000_000
OLDEST_DAYS = 90
EXPLORING = "x."
"""How the ids of lists with new items begin."""


class FeedbackInvalid(InvalidArgument):
    """An event that cannot be recorded. Metadata ``index`` says which, ``problem`` what is wrong."""

    def __init__(self, index: int, problem: str) -> None:
        super().__init__(f"events[{index}]: {problem}", index=str(index), problem=problem)


class PeriodInvalid(InvalidArgument):
    """A period that is empty or too long."""


class FeedbackKind(IntEnum):
    """What can happen to an item of a list; the numbers are those of the contract."""

    IMPRESSION = 1
    CLICK = 2
    CART = 3
    PURCHASE = 4


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a list came from. ``scenario`` is a number of the contract."""

    scenario: int = 1
    placement_id: str = ""
    placement_version: int = 0
    experiment_id: str = ""
    variant: str = ""

    def named(self, nonce: str, explored: Sequence[Explored] = ()) -> str:
        """The id of a list from here: everything is in it, so nothing needs to be kept of a list that nobody saw."""
        told = [self.scenario, self.placement_id, self.placement_version, self.experiment_id, self.variant, nonce]
        drawn = [[each.item_id, each.probability, each.pool, _text(each.members)] for each in explored]
        text = json.dumps([*told, drawn] if drawn else told, separators=(",", ":"))
        mark = EXPLORING if drawn else ""
        return mark + base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def origin_of(recommendation_id: str) -> Origin | None:
    """Where the list of an id came from; ``None`` for what is no id of ours."""
    try:
        scenario, placement_id, version, experiment_id, variant, nonce = _told(recommendation_id)[:6]
    except (binascii.Error, ValueError, TypeError):
        return None
    texts = (placement_id, experiment_id, variant, nonce)
    if not all(isinstance(text, str) for text in texts) or type(scenario) is not int or type(version) is not int:
        return None
    return Origin(scenario, placement_id, version, experiment_id, variant)


def explored_in(recommendation_id: str) -> list[Explored]:
    """The new items that were drawn for the list of an id; none for what is no id of ours."""
    if not recommendation_id.startswith(EXPLORING):
        return []
    try:
        drawn = [
            (str(name), float(chance), int(pool), _bytes(str(members[0])) if members else b"")
            for name, chance, pool, *members in _told(recommendation_id)[6]
        ]
    except (binascii.Error, ValueError, TypeError, IndexError):
        return []
    # An id that was tampered with tells a pool of another size than it says: it is not believed.
    return [
        Explored(*each)
        for each in drawn
        if 0 < each[1] <= 1 and each[2] > 0 and len(each[3]) in (0, each[2] * DIGEST_BYTES)
    ]


def _text(members: bytes) -> str:
    return base64.urlsafe_b64encode(members).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, altchars=b"-_", validate=True)


def _told(recommendation_id: str) -> list[Any]:
    text = recommendation_id.removeprefix(EXPLORING)
    told = json.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
    return list(told)


@dataclass(frozen=True, slots=True)
class Feedback:
    """Something that happened to an item of a list; the time in microseconds."""

    event_id: str
    recommendation_id: str
    item_id: str
    kind: FeedbackKind
    customer_id: str
    visitor_id: str
    time: int
    origin: Origin
    position: int = 0
    """Where in the list it stood, from 1; 0 where that was not told."""


def check_feedback(events: list[Feedback], now: int) -> None:
    """``FeedbackInvalid`` for an event that comes twice, lies in the future, or is older than 90 days."""
    seen: set[str] = set()
    for index, event in enumerate(events):
        if event.event_id in seen:
            raise FeedbackInvalid(index, f"event {event.event_id} comes twice; send each once")
        seen.add(event.event_id)
        if event.time > now + HOUR or event.time < now - OLDEST_DAYS * DAY:
            raise FeedbackInvalid(index, f"its time must lie in the last {OLDEST_DAYS} days")
