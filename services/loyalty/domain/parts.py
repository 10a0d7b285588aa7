"""Parts of an account: what of it came under each customer's names, so that a merge can be taken back exactly.

An account has parts from when it is first merged, or first earns under another customer's names. Each part is what the
customer's own account would be: it pays its own debts, and no other's. What the account itself holds is what its parts
come to together: what one owes, the others' points that expire first pay for as long as they are together. Points are
spent, and expire, by their time, whosever they are; among those of one time the account's own go first.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import chain

from services.loyalty.domain.entry import (
    Account,
    Entry,
    EntryKind,
    Lot,
    OriginLot,
    Part,
    order_entry_id,
    settled_entry_id,
)
from services.loyalty.domain.member import Member, added, qualified, recent, taken_lots
from services.loyalty.domain.pending import without
from services.loyalty.domain.program import Program
from services.loyalty.domain.refund import RefundedOrder

SUMS = ("balance", "earned", "spent", "expired", "refunded", "spend_minor", "orders", "sent", "received")
"""What adds up over the parts."""
_TAKEN = {Account.SPENT: "spent", Account.EXPIRED: "expired", Account.TRANSFER: "sent"}


def parts_of(member: Member) -> tuple[Part, ...]:
    """The account by origin; all of it is its own where it was never merged."""
    if member.parts:
        return member.parts
    if not member.entry_count:
        return ()
    return (
        Part(
            origin_id=member.id,
            enroll_time=member.enroll_time,
            lots=member.lots,
            pending=member.pending,
            qualified=member.qualified,
            **{name: getattr(member, name) for name in SUMS},
        ),
    )


def together(parts: Iterable[Part], program: Program) -> tuple[Part, ...]:
    """The parts with those of one origin as one: what one owes, the other pays."""
    by_origin: dict[str, Part] = {}
    for part in parts:
        other = by_origin.get(part.origin_id)
        by_origin[part.origin_id] = _joined(other, part, program) if other else part
    return tuple(by_origin.values())


def _joined(one: Part, other: Part, program: Program) -> Part:
    sums = {name: getattr(one, name) + getattr(other, name) for name in SUMS}
    owed = -min(0, one.balance) - min(0, other.balance)
    return Part(
        origin_id=one.origin_id,
        enroll_time=min(filter(None, (one.enroll_time, other.enroll_time)), default=0),
        lots=taken_lots(_all_lots((one, other)), owed)[1],
        pending=tuple(sorted((*one.pending, *other.pending))),
        qualified=recent((*one.qualified, *other.qualified), program.kept_months) if program.keeps_days else (),
        **sums,
    )


def _all_lots(parts: Iterable[Part]) -> tuple[Lot, ...]:
    lots: tuple[Lot, ...] = ()
    for lot in chain.from_iterable(part.lots for part in parts):
        lots = added(lots, (lot,))
    return lots


def composed(member: Member, parts: Sequence[Part], program: Program) -> Member:
    """The member with these parts and nothing else."""
    owed = -sum(min(0, part.balance) for part in parts)
    days = [*chain.from_iterable(part.qualified for part in parts)]
    alone = len(parts) == 1 and parts[0].origin_id == member.id
    return replace(
        member,
        lots=taken_lots(_all_lots(parts), owed)[1],
        pending=tuple(sorted(chain.from_iterable(part.pending for part in parts))),
        qualified=recent(days, program.kept_months) if program.keeps_days else (),
        enroll_time=min((part.enroll_time for part in parts if part.enroll_time), default=member.enroll_time),
        parts=() if alone else tuple(parts),
        **{name: sum(getattr(part, name) for part in parts) for name in SUMS},
    )


def attributed(
    parts: Sequence[Part],
    member: Member,
    program: Program,
    entries: Iterable[Entry],
    known: Mapping[str, Entry],
    refunds: Mapping[tuple[str, str], RefundedOrder],
) -> tuple[tuple[Part, ...], list[Entry]]:
    """The parts after these entries, which made the member what it is; and the entries, each with whose points it took.

    ``known`` has what they are about: orders that are refunded, and what is given back. What no rule here gives to an
    origin is the account's own.
    """
    work = _Attribution(parts, member, program, known, refunds)
    said = [work.add(entry) for entry in entries]
    return work.parts(), said


class _Attribution:
    def __init__(
        self,
        parts: Sequence[Part],
        member: Member,
        program: Program,
        known: Mapping[str, Entry],
        refunds: Mapping[tuple[str, str], RefundedOrder],
    ) -> None:
        self._member, self._program, self._known, self._refunds = member, program, known, refunds
        self._parts = {part.origin_id: part for part in parts}
        self._parts.setdefault(member.id, Part(member.id))

    def parts(self) -> tuple[Part, ...]:
        own = self._parts[self._member.id]
        for name in SUMS:
            rest = getattr(self._member, name) - sum(getattr(part, name) for part in self._parts.values())
            own = replace(own, **{name: getattr(own, name) + rest}) if rest else own
        self._parts[own.origin_id] = own
        return tuple(self._parts.values())

    def add(self, entry: Entry) -> Entry:
        """Give the entry's points to whose they are."""
        if Account.PENDING in (entry.debit, entry.credit):
            self._pend(entry)
        elif entry.kind is EntryKind.REFUND:
            self._refund(entry)
        elif entry.kind is EntryKind.REVOKE:
            self._revoke(entry)
        elif entry.kind is EntryKind.RESTORE:
            self._restore(entry)
        elif entry.debit is Account.ISSUANCE:
            self._earn(entry.origin_id or self._member.id, entry, entry.event_time, entry.order_amount_minor)
        elif entry.kind is EntryKind.VALIDITY:
            self._extend(entry)
        elif entry.debit is Account.MEMBER and entry.credit in _TAKEN:
            return replace(entry, by_origin=self._take(entry.lots, _TAKEN[entry.credit]))
        elif entry.credit is Account.MEMBER:
            self._receive(self._member.id, entry.points, entry.lots)
        elif entry.debit is Account.MEMBER:
            self._take(entry.lots, "")
        return entry

    def _part(self, origin_id: str) -> Part:
        found = self._parts.get(origin_id)
        if found is None:
            found = self._parts[origin_id] = Part(origin_id)
        return found

    def _keep(self, part: Part) -> None:
        self._parts[part.origin_id] = part

    def _receive(self, origin_id: str, points: int, lots: Sequence[Lot], expire_time: int | None = None) -> None:
        """Points for a part, which pays its own debt first; the rest lies where the entry's does."""
        part = self._part(origin_id)
        left = min(points, max(0, part.balance + points))
        kept = part.lots
        for lot in reversed(lots):  # what expires first pays what is owed
            some = min(left, lot.points)
            kept, left = (added(kept, (Lot(lot.expire_time, some),)) if some else kept), left - some
        if left:  # it paid another part's debt: in this part it is still there
            time = lots[0].expire_time if lots else expire_time
            kept = added(kept, (Lot(self._member_time() if time is None else time, left),))
        self._keep(replace(part, balance=part.balance + points, lots=kept))

    def _member_time(self) -> int:
        return self._member.lots[0].expire_time if self._member.lots else self._program.expire_time(0)

    def _earn(self, origin_id: str, entry: Entry, time: int, amount_minor: int) -> None:
        earned_by = entry.kind in (EntryKind.ORDER, EntryKind.EVENT)
        spendable = self._program.spendable_time(entry.event_time) if earned_by else entry.event_time
        self._receive(origin_id, entry.points, entry.lots, self._program.expire_time(spendable))
        part = self._parts[origin_id]
        orders = int(entry.kind is EntryKind.ORDER)
        points = entry.points
        self._keep(
            replace(
                part,
                earned=part.earned + points,
                spend_minor=part.spend_minor + amount_minor,
                orders=part.orders + orders,
                enroll_time=part.enroll_time or entry.record_time,
                qualified=qualified(part.qualified, self._program, time, points, amount_minor, orders),
            )
        )

    def _pend(self, entry: Entry) -> None:
        if entry.credit is Account.PENDING:
            part, orders = self._part(entry.origin_id or self._member.id), int(entry.kind is EntryKind.ORDER)
            held = tuple(lot for lot in self._member.pending if lot.entry_id == entry.id)
            days = qualified(part.qualified, self._program, entry.event_time, 0, entry.order_amount_minor, orders)
            self._keep(
                replace(
                    part,
                    pending=tuple(sorted((*part.pending, *held))),
                    spend_minor=part.spend_minor + entry.order_amount_minor,
                    orders=part.orders + orders,
                    enroll_time=part.enroll_time or entry.record_time,
                    qualified=days,
                )
            )
            return
        refunded = entry.kind is EntryKind.REFUND
        source = order_entry_id(entry.program_id, entry.order_id) if refunded else entry.source_entry_id
        for part in self._parts.values():
            for lot in part.pending:
                if lot.entry_id == source:
                    self._keep(replace(part, pending=without(part.pending, lot, entry.points)))
                    if refunded:
                        self._unspend(part.origin_id, entry, 0)
                    elif entry.kind is EntryKind.POST:
                        self._earn(part.origin_id, entry, lot.event_time, 0)
                    return

    def _refund(self, entry: Entry) -> None:
        order = self._known.get(order_entry_id(entry.program_id, entry.order_id))
        origin_id = order.origin_id or order.member_id if order else self._member.id
        part = self._part(origin_id if origin_id in self._parts else self._member.id)
        self._bear(part, entry.points, self._came_into(order))
        self._unspend(part.origin_id, entry, entry.points)

    def _revoke(self, entry: Entry) -> None:
        """What an achievement brought: off the part that has it."""
        source, day = self._known.get(entry.source_entry_id), self._program.day_of(entry.event_time)
        having = (part.origin_id for part in self._ordered() if any(kept == day for kept, _ in part.qualified))
        origin_id = source.origin_id or source.member_id if source else next(having, self._member.id)
        part = self._bear(self._part(origin_id if origin_id in self._parts else self._member.id), entry.points, ())
        days = qualified(part.qualified, self._program, entry.event_time, -entry.points, 0)
        self._keep(replace(part, qualified=days))

    def _bear(self, part: Part, points: int, first: tuple[int, ...]) -> Part:
        """Points off one part, from lots of these times first; what it lacks it owes."""
        kept, wanted = part.lots, min(points, sum(lot.points for lot in part.lots))
        for time in (*first, *(lot.expire_time for lot in part.lots)):
            kept, taken = _less(kept, time, wanted)
            wanted -= taken
        part = replace(part, balance=part.balance - points, refunded=part.refunded + points, lots=kept)
        self._keep(part)
        return part

    def _came_into(self, order: Entry | None) -> tuple[int, ...]:
        """When the order's own lot expires: in the part it is there even where it paid what another part owed."""
        if order is None:
            return ()
        settled = self._known.get(settled_entry_id(order.id))
        into = settled or order
        if into.lots:
            return (into.lots[0].expire_time,)
        time = into.event_time if settled else self._program.spendable_time(into.event_time)
        return (self._program.expire_time(time),)

    def _unspend(self, origin_id: str, entry: Entry, points: int) -> None:
        """What a refund takes off that counts towards tiers."""
        part, order = self._parts[origin_id], self._known.get(order_entry_id(entry.program_id, entry.order_id))
        refunded = self._refunds.get((entry.program_id, entry.order_id))
        money, whole = entry.order_amount_minor, 0
        if order and refunded and refunded.count == entry.refund_number:
            whole = int(refunded.amount_minor == order.order_amount_minor)
        time = order.event_time if order else entry.event_time
        days = qualified(part.qualified, self._program, time, -points, -money, -whole)
        self._keep(replace(part, spend_minor=part.spend_minor - money, orders=part.orders - whole, qualified=days))

    def _restore(self, entry: Entry) -> None:
        source = self._known.get(entry.source_entry_id)
        taken = source.by_origin if source and source.by_origin else ()
        given = 0
        for origin_id, expire_time, points in taken:
            if origin_id in self._parts:
                self._receive(origin_id, points, (Lot(expire_time, points),))
                part = self._parts[origin_id]
                self._keep(replace(part, spent=part.spent - points))
                given += points
        if rest := entry.points - given:
            owner_id = source.member_id if source and source.member_id in self._parts else self._member.id
            self._receive(owner_id, rest, source.lots if source else entry.lots)
            part = self._parts[owner_id]
            self._keep(replace(part, spent=part.spent - rest))

    def _extend(self, entry: Entry) -> None:
        """Lots that are valid for another time."""
        gained = list(entry.gained_lots)
        for origin_id, _, points in self._take(entry.lots, ""):
            while points:
                some = min(points, gained[0].points)
                self._receive(origin_id, some, (Lot(gained[0].expire_time, some),))
                points -= some
                gained[0] = Lot(gained[0].expire_time, gained[0].points - some)
                if not gained[0].points:
                    gained.pop(0)

    def _take(self, lots: Sequence[Lot], name: str) -> tuple[OriginLot, ...]:
        """Points off the parts, each from lots of the same time as far as there are, else from what expires first."""
        taken: list[OriginLot] = []
        for lot in lots:
            wanted = lot.points
            times = (lot.expire_time, *sorted({each.expire_time for part in self._ordered() for each in part.lots}))
            for time in times:
                for part in self._ordered():
                    kept, points = _less(part.lots, time, wanted)
                    if points:
                        sums = {name: getattr(part, name) + points} if name else {}
                        self._keep(replace(part, lots=kept, balance=part.balance - points, **sums))
                        taken.append(OriginLot(part.origin_id, time, points))
                        wanted -= points
        return tuple(taken)

    def _ordered(self) -> list[Part]:
        own = self._parts[self._member.id]
        return [own, *(part for part in self._parts.values() if part is not own)]


def _less(lots: tuple[Lot, ...], expire_time: int, points: int) -> tuple[tuple[Lot, ...], int]:
    """``lots`` without so many points of one time, as far as there are; and how many it were."""
    for at, lot in enumerate(lots):
        if lot.expire_time == expire_time and points:
            taken = min(points, lot.points)
            left = (Lot(expire_time, lot.points - taken),) if taken < lot.points else ()
            return (*lots[:at], *left, *lots[at + 1 :]), taken
    return lots, 0
