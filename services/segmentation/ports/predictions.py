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


@dataclass(frozen=True, slots=True)
class Propensity:
    """How likely a customer is, from ``time`` on, to reach a model's goal, and in which hundredth of all that is."""

    model_id: str
    time: int
    probability: float
    percentile: int


@dataclass(frozen=True, slots=True)
class CategoryPreference:
    """How likely a customer is, from ``time`` on, to buy of a category; ``place``: 1 for their likeliest."""

    category: str
    time: int
    probability: float
    place: int


@dataclass(frozen=True, slots=True)
class Uplift:
    """What the treatment of a model changes for a customer from ``time`` on (points of probability, or minor units), in
    which hundredth of all that is, and how the customer answers: one of ``domain.scores.UPLIFT_GROUPS``."""

    model_id: str
    time: int
    uplift: float
    percentile: int
    answer: str


class Predictions(Protocol):
    """What was predicted of the customers of all tenants."""

    async def cursor(self) -> str:
        """Up to where forecasting's feed is applied; empty before the first batch."""
        ...

    async def of(self, tenant: str, customer_ids: Collection[str]) -> list[Prediction]:
        """What is predicted of these customers, as far as something is."""
        ...

    async def likely(self, tenant: str, customer_ids: Collection[str]) -> list[tuple[str, Propensity]]:
        """How likely these customers are to reach goals, as far as that is said; with the customer."""
        ...

    async def liked(self, tenant: str, customer_ids: Collection[str]) -> list[tuple[str, CategoryPreference]]:
        """Of which categories these customers are likely to buy, as far as that is said; with the customer."""
        ...

    async def moved(self, tenant: str, customer_ids: Collection[str]) -> list[tuple[str, Uplift]]:
        """What treatments change for these customers, as far as that is said; with the customer."""
        ...
