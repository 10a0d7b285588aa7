"""What follows from forecasts: anomalies, reorder plans and goals."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from enum import IntEnum

from services.common.errors import FailedPrecondition, InvalidArgument
from services.forecasting.domain.measures import Dimension, Measure

GOALS_MAX = 500
GOAL_DAYS_MAX = 3 * 366


class StockInvalid(InvalidArgument):
    """Figures of a stock make no sense."""


class GoalInvalid(InvalidArgument):
    """A goal makes no sense."""


class TooManyGoals(FailedPrecondition):
    """A tenant has no room for another goal."""


class Severity(IntEnum):
    """How unusual a figure is; the numbers are those of the contract."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3


_MEDIUM, _HIGH = 1.5, 2.5


@dataclass(frozen=True, slots=True)
class Anomaly:
    """A figure outside its interval. Times are microseconds."""

    value: str
    start: int
    actual: float
    expected: float
    lower: float
    upper: float
    score: float

    @property
    def severity(self) -> Severity:
        """By how many half-widths it is off."""
        if self.score <= _MEDIUM:
            return Severity.LOW
        return Severity.MEDIUM if self.score <= _HIGH else Severity.HIGH


@dataclass(frozen=True, slots=True)
class Anomalies:
    """What was unusual, the most unusual first, and how many series were looked at or too short."""

    found: Sequence[Anomaly]
    series_count: int
    skipped_count: int


@dataclass(frozen=True, slots=True)
class StockItem:
    """What is there of a product, and how it is ordered."""

    product_id: str
    on_hand: float
    on_order: float
    lead_time_days: int
    pack_size: float
    minimum_order: float


@dataclass(frozen=True, slots=True)
class ReorderLine:
    """What to do about a product; units."""

    product_id: str
    daily_demand: float = 0.0
    expected_demand: float = 0.0
    demand_deviation: float = 0.0
    safety_stock: float = 0.0
    reorder_point: float = 0.0
    order_quantity: float = 0.0
    stockout_probability: float = 0.0
    days_of_cover: float | None = None
    warnings: Sequence[str] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class Goal:
    """A target on a figure."""

    goal_id: str
    name: str
    measure: Measure
    dimension: Dimension
    value: str
    currency: str
    time_zone: str
    first: date
    last: date
    target: float
    create_time: int
    event_name: str = ""


@dataclass(frozen=True, slots=True)
class GoalProgress:
    """How a goal stands."""

    goal: Goal
    actual: float
    expected: float
    lower: float
    upper: float
    probability: float
    days_left: int
    warnings: Sequence[str]

    @property
    def gap(self) -> float:
        """What is missing at the end; below zero if the target is passed."""
        return self.goal.target - self.expected

    @property
    def daily_needed(self) -> float | None:
        """What each day that is left would have to bring."""
        return (self.goal.target - self.actual) / self.days_left if self.days_left else None
