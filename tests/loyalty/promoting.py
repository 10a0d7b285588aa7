"""Short ways to make carts and coupons."""

from typing import Any

from services.common.rules import Comparison, Operator
from services.common.rules.condition import Condition
from services.loyalty.adapters.coupons import StoredCoupons
from services.loyalty.domain.cart import Cart, CartLine, Shopper
from services.loyalty.domain.coupon import CouponCampaign, CouponLimits, CouponOrder
from services.loyalty.handlers.coupons import Asking, create_coupon_campaign, use_coupons
from tests.loyalty.conftest import House
from tests.loyalty.making import TENANT, request


def line(line_id: str, price_minor: int, quantity: int = 1, **changed: Any) -> CartLine:
    """A line whose item is named like it."""
    return CartLine(line_id, changed.pop("item_id", line_id), quantity, price_minor, **changed)


def cart(*lines: CartLine, customer_id: str = "ann", currency: str = "USD", **changed: Any) -> Cart:
    """A cart; without lines, one thing for 100."""
    shopper = Shopper(customer_id, frozenset(changed.pop("segments", ())), changed.pop("traits", {}))
    return Cart(shopper, currency, lines or (line("a", 10_000),), **changed)


def campaign(campaign_id: str = "spring", **changed: Any) -> CouponCampaign:
    """A campaign with a public code that is its id."""
    changed = {"code": campaign_id} | changed
    if changed.get("pattern"):
        changed["code"] = ""
    limits = CouponLimits(**changed.pop("limits", {}))
    return CouponCampaign(campaign_id=campaign_id, name="Spring", currency="USD", limits=limits, **changed)


def where(field: str, value: str) -> Condition:
    """A condition that some field has a value."""
    return Condition(Comparison(field, Operator.EQUALS, (value,)))


async def open_campaign(house: House, campaign_id: str = "spring", **changed: Any) -> CouponCampaign:
    """Create a campaign."""
    coupons = StoredCoupons(house.store)
    made = campaign(campaign_id, **changed)
    return await create_coupon_campaign(house.ledger, coupons, request(f"open-{campaign_id}"), made)


async def use(
    house: House, id: str, *codes: str, order_id: str = "", reserve_for: int = 0, discount: int = 0, **of_cart: Any
) -> CouponOrder:
    """Redeem codes, or reserve them, for an order that is named like the request."""
    asking = Asking("till", order_id or id, cart(**of_cart), [(code, discount) for code in codes])
    return await use_coupons(house.ledger, StoredCoupons(house.store), request(id), asking, reserve_for)


async def used(house: House, campaign_id: str = "spring") -> tuple[int, int]:
    """How often the campaign is used, and what its discounts come to."""
    _, usage = await StoredCoupons(house.store).usage(TENANT, campaign_id)
    return usage.uses, usage.discount_minor
