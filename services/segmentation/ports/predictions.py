"""What segmentation needs of whoever predicts what customers will do. Times are microseconds, money minor units."""

from collections.abc import Collection, Sequence
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


class Oracle(Protocol):
    """Whoever predicts."""

    async def version(self, tenant: str) -> int:
        """The version of the newest model; 0 without one."""
        ...

    async def predictions(self, tenant: str, version: int) -> Sequence[Prediction] | None:
        """Everybody's; ``None`` if they are not those of ``version`` any more: ask again."""
        ...


class Predictions(Protocol):
    """What was predicted of the customers of all tenants."""

    async def version(self, tenant: str) -> int:
        """Which version is kept; 0 before the first."""
        ...

    async def keep(self, tenant: str, version: int, predictions: Collection[Prediction]) -> None:
        """Keep these in the place of those before."""
        ...
