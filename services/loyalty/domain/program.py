"""A programme: how points are earned, how long they last, and which tiers there are."""

from dataclasses import dataclass
from enum import Enum
from itertools import pairwise

from services.loyalty.domain.days import DAY_MICROS, SECOND_MICROS, add_months, day_of, start_of
from services.loyalty.domain.errors import PendingRuleInvalid, TiersInvalid
from services.loyalty.domain.tier_policy import KEPT_MONTHS, Measure, QualifyingPeriod, TierPolicy, local_day
from services.loyalty.domain.validity import Validity

NEVER = 2**63 - 1
"""The expiry time of points that do not expire: after every instant."""
PROGRAMS_MAX = 100
"""Programmes of one tenant: each order is weighed in all of them."""

PENDING_MAX = 3660 * DAY_MICROS
"""The longest that points may be pending."""


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


class PendingRelease(Enum):
    """What pending points wait for."""

    IMMEDIATE = "immediate"
    AFTER_DURATION = "after_duration"
    ON_ACTION = "on_action"


class RefundPolicy(Enum):
    """What a refund takes back, once points are spendable: nothing, what there is, or everything."""

    ONLY_PENDING = "only_pending"
    WITHIN_BALANCE = "within_balance"
    ALLOW_NEGATIVE = "allow_negative"


@dataclass(frozen=True, slots=True)
class PendingRule:
    """When points become spendable. ``duration`` is in microseconds; 0 is none."""

    release: PendingRelease = PendingRelease.IMMEDIATE
    duration: int = 0


IMMEDIATELY = PendingRule()


@dataclass(frozen=True, slots=True)
class Tier:
    """A level of membership, from ``threshold`` on."""

    id: str
    name: str
    threshold: int
    perks: tuple[str, ...] = ()


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
    pending: PendingRule = IMMEDIATELY
    refund_policy: RefundPolicy = RefundPolicy.WITHIN_BALANCE
    time_zone: str = "UTC"
    tier_policy: TierPolicy | None = None
    validity: Validity | None = None
    """How long points are valid, where ``validity_months`` does not say it."""
    wallet_of: str = ""
    """The programme whose wallet this is; empty: it is a programme itself."""
    unit: str = ""
    redeemable: bool = True

    @property
    def keeps_days(self) -> bool:
        """Whether what qualifies is kept by day."""
        if self.tier_policy is None:
            return self.qualification.rolling
        return self.tier_policy.period is not QualifyingPeriod.LIFETIME

    def day_of(self, instant: int) -> int:
        """The day on which something counts towards tiers: with a policy that of the programme's zone, else UTC's."""
        return local_day(instant, self.time_zone) if self.tier_policy else day_of(instant)

    def counted(self, points: int, amount_minor: int, orders: int) -> int:
        """What of these counts towards tiers."""
        if self.tier_policy is None:
            return amount_minor if self.qualification.by_spend else points
        return {Measure.POINTS: points, Measure.SPEND: amount_minor, Measure.ORDERS: orders}.get(
            self.tier_policy.measure, 0
        )

    @property
    def kept_months(self) -> int:
        """For how long before the newest what qualifies is kept by day."""
        return KEPT_MONTHS if self.tier_policy else 12

    def points_for(self, amount_minor: int) -> int:
        """What an order of this total earns: rounded down, never below zero."""
        return max(0, amount_minor * self.points_per_100_minor // 100)

    def expire_time(self, earned_at: int) -> int:
        """When points earned at this instant expire: the midnight after their last day, or as the validity says."""
        if self.validity:
            return self.validity.expire_time(earned_at, self.time_zone)
        if not self.validity_months:
            return NEVER
        return start_of(add_months(day_of(earned_at), self.validity_months) + 1)

    def spendable_time(self, earned_at: int) -> int:
        """From when points that wait for time alone are spendable, and valid."""
        return earned_at + self.pending.duration if self.pending.release is PendingRelease.AFTER_DURATION else earned_at

    def pending_until(self, earned_at: int, now: int) -> int | None:
        """When the clock posts, or expires, what was earned then and is entered now; ``None``: it is spendable."""
        rule = self.pending
        if rule.release is PendingRelease.IMMEDIATE:
            return None
        if rule.release is PendingRelease.ON_ACTION:
            return now + rule.duration if rule.duration else NEVER
        due_time = earned_at + rule.duration
        return due_time if due_time > now else None

    def level_at(self, qualifying: int) -> int:
        """The position of the highest tier that this much reaches; -1 is none."""
        return sum([tier.threshold <= qualifying for tier in self.tiers]) - 1

    def tier_at(self, qualifying: int) -> Tier | None:
        """The highest tier that this much reaches."""
        level = self.level_at(qualifying)
        return self.tiers[level] if level >= 0 else None

    def tier_after(self, qualifying: int) -> Tier | None:
        """The lowest tier that this much does not reach."""
        return next((tier for tier in self.tiers if tier.threshold > qualifying), None)


def check_pending_rule(rule: PendingRule) -> None:
    """``PendingRuleInvalid`` unless a duration is given where one is needed, and only there."""
    if rule.release is PendingRelease.IMMEDIATE:
        if rule.duration:
            raise PendingRuleInvalid("points that do not wait have no duration", field="pending.duration")
        return
    if not rule.duration and rule.release is PendingRelease.ON_ACTION:
        return
    if not SECOND_MICROS <= rule.duration <= PENDING_MAX or rule.duration % SECOND_MICROS:
        raise PendingRuleInvalid(
            "duration must be whole seconds, from one second to ten years of 366 days", field="pending.duration"
        )


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
