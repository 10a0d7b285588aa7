"""What a model expects of a customer, and how far that can be trusted. Times are microseconds."""

from collections.abc import Mapping
from dataclasses import dataclass

Value = float | str


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
    """The model of a tenant's customers that predicted."""

    version: int
    name: str
    fit_time: int
    data_start: int
    as_of: int
    horizon_days: int
    currency: str
    quality: PredictionQuality | None


@dataclass(frozen=True, slots=True)
class Expectation:
    """What a model expects of one customer: values by the names of the contract."""

    customer_id: str
    model_version: int
    values: Mapping[str, Value]
    change_time: int


@dataclass(frozen=True, slots=True)
class PredictiveTraits:
    """An expectation with the model that it is of."""

    expectation: Expectation
    model: PredictiveModel


SOURCE = "forecasting"
"""Who predicts."""
