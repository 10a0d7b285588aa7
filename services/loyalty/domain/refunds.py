"""Refunding orders: asked for by a call, or told by an event that may come before its order."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from services.common.money import to_minor
from services.loyalty.domain.achievement_refunds import OrderUndone
from services.loyalty.domain.books import Books, Needs, together
from services.loyalty.domain.earned import give_back, usage_refs
from services.loyalty.domain.entry import Entry, order_entry_id, settled_entry_id
from services.loyalty.domain.errors import OrderNotFound, RefundExceedsOrder
from services.loyalty.domain.program import Program
from services.loyalty.domain.refund import RefundCause, RefundedOrder, WaitingRefund, refund


@dataclass(frozen=True, slots=True)
class Refunded:
    """A refund's entry, and what is left of its order."""

    entry: Entry
    left_minor: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RefundOrder:
    """Refunds an order, or a part of it; ``amount_minor`` of ``None`` is all that is left."""

    program_id: str
    order_id: str
    amount_minor: int | None
    reason: str
    request_id: str

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        refunded = Needs(
            entries=_entries_of(self.program_id, self.order_id),
            refunds=((self.program_id, self.order_id),),
            then=lambda books: _usage_needs(books, [self.program_id], self.order_id),
        )
        return together([refunded, self._undone.needs(programs)])

    def apply(self, books: Books, now: int) -> Refunded:
        program = books.program(self.program_id)
        order = books.entries.get(order_entry_id(program.id, self.order_id))
        if order is None:
            raise OrderNotFound(
                f"order {self.order_id} has earned nothing in programme {program.id}", order_id=self.order_id
            )
        before = books.refunded(program.id, self.order_id)
        left_minor = order.order_amount_minor - before.amount_minor
        asked = left_minor if self.amount_minor is None else self.amount_minor
        if not 0 < asked <= left_minor:
            raise RefundExceedsOrder(
                f"{left_minor} minor units are left of order {self.order_id}", left=left_minor, asked=asked
            )
        cause = RefundCause(now, now, self.request_id, self.reason)
        refunded = Refunded(_refund(books, program, order, before, asked, cause), left_minor - asked)
        replace(self._undone, currency=program.currency, amount_minor=asked).apply(books, now, {})
        return refunded

    @property
    def _undone(self) -> OrderUndone:
        return OrderUndone(self.order_id, whole=False, program_id=self.program_id)


@dataclass(frozen=True, slots=True)
class OrderRefund:
    """A refund that was recorded as an event. Without a currency it is in the programme's, without amounts in full."""

    order_id: str
    currency: str
    amounts: tuple[float, ...] | None
    event_time: int

    def concerns(self, program: Program) -> bool:
        """Whether it may be of an order that earned in the programme."""
        return self.currency in ("", program.currency)

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        """What must be loaded before."""
        concerned = [program.id for program in programs.values() if self.concerns(program)]
        return Needs(
            entries=[entry_id for program_id in concerned for entry_id in _entries_of(program_id, self.order_id)],
            refunds=[(program_id, self.order_id) for program_id in concerned],
            then=lambda books: _usage_needs(books, concerned, self.order_id),
        )

    def apply(self, books: Books, now: int, counts: dict[str, int]) -> None:
        """Refund it in every programme that it concerns, and count what became of it."""
        for program in books.programs.values():
            if self.concerns(program):
                counts[self._apply_in(program, books, now)] += 1

    def _apply_in(self, program: Program, books: Books, now: int) -> str:
        """Refund, or wait for the order; the name of the count that this belongs to."""
        amount_minor = 0
        if self.amounts is not None:
            amount_minor = sum(to_minor(amount, program.currency) for amount in self.amounts)
            if amount_minor <= 0:
                return "empty_refunds"
        told = WaitingRefund(amount_minor, self.event_time)
        before = books.refunded(program.id, self.order_id)
        order = books.entries.get(order_entry_id(program.id, self.order_id))
        if order is None:
            books.put_refunded(replace(before, waiting=(*before.waiting, told)))
            return "waiting_refunds"
        return _refund_told(books, program, order, told, now)


def refund_what_waited(books: Books, program: Program, order: Entry, now: int) -> dict[str, int]:
    """Apply the refunds that came before their order, which has come; what to add to the counts."""
    before = books.refunds.get((program.id, order.order_id))
    if before is None or not before.waiting:
        return {}
    books.put_refunded(replace(before, waiting=()))
    counts = {"waiting_refunds": -len(before.waiting), "refunds": 0, "empty_refunds": 0}
    for told in before.waiting:
        counts[_refund_told(books, program, order, told, now)] += 1
    return counts


def _refund_told(books: Books, program: Program, order: Entry, told: WaitingRefund, now: int) -> str:
    before = books.refunded(program.id, order.order_id)
    left_minor = order.order_amount_minor - before.amount_minor
    if left_minor == 0:
        return "empty_refunds"
    amount_minor = min(told.amount_minor or left_minor, left_minor)
    _refund(books, program, order, before, amount_minor, RefundCause(now, told.event_time))
    return "refunds"


def _refund(
    books: Books, program: Program, order: Entry, before: RefundedOrder, amount_minor: int, cause: RefundCause
) -> Entry:
    member = books.owner(order)
    settled = books.entries.get(settled_entry_id(order.id))
    member, entries, after = refund(member, program, order, settled, before, amount_minor, cause)
    books.put_refunded(after)
    entry = books.enter_all(member, entries)
    give_back(books, program, order, entry)
    return entry


def _usage_needs(books: Books, program_ids: Sequence[str], order_id: str) -> Needs:
    """What must be loaded to give back what a refunded order was given by rules, or within limits."""
    orders = [books.entries.get(order_entry_id(program_id, order_id)) for program_id in program_ids]
    return Needs(
        records=[ref for order in orders if order for ref in usage_refs(order.program_id, books.owner(order).id)]
    )


def _entries_of(program_id: str, order_id: str) -> tuple[str, str]:
    order = order_entry_id(program_id, order_id)
    return order, settled_entry_id(order)
