"""What customers are worth, counted."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.segmentation.domain.calendar import DAY_MICROS


@dataclass(frozen=True, slots=True)
class Spans:
    """Over which days orders count, sizes are compared, and buyers lapse."""

    window_days: int = 365
    growth_days: int = 30
    lapse_days: int = 90
    response_days: int = 7

    @property
    def window(self) -> int:
        """In microseconds."""
        return self.window_days * DAY_MICROS

    @property
    def growth(self) -> int:
        """In microseconds."""
        return self.growth_days * DAY_MICROS

    @property
    def lapse(self) -> int:
        """In microseconds."""
        return self.lapse_days * DAY_MICROS

    @property
    def response(self) -> int:
        """In microseconds."""
        return self.response_days * DAY_MICROS


@dataclass(frozen=True, slots=True)
class Worth:
    """Some customers; money is in minor units, ``costed_revenue`` is that of orders whose cost is known."""

    customers: int
    earlier_customers: int
    buyers: int
    repeat_buyers: int
    orders: int
    revenue: int
    ever_buyers: int
    lapsed: int
    costed_revenue: int
    cost: int
    predicted: int = 0
    """Of how many it is predicted what they will do; the rest is over these."""
    churn_probability: float = 0.0
    """The mean."""
    expected_revenue: int = 0
    lifetime_value: int = 0
    messages: int = 0
    """How many crm sent them; the rest is of those who were sent one."""
    sent: int = 0
    delivered: int = 0
    opened: int = 0
    clicked: int = 0
    converted: int = 0
    attributed_orders: int = 0
    attributed: int = 0

    @property
    def growth(self) -> float:
        """By what part they grew; 0 if there were none."""
        before = self.earlier_customers
        return (self.customers - before) / before if before else 0.0


@dataclass(frozen=True, slots=True)
class SegmentValues:
    """Each segment in order, the customers in none, and all."""

    currency: str
    segments: Sequence[Worth]
    others: Worth
    everybody: Worth
