"""Ending pending points by hand: each posts or voids what one entry made pending."""

from collections.abc import Mapping
from dataclasses import dataclass

from services.loyalty.domain.books import Books, Needs
from services.loyalty.domain.entry import Entry, PendingLot, order_entry_id
from services.loyalty.domain.errors import PendingNotFound
from services.loyalty.domain.member import Member
from services.loyalty.domain.pending import pending_lot, post, settle, void
from services.loyalty.domain.program import Program


@dataclass(frozen=True, slots=True)
class Source:
    """Names pending points by the order that earned them, or else by the entry that made them pending."""

    program_id: str
    order_id: str = ""
    entry_id: str = ""

    @property
    def id(self) -> str:
        """The id of the entry."""
        return order_entry_id(self.program_id, self.order_id) if self.order_id else self.entry_id

    def find(self, books: Books, now: int) -> tuple[Program, Member, list[Entry], PendingLot]:
        """The points and whose they are, after what the clock had to do; ``PendingNotFound`` if they do not wait."""
        program = books.program(self.program_id)
        entry = books.entries.get(self.id)
        if entry is not None and entry.program_id == program.id:
            member, entries = settle(books.owner(entry), program, now, now)
            if lot := pending_lot(member, entry.id):
                return program, member, entries, lot
        raise PendingNotFound(f"no points wait in programme {program.id} from {self.id}", entry_id=self.id)


@dataclass(frozen=True, slots=True, kw_only=True)
class PostPending:
    """Makes pending points spendable."""

    source: Source
    request_id: str

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs(entries=(self.source.id,))

    def apply(self, books: Books, now: int) -> Entry:
        program, member, entries, lot = self.source.find(books, now)
        member, entry = post(member, program, lot, now, spendable_time=now, request_id=self.request_id)
        return books.enter_all(member, [*entries, entry])


@dataclass(frozen=True, slots=True, kw_only=True)
class VoidPending:
    """Takes pending points back."""

    source: Source
    reason: str
    request_id: str

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs(entries=(self.source.id,))

    def apply(self, books: Books, now: int) -> Entry:
        program, member, entries, lot = self.source.find(books, now)
        member, entry = void(member, program, lot, now, request_id=self.request_id, reason=self.reason)
        return books.enter_all(member, [*entries, entry])
