"""How expectations compare with what came: bias, errors, ranking, and a table by tenth of the customers."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from services.forecasting.learning.purchases import FloatArray, IntArray

PARTS = 10


class Expectations(Protocol):
    """What is expected of customers, one row each."""

    @property
    def orders(self) -> FloatArray: ...

    @property
    def revenue(self) -> FloatArray: ...

    @property
    def probability_of_order(self) -> FloatArray: ...


@dataclass(frozen=True, slots=True)
class Part:
    """A tenth of the customers, in means."""

    customer_count: int
    expected_orders: float
    actual_orders: float
    expected_revenue: float
    actual_revenue: float
    churn_probability: float
    churned_share: float


@dataclass(frozen=True, slots=True)
class Agreement:
    """Expectations against what came. ``None`` where a measure would divide by zero."""

    order_rmse: float
    order_bias: float | None
    revenue_bias: float | None
    revenue_rank_correlation: float | None
    brier: float
    churn_auc: float | None
    top_decile_revenue_share: float | None
    parts: tuple[Part, ...]
    """From the highest expected revenue to the lowest."""


def compare(expected: Expectations, orders: IntArray, revenue: FloatArray) -> Agreement:
    """The expectations of customers against their ``orders`` and ``revenue`` of the time that was held out."""
    churn = 1 - expected.probability_of_order
    churned = (orders == 0).astype(np.float64)
    ranking = np.argsort(-expected.revenue, kind="stable")
    parts = [part for part in np.array_split(ranking, PARTS) if len(part)]
    top = ranking[: max(len(ranking) // PARTS, 1)]
    return Agreement(
        order_rmse=float(np.sqrt(np.mean((expected.orders - orders) ** 2))),
        order_bias=_relative(float(expected.orders.sum()), float(orders.sum())),
        revenue_bias=_relative(float(expected.revenue.sum()), float(revenue.sum())),
        revenue_rank_correlation=rank_correlation(expected.revenue, revenue),
        brier=float(np.mean((churn - churned) ** 2)),
        churn_auc=area_under_curve(churn, churned),
        top_decile_revenue_share=float(revenue[top].sum() / revenue.sum()) if revenue.sum() else None,
        parts=tuple(_part(part, expected, churn, churned, orders, revenue) for part in parts),
    )


def _part(
    part: IntArray,
    expected: Expectations,
    churn: FloatArray,
    churned: FloatArray,
    orders: IntArray,
    revenue: FloatArray,
) -> Part:
    columns = (expected.orders, orders, expected.revenue, revenue, churn, churned)
    return Part(len(part), *(float(column[part].mean()) for column in columns))


def _relative(expected: float, actual: float) -> float | None:
    return expected / actual - 1 if actual else None


def area_under_curve(score: FloatArray, label: FloatArray) -> float | None:
    """How often a one scores higher than a zero, ties counting half; ``None`` if all labels are equal."""
    ones = float(label.sum())
    zeros = len(label) - ones
    if not ones or not zeros:
        return None
    return float((ranks(score)[label == 1].sum() - ones * (ones + 1) / 2) / (ones * zeros))


def rank_correlation(left: FloatArray, right: FloatArray) -> float | None:
    """Spearman's; ``None`` if all values of a side are equal."""
    first, second = ranks(left), ranks(right)
    if np.ptp(first) == 0 or np.ptp(second) == 0:
        return None
    return float(np.corrcoef(first, second)[0, 1])


def ranks(values: FloatArray) -> FloatArray:
    """From 1; equal values share the mean of their ranks."""
    _, place, count = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(count)
    mean: FloatArray = last - (count - 1) / 2
    return mean[place]
