"""Experiments, and what a treatment changes for each customer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Self

import numpy as np
import numpy.typing as npt

from services.common.errors import FailedPrecondition, InvalidArgument, NotFound
from services.forecasting.domain.propensity import BoolArray, FloatArray, Goal, Reason

EXPERIMENTS_MAX = 200
TIMES_MAX = 30
CAMPAIGN = "campaign:"
"""How the names of experiments begin that are campaigns; no recorded one can have a colon in its name."""
_HOUR = 3_600_000_000
_WAVES = {"an hour": _HOUR, "six hours": 6 * _HOUR, "a day": 24 * _HOUR}
IntArray = npt.NDArray[np.int64]


class TreatmentInvalid(InvalidArgument):
    """A record of an experiment makes no sense."""


class TooManyExperiments(FailedPrecondition):
    """A tenant has as many experiments as it may."""


class ExperimentNotFound(NotFound):
    """There is no experiment of that name."""


class ExperimentUnfit(FailedPrecondition):
    """The experiment cannot show what a treatment changes: too few customers, or too many moments."""


class ValueInvalid(InvalidArgument):
    """What a goal is worth, or a contact costs, makes no sense."""


class UpliftModelNotFound(NotFound):
    """No model of that name, or not that version."""


@dataclass(frozen=True, slots=True)
class Treatment:
    """Which group of an experiment a customer was in, from a moment (microseconds) on."""

    customer_id: str
    treated: bool
    time: int


@dataclass(frozen=True, slots=True)
class UpliftExperiment:
    """An experiment in numbers. Times are microseconds."""

    experiment_id: str
    treated_count: int
    control_count: int
    first_time: int
    last_time: int

    @property
    def campaign_id(self) -> str:
        """The campaign that it is; empty: none."""
        return self.experiment_id.removeprefix(CAMPAIGN) if self.experiment_id.startswith(CAMPAIGN) else ""


def waves(treatments: Sequence[Treatment]) -> tuple[list[Treatment], str]:
    """The treatments, those of one wave with the moment at which the first of them began, and how long waves are.

    Empty: they are as they were. There may be more waves than can be looked at.
    """
    together, length = list(treatments), ""
    spans = iter(_WAVES.items())
    while len({it.time for it in together}) > TIMES_MAX and (longer := next(spans, None)):
        length, span = longer
        begun: dict[int, int] = {}
        for it in treatments:
            begun[it.time // span] = min(it.time, begun.get(it.time // span, it.time))
        together = [replace(it, time=begun[it.time // span]) for it in treatments]
    return together, length


@dataclass(frozen=True, slots=True)
class Trial:
    """Customers of an experiment: what was known of them when it began for them, and what came.

    ``features``: a row for each customer. ``outcome``: 1 for who reached the goal within the horizon and 0 for who did
    not, or, ``of_amounts``, what was spent, in minor units. ``stratum``: customers of one number were assigned at one
    moment, each with the same chance to be treated.
    """

    ids: tuple[str, ...]
    features: FloatArray
    treated: BoolArray
    outcome: FloatArray
    stratum: IntArray
    of_amounts: bool = False

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Figure:
    """A figure with the interval that holds the truth nine times out of ten."""

    value: float
    low: float
    high: float


class UpliftGroup(IntEnum):
    """How a customer answers to a treatment; the numbers are those of the contract."""

    PERSUADABLE = 1
    SURE_THING = 2
    LOST_CAUSE = 3
    DO_NOT_DISTURB = 4


class Outcome(IntEnum):
    """What a treatment raises; the numbers are those of the contract."""

    REACHED = 1
    AMOUNT = 2


def group_of(uplift: Figure, base: float, uplift_min: float, usual: float = 0.5) -> UpliftGroup:
    """The group of a customer whose treatment pays from ``uplift_min`` (zero without a cost) on.

    ``base``: how likely the goal is without it, or how much is spent. ``usual``: from where on that comes anyway.
    """
    if uplift.low > uplift_min:
        return UpliftGroup.PERSUADABLE
    if uplift.high < 0:
        return UpliftGroup.DO_NOT_DISTURB
    return UpliftGroup.SURE_THING if base >= usual else UpliftGroup.LOST_CAUSE


@dataclass(frozen=True, slots=True)
class UpliftDecile:
    """A tenth of the customers."""

    customer_count: int
    uplift: float
    measured: Figure
    control_rate: float


@dataclass(frozen=True, slots=True)
class UpliftQuality:
    """What an experiment showed, and how well a model told customers apart whom it did not see."""

    customer_count: int
    treated_count: int
    treated_rate: float
    control_rate: float
    effect: Figure
    qini: Figure
    qini_ratio: float | None
    curve: tuple[Figure, ...]
    """By how much the share of all who reach the goal rises if no twentieth of them is treated, one, two, … all."""
    deciles: tuple[UpliftDecile, ...]
    heterogeneity: Figure | None


@dataclass(frozen=True, slots=True)
class Worth:
    """What a reached goal is worth, or which part of an amount remains (the other is zero), and what it costs to treat
    a customer, in minor units."""

    goal_value: int
    contact_cost: int
    margin: float = 0.0

    @property
    def of_one(self) -> float:
        """What one more who reaches the goal is worth, or one minor unit more that is spent."""
        return self.margin or self.goal_value

    @property
    def uplift_min(self) -> float:
        """From which uplift on a treatment pays."""
        return self.contact_cost / self.of_one

    def profit(self, gained: float, treated: float) -> int:
        """What so many more who reach the goal, or so much more that is spent, is worth, less what it costs to treat so
        many."""
        return round(gained * self.of_one - treated * self.contact_cost)


@dataclass(frozen=True, slots=True)
class Recommendation:
    """How many to treat. Profits are minor units."""

    worth: Worth
    customer_count: int
    expected_reached: float
    """How many more reach the goal, or how much more is spent."""
    expected_profit: int
    profit_of_all: int


@dataclass(frozen=True, slots=True)
class UpliftModel:
    """A fitted model of what a treatment changes. Times are microseconds."""

    model_id: str
    version: int
    experiment_id: str
    goal: Goal
    currency: str
    fit_time: int
    as_of: int
    customer_count: int
    quality: UpliftQuality
    importance: Mapping[str, float]
    """By feature, the most important first; together 1, or empty where customers do not differ."""
    recommendation: Recommendation | None
    warnings: tuple[str, ...]
    outcome: Outcome = Outcome.REACHED


@dataclass(frozen=True, slots=True)
class Uplift:
    """What the treatment changes for a customer."""

    model_id: str
    version: int
    customer_id: str
    uplift: Figure
    base_probability: float
    """Or what is expected to be spent without the treatment."""
    percentile: int
    group: UpliftGroup
    as_of: int
    reasons: tuple[Reason, ...]
    outcome: Outcome = Outcome.REACHED
    fit_time: int = 0
    """Zero, and the next two empty: not said, as all was before it was."""
    horizon_days: int = 0
    currency: str = ""

    @property
    def rank(self) -> float:
        """By what customers are ordered."""
        return self.uplift.value

    def at(self, percentile: int) -> Self:
        """The same in another hundredth."""
        return replace(self, percentile=percentile)
