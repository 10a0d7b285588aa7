"""Coupons: campaigns of codes, what each code may be used for and how often, and what orders have used."""

from dataclasses import dataclass, replace
from enum import Enum

from services.common.errors import AlreadyExists, FailedPrecondition, NotFound, Refusal, ResourceExhausted
from services.common.rules.condition import Condition, Facts, holds
from services.loyalty.domain.days import day_of
from services.loyalty.domain.records import Kind, Ref

ALWAYS = 2**63 - 1


class CouponCampaignNotFound(NotFound):
    """There is no such campaign."""


class CouponCampaignExists(AlreadyExists):
    """The id of the new campaign is taken."""


class CouponCodeExists(AlreadyExists):
    """The public code of the new campaign is a code already."""


class CouponNotFound(NotFound):
    """No code that this customer could use: unknown, switched off, or another's. The answer is always the same."""


class CouponNotStarted(FailedPrecondition):
    """The campaign has not begun."""


class CouponExpired(FailedPrecondition):
    """The campaign, or the code, has ended."""


class CouponOtherCurrency(FailedPrecondition):
    """The cart is in another currency than the campaign."""


class CouponOrderTooSmall(FailedPrecondition):
    """The cart comes to less than the campaign needs. Metadata says how much is missing."""


class CouponNotEligible(FailedPrecondition):
    """The cart or the customer does not meet the campaign's condition."""


class CouponUsedUp(FailedPrecondition):
    """The code has been used as often as it may."""


class CouponCustomerLimitReached(FailedPrecondition):
    """The customer has used the campaign as often as one may."""


class CouponCustomerDayLimitReached(FailedPrecondition):
    """The customer has used the campaign as often today as one may."""


class CouponDayLimitReached(FailedPrecondition):
    """The campaign has been used as often today as it may."""


class CouponCampaignUsedUp(FailedPrecondition):
    """The campaign has been used as often as it may."""


class CouponBudgetSpent(FailedPrecondition):
    """The campaign's budget does not allow the discount."""


class CouponNotCombinable(FailedPrecondition):
    """The code cannot be used beside another of the same order."""


class CouponReservationExpired(FailedPrecondition):
    """The time of the reservation has passed."""


class CouponOrderOfAnother(FailedPrecondition):
    """The order's coupons are another customer's."""


class CouponGuessesExceeded(ResourceExhausted):
    """Too many codes that were not found: no code is looked at until the time in the metadata has passed."""


class CouponPoolEmpty(FailedPrecondition):
    """Every code of the campaign is somebody's."""


@dataclass(frozen=True, slots=True)
class CouponLimits:
    """How often; 0 is without limit. Reserved uses count. ``budget_minor`` bounds the discounts given."""

    per_code: int = 0
    per_customer: int = 0
    per_customer_day: int = 0
    per_day: int = 0
    total: int = 0
    budget_minor: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CouponCampaign:
    """A set of codes with the same conditions. Times in microseconds; ``end_time`` is excluded."""

    campaign_id: str
    name: str
    currency: str
    code: str = ""
    """The one public code; empty where each code is unique."""
    pattern: str = ""
    checksum: bool = False
    start_time: int = 0
    end_time: int = ALWAYS
    min_order_minor: int = 0
    condition: Condition | None = None
    limits: CouponLimits = CouponLimits()
    stackable: bool = False
    exclusivity_group: str = ""
    paused: bool = False
    create_time: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Coupon:
    """One code. ``uses`` are those reserved and redeemed; ``holder_id`` is the only one who may use it, if any."""

    code: str
    campaign_id: str
    create_time: int
    holder_id: str = ""
    batch_id: str = ""
    uses: int = 0
    disabled: bool = False


@dataclass(frozen=True, slots=True)
class CouponUsage:
    """How often something was used: a campaign, or a campaign by one customer."""

    campaign_id: str
    customer_id: str = ""
    uses: int = 0
    day: int = 0
    day_uses: int = 0
    discount_minor: int = 0

    def on(self, day: int) -> int:
        """Uses on that day."""
        return self.day_uses if self.day == day else 0

    def used(self, day: int, discount_minor: int) -> "CouponUsage":
        """With one use more."""
        return replace(
            self,
            uses=self.uses + 1,
            day=day,
            day_uses=self.on(day) + 1,
            discount_minor=self.discount_minor + discount_minor,
        )

    def with_more(self, other: "CouponUsage", day: int) -> "CouponUsage":
        """Together with what the same person used under another name, and on that day."""
        uses, day_uses = self.uses + other.uses, self.on(day) + other.on(day)
        return replace(self, uses=uses, day=day, day_uses=day_uses)

    def returned(self, day: int, discount_minor: int) -> "CouponUsage":
        """With a use of that day taken back."""
        return replace(
            self,
            uses=self.uses - 1,
            day_uses=self.day_uses - (self.day == day),
            discount_minor=self.discount_minor - discount_minor,
        )


class UseState(Enum):
    """Where a use stands."""

    RESERVED = "reserved"
    REDEEMED = "redeemed"
    RELEASED = "released"
    EXPIRED = "expired"
    ROLLED_BACK = "rolled_back"

    @property
    def counts(self) -> bool:
        """Whether it counts against limits."""
        return self in (UseState.RESERVED, UseState.REDEEMED)


@dataclass(frozen=True, slots=True, kw_only=True)
class CouponUse:
    """One code used by one order."""

    code: str
    campaign_id: str
    state: UseState
    time: int
    """When it was reserved, or redeemed where it was not reserved before: the day that it counts on."""
    stackable: bool
    exclusivity_group: str
    expire_time: int = 0
    discount_minor: int = 0
    end_time: int = 0
    turn: int = 0
    """How often the order had used the code, and given it back, before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CouponOrder:
    """What one order has done with coupons. ``next_expire_time`` is when the first reservation ends."""

    order_id: str
    customer_id: str
    update_time: int
    uses: tuple[CouponUse, ...] = ()
    next_expire_time: int | None = None

    def of(self, code: str) -> CouponUse | None:
        """The order's use of a code."""
        return next((use for use in self.uses if use.code == code), None)

    def having(self, use: CouponUse, now: int) -> "CouponOrder":
        """With this use in place of an earlier one of its code."""
        uses = (*(other for other in self.uses if other.code != use.code), use)
        waiting = [each.expire_time for each in uses if each.state is UseState.RESERVED]
        return replace(self, uses=uses, update_time=now, next_expire_time=min(waiting, default=None))


CAMPAIGNS = Kind("coupon_campaigns", CouponCampaign)
COUPONS = Kind("coupons", Coupon)
USAGES = Kind("coupon_usages", CouponUsage)
ORDERS = Kind("coupon_orders", CouponOrder)


def usage_refs(campaign_id: str, customer_id: str) -> tuple[Ref[CouponUsage], Ref[CouponUsage]]:
    """Where the campaign's usage is kept, and that of the customer in it."""
    return Ref(USAGES, campaign_id), Ref(USAGES, f"{campaign_id}/{customer_id}")


def refusal(
    coupon: Coupon | None,
    campaign: CouponCampaign | None,
    usage: CouponUsage,
    own: CouponUsage,
    facts: Facts,
    discount_minor: int,
) -> Refusal | None:
    """The first reason, in the order that the contract promises, not to use the coupon; ``None``: it may be used."""
    if not coupon or not campaign or unusable(coupon, facts.subject_id) or campaign.paused:
        return not_found()
    return (
        _time_refusal(campaign, facts.now)
        or cart_refusal(campaign, facts)
        or _limit_refusal(coupon, campaign, usage, own, discount_minor, facts.now)
    )


def unusable(coupon: Coupon, customer_id: str) -> bool:
    """Whether this customer is told that there is no such code."""
    return coupon.disabled or coupon.holder_id not in ("", customer_id)


def not_found() -> CouponNotFound:
    """The one answer to every code that is not to be seen."""
    return CouponNotFound("this code cannot be used; check its spelling")


def _time_refusal(campaign: CouponCampaign, now: int) -> Refusal | None:
    if now < campaign.start_time:
        return CouponNotStarted("the coupon is not valid yet")
    if now >= campaign.end_time:
        return CouponExpired("the coupon is not valid any more")
    return None


def cart_refusal(campaign: CouponCampaign, facts: Facts) -> Refusal | None:
    """Why the cart does not suit the campaign."""
    if facts.fields["currency"] != campaign.currency:
        return CouponOtherCurrency(f"the coupon is for carts in {campaign.currency}", currency=campaign.currency)
    if (missing := campaign.min_order_minor - facts.fields["total_minor"]) > 0:
        return CouponOrderTooSmall(f"the cart lacks {missing} minor units for the coupon", missing_minor=missing)
    if not holds(campaign.condition, facts):
        return CouponNotEligible("the coupon is not for this cart or this customer")
    return None


def _limit_refusal(
    coupon: Coupon, campaign: CouponCampaign, usage: CouponUsage, own: CouponUsage, discount_minor: int, now: int
) -> Refusal | None:
    limits, day = campaign.limits, day_of(now)
    reached: tuple[tuple[int, int, type[Refusal], str], ...] = (
        (limits.per_code, coupon.uses, CouponUsedUp, "the code has been used"),
        (limits.per_customer, own.uses, CouponCustomerLimitReached, "the customer has used this coupon"),
        (limits.per_customer_day, own.on(day), CouponCustomerDayLimitReached, "the customer has used it today"),
        (limits.per_day, usage.on(day), CouponDayLimitReached, "no more of these coupons can be used today"),
        (limits.total, usage.uses, CouponCampaignUsedUp, "all of these coupons have been used"),
    )
    for limit, uses, reason, message in reached:
        if limit and uses >= limit:
            return reason(f"{message}, as often as it may be", limit=limit)
    if limits.budget_minor and usage.discount_minor + max(discount_minor, 1) > limits.budget_minor:
        return CouponBudgetSpent("the coupon's budget is spent")
    return None


def combination_refusal(campaign: CouponCampaign, beside: list[CouponUse]) -> Refusal | None:
    """Why the coupon cannot be used beside those of the same order."""
    for other in beside:
        same_group = campaign.exclusivity_group and campaign.exclusivity_group == other.exclusivity_group
        if not campaign.stackable or not other.stackable or same_group:
            return CouponNotCombinable("the coupon cannot be combined with another of this order")
    return None
