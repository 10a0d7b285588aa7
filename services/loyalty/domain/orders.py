"""Orders as they are followed: each earns once in each programme of its tenant, and its refunds take back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.loyalty.domain.books import Books, Needs, OrderCounts
from services.loyalty.domain.entry import EntryKind, order_entry_id
from services.loyalty.domain.errors import BalanceLimitReached
from services.loyalty.domain.member import Cause
from services.loyalty.domain.pending import earn_or_hold
from services.loyalty.domain.program import Program
from services.loyalty.domain.refunds import OrderRefund, refund_what_waited


@dataclass(frozen=True, slots=True)
class Order:
    """What an order came to, in minor units, who made it and when."""

    order_id: str
    member_id: str
    currency: str
    amount_minor: int
    event_time: int


@dataclass(frozen=True, slots=True)
class ApplyOrderEvents:
    """Gives what orders earn, takes back what refunds come to, in the order of the events, and counts what became of
    them. Never refused: an event is applied, or counted why not.
    """

    events: Sequence[Order | OrderRefund]
    unreadable_count: int = 0
    unreadable_refund_count: int = 0

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        orders = [event for event in self.events if isinstance(event, Order)]
        pairs = [
            (program.id, order)
            for program in programs.values()
            for order in orders
            if program.currency == order.currency
        ]
        refunds = [event.needs(programs) for event in self.events if isinstance(event, OrderRefund)]
        waiting = [(program_id, order.order_id) for program_id, order in pairs]
        return Needs(
            members={(program_id, order.member_id) for program_id, order in pairs},
            entry_ids=[order_entry_id(program_id, order.order_id) for program_id, order in pairs],
            entries=[entry_id for need in refunds for entry_id in need.entries],
            refunds=[*waiting, *(key for need in refunds for key in need.refunds)],
            order_counts=True,
        )

    def apply(self, books: Books, now: int) -> OrderCounts:
        counts = dict.fromkeys(OrderCounts.__slots__, 0)
        counts["invalid"] = self.unreadable_count * len(books.programs)
        counts["invalid_refunds"] = self.unreadable_refund_count * len(books.programs)
        for program in books.programs.values():
            for event in self.events:
                if isinstance(event, Order):
                    counts[_earned_by(event, program, books, now, counts)] += 1
                elif event.concerns(program):
                    counts[event.apply(program, books, now)] += 1
        outcome = OrderCounts(**counts)
        books.count_orders(outcome)
        return outcome


def _earned_by(order: Order, program: Program, books: Books, now: int, counts: dict[str, int]) -> str:
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
        entry = books.enter(*earn_or_hold(books.member_or_new(program.id, order.member_id), program, points, cause))
    except BalanceLimitReached:
        return "invalid"
    for name, more in refund_what_waited(books, program, entry, now).items():
        counts[name] += more
    return "earned"
