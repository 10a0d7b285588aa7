"""What a cart would earn, weighed by the code that weighs orders, and what its customer can spend."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.loyalty.domain.books import Books
from services.loyalty.domain.cart import Cart
from services.loyalty.domain.earned import book_ref, known, weighing_refs
from services.loyalty.domain.earning import Activity, Boost, Line, weigh
from services.loyalty.domain.earning_rule import Trigger
from services.loyalty.domain.entry import AccountRole, Block
from services.loyalty.domain.people import names_of
from services.loyalty.domain.points_payment import NOTHING, payable
from services.loyalty.domain.program import Program
from services.loyalty.domain.records import Ref
from services.loyalty.domain.spending_policy import policy_ref, usage_ref


@dataclass(frozen=True, slots=True)
class QuotedPoints:
    """What the order would earn in a programme, and what the customer could spend there now."""

    program_id: str
    earned: int
    available: int
    payable: int = 0
    """How many of these may pay for the cart, where points have a price."""
    payable_minor: int = 0
    """What of it they pay."""


def earning_refs(programs: Mapping[str, Program], currency: str) -> Iterator[Ref[Any]]:
    """The rules of earning and of spending."""
    for program in programs.values():
        if program.currency == currency:
            yield book_ref(program.id)
            yield policy_ref(program.id)


def person_refs(books: Books, customer_id: str, currency: str) -> Iterator[Ref[Any]]:
    """What weighing reads of the customer, once it is known who has their account now."""
    for program in books.programs.values():
        if program.currency == currency:
            account_id = books.account_id(program.id, customer_id)
            yield from weighing_refs(program.id, account_id)
            yield from (usage_ref(program.id, each) for each in {customer_id, *names_of(books, customer_id)})


def quoted_points(
    books: Books, cart: Cart, paid: Mapping[str, int], boosts: Sequence[Boost], total_minor: int, now: int
) -> tuple[QuotedPoints, ...]:
    """In each programme what the cart would earn as an order of what is ``paid`` a line, by rate and rules, and
    what offers add to that; and what of all that is to be paid (``total_minor``) points can pay.

    Programmes in which that, and what can be spent, is nothing are left out.
    """
    activity = _activity(cart, paid, now)
    found: list[QuotedPoints] = []
    for program_id, program in sorted(books.programs.items()):
        member = books.member_or_new(program_id, cart.shopper.customer_id)
        purse, earned = books.purse(member), 0
        if program.currency == cart.currency and member.block != Block.EVERYTHING.value:
            earned = weigh(known(books, program, purse, member.id), activity, now, boosts).points
        spends = program.redeemable and member.account_role != AccountRole.EARNER.value
        available = purse.available(now) if spends else 0
        if earned or available:
            pays = spends and program.currency == cart.currency and not (member.block or purse.block)
            most = payable(books, program, member.id, available, total_minor, now) if pays else NOTHING
            found.append(QuotedPoints(program_id, earned, available, *most))
    return tuple(found)


def _activity(cart: Cart, paid: Mapping[str, int], now: int) -> Activity:
    """The cart as an order, with the properties that `Order Completed` has; its prices are what is paid."""
    products = {
        line.line_id: {
            "product_id": line.item_id,
            "quantity": line.quantity,
            "price_minor": line.price_minor,
            "category": line.categories[0] if line.categories else None,
            "categories": line.categories,
            **line.attributes,
        }
        for line in cart.lines
    }
    properties = {
        "currency": cart.currency,
        "products": list(products.values()),
        "channel": cart.channel or None,
        "store_id": cart.store_id or None,
    }
    lines = tuple(Line(paid[line.line_id], line.quantity, products[line.line_id]) for line in cart.lines)
    return Activity(Trigger.ORDER, now, "", properties, sum(paid.values()), lines)
