"""What customers did so far, what they are expected to do, and how far that can be trusted."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from services.common.errors import FailedPrecondition, InvalidArgument, NotFound

REPEAT_CUSTOMERS_MIN = 30
_CHURN_MEDIUM, _CHURN_HIGH = 1 / 3, 2 / 3

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int64]


class TooFewRepeatCustomers(FailedPrecondition):
    """Too few customers came back: nothing tells how often customers do."""


class CustomerModelNotFound(NotFound):
    """No customer model was fitted, or not that version."""


class CustomerPredictionNotFound(NotFound):
    """The customer had not bought when the model was fitted, or none was."""


class DiscountRateInvalid(InvalidArgument):
    """A discount that is below zero, or above ten a year."""


class ModelName(IntEnum):
    """A model of purchases; the numbers are those of the contract."""

    BEST = 0
    BG_NBD = 1
    MBG_NBD = 2
    PARETO_NBD = 3


class ValueMethod(IntEnum):
    """How it is told whether customers come and what they spend; the numbers are those of the contract."""

    BEST = 0
    PROBABILISTIC = 1
    BOOSTING = 2
    COMBINATION = 3


class ChurnBand(IntEnum):
    """How near a customer is to being lost; the numbers are those of the contract."""

    LOW = 1
    MEDIUM = 2
    HIGH = 3


class PredictionOrder(IntEnum):
    """How predictions are listed, the highest first; the numbers are those of the contract."""

    EXPECTED_REVENUE = 1
    CHURN_PROBABILITY = 2


def churn_band(probability: float) -> ChurnBand:
    """Low below one third, high from two thirds on."""
    if probability < _CHURN_MEDIUM:
        return ChurnBand.LOW
    return ChurnBand.MEDIUM if probability < _CHURN_HIGH else ChurnBand.HIGH


@dataclass(frozen=True, slots=True)
class FitOptions:
    """What is asked of a fit."""

    horizon_days: int = 91
    holdout_days: int = 91
    lifetime_days: int = 1095
    discount_rate: float = 0.1
    currency: str = ""
    as_of: int | None = None
    """Microseconds; ``None`` for the newest order."""
    model: ModelName = ModelName.BEST
    method: ValueMethod = ValueMethod.BEST


@dataclass(frozen=True, slots=True)
class Histories:
    """The customers who bought up to a moment, and what they bought after it, up to a second one.

    A purchase is a UTC day whose orders add up to more than zero. Days are counted since 1970.
    """

    ids: Sequence[str]
    count: IntArray
    first_day: IntArray
    last_day: IntArray
    total_minor: FloatArray
    later_count: IntArray
    later_minor: FloatArray

    @property
    def repeat_count(self) -> int:
        """How many customers bought on two days or more."""
        return int((self.count > 1).sum())


@dataclass(frozen=True, slots=True)
class Decile:
    """A tenth of the customers, in means by customer; amounts in minor units."""

    customer_count: int
    expected_orders: float
    actual_orders: float
    expected_revenue: float
    actual_revenue: float
    churn_probability: float
    churned_share: float


@dataclass(frozen=True, slots=True)
class ModelError:
    """How near a model of purchases came in the holdout."""

    model: ModelName
    order_rmse: float
    order_bias: float | None
    log_likelihood: float


@dataclass(frozen=True, slots=True)
class MethodScore:
    """How a method of value did in the holdout. ``None`` where a measure would divide by zero."""

    method: ValueMethod
    revenue_rank_correlation: float | None
    top_decile_revenue_share: float | None
    revenue_bias: float | None
    churn_auc: float | None
    brier: float

    @property
    def ranking(self) -> float:
        """By which methods are chosen: the mean of the three measures of order, where what cannot be told counts 0."""
        measures = (self.revenue_rank_correlation, self.top_decile_revenue_share, self.churn_auc)
        return sum(it or 0.0 for it in measures) / len(measures)


@dataclass(frozen=True, slots=True)
class Holdout:
    """Expectations against what came. ``None`` where a measure would divide by zero."""

    start: int
    customer_count: int
    order_rmse: float
    order_bias: float | None
    revenue_bias: float | None
    revenue_rank_correlation: float | None
    brier: float
    churn_auc: float | None
    top_decile_revenue_share: float | None
    deciles: tuple[Decile, ...]
    errors: tuple[ModelError, ...]
    methods: tuple[MethodScore, ...] = ()


@dataclass(frozen=True, slots=True)
class CustomerModel:
    """How a tenant's customers buy, stop and spend. Times are microseconds."""

    version: int
    fit_time: int
    model: ModelName
    purchase_parameters: Mapping[str, float]
    purchase_log_likelihood: float
    spending_parameters: Mapping[str, float]
    spending_log_likelihood: float
    currency: str
    start: int
    as_of: int
    customer_count: int
    repeat_customer_count: int
    frequency_amount_correlation: float | None
    horizon_days: int
    lifetime_days: int
    discount_rate: float
    holdout: Holdout | None
    warnings: tuple[str, ...]
    method: ValueMethod = ValueMethod.PROBABILISTIC
    """Never the best: the one that was chosen."""
    moment_count: int = 0
    """Of how many moments of the past the trees learnt; 0 without trees."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """What a customer is expected to do. Times are microseconds, amounts are in minor units."""

    customer_id: str
    version: int
    as_of: int
    horizon_days: int
    currency: str
    purchase_count: int
    last_purchase: int
    probability_alive: float
    churn_probability: float
    expected_orders: float
    expected_order_value: int
    expected_revenue: int
    next_order: int | None
    lifetime_value: int
    historic_revenue: int | None = None
    """``None`` in what was stored before it was told."""
    days_between_orders: float | None = None
    """``None`` of who bought once, and in what was stored before it was told."""
