"""Which offers a cart qualifies for, and what it lacks of the others."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.common.rules.condition import Facts, holds
from services.loyalty.domain.cart import CartLine
from services.loyalty.domain.offer import ActionKind, Chosen, Offer, OfferUsage
from services.loyalty.domain.pricing import Pricing


@dataclass(frozen=True, slots=True)
class Lack:
    """Why an offer does not apply, and how much more of the cart's value or quantity it takes where that is all."""

    offer_id: str
    name: str
    reason: str
    missing_minor: int = 0
    missing_quantity: int = 0

    @property
    def nearly(self) -> bool:
        """Whether more in the cart is all that it takes."""
        return bool(self.missing_minor or self.missing_quantity)


Usages = Mapping[str, tuple[OfferUsage, OfferUsage]]
"""Each offer's usage, and that of the customer."""


def lack_of(offer: Offer, pricing: Pricing, facts: Facts, usages: Usages, campaigns: frozenset[str]) -> Lack | None:
    """The first reason, in the order that the contract promises, why not this cart; ``None``: the offer is for it."""
    if offer.coupon_campaign_id and offer.coupon_campaign_id not in campaigns:
        return Lack(offer.offer_id, offer.name, "COUPON_NEEDED")
    if not holds(offer.condition, facts):
        return Lack(offer.offer_id, offer.name, "CONDITION_NOT_MET")
    if spent := _spent(offer, usages):
        return Lack(offer.offer_id, offer.name, spent)
    lines = pricing.matching(offer.items)
    missing_minor = max(0, offer.min_order_minor - sum(line.total_minor for line in lines))
    missing_quantity = max(0, offer.min_quantity - _units(lines))
    if missing_minor or missing_quantity:
        return Lack(offer.offer_id, offer.name, "CART_TOO_SMALL", missing_minor, missing_quantity)
    return None


def idle_lack(offer: Offer, pricing: Pricing) -> Lack:
    """Why an offer that is for this cart takes nothing off it."""
    missing = _missing_units(offer, pricing)
    return Lack(offer.offer_id, offer.name, "CART_TOO_SMALL" if missing else "NOTHING_TO_DISCOUNT", 0, missing)


def _spent(offer: Offer, usages: Usages) -> str:
    if offer.offer_id not in usages:
        return ""
    usage, own = usages[offer.offer_id]
    if offer.total_limit and usage.uses >= offer.total_limit:
        return "USED_UP"
    if offer.customer_limit and own.uses >= offer.customer_limit:
        return "CUSTOMER_LIMIT_REACHED"
    if offer.budget_minor and usage.discount_minor >= offer.budget_minor:
        return "BUDGET_SPENT"
    return ""


def _missing_units(offer: Offer, pricing: Pricing) -> int:
    """How many more units it takes where some are there; 0 where it is not a matter of units."""
    action = offer.action
    lines = pricing.matching(action.items)
    match action.kind:
        case ActionKind.BUY_GET if action.chosen is Chosen.OTHER_ITEMS:
            needed = action.buy_quantity
            return max(0, needed - _units(lines)) if lines else 0
        case ActionKind.BUY_GET:
            needed = action.buy_quantity + action.get_quantity
            return max(0, needed - _largest(lines, by_item=action.chosen is Chosen.SAME_ITEM)) if lines else 0
        case ActionKind.VOLUME:
            return (
                max(0, action.tiers[0].min_quantity - _largest(lines, by_item=not action.across_items)) if lines else 0
            )
        case ActionKind.BUNDLE:
            found = [_units(pricing.matching(part.items)) for part in action.parts]
            missing = [max(0, part.quantity - units) for part, units in zip(action.parts, found, strict=True)]
            return sum(missing) if any(found) else 0
    return 0


def _units(lines: list[CartLine]) -> int:
    return sum(line.quantity for line in lines)


def _largest(lines: list[CartLine], *, by_item: bool) -> int:
    """The units of the item that has most, or of all items."""
    counted: dict[str, int] = {}
    for line in lines:
        key = line.item_id if by_item else ""
        counted[key] = counted.get(key, 0) + line.quantity
    return max(counted.values(), default=0)
