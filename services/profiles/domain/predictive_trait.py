"""What models expect of a customer, and how far that can be trusted. Times are microseconds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

Value = float | str | Sequence[Mapping[str, float | str]]

SOURCE = "forecasting"
"""Who predicts."""
NAMED_MAX = 50
"""How many models of a kind that tenants name are kept of a customer: as many as there may be."""
CATEGORIES_MAX = 20
"""How many categories are."""


class ModelKind(IntEnum):
    """What a model foresees; the numbers are those of the contract."""

    PURCHASES = 1
    PROPENSITY = 2
    CATEGORY_PREFERENCE = 3
    UPLIFT = 4


@dataclass(frozen=True, slots=True)
class PredictionQuality:
    """Expectations against what came. ``None`` where a measure would divide by zero."""

    holdout_start: int
    customer_count: int
    churn_auc: float | None
    churn_brier: float
    order_bias: float | None
    revenue_rank_correlation: float | None
    top_decile_revenue_lift: float | None


@dataclass(frozen=True, slots=True)
class PredictiveModel:
    """The model of a tenant's purchases that predicted."""

    version: int
    name: str
    fit_time: int
    data_start: int
    as_of: int
    horizon_days: int
    currency: str
    quality: PredictionQuality | None


@dataclass(frozen=True, slots=True)
class Saying:
    """What one of the other models says of a customer: values by the names of the contract.

    ``fit_time`` is zero where it was not told, and ``currency`` empty where there are no amounts.
    """

    kind: ModelKind
    model: str
    version: int
    fit_time: int
    as_of: int
    horizon_days: int
    currency: str
    values: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class Expectation:
    """What is expected of one customer.

    ``values``: of purchases, by the names of the contract, by the model of ``model_version`` (zero: there are none).
    ``sayings``: of the other models, in the order of the contract.
    """

    customer_id: str
    model_version: int
    values: Mapping[str, Value]
    change_time: int
    sayings: Sequence[Saying] = ()

    @property
    def count(self) -> int:
        """How many traits these are."""
        return len(self.values) + sum(len(it.values) for it in self.sayings)


@dataclass(frozen=True, slots=True)
class PredictiveTraits:
    """An expectation with the model of purchases that it is of; ``None``: it is of the other models only."""

    expectation: Expectation
    model: PredictiveModel | None


def decile(percentile: int) -> int:
    """The tenth of all customers, 10 for the highest, that a hundredth, 100 for the highest, is in."""
    return -(-percentile // 10)
