"""Answers: items in order, each with its score and why it is there."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from services.recommendation.domain.companions import Companion
from services.recommendation.domain.model import Pair


class ReasonKind(IntEnum):
    """The kinds of reason; the numbers are those of the contract."""

    SIMILAR_TO_BOUGHT = 1
    SIMILAR_TO_VIEWED = 2
    BOUGHT_TOGETHER = 3
    BOUGHT_BEFORE = 4
    POPULAR = 5
    NEW = 6
    OFTEN_NEXT = 7
    TRENDING = 8
    COMPLEMENT = 9
    DUE_AGAIN = 10
    GIVEN = 11
    PINNED = 12
    EXPLORING = 13


class AppliedKind(IntEnum):
    """The ways in which a placement changes a list; the numbers are those of the contract."""

    BOOST = 1
    BURY = 2
    PIN = 3
    FRESHNESS = 4
    MARGIN = 5
    STOCK = 6
    DIVERSITY = 7
    ROTATION = 8
    EXPLORATION = 9


@dataclass(frozen=True, slots=True)
class Applied:
    """What a control or an objective did to an item; the contract says what ``value`` is for each kind."""

    kind: AppliedKind
    value: float
    control_id: str = ""


class EmptyReason(IntEnum):
    """Why a list is empty; the numbers are those of the contract."""

    NOT_EMPTY = 0
    CATALOGUE_EMPTY = 1
    NOTHING_ALLOWED = 2
    NOTHING_RELATED = 3
    NO_MODEL = 4
    NO_MORE = 5


class RelaxedReason(IntEnum):
    """Why the relaxed variant of bought together was asked; the numbers are those of the contract."""

    NOT_ASKED = 0
    ASKED = 1
    NO_MODEL = 2
    NO_PARTNERS = 3
    FEW_PARTNERS = 4


@dataclass(frozen=True, slots=True)
class Repeat:
    """In which rhythm a customer buys an item. Times are in microseconds."""

    last_time: int
    interval: int
    probability: float


@dataclass(slots=True)
class Reason:
    """Why an item is in a list, and what that adds to its score. Not frozen: there are some for each item of each list,
    and that would double what it takes to make one."""

    kind: ReasonKind
    score: float
    source_item_ids: tuple[str, ...] = ()
    pair: Pair | Companion | None = None
    purchase_count: int = 0
    repeat: Repeat | None = None
    interaction: int = 0
    """A number of ``InteractionKind``; 0 where none is meant."""
    available_time: int = 0
    """Since when it is available, in microseconds; 0 where that is not the reason."""


@dataclass(slots=True)
class Recommendation:
    """One item of a list; the weightiest reason first."""

    item_id: str
    reasons: Sequence[Reason]
    value: float | None = None
    """What a placement makes of it; ``None`` without one."""
    applied: tuple[Applied, ...] = ()
    propensity: float = 0.0
    """How likely it was drawn, where it was."""

    @property
    def relevance(self) -> float:
        """The sum of the reasons' scores."""
        total = 0.0
        for reason in self.reasons:  # a generator would cost three times as much, for every item of every list
            total += reason.score
        return total

    @property
    def score(self) -> float:
        """What it is listed by."""
        return self.relevance if self.value is None else self.value


@dataclass(frozen=True, slots=True)
class RecommendationList:
    """Items for somebody or something, best first."""

    items: tuple[Recommendation, ...]
    model_version: str = ""
    empty_reason: EmptyReason = EmptyReason.NOT_EMPTY
    customer_id: str = ""
    placement_version: int = 0
    recommendation_id: str = ""
    variant: str = ""
    resumable_until: int = 0
    """Until when it can be gone on with, in microseconds; 0 for not at all."""
    first_recommendation_id: str = ""
    relaxed_reason: RelaxedReason = RelaxedReason.NOT_ASKED


def ordered(found: Iterable[Recommendation], count: int) -> list[Recommendation]:
    """The best ``count``; equal scores by item id."""
    return sorted(found, key=lambda item: (-item.score, item.item_id))[:count]
