"""Media mix: spend on channels, what a model of it says, and plans for a budget."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt

from services.common.errors import FailedPrecondition, InvalidArgument, NotFound

Array = npt.NDArray[np.float64]

PERIODS_MIN, PERIODS_MAX = 26, 2000
CHANNELS_MAX, REGIONS_MAX = 100, 500
ACTIVE_PERIODS_MIN = 4


class SpendInvalid(InvalidArgument):
    """A row of spend is none."""


class PriorInvalid(InvalidArgument):
    """A prior or an experiment cannot be used."""


class BudgetInvalid(InvalidArgument):
    """A plan is asked for that cannot be."""


class TooLittleSpend(FailedPrecondition):
    """There is not enough to fit a model to, or too much."""


class TargetOutOfReach(FailedPrecondition):
    """Even the least spend misses the target."""


class MediaMixNotFound(NotFound):
    """There is no such model."""


@dataclass(frozen=True, slots=True)
class Spend:
    """What was spent on a channel in a region on a day, in minor units."""

    channel: str
    region: str
    day: date
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class SpendChannel:
    """What is known of a channel."""

    channel: str
    amounts: Mapping[str, int]
    first: date
    last: date
    region_count: int


@dataclass(frozen=True, slots=True)
class Belief:
    """The return on investment of a channel as a log-normal: the mean and deviation of its logarithm."""

    mean: float
    deviation: float


DEFAULT_BELIEF = Belief(0.2, 0.9)
NORMAL_90 = 1.6448536269514722


@dataclass(frozen=True, slots=True)
class MediaMixOptions:
    """What is to be fitted."""

    daily: bool = False
    first: date | None = None
    last: date | None = None
    currency: str = ""
    time_zone: str = ""
    store_regions: Mapping[str, str] | None = None
    beliefs: Mapping[str, Belief] | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """What a model is fitted to. Amounts in minor units."""

    currency: str
    dates: Sequence[date]
    """The first day of each period."""
    last: date
    regions: Sequence[str]
    channels: Sequence[str]
    sales: Array
    """Shape (regions, periods)."""
    spend: Array
    """Shape (regions, periods, channels)."""


@dataclass(frozen=True, slots=True)
class StoredMix:
    """A fitted model with all that its answers need."""

    version: int
    fit_time: int
    daily: bool
    currency: str
    dates: Sequence[str]
    last_date: str
    regions: Sequence[str]
    channels: Sequence[str]
    theta: Array
    covariance: Array
    scale: Array
    units: Array
    sizes: Array
    mean_spend: Array
    """Spend a period, shape (regions, channels)."""
    period_spend: Array
    """All spend of each period, shape (periods, channels)."""
    sales: Array
    """By period."""
    fitted: Array
    """By period."""
    contributions: Array
    """Shape (periods, channels)."""
    beliefs: Array
    """Mean and deviation of log ROI, shape (2, channels)."""
    r_squared: float
    holdout_wape: float | None
    warnings: Sequence[str]


@dataclass(frozen=True, slots=True)
class Bound:
    """Of a channel, in a region or in all (``""``), over the whole plan, in minor units."""

    channel: str
    region: str
    low: int
    high: int | None


@dataclass(frozen=True, slots=True)
class Aim:
    """How much there is: exactly one of these."""

    total_minor: int | None = None
    roi: float | None = None
    marginal_roi: float | None = None


def belief_between(low: float, high: float) -> Belief:
    """The belief that the return lies between these with probability .9."""
    return Belief(float(np.log(low * high) / 2), float(np.log(high / low) / (2 * NORMAL_90)))


def belief_of_experiment(roi: float, standard_error: float) -> Belief:
    """The log-normal with this mean and deviation."""
    variance = float(np.log1p((standard_error / roi) ** 2))
    return Belief(float(np.log(roi)) - variance / 2, float(np.sqrt(variance)))
