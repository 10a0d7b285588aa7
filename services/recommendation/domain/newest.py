"""What is new: items by how long they have been available."""

from collections.abc import Iterable

from services.common.errors import InvalidArgument
from services.recommendation.domain.demand import HOUR
from services.recommendation.domain.recommendation import Reason, ReasonKind, Recommendation
from services.recommendation.domain.tally import SPAN_MAX

HALF_AGE = 14 * 24 * HOUR
"""After so long a new item scores half. The score falls as 1 / (1 + age): never to nothing, however old an item is."""


class MaxAgeInvalid(InvalidArgument):
    """An age out of range."""


def checked_max_age(micros: int) -> int:
    """The oldest that an item may be, 0 for any age; ``MaxAgeInvalid`` out of range."""
    if micros and not HOUR <= micros <= SPAN_MAX:
        raise MaxAgeInvalid("max_age_duration is out of range; name one of an hour to ten years, or none")
    return micros


def by_age(available: Iterable[tuple[str, int]], now: int) -> list[Recommendation]:
    """Items with the times since when they are available, in microseconds, in the order given."""
    return [
        Recommendation(item_id, (Reason(ReasonKind.NEW, _score(now - time), available_time=time),))
        for item_id, time in available
    ]


def _score(age: int) -> float:
    return HALF_AGE / (HALF_AGE + max(age, 0))
