"""Orders earn: each once in each programme of its tenant, whatever is delivered again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.loyalty.domain.books import Books, Needs, OrderCounts
from services.loyalty.domain.entry import EntryKind, order_entry_id
from services.loyalty.domain.errors import BalanceLimitReached
from services.loyalty.domain.member import Cause, earn
from services.loyalty.domain.program import Program


@dataclass(frozen=True, slots=True)
class Order:
    """What an order came to, in minor units, who made it and when."""

    order_id: str
    member_id: str
    currency: str
    amount_minor: int
    event_time: int


@dataclass(frozen=True, slots=True)
class EarnFromOrders:
    """Gives what orders earn, and counts what became of them. Never refused: an order is earned, or counted why not."""

    orders: Sequence[Order]
    unreadable_count: int = 0

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        pairs = [
            (program.id, order)
            for program in programs.values()
            for order in self.orders
            if program.currency == order.currency
        ]
        return Needs(
            members={(program_id, order.member_id) for program_id, order in pairs},
            entry_ids=[order_entry_id(program_id, order.order_id) for program_id, order in pairs],
            order_counts=True,
        )

    def apply(self, books: Books, now: int) -> OrderCounts:
        counts = dict.fromkeys(OrderCounts.__slots__, 0)
        counts["invalid"] = self.unreadable_count * len(books.programs)
        for program in books.programs.values():
            for order in self.orders:
                counts[_earned_by(order, program, books, now)] += 1
        outcome = OrderCounts(**counts)
        books.count_orders(outcome)
        return outcome


def _earned_by(order: Order, program: Program, books: Books, now: int) -> str:
    """Enter what the order earns; the name of the count that it belongs to."""
    if order.currency != program.currency:
        return "other_currency"
    points = program.points_for(order.amount_minor)
    if points == 0:
        return "small"
    entry_id = order_entry_id(program.id, order.order_id)
    if entry_id in books.entry_ids:
        return "duplicate"
    cause = Cause(
        entry_id,
        EntryKind.ORDER,
        record_time=now,
        event_time=order.event_time,
        order_id=order.order_id,
        order_amount_minor=order.amount_minor,
    )
    try:
        books.enter(*earn(books.member_or_new(program.id, order.member_id), program, points, cause))
    except BalanceLimitReached:
        return "invalid"
    return "earned"
