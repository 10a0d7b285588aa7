"""Changing when lots expire: one entry that moves no point out of the member's account, so that nothing is unsaid."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from services.loyalty.domain.books import Books, Needs
from services.loyalty.domain.entry import UNMOVED, Entry, EntryKind, Lot, request_entry_id, validity_entry_id
from services.loyalty.domain.errors import EventTimeInvalid, LotNotFound
from services.loyalty.domain.member import Cause, Member, added, entered
from services.loyalty.domain.pending import settle
from services.loyalty.domain.program import NEVER, Program
from services.loyalty.domain.validity import days_later


def revalidated(
    member: Member, program: Program, expiry: Callable[[Lot], int], cause: Cause
) -> tuple[Member, Entry] | None:
    """Every lot that can be spent expires when ``expiry`` says; ``None`` where none would at another time."""
    now = cause.record_time
    changed = [(lot, expiry(lot)) for lot in member.lots if lot.expire_time > now]
    changed = [(lot, expire_time) for lot, expire_time in changed if expire_time != lot.expire_time]
    if not changed:
        return None
    taken = tuple(lot for lot, _ in changed)
    kept, gained = tuple(lot for lot in member.lots if lot not in taken), tuple[Lot, ...]()
    for lot, expire_time in changed:
        moved = (Lot(expire_time, lot.points),)
        kept, gained = added(kept, moved), added(gained, moved)
    after = replace(member, entry_count=member.entry_count + 1, lots=kept)
    points = sum(lot.points for lot in taken)
    return entered(after, program, points, taken, replace(cause, gained_lots=gained), UNMOVED)


def active(member: Member, program: Program, at: int, now: int) -> tuple[Member, list[Entry]]:
    """What activity ``at`` a time does to the member's lots, where the programme's validity says so.

    Lots are only ever extended, so activities that are told late, or in another order, come to the same.
    """
    if program.validity is None or not program.validity.extended_by_activity or not member.lots:
        return member, []
    until = program.expire_time(at)
    entry_id = validity_entry_id(program.id, member.id, member.entry_count + 1)
    cause = Cause(entry_id, EntryKind.VALIDITY, record_time=now, event_time=now)
    extended = revalidated(member, program, lambda lot: max(lot.expire_time, until), cause)
    return (extended[0], [extended[1]]) if extended else (member, [])


@dataclass(frozen=True, slots=True, kw_only=True)
class ChangeExpiry:
    """Sets when lots expire, or extends them; ``extend_days`` of 0 is none, ``until`` limits which."""

    program_id: str
    member_id: str
    expire_time: int
    """When there is no extension; ``NEVER``: never."""
    extend_days: int
    until: int
    reason: str
    request_id: str

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs(members=((self.program_id, self.member_id),))

    def apply(self, books: Books, now: int) -> Entry:
        if not self.extend_days and self.expire_time <= now:
            raise EventTimeInvalid("expire_time must lie in the future", field="expire_time")
        program = books.program(self.program_id)
        member, entries = settle(books.member(program.id, self.member_id), program, now, now)
        cause = Cause(
            request_entry_id(self.request_id),
            EntryKind.VALIDITY,
            now,
            now,
            request_id=self.request_id,
            reason=self.reason,
        )
        changed = revalidated(member, program, lambda lot: self._expiry(lot, program), cause)
        if changed is None:
            raise LotNotFound("no lot that can be spent would expire at another time", member_id=self.member_id)
        return books.enter_all(changed[0], [*entries, changed[1]])

    def _expiry(self, lot: Lot, program: Program) -> int:
        if lot.expire_time > self.until:
            return lot.expire_time
        if not self.extend_days:
            return self.expire_time
        return NEVER if lot.expire_time == NEVER else days_later(lot.expire_time, self.extend_days, program.time_zone)
