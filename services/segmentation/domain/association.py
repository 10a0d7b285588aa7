"""Association rules: which items are bought together, and how much that says."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum

from services.common.errors import InvalidArgument, ResourceExhausted
from services.common.rules import TimeWindow
from services.segmentation.domain.selection import EventFilter

PAIRS_MAX = 20_000_000


class AssociationsInvalid(InvalidArgument):
    """A threshold that makes no sense. Metadata ``field``."""


class AssociationsTooMany(ResourceExhausted):
    """There is more than can be looked through. Metadata ``limit`` says what is too large."""


class Order(IntEnum):
    """By what rules are ordered; the numbers are those of the contract."""

    LIFT = 1
    CONFIDENCE = 2
    SUPPORT = 3
    LEVERAGE = 4


@dataclass(frozen=True, slots=True)
class Baskets:
    """Where the baskets are."""

    events: EventFilter
    window: TimeWindow
    property: str


@dataclass(frozen=True, slots=True)
class Thresholds:
    """Which rules are wanted."""

    support: float = 0.01
    confidence: float = 0.3
    size_min: int = 2
    size_max: int = 4
    consequent: str = ""


def check_thresholds(wanted: Thresholds) -> None:
    """``AssociationsInvalid``."""
    if not 0 < wanted.support <= 1:
        raise AssociationsInvalid("the smallest support is above 0 and at most 1", field="support_min")
    if not 0 <= wanted.confidence <= 1:
        raise AssociationsInvalid("the smallest confidence is 0 to 1", field="confidence_min")
    if not 2 <= wanted.size_min <= wanted.size_max:
        raise AssociationsInvalid("a rule has at least two items, and not fewer than at most", field="item_count_max")


@dataclass(frozen=True, slots=True)
class AssociationRule:
    """Who buys ``antecedent`` buys ``consequent``; counts are baskets, ``total`` of them all."""

    antecedent: tuple[str, ...]
    consequent: str
    count: int
    antecedent_count: int
    consequent_count: int
    total: int

    @property
    def support(self) -> float:
        """The part of all baskets that hold both sides."""
        return self.count / self.total

    @property
    def confidence(self) -> float:
        """The part of the baskets with the left side that hold the right."""
        return self.count / self.antecedent_count

    @property
    def lift(self) -> float:
        """The confidence by the support of the right side."""
        return self.count * self.total / (self.antecedent_count * self.consequent_count)

    @property
    def leverage(self) -> float:
        """The support less that of independent sides."""
        return self.support - self.antecedent_count * self.consequent_count / self.total**2

    @property
    def conviction(self) -> float | None:
        """How much oftener the rule would be wrong if the sides were independent; ``None`` if it never is."""
        wrong = self.antecedent_count - self.count
        return (1 - self.consequent_count / self.total) * self.antecedent_count / wrong if wrong else None


def ordered(rules: Sequence[AssociationRule], by: Order) -> list[AssociationRule]:
    """The highest first, equal ones by name."""
    name = by.name.lower()
    return sorted(rules, key=lambda rule: (-getattr(rule, name), rule.antecedent, rule.consequent))


@dataclass(frozen=True, slots=True)
class Associations:
    """All rules, and what they were found in."""

    rules: Sequence[AssociationRule]
    itemset_count: int
    basket_count: int
    item_count: int
