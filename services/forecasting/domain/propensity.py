"""Goals that customers may reach, how likely each is to, and how far that can be trusted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from services.common.errors import FailedPrecondition, InvalidArgument, NotFound
from services.forecasting.domain.periods import DAY

EXAMPLES_MIN = 100
MODELS_MAX = 50
HORIZONS_MIN = 3

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

WINDOWS_DAYS = (14, 30, 60, 90, 180, 365)
GOAL_WINDOWS_DAYS = (30, 90, 365)
FEATURES = (
    "recency_days",
    "tenure_days",
    "purchase_days",
    "amount",
    "amount_per_purchase",
    "amount_deviation",
    "gap_days",
    "gap_days_deviation",
    "gap_days_longest",
    "overdue",
    "lines_per_purchase",
    "amount_per_line",
    "products",
    "categories",
    "stores",
    *(f"purchase_days_in_{days}" for days in WINDOWS_DAYS),
    *(f"amount_in_{days}" for days in WINDOWS_DAYS),
)
GOAL_FEATURES = (
    "goal_recency_days",
    "goal_days",
    "goal_amount",
    "goal_amount_share",
    *(f"goal_days_in_{days}" for days in GOAL_WINDOWS_DAYS),
)


EVENT_WINDOWS_DAYS = (7, 30, 90, 365)
EVENT_FEATURES = (
    "event_recency_days",
    "event_tenure_days",
    "events",
    "event_days",
    "looks",
    *(f"event_days_in_{days}" for days in EVENT_WINDOWS_DAYS),
    *(f"looks_in_{days}" for days in EVENT_WINDOWS_DAYS),
    "goal_event_recency_days",
    "goal_events",
    "goal_event_days",
    "goal_event_gap_days",
    "goal_event_overdue",
    "goal_event_day_share",
    *(f"goal_event_days_in_{days}" for days in EVENT_WINDOWS_DAYS),
)
"""What models of events know beside what was bought: all events, looks (``adapters/activities.py``), and the events
that count towards the goal."""


class GoalInvalid(InvalidArgument):
    """A goal that nobody could reach, or everybody would."""


class TooLittleHistory(FailedPrecondition):
    """The orders do not span as many horizons as it takes to learn and to check."""


class LearnerMissing(FailedPrecondition):
    """The library that grows the trees cannot be loaded on this machine."""


class TooFewExamples(FailedPrecondition):
    """Too few reached the goal, or too few did not: nothing tells them apart."""


class TooManyModels(FailedPrecondition):
    """A tenant has as many names of models as it may."""


class PropensityModelNotFound(NotFound):
    """No model of that name, or not that version."""


class HorizonNotOver(FailedPrecondition):
    """What the model foresees may still come."""


@dataclass(frozen=True, slots=True)
class Goal:
    """What a customer may do within ``horizon_days``; amounts are in minor units."""

    horizon_days: int
    categories: tuple[str, ...] = ()
    product_ids: tuple[str, ...] = ()
    store_ids: tuple[str, ...] = ()
    min_orders: int = 1
    min_amount: int = 0
    absent: bool = False
    event_name: str = ""
    """Of which events; empty for orders."""
    channels: tuple[str, ...] = ()

    @property
    def of_all_lines(self) -> bool:
        """Whether every order line counts."""
        return not (self.categories or self.product_ids or self.store_ids)

    @property
    def features(self) -> tuple[str, ...]:
        """What a model of this goal goes by; where all lines count, those of the goal's own would repeat the others."""
        if self.event_name:
            return EVENT_FEATURES + FEATURES
        return FEATURES if self.of_all_lines else FEATURES + GOAL_FEATURES

    @property
    def horizon(self) -> int:
        """In microseconds."""
        return self.horizon_days * DAY


def check_goal(goal: Goal, goal_currency: str) -> None:
    """``GoalInvalid`` for what cannot go together; ``goal_currency``: of the least amount, empty without one."""
    if goal.event_name and (goal_currency or goal.min_amount):
        raise GoalInvalid("events come to no amount; leave it out", field="goal.min_amount")
    if goal_currency and goal.min_amount <= 0:
        raise GoalInvalid("the least amount must be above zero; leave it out if any will do", field="goal.min_amount")
    if goal.channels and not goal.event_name:
        raise GoalInvalid("orders have no channel; leave it out, or name the events that count", field="goal.channels")


@dataclass(frozen=True, slots=True)
class Moment:
    """What was known of each customer at a moment, and who reached the goal within the horizon after it.

    ``features``: a row for each customer, a column for each of the goal's features; NaN where there is no value.
    ``reached``: of no use where the horizon was not over. ``amount``: what the orders within it came to, by the lines
    that count towards the goal, in minor units; empty where nobody asks.
    """

    ids: Sequence[str]
    features: FloatArray
    reached: BoolArray
    amount: FloatArray = field(default_factory=lambda: np.zeros(0))

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Decile:
    """A tenth of the customers."""

    customer_count: int
    probability: float
    reached_share: float
    lift: float | None


@dataclass(frozen=True, slots=True)
class Quality:
    """Probabilities against what came. ``None`` where a measure would divide by zero."""

    start: int
    """Microseconds."""
    customer_count: int
    base_rate: float
    auc: float | None
    average_precision: float | None
    brier: float
    base_brier: float
    log_loss: float
    calibration_error: float
    deciles: tuple[Decile, ...]


@dataclass(frozen=True, slots=True)
class PropensityModel:
    """A fitted model of a goal. Times are microseconds."""

    model_id: str
    version: int
    goal: Goal
    currency: str
    fit_time: int
    as_of: int
    customer_count: int
    moment_count: int
    reached_count: int
    missed_count: int
    quality: Quality
    importance: Mapping[str, float]
    """By feature, the most important first; together 1."""
    learnt: Mapping[str, object]
    """What gives the probabilities, as ``learning.propensity`` writes it."""
    warnings: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Reason:
    """What moved a customer's probability, in the logarithm of the odds."""

    feature: str
    value: float | None
    contribution: float


@dataclass(frozen=True, slots=True)
class Propensity:
    """How likely a customer is to reach the goal of a model."""

    model_id: str
    version: int
    customer_id: str
    probability: float
    percentile: int
    as_of: int
    horizon_days: int
    reasons: tuple[Reason, ...]
    fit_time: int = 0
    """Zero: not said, as all was before it was."""

    @property
    def rank(self) -> float:
        """By what customers are ordered."""
        return self.probability

    def at(self, percentile: int) -> Self:
        """The same in another hundredth."""
        return replace(self, percentile=percentile)
