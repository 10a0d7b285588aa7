"""Coupons and offers as documents: the collection of each kind with its indexes, and conditions on the way there."""

from functools import lru_cache
from typing import Any

from tessera.common.v1 import rule_pb2

from services.common.rules import wire
from services.common.rules.condition import Condition
from services.common.store import Collection, Index
from services.loyalty.domain.cart_order import CART_ORDERS, CartOrder
from services.loyalty.domain.coupon import CAMPAIGNS, COUPONS, ORDERS, USAGES, Coupon, CouponCampaign, CouponOrder
from services.loyalty.domain.coupon_operations import CouponBatch
from services.loyalty.domain.guesses import GUESSES
from services.loyalty.domain.kept_quote import QUOTES, KeptQuote
from services.loyalty.domain.offer import OFFER_USAGES, OFFERS, Offer
from services.loyalty.domain.redemption import REDEMPTIONS, REWARD_USAGES, Redemption
from services.loyalty.domain.referral import (
    ADVOCATES,
    BOOKS,
    CODES,
    COUNTS,
    REFERRALS,
    REFERRED_ORDERS,
    Advocate,
    Referral,
    ReferralCampaign,
)

PROMOTION_RECORDS = {
    CAMPAIGNS.name: Collection(CAMPAIGNS.name),
    COUPONS.name: Collection(
        COUPONS.name, (Index(("campaign_id", "holder_id", "uses")), Index(("campaign_id",)), Index(("holder_id",)))
    ),
    USAGES.name: Collection(USAGES.name, (Index(("customer_id",)),)),
    ORDERS.name: Collection(ORDERS.name, (Index(("next_expire_time",)), Index(("customer_id", "update_time")))),
    GUESSES.name: Collection(GUESSES.name),
    OFFERS.name: Collection(OFFERS.name, (Index(("paused",)),)),
    OFFER_USAGES.name: Collection(OFFER_USAGES.name, (Index(("customer_id",)),)),
    QUOTES.name: Collection(QUOTES.name, (Index(("customer_id", "time")), Index(("time",)))),
    REDEMPTIONS.name: Collection(
        REDEMPTIONS.name,
        (
            Index(("told_id",)),
            Index(("program_id", "member_id", "time")),
            Index(("member_id",)),
            Index(("next_expire_time",)),
        ),
    ),
    REWARD_USAGES.name: Collection(REWARD_USAGES.name, (Index(("member_id",)),)),
    BOOKS.name: Collection(BOOKS.name),
    COUNTS.name: Collection(COUNTS.name),
    CODES.name: Collection(CODES.name, (Index(("customer_id",)),)),
    ADVOCATES.name: Collection(ADVOCATES.name, (Index(("customer_id",)),)),
    REFERRED_ORDERS.name: Collection(REFERRED_ORDERS.name, (Index(("friend_id",)),)),
    REFERRALS.name: Collection(
        REFERRALS.name,
        (Index(("advocate_id", "update_time")), Index(("friend_id", "update_time")), Index(("next_due_time",))),
    ),
    CART_ORDERS.name: Collection(CART_ORDERS.name, (Index(("customer_id", "time")),)),
}
PROMOTION_ANSWERS = {
    "coupon_campaign": CouponCampaign,
    "coupon": Coupon,
    "coupon_batch": CouponBatch,
    "coupon_order": CouponOrder,
    "count": int,
    "offer": Offer,
    "quote": KeptQuote,
    "cart_order": CartOrder,
    "redemption": Redemption,
    "referral_campaign": ReferralCampaign,
    "advocate": Advocate,
    "referral": Referral,
}
PROMOTION_TENANTS = Collection("promotion_tenants")
"""Of all tenants, under the tenant ``*``: who has promotions, for the clock."""


def encode(value: object) -> object:
    """A condition as what is kept of it."""
    if isinstance(value, Condition):
        return wire.write(value.rule).SerializeToString()
    raise NotImplementedError(type(value))


def decode(kind: type, value: Any) -> object:
    """A condition from what was kept of it."""
    if kind is Condition:
        return _condition(value)
    raise NotImplementedError(kind)


@lru_cache(maxsize=4096)
def _condition(value: bytes) -> Condition:
    return Condition(wire.read(rule_pb2.Rule.FromString(value)))
