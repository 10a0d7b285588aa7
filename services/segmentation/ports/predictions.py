"""What forecasting predicts customers will do. Times are microseconds, money minor units."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class Prediction:
    """What one customer is expected to do from ``time`` on, within the horizon of the model."""

    customer_id: str
    time: int
    alive: float
    churn_probability: float
    expected_orders: float
    currency: str
    expected_order_value_minor: int
    expected_revenue_minor: int
    lifetime_value_minor: int
    next_order_time: int | None
    version: int = 0
    """Of the model."""


class Predictions(Protocol):
    """What was predicted of the customers of all tenants."""

    async def of(self, tenant: str, customer_ids: Collection[str]) -> list[Prediction]:
        """What is predicted of these customers, as far as something is."""
        ...
