"""A programme: how points are earned, how long they last, and which tiers there are."""

from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from services.loyalty.domain.days import add_months, day_of, start_of
from services.loyalty.domain.errors import TiersInvalid

NEVER = 2**63 - 1
"""The expiry time of points that do not expire: after every instant."""
PROGRAMS_MAX = 100
"""Programmes of one tenant: each order is weighed in all of them."""


class Qualification(Enum):
    """What counts towards a tier."""

    LIFETIME_POINTS = "lifetime_points"
    ROLLING_YEAR_POINTS = "rolling_year_points"
    LIFETIME_SPEND = "lifetime_spend"
    ROLLING_YEAR_SPEND = "rolling_year_spend"

    @property
    def rolling(self) -> bool:
        """Whether only the last year counts."""
        return self in (Qualification.ROLLING_YEAR_POINTS, Qualification.ROLLING_YEAR_SPEND)

    @property
    def by_spend(self) -> bool:
        """Whether money counts, in minor units, rather than points."""
        return self in (Qualification.LIFETIME_SPEND, Qualification.ROLLING_YEAR_SPEND)


@dataclass(frozen=True, slots=True)
class Tier:
    """A level of membership, from ``threshold`` on."""

    id: str
    name: str
    threshold: int


@dataclass(frozen=True, slots=True)
class Program:
    """A loyalty programme. Nothing in it changes after it was created."""

    id: str
    name: str
    currency: str
    points_per_100_minor: int
    validity_months: int
    qualification: Qualification
    tiers: tuple[Tier, ...]
    create_time: int

    def points_for(self, amount_minor: int) -> int:
        """What an order of this total earns: rounded down, never below zero."""
        return max(0, amount_minor * self.points_per_100_minor // 100)

    def expire_time(self, earned_at: int) -> int:
        """When points earned at this instant expire: the midnight after their last day."""
        if not self.validity_months:
            return NEVER
        return start_of(add_months(day_of(earned_at), self.validity_months) + 1)

    def tier_at(self, qualifying: int) -> Tier | None:
        """The highest tier that this much reaches."""
        reached = None
        for tier in self.tiers:
            if tier.threshold > qualifying:
                break
            reached = tier
        return reached

    def tier_after(self, qualifying: int) -> Tier | None:
        """The lowest tier that this much does not reach."""
        return next((tier for tier in self.tiers if tier.threshold > qualifying), None)


def check_tiers(tiers: tuple[Tier, ...]) -> None:
    """``TiersInvalid`` unless thresholds ascend and ids differ."""
    for lower, upper in pairwise(tiers):
        if upper.threshold <= lower.threshold:
            raise TiersInvalid(
                f"tier {upper.id} must have a higher threshold than {lower.id}, which comes before it", tier=upper.id
            )
    seen: set[str] = set()
    for tier in tiers:
        if tier.id in seen:
            raise TiersInvalid(f"two tiers have the id {tier.id}", tier=tier.id)
        seen.add(tier.id)
