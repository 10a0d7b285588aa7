"""Growth: who is new, stays, comes back and goes, and what they are worth, period by period; and figures over time."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum

from services.common.errors import InvalidArgument
from services.segmentation.domain.calendar import Calendar
from services.segmentation.domain.selection import Breakdown, EventFilter, Label

PERIODS_DEFAULT = 12


@dataclass(frozen=True, slots=True)
class Growth:
    """The question."""

    activity: EventFilter
    conversion: EventFilter
    breakdown: Breakdown | None
    calendar: Calendar
    periods: int
    currency: str


@dataclass(frozen=True, slots=True)
class Counted:
    """What was counted in one period; ``gone`` are the active who are not active in the next."""

    new: int = 0
    retained: int = 0
    resurrected: int = 0
    gone: int = 0
    active_days: int = 0
    converted: int = 0
    orders: int = 0
    buyers: int = 0
    repeat_buyers: int = 0
    revenue: int = 0


@dataclass(frozen=True, slots=True)
class GrowthPeriod:
    """One period; money is in minor units, ``days`` are those that have begun."""

    period: int
    counted: Counted
    churned: int
    days: int
    revenue_to_date: int
    customers_to_date: int
    ongoing: bool

    @property
    def active(self) -> int:
        """How many customers were active."""
        return self.counted.new + self.counted.retained + self.counted.resurrected

    @property
    def revenue_per_active(self) -> int:
        """Rounded down; 0 if nobody was active."""
        return self.counted.revenue // self.active if self.active else 0

    @property
    def lifetime_value(self) -> int:
        """Rounded down; 0 if nobody was active until the end of the period."""
        return self.revenue_to_date // self.customers_to_date if self.customers_to_date else 0

    @property
    def stickiness(self) -> float:
        """The mean number of customers active on a day, as a part of the active."""
        return self.counted.active_days / (self.days * self.active) if self.days and self.active else 0.0


@dataclass(frozen=True, slots=True)
class GrowthResult:
    """The periods of all customers and of each group."""

    currency: str
    periods: Sequence[GrowthPeriod]
    groups: Sequence[tuple[Label, Sequence[GrowthPeriod]]]


def growth_periods(counted: Mapping[int, Counted], calendar: Calendar, periods: int, at: int) -> list[GrowthPeriod]:
    """The last ``periods`` up to the one that holds ``at``, from what was counted since the beginning."""
    last, today = calendar.period(at), calendar.day(at)
    first = last - periods + 1
    earlier = [it for period, it in counted.items() if period < first]
    revenue, customers = sum(it.revenue for it in earlier), sum(it.new for it in earlier)
    found = []
    for period in range(first, last + 1):
        here = counted.get(period, Counted())
        revenue, customers = revenue + here.revenue, customers + here.new
        churned = counted.get(period - 1, Counted()).gone
        days = calendar.days(period, today)
        found.append(GrowthPeriod(period, here, churned, days, revenue, customers, period == last))
    return found


class TrendInvalid(InvalidArgument):
    """A sum without a property, or a property without a sum. Metadata ``field``."""


class Figure(IntEnum):
    """A figure over events; the numbers are those of the contract."""

    EVENTS = 1
    CUSTOMERS = 2
    SUM = 3


@dataclass(frozen=True, slots=True)
class Trend:
    """The question."""

    events: EventFilter
    figure: Figure
    property: str
    breakdown: Breakdown | None
    calendar: Calendar
    periods: int


TrendSeries = tuple[Label, Sequence[float]]
