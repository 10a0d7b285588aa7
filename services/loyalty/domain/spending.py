"""Spending points, and points that come back because what they paid for does not happen: exact to the lot."""

from dataclasses import replace

from services.loyalty.domain.account_activity import note_activity
from services.loyalty.domain.books import Books
from services.loyalty.domain.entry import RESTORED, SPENT, Accounts, Entry, EntryKind, restored_entry_id
from services.loyalty.domain.expiry import active
from services.loyalty.domain.member import Cause, Member, added, burn, entered, taken_lots
from services.loyalty.domain.pending import settle
from services.loyalty.domain.program import Program
from services.loyalty.domain.spending_policy import Movement, check_movement, count_movement


def spend(books: Books, program: Program, purse: Member, points: int, cause: Cause, member_id: str) -> Entry:
    """Enter what a member spends, of their own points or of a shared account's; limits are the member's own.

    ``SpendingLimitReached`` and ``InsufficientPoints`` leave the books as they were.
    """
    now = cause.record_time
    check_movement(books, program, member_id, Movement.SPENT, points, now)
    entry = books.enter_all(*burned(purse, program, points, cause))
    count_movement(books, program, member_id, Movement.SPENT, points, now)
    return note_activity(books, entry, books.account_id(program.id, member_id))


def burned(
    member: Member, program: Program, points: int, cause: Cause, accounts: Accounts = SPENT
) -> tuple[Member, list[Entry]]:
    """Spent points, after pending ones whose time has come are posted: they can be spent from that instant on."""
    now = cause.record_time
    settled, entries = settle(member, program, now, now)
    settled, extension = active(settled, program, now, now)
    spent, entry = burn(settled, program, points, cause, accounts)
    return spent, [*entries, *extension, entry]


def give_back_points(books: Books, spent: Entry, now: int) -> Entry:
    """Enter what ``spent`` took back into the lots that it came from; points whose time has passed expire there."""
    program = books.program(spent.program_id)
    member = books.owner(spent)
    return books.enter(*restore(member, program, spent, now))


def restore(member: Member, program: Program, spent: Entry, now: int) -> tuple[Member, Entry]:
    """Points from SPENT to the member; a debt that came since is paid first, with what expires first."""
    owed = max(0, -member.balance)
    _, lots = taken_lots(spent.lots, min(owed, spent.points))
    kept = member.lots
    for lot in lots:
        kept = added(kept, (lot,))
    restored = replace(
        member,
        balance=member.balance + spent.points,
        spent=member.spent - spent.points,
        entry_count=member.entry_count + 1,
        lots=kept,
    )
    cause = Cause(
        restored_entry_id(spent.id),
        EntryKind.RESTORE,
        now,
        now,
        order_id=spent.order_id,
        reward_id=spent.reward_id,
        source_entry_id=spent.id,
    )
    return entered(restored, program, spent.points, lots, cause, RESTORED)
