"""Refunds of an order: what they come to, exactly to the point, and what of it is taken back from whom."""

from dataclasses import dataclass, replace
from typing import NamedTuple

from services.loyalty.domain.entry import (
    RETURNED,
    RETURNED_PENDING,
    Account,
    Entry,
    EntryKind,
    Lot,
    Share,
    refund_entry_id,
)
from services.loyalty.domain.member import Cause, Member, entered, expire, qualified, taken_lots
from services.loyalty.domain.pending import pending_lot, settle, without
from services.loyalty.domain.program import Program, RefundPolicy


class WaitingRefund(NamedTuple):
    """A refund that came before its order. ``amount_minor`` of 0 is all of it."""

    amount_minor: int
    event_time: int


@dataclass(frozen=True, slots=True)
class RefundedOrder:
    """What has been refunded of an order in a programme, and what waits for the order."""

    program_id: str
    order_id: str
    amount_minor: int = 0
    count: int = 0
    waiting: tuple[WaitingRefund, ...] = ()
    returned: tuple[int, ...] = ()
    """What came back of each of the order's shares, where it has any."""


@dataclass(frozen=True, slots=True)
class RefundCause:
    """Why an order is refunded, and when."""

    record_time: int
    event_time: int
    request_id: str = ""
    reason: str = ""


def share(order: Entry, amount_minor: int) -> int:
    """What refunds of so much of an order come to: all its points only if it is all of the order.

    Each refund comes to the difference that it makes to this, so any order and any split of them comes to the same.
    """
    return order.points * amount_minor // order.order_amount_minor


def shares_back(
    shares: tuple[Share, ...], total: int, before: tuple[int, ...], amount_minor: int, due: int
) -> tuple[int, ...]:
    """How the ``due`` points of a refund fall on an order's shares, after refunds of ``amount_minor`` of ``total`` and
    ``before`` points of each share in all.

    What is behind its proportion most gives first, none more than it has: whatever the parts, each share has come back
    exactly once all of the order has.
    """
    if not shares:
        return ()
    returned = before or (0,) * len(shares)
    behind = [share.points * amount_minor - back * total for share, back in zip(shares, returned, strict=True)]
    wanted = [max(0, lag // total) for lag in behind]
    most_behind_first = sorted(range(len(wanted)), key=lambda at: wanted[at] * total - behind[at])
    for at in most_behind_first[: max(0, due - sum(wanted))]:
        wanted[at] += 1
    for at in reversed(most_behind_first):
        wanted[at] -= min(wanted[at], max(0, sum(wanted) - due))
    return tuple(wanted)


def added_up(before: tuple[int, ...], more: tuple[int, ...]) -> tuple[int, ...]:
    """Two rows of figures added up; none before is a row of zeros."""
    return tuple(map(sum, zip(before or (0,) * len(more), more, strict=True)))


def refund(
    member: Member,
    program: Program,
    order: Entry,
    settled: Entry | None,
    before: RefundedOrder,
    amount_minor: int,
    cause: RefundCause,
) -> tuple[Member, list[Entry], RefundedOrder]:
    """Refund so much of the order, at most what is left of it. The last of the entries is the refund's.

    ``settled`` is the entry that ended the order's pending points, if they were pending and that has happened. What
    the clock had to do by now is done first: what can be spent is then exactly the member's lots.
    """
    now = cause.record_time
    member, entries = settle(member, program, now, now)
    if lapsed := expire(member, program, now, now):
        member = lapsed[0]
        entries.append(lapsed[1])
    settled = next((entry for entry in entries if entry.source_entry_id == order.id), settled)

    after = replace(before, amount_minor=before.amount_minor + amount_minor, count=before.count + 1)
    due = share(order, after.amount_minor) - share(order, before.amount_minor)
    back = shares_back(order.shares, order.order_amount_minor, before.returned, after.amount_minor, due)
    after = replace(after, returned=added_up(before.returned, back))
    held = pending_lot(member, order.id)
    points = min(due, held.points) if held else _collected(member, program, order, settled, due)
    said = Cause(
        refund_entry_id(program.id, before.order_id, after.count),
        EntryKind.REFUND,
        record_time=now,
        event_time=cause.event_time,
        order_id=before.order_id,
        order_amount_minor=amount_minor,
        request_id=cause.request_id,
        reason=cause.reason,
        uncollected=due - points,
        refund_number=after.count,
        shares=tuple(share._replace(points=points) for share, points in zip(order.shares, back, strict=True) if points),
    )
    whole = int(after.amount_minor == order.order_amount_minor)
    smaller = replace(
        member,
        spend_minor=member.spend_minor - amount_minor,
        orders=member.orders - whole,
        entry_count=member.entry_count + 1,
    )
    if held:
        left = replace(
            smaller,
            pending=without(member.pending, held, points),
            qualified=qualified(member.qualified, program, order.event_time, 0, -amount_minor, -whole),
        )
        member, entry = entered(left, program, points, (), said, RETURNED_PENDING)
    else:
        member, entry = _take_back(smaller, program, points, order, settled, said, whole)
    return member, [*entries, entry], after


def _collected(member: Member, program: Program, order: Entry, settled: Entry | None, due: int) -> int:
    """How many of the points that a refund comes to are taken back from what the member can spend."""
    spendable = order.credit is Account.MEMBER or (settled is not None and settled.credit is Account.MEMBER)
    if not spendable or program.refund_policy is RefundPolicy.ONLY_PENDING:
        return 0
    if program.refund_policy is RefundPolicy.ALLOW_NEGATIVE:
        return due
    return min(due, max(0, member.balance))


def _take_back(
    member: Member, program: Program, points: int, order: Entry, settled: Entry | None, said: Cause, whole: int
) -> tuple[Member, Entry]:
    """Points from the member's lots, first from the one that the order's came into; what they lack becomes debt."""
    into = (settled or order).lots
    own = next((lot for lot in member.lots if into and lot.expire_time == into[0].expire_time), None)
    first = (own,) if own else ()
    taken, left = taken_lots((*first, *(lot for lot in member.lots if lot is not own)), points)
    returned = replace(
        member,
        balance=member.balance - points,
        refunded=member.refunded + points,
        lots=tuple(sorted(left)),
        qualified=qualified(member.qualified, program, order.event_time, -points, -said.order_amount_minor, -whole),
    )
    return entered(returned, program, points, _by_expiry(taken), said, RETURNED)


def _by_expiry(lots: tuple[Lot, ...]) -> tuple[Lot, ...]:
    return tuple(sorted(lots))
