"""Orders that prices are learnt from: who bought what for how much, less what was returned.

What a feed tells is applied any number of times, and refunds before their orders: it comes to the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from services.loyalty.domain.price_model import PriceConsent
from services.loyalty.domain.records import Kind

REFUNDS_MAX = 100
"""Refunds of one order that are told apart; what comes after is passed over."""
WEEK_MICROS = 7 * 24 * 3600 * 1_000_000


class PricedLine(NamedTuple):
    """So many units of an item, and what they cost together, in minor units of any currency."""

    item_id: str
    quantity: int
    amount_minor: int


class Returned(NamedTuple):
    """So many units of an item that came back."""

    item_id: str
    quantity: int


@dataclass(frozen=True, slots=True, kw_only=True)
class PricedOrder:
    """An order, and what is known of its refunds; without ``customer_id`` only its refunds are known yet."""

    order_id: str
    customer_id: str = ""
    order_time: int = 0
    lines: tuple[PricedLine, ...] = ()
    returned: tuple[Returned, ...] = ()
    cancelled: bool = False
    refund_ids: tuple[str, ...] = ()

    @property
    def bought(self) -> list[PricedLine]:
        """What was bought and not returned: lines of which a unit is left."""
        if self.cancelled:
            return []
        back = {each.item_id: each.quantity for each in self.returned}
        left = []
        for line in self.lines:
            taken = min(line.quantity, back.get(line.item_id, 0))
            if taken:
                back[line.item_id] -= taken
            if taken < line.quantity:
                left.append(line)
        return left


PRICED_ORDERS = Kind("priced_orders", PricedOrder)


@dataclass(frozen=True, slots=True)
class OrderPriced:
    """An order was completed, under a customer id."""

    order_id: str
    customer_id: str
    order_time: int
    lines: tuple[PricedLine, ...]

    def applied(self, before: PricedOrder | None) -> PricedOrder:
        """The order with what this tells; the first telling counts."""
        known = before or PricedOrder(order_id=self.order_id)
        if known.customer_id:
            return known
        return replace(known, customer_id=self.customer_id, order_time=self.order_time, lines=self.lines)


@dataclass(frozen=True, slots=True)
class OrderReturned:
    """Units of an order came back; ``None``: all of it. Of what names no items nothing is known to have come back."""

    order_id: str
    refund_id: str
    items: tuple[Returned, ...] | None

    def applied(self, before: PricedOrder | None) -> PricedOrder:
        """The order with what this tells, once a refund."""
        known = before or PricedOrder(order_id=self.order_id)
        if self.items is None:
            return replace(known, cancelled=True)
        if self.refund_id in known.refund_ids or len(known.refund_ids) >= REFUNDS_MAX:
            return known
        back: dict[str, int] = {each.item_id: each.quantity for each in known.returned}
        for each in self.items:
            back[each.item_id] = back.get(each.item_id, 0) + each.quantity
        returned = tuple(Returned(*each) for each in back.items())
        return replace(known, returned=returned, refund_ids=(*known.refund_ids, self.refund_id))


@dataclass(frozen=True, slots=True)
class PersonForgotten:
    """A person is to be forgotten, under all of these customer ids."""

    customer_ids: tuple[str, ...]


PriceTold = OrderPriced | OrderReturned | PriceConsent | PersonForgotten
"""What profiles tells that prices are learnt from."""


@dataclass(frozen=True, slots=True)
class PriceBatch:
    """What was told, each with its tenant, and the cursor after it."""

    told: Sequence[tuple[str, PriceTold]]
    cursor: str


PricePurposes = Mapping[str, str]
"""The purpose of consent, by tenant that learns prices."""
