"""Transfers between members: out of the sender's lots and into the receiver's, with the same expiry, by two entries."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from services.loyalty.domain.books import Books, Needs
from services.loyalty.domain.entry import (
    RECEIVED,
    SENT,
    AccountRole,
    Entry,
    EntryKind,
    Lot,
    received_entry_id,
    request_entry_id,
)
from services.loyalty.domain.errors import (
    BalanceLimitReached,
    MemberBlocked,
    TransferInvalid,
    TransfersNotAllowed,
    TransferTooSmall,
)
from services.loyalty.domain.member import EARNED_MAX, Cause, Member, added, entered, taken_lots
from services.loyalty.domain.program import Program
from services.loyalty.domain.records import Kind, Ref
from services.loyalty.domain.spending import burned
from services.loyalty.domain.spending_policy import (
    Movement,
    check_movement,
    count_movement,
    policy_of,
    policy_ref,
    usage_needs,
)


@dataclass(frozen=True, slots=True)
class Transfer:
    """What one member transferred to another; its id is that of the sender's entry."""

    transfer_id: str
    program_id: str
    sender_id: str
    receiver_id: str
    points: int
    time: int


TRANSFERS = Kind("transfers", Transfer)


@dataclass(frozen=True, slots=True)
class Transferred:
    """A transfer, and what both sides have after it."""

    transfer: Transfer
    sender_balance: int
    receiver_balance: int


def receive(member: Member, program: Program, points: int, lots: tuple[Lot, ...], cause: Cause) -> tuple[Member, Entry]:
    """Points from TRANSFER to the member, in the lots that they came from; a debt is paid first, by the soonest."""
    held = max(member.received, member.balance + member.pending_points)
    if held + points > EARNED_MAX:
        raise BalanceLimitReached(f"member {member.id} would hold more than {EARNED_MAX} points", limit=EARNED_MAX)
    _, gained = taken_lots(lots, min(max(0, -member.balance), points))
    kept = member.lots
    for lot in gained:
        kept = added(kept, (lot,))
    received = replace(
        member,
        balance=member.balance + points,
        received=member.received + points,
        entry_count=member.entry_count + 1,
        enroll_time=member.enroll_time or cause.record_time,
        lots=kept,
    )
    return entered(received, program, points, gained, cause, RECEIVED)


def move(
    books: Books,
    program: Program,
    sender: Member,
    receiver: Member,
    points: int,
    request_id: str,
    reason: str,
    now: int,
) -> Transferred:
    """Enter both sides, or neither, and keep the transfer."""
    out = Cause(request_entry_id(request_id), EntryKind.TRANSFER_OUT, now, now, request_id=request_id, reason=reason)
    sender, entries = burned(sender, program, points, out, SENT)
    into = Cause(
        received_entry_id(out.entry_id),
        EntryKind.TRANSFER_IN,
        now,
        now,
        request_id=request_id,
        source_entry_id=out.entry_id,
    )
    receiver, received = receive(receiver, program, points, entries[-1].lots, into)
    books.enter_all(sender, entries)
    books.enter(receiver, received)
    transfer = Transfer(out.entry_id, program.id, sender.id, receiver.id, points, now)
    books.put_record(Ref(TRANSFERS, transfer.transfer_id), transfer)
    return Transferred(transfer, sender.balance, receiver.balance)


@dataclass(frozen=True, slots=True, kw_only=True)
class TransferPoints:
    """Transfers points from one member to another, as the programme's policy allows."""

    program_id: str
    sender_id: str
    receiver_id: str
    points: int
    reason: str
    request_id: str

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        sides = (self.sender_id, self.receiver_id)
        return Needs(
            members=[(self.program_id, member_id) for member_id in sides],
            records=[policy_ref(self.program_id)],
            then=lambda books: usage_needs(self.program_id, sides),
        )

    def apply(self, books: Books, now: int) -> Transferred:
        if self.sender_id == self.receiver_id:
            raise TransferInvalid("sender and receiver are the same", field="receiver_id")
        program = books.program(self.program_id)
        own, other = (books.member(program.id, member_id) for member_id in (self.sender_id, self.receiver_id))
        if own.id == other.id:
            raise TransferInvalid("sender and receiver are one by now", field="receiver_id")
        receiver = books.earner(program.id, self.receiver_id)
        if own.account_id and own.account_id == receiver.id:
            return self._contribute(books, program, own, receiver, now)
        sender = books.spender(program.id, self.sender_id, AccountRole.OWNER)
        policy = policy_of(books, program.id)
        if not policy.transfers_allowed:
            raise TransfersNotAllowed(f"members of {program.id} may not transfer points", program_id=program.id)
        if self.points < policy.transfer_min:
            raise TransferTooSmall(f"a transfer is at least {policy.transfer_min} points", least=policy.transfer_min)
        sides = ((self.sender_id, Movement.SENT), (self.receiver_id, Movement.RECEIVED))
        for member_id, movement in sides:
            check_movement(books, program, member_id, movement, self.points, now)
        done = move(books, program, sender, receiver, self.points, self.request_id, self.reason, now)
        for member_id, movement in sides:
            count_movement(books, program, member_id, movement, self.points, now)
        return done

    def _contribute(self, books: Books, program: Program, own: Member, account: Member, now: int) -> Transferred:
        """Put what a user has beside the shared account into it: that is no gift, so no policy limits it."""
        if own.block:
            raise MemberBlocked(f"{own.id} is blocked from spending", member_id=own.id, block=own.block)
        return move(books, program, own, account, self.points, self.request_id, self.reason, now)
