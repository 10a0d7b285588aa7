"""A cart: what somebody is about to buy, at list prices, in minor units of one currency."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.common.errors import InvalidArgument
from services.common.rules.condition import Facts

LINES_MAX = 500
AMOUNT_MAX = 2**53 - 1
"""The most that a cart can come to: exact in every language and format that reads it."""


class CartInvalid(InvalidArgument):
    """A cart that contradicts itself."""


@dataclass(frozen=True, slots=True)
class CartLine:
    """``quantity`` units of an item at a list price each; ``floor_minor`` is the least that a unit may cost."""

    line_id: str
    item_id: str
    quantity: int
    price_minor: int
    categories: tuple[str, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    floor_minor: int = 0

    @property
    def total_minor(self) -> int:
        """What the line costs at list price."""
        return self.quantity * self.price_minor

    @property
    def facts(self) -> dict[str, Any]:
        """What a condition on items sees."""
        return {
            "item_id": self.item_id,
            "quantity": self.quantity,
            "price_minor": self.price_minor,
            "categories": self.categories,
            "attributes": self.attributes,
        }


@dataclass(frozen=True, slots=True)
class Shopper:
    """Whose cart it is, as far as the caller knows."""

    customer_id: str
    segment_ids: frozenset[str] = frozenset()
    traits: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Cart:
    """Lines by id, so that their order says nothing."""

    shopper: Shopper
    currency: str
    lines: tuple[CartLine, ...]
    shipping_minor: int = 0
    channel: str = ""
    store_id: str = ""

    @property
    def list_minor(self) -> int:
        """The sum of the lines at list price."""
        return sum(line.total_minor for line in self.lines)

    @property
    def quantity(self) -> int:
        """How many units there are."""
        return sum(line.quantity for line in self.lines)

    def facts(self, now: int, known: Mapping[str, Any] | None = None) -> Facts:
        """What a condition on the cart sees; ``known`` is what loyalty knows of the customer."""
        fields = {
            "total_minor": self.list_minor,
            "quantity": self.quantity,
            "line_count": len(self.lines),
            "currency": self.currency,
            "channel": self.channel or None,
            "store_id": self.store_id or None,
            "lines": [line.facts for line in self.lines],
            "customer": {"id": self.shopper.customer_id, "traits": self.shopper.traits, **(known or {})},
        }
        return Facts(fields, self.shopper.customer_id, self.shopper.segment_ids, now)

    def line_facts(self, line: CartLine, now: int) -> Facts:
        """What a condition on items sees of one line."""
        return Facts(line.facts, self.shopper.customer_id, self.shopper.segment_ids, now)


def check_cart(cart: Cart) -> Cart:
    """The cart with its lines by id; ``CartInvalid`` where ids are not unique or it comes to too much."""
    seen: set[str] = set()
    for line in cart.lines:
        if line.line_id in seen:
            raise CartInvalid(f"two lines have the id {line.line_id}", field="cart.lines", line_id=line.line_id)
        seen.add(line.line_id)
        if line.floor_minor > line.price_minor:
            raise CartInvalid(
                f"line {line.line_id} has a floor above its list price", field="cart.lines", line_id=line.line_id
            )
    if cart.list_minor + cart.shipping_minor > AMOUNT_MAX:
        raise CartInvalid(f"a cart comes to at most {AMOUNT_MAX} minor units", field="cart")
    lines = tuple(sorted(cart.lines, key=lambda line: line.line_id))
    return Cart(cart.shopper, cart.currency, lines, cart.shipping_minor, cart.channel, cart.store_id)
