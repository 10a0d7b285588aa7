"""What a cart that was committed for an order promised it: the points that offers add, whoever tells of the order."""

from collections.abc import Iterable
from dataclasses import replace
from typing import NamedTuple

from services.loyalty.domain.books import Books, Needs
from services.loyalty.domain.cart_order import CART_ORDERS, CartOrder, CartOrderState
from services.loyalty.domain.earning import Activity, Boost
from services.loyalty.domain.program import Program
from services.loyalty.domain.records import Ref
from services.loyalty.domain.share import WHOLE


class Promise(NamedTuple):
    """The order as it is weighed, and the offers that multiply what it earns."""

    activity: Activity
    boosts: tuple[Boost, ...]


def cart_ref(order_id: str) -> Ref[CartOrder]:
    """Where it is kept what the order's cart was quoted."""
    return Ref(CART_ORDERS, order_id)


def customer_needs(books: Books, program_ids: Iterable[str], order_id: str) -> Needs:
    """Whose cart it was: they may have been merged since."""
    cart = books.record(cart_ref(order_id))
    return Needs(members=[(each, cart.customer_id) for each in program_ids]) if cart else Needs()


def promised(books: Books, program: Program, order_id: str, member_id: str, activity: Activity) -> Promise:
    """What the order's cart promised. An order that came to what was quoted is weighed without the shipping in it, as
    the quote was. One of another customer, or whose cart was rolled back, was promised nothing.
    """
    cart = books.record(cart_ref(order_id))
    if cart is None or cart.state is not CartOrderState.COMMITTED or cart.quote.currency != program.currency:
        return Promise(activity, ())
    if books.account_id(program.id, cart.customer_id) != books.account_id(program.id, member_id):
        return Promise(activity, ())
    quote = cart.quote
    if activity.amount_minor == quote.total_minor:
        lines_minor = sum(line.total_minor for line in quote.lines)
        activity = replace(activity, amount_minor=lines_minor)
    offers = (each for each in quote.applied if each.points_multiplier > WHOLE)
    return Promise(activity, tuple(Boost(each.offer_id, each.points_multiplier) for each in offers))
