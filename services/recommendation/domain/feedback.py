"""What became of lists: where a list came from, written into its id; and what may be recorded of it."""

import base64
import binascii
import json
from dataclasses import dataclass
from enum import IntEnum

from services.common.errors import InvalidArgument

DAY = 86_400_000_000
HOUR = 3_600_000_000
OLDEST_DAYS = 90


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

    def named(self, nonce: str) -> str:
        """The id of a list from here: everything is in it, so nothing needs to be kept of a list that nobody saw."""
        told = [self.scenario, self.placement_id, self.placement_version, self.experiment_id, self.variant, nonce]
        return base64.urlsafe_b64encode(json.dumps(told, separators=(",", ":")).encode()).decode().rstrip("=")


def origin_of(recommendation_id: str) -> Origin | None:
    """Where the list of an id came from; ``None`` for what is no id of ours."""
    try:
        told = json.loads(base64.urlsafe_b64decode(recommendation_id + "=" * (-len(recommendation_id) % 4)))
        scenario, placement_id, version, experiment_id, variant, nonce = told
    except (binascii.Error, ValueError, TypeError):
        return None
    texts = (placement_id, experiment_id, variant, nonce)
    if not all(isinstance(text, str) for text in texts) or type(scenario) is not int or type(version) is not int:
        return None
    return Origin(scenario, placement_id, version, experiment_id, variant)


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


def check_feedback(events: list[Feedback], now: int) -> None:
    """``FeedbackInvalid`` for an event that comes twice, lies in the future, or is older than 90 days."""
    seen: set[str] = set()
    for index, event in enumerate(events):
        if event.event_id in seen:
            raise FeedbackInvalid(index, f"event {event.event_id} comes twice; send each once")
        seen.add(event.event_id)
        if event.time > now + HOUR or event.time < now - OLDEST_DAYS * DAY:
            raise FeedbackInvalid(index, f"its time must lie in the last {OLDEST_DAYS} days")
