"""Pending points: held apart from the balance, then posted, voided or expired, each of them once."""

from bisect import insort
from dataclasses import replace

from services.loyalty.domain.entry import (
    HELD,
    LAPSED_PENDING,
    POSTED,
    RETURNED_PENDING,
    Entry,
    EntryKind,
    PendingLot,
    settled_entry_id,
)
from services.loyalty.domain.member import Cause, Member, added, check_limit, earn, entered, gained_lots, qualified
from services.loyalty.domain.program import PendingRelease, Program


def earn_or_hold(member: Member, program: Program, points: int, cause: Cause) -> tuple[Member, Entry]:
    """Points from ISSUANCE to the member, or to PENDING where the programme makes them wait."""
    due_time = program.pending_until(cause.event_time, cause.record_time)
    if due_time is None:
        return earn(member, program, points, cause, program.spendable_time(cause.event_time))
    check_limit(member, points, cause)
    waiting = list(member.pending)
    insort(waiting, PendingLot(due_time, points, cause.entry_id, cause.event_time, cause.order_id))
    held = replace(
        member,
        spend_minor=member.spend_minor + cause.order_amount_minor,
        orders=member.orders + (cause.kind is EntryKind.ORDER),
        entry_count=member.entry_count + 1,
        enroll_time=member.enroll_time or cause.record_time,
        qualified=qualified(
            member.qualified,
            program,
            cause.event_time,
            0,
            cause.order_amount_minor,
            int(cause.kind is EntryKind.ORDER),
        ),
        pending=tuple(waiting),
    )
    return entered(held, program, points, (), cause, HELD)


def pending_lot(member: Member, entry_id: str) -> PendingLot | None:
    """What is still pending of what an entry made pending."""
    return next((lot for lot in member.pending if lot.entry_id == entry_id), None)


def post(
    member: Member, program: Program, lot: PendingLot, now: int, *, spendable_time: int, request_id: str = ""
) -> tuple[Member, Entry]:
    """A pending lot from PENDING to the member: valid from ``spendable_time``, and paying a debt first."""
    lots = gained_lots(member, program.expire_time(spendable_time), lot.points)
    posted = replace(
        member,
        balance=member.balance + lot.points,
        earned=member.earned + lot.points,
        entry_count=member.entry_count + 1,
        lots=added(member.lots, lots),
        qualified=qualified(member.qualified, program, lot.event_time, lot.points, 0),
        pending=without(member.pending, lot, lot.points),
    )
    cause = _end(lot, EntryKind.POST, now, spendable_time, request_id)
    return entered(posted, program, lot.points, lots, cause, POSTED)


def void(
    member: Member, program: Program, lot: PendingLot, now: int, *, request_id: str, reason: str
) -> tuple[Member, Entry]:
    """A pending lot from PENDING back to ISSUANCE."""
    voided = replace(member, entry_count=member.entry_count + 1, pending=without(member.pending, lot, lot.points))
    cause = _end(lot, EntryKind.VOID, now, now, request_id, reason)
    return entered(voided, program, lot.points, (), cause, RETURNED_PENDING)


def settle(member: Member, program: Program, as_of: int, now: int) -> tuple[Member, list[Entry]]:
    """What the clock does to pending points whose time is not after ``as_of``: posts them, or expires them."""
    entries: list[Entry] = []
    while member.pending and member.pending[0].due_time <= as_of:
        lot = member.pending[0]
        if program.pending.release is PendingRelease.AFTER_DURATION:
            member, entry = post(member, program, lot, now, spendable_time=lot.due_time)
        else:
            member, entry = _expire(member, program, lot, now)
        entries.append(entry)
    return member, entries


def without(lots: tuple[PendingLot, ...], lot: PendingLot, points: int) -> tuple[PendingLot, ...]:
    """``lots`` with so many points of one of them gone."""
    left = lot._replace(points=lot.points - points)
    return tuple(left if kept is lot else kept for kept in lots if kept is not lot or left.points)


def _expire(member: Member, program: Program, lot: PendingLot, now: int) -> tuple[Member, Entry]:
    lapsed = replace(member, entry_count=member.entry_count + 1, pending=without(member.pending, lot, lot.points))
    return entered(lapsed, program, lot.points, (), _end(lot, EntryKind.EXPIRY, now, now), LAPSED_PENDING)


def _end(lot: PendingLot, kind: EntryKind, now: int, event_time: int, request_id: str = "", reason: str = "") -> Cause:
    return Cause(
        settled_entry_id(lot.entry_id),
        kind,
        record_time=now,
        event_time=event_time,
        order_id=lot.order_id,
        request_id=request_id,
        reason=reason,
        source_entry_id=lot.entry_id,
    )
