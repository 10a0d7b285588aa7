"""Goals that customers may reach, how likely each is to, and how far that can be trusted."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import numpy.typing as npt

from services.common.clock import from_micros
from services.common.errors import FailedPrecondition, InvalidArgument, NotFound
from services.common.rules import Aggregate, Comparison, EventCondition, Operator, RuleInvalid, validate
from services.forecasting.domain.event_properties import (
    BOUNDS,
    PATH_LENGTH_MAX,
    TEXT_LENGTH_MAX,
    Described,
    personal,
)
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

SUM_FEATURES = ("goal_event_sum",)
"""And of goals that ask for a sum."""
WHERE_MAX = 10
LEFT_OUT_SHARE = 9
"""A property is asked for where it was kept at least nine times as often as not."""
VALUES_MAX = 100
_NOT_HERE = frozenset(
    {Operator.WITHIN_LAST, Operator.WITHIN_NEXT, Operator.BEFORE_LAST, Operator.AFTER_NEXT, Operator.MATCHES}
)


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
    where: tuple[Comparison, ...] = ()
    """What the properties of an event have to be."""
    sum_property: str = ""
    """What is added up over the events that count; empty: nothing."""
    min_sum: float = 0.0

    @property
    def paths(self) -> tuple[str, ...]:
        """The properties of events that it asks for, each once."""
        named = (*(it.field for it in self.where), self.sum_property)
        return tuple(dict.fromkeys(it for it in named if it))

    @property
    def of_all_lines(self) -> bool:
        """Whether every order line counts."""
        return not (self.categories or self.product_ids or self.store_ids)

    @property
    def features(self) -> tuple[str, ...]:
        """What a model of this goal goes by; where all lines count, those of the goal's own would repeat the others."""
        if self.event_name:
            return EVENT_FEATURES + (SUM_FEATURES if self.sum_property else ()) + FEATURES
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
    if goal.paths and not goal.event_name:
        raise GoalInvalid("properties are those of events; name the events that count", field="goal.event_name")
    if bool(goal.sum_property) != (goal.min_sum > 0) or not math.isfinite(goal.min_sum):
        raise GoalInvalid("what is summed and its least sum above zero go together", field="goal.min_sum")
    _check_where(goal)
    for path in goal.paths:
        if personal(path) or len(path) > PATH_LENGTH_MAX:
            raise GoalInvalid(f"{path[:PATH_LENGTH_MAX]} is not kept: {BOUNDS}", field="goal.where")


def _check_where(goal: Goal) -> None:
    if len(goal.where) > WHERE_MAX:
        raise GoalInvalid(f"at most {WHERE_MAX} conditions are possible, not {len(goal.where)}", field="goal.where")
    for number, it in enumerate(goal.where):
        place = f"goal.where[{number}]"
        if it.operator in _NOT_HERE:
            raise GoalInvalid(f"{it.operator.name} is not possible in a goal", field=f"{place}.operator")
        if len(it.values) > VALUES_MAX:
            raise GoalInvalid(f"at most {VALUES_MAX} values are possible", field=f"{place}.values")
        if any(isinstance(value, str) and len(value) > TEXT_LENGTH_MAX for value in it.values):
            raise GoalInvalid(f"longer texts are not kept: {BOUNDS}", field=f"{place}.values")
    if goal.where:
        whole = EventCondition(goal.event_name, Aggregate.COUNT, Operator.AT_LEAST, (1.0,), where=goal.where)
        try:
            validate(whole, lambda _: None)
        except RuleInvalid as error:
            path = error.metadata["path"].removeprefix("event")
            raise GoalInvalid(error.metadata["problem"], field=f"goal{path}") from error


def check_described(goal: Goal, known: Described, names: Sequence[str]) -> None:
    """``GoalInvalid`` for a property that no event has, or that was mostly not kept; ``names``: some that are."""
    for path in goal.paths:
        present, left_out = known.present[path], known.left_out[path]
        if left_out * LEFT_OUT_SHARE > present:
            raise GoalInvalid(
                f"{path} of {left_out} of {known.events} events {goal.event_name} was not kept: {BOUNDS}",
                field="goal.where",
            )
        if not present:
            others = ", ".join(names) or "none"
            raise GoalInvalid(
                f"no event {goal.event_name} whose properties are known has {path}; known are {others}",
                field="goal.where",
            )


def incomplete(goal: Goal, known: Described) -> Iterator[str]:
    """Warnings of what is not known of the properties that a goal asks for."""
    for path in goal.paths:
        if left_out := known.left_out[path]:
            yield f"{path} of {left_out} of {known.events} events {goal.event_name} was not kept; it counts as missing."
    if known.unknown_until is not None:
        until = from_micros(known.unknown_until).isoformat(timespec="seconds")
        yield f"Properties of events {goal.event_name} are known after {until}; nothing before is learnt from."


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
