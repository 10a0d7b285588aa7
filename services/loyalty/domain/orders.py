"""What profiles tells, as it is followed: orders and events earn once in each programme of their tenant."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from services.loyalty.domain.books import Books, Needs, OrderCounts, together
from services.loyalty.domain.earned import book_ref, earn_by_rate, earn_by_rules, weighing_refs
from services.loyalty.domain.earning import Activity, Line, Miss
from services.loyalty.domain.earning_rule import Trigger
from services.loyalty.domain.entry import EntryKind, event_entry_id, order_entry_id
from services.loyalty.domain.errors import BalanceLimitReached, MemberBlocked
from services.loyalty.domain.member import Cause
from services.loyalty.domain.program import Program
from services.loyalty.domain.promised_points import cart_ref, customer_needs, promised
from services.loyalty.domain.records import Ref
from services.loyalty.domain.refunds import refund_what_waited


class Told(Protocol):
    """Something that a feed told."""

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        """What must be loaded before."""
        ...

    def apply(self, books: Books, now: int, counts: dict[str, int]) -> None:
        """Apply it in every programme that it concerns, and count what became of it. Never refused."""
        ...


Details = tuple[Mapping[str, Any], tuple[Line, ...]]
"""The properties and the lines of an order."""


@dataclass(frozen=True, slots=True)
class Order:
    """What an order came to, in minor units, who made it and when; its properties and lines are for rules."""

    order_id: str
    member_id: str
    currency: str
    amount_minor: int
    event_time: int
    properties: Mapping[str, Any] = field(default_factory=dict)
    lines: tuple[Line, ...] = ()
    details: Callable[[], Details] | None = field(default=None, compare=False)
    """Reads both, where they are not given: most orders of most programmes earn by the rate alone."""
    origin_id: str = ""
    """Under whose names it came, where that is not ``member_id``."""
    quoted: bool = False
    """Whether it carries the id of a quote, which was told before it."""

    @property
    def activity(self) -> Activity:
        """The order as rules see it."""
        properties, lines = self.details() if self.details else (self.properties, self.lines)
        return Activity(Trigger.ORDER, self.event_time, "", properties, self.amount_minor, lines)

    def cause(self, program: Program, now: int, request_id: str = "") -> Cause:
        """Why it is entered."""
        return Cause(
            order_entry_id(program.id, self.order_id),
            EntryKind.ORDER,
            record_time=now,
            event_time=self.event_time,
            order_id=self.order_id,
            order_amount_minor=self.amount_minor,
            request_id=request_id,
            origin_id=self.origin_id or self.member_id,
        )

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        concerned = [program.id for program in programs.values() if program.currency == self.currency]
        return Needs(
            members=[(program_id, self.member_id) for program_id in concerned],
            entry_ids=[order_entry_id(program_id, self.order_id) for program_id in concerned],
            refunds=[(program_id, self.order_id) for program_id in concerned],
            records=[cart_ref(self.order_id), *(book_ref(program_id) for program_id in concerned)],
            then=lambda books: self._needs_of_rules(books, concerned),
        )

    def _needs_of_rules(self, books: Books, program_ids: Sequence[str]) -> Needs:
        if not self.quoted and books.record(cart_ref(self.order_id)) is None:
            return weighed_needs(books, program_ids, self.member_id, Trigger.ORDER)
        # Whether the cart is committed by now, or by what was told before, is known when this is applied.
        refs = [ref for program_id in program_ids for ref in _refs(books, program_id, self.member_id)]
        return replace(customer_needs(books, program_ids, self.order_id), records=refs)

    def apply(self, books: Books, now: int, counts: dict[str, int]) -> None:
        for program in books.programs.values():
            counts[self._earn(program, books, now, counts)] += 1

    def _earn(self, program: Program, books: Books, now: int, counts: dict[str, int]) -> str:
        """Enter what the order earns; the name of the count that it belongs to."""
        if self.currency != program.currency:
            return "other_currency"
        cause = self.cause(program, now)
        if cause.entry_id in books.entry_ids:
            return "duplicate"
        book = books.record(book_ref(program.id))
        try:
            if (book and book.concerns(Trigger.ORDER)) or books.record(cart_ref(self.order_id)):
                told, boosts = promised(books, program, self.order_id, self.member_id, self.activity)
                earned = earn_by_rules(books, program, self.member_id, told, cause, boosts)
            else:
                earned = earn_by_rate(books, program, self.member_id, self.amount_minor, cause)
        except BalanceLimitReached:
            return "invalid"
        except MemberBlocked:
            return "blocked"
        if earned.entry is None:
            limited = any(miss.reason is Miss.PROGRAM_LIMIT for miss in earned.outcome.misses)
            return "limited" if limited else "small"
        for name, more in refund_what_waited(books, program, earned.entry, now).items():
            counts[name] += more
        return "earned"


@dataclass(frozen=True, slots=True)
class Event:
    """An event that is no order: it earns by the rules that name it."""

    event_id: str
    name: str
    member_id: str
    event_time: int
    properties: Mapping[str, Any] = field(default_factory=dict)
    details: Callable[[], Mapping[str, Any]] | None = field(default=None, compare=False)
    """Reads the properties, where they are not given: rules ask for few of the events that there are."""
    origin_id: str = ""
    """Under whose names it came, where that is not ``member_id``."""

    @property
    def activity(self) -> Activity:
        """The event as rules see it."""
        properties = self.details() if self.details else self.properties
        return Activity(Trigger.EVENT, self.event_time, self.name, properties)

    def cause(self, program: Program, now: int, request_id: str = "") -> Cause:
        """Why it is entered."""
        return Cause(
            event_entry_id(program.id, self.event_id),
            EntryKind.EVENT,
            record_time=now,
            event_time=self.event_time,
            event_id=self.event_id,
            request_id=request_id,
            origin_id=self.origin_id or self.member_id,
            reason=self.name,
        )

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs(records=[book_ref(program_id) for program_id in programs], then=self._needs_of_rules)

    def _needs_of_rules(self, books: Books) -> Needs:
        concerned = [program_id for program_id in books.programs if self._concerns(books, program_id)]
        refs = [ref for program_id in concerned for ref in _refs(books, program_id, self.member_id)]
        return Needs(
            members=[(program_id, self.member_id) for program_id in concerned],
            entry_ids=[event_entry_id(program_id, self.event_id) for program_id in concerned],
            records=refs,
        )

    def _concerns(self, books: Books, program_id: str) -> bool:
        book = books.record(book_ref(program_id))
        return book is not None and bool(book.about(Trigger.EVENT, self.name))

    def apply(self, books: Books, now: int, counts: dict[str, int]) -> None:
        for program in books.programs.values():
            if not self._concerns(books, program.id):
                continue
            cause = self.cause(program, now)
            if cause.entry_id in books.entry_ids:
                continue
            try:
                earned = earn_by_rules(books, program, self.member_id, self.activity, cause)
            except (BalanceLimitReached, MemberBlocked):
                continue
            counts["earned_events"] += earned.entry is not None


def weighed_needs(books: Books, program_ids: Sequence[str], member_id: str, trigger: Trigger) -> Needs:
    """What must be loaded where rules or limits decide what something earns."""
    found = [(program_id, books.record(book_ref(program_id))) for program_id in program_ids]
    refs = [
        ref
        for program_id, book in found
        if book and book.concerns(trigger)
        for ref in _refs(books, program_id, member_id)
    ]
    return Needs(records=refs)


def _refs(books: Books, program_id: str, member_id: str) -> Iterable[Ref[Any]]:
    return weighing_refs(program_id, books.account_id(program_id, member_id))


@dataclass(frozen=True, slots=True)
class ApplyOrderEvents:
    """Applies what was told, in its order, and counts what became of it. Never refused: something is applied, or
    counted why not.
    """

    events: Sequence[Told]
    unreadable_count: int = 0
    unreadable_refund_count: int = 0

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return together([*(event.needs(programs) for event in self.events), Needs(order_counts=True)])

    def apply(self, books: Books, now: int) -> OrderCounts:
        counts = dict.fromkeys(OrderCounts.__slots__, 0)
        counts["invalid"] = self.unreadable_count * len(books.programs)
        counts["invalid_refunds"] = self.unreadable_refund_count * len(books.programs)
        for event in self.events:
            event.apply(books, now, counts)
        outcome = OrderCounts(**counts)
        books.count_orders(outcome)
        return outcome
