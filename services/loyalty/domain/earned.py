"""Entering what something earns by rules, and giving back what refunds take: entries and usage in one commit."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from services.loyalty.domain.account_activity import note_activity
from services.loyalty.domain.books import Books
from services.loyalty.domain.customer import CUSTOMERS, SEGMENTS
from services.loyalty.domain.earning import (
    BASE,
    Activity,
    Boost,
    Known,
    Outcome,
    count_usage,
    return_usage,
    weigh,
)
from services.loyalty.domain.earning_rule import MEMBER_USAGE, PROGRAM_USAGE, RULE_BOOKS, ProgramUsage, RuleBook
from services.loyalty.domain.entry import Entry, Share
from services.loyalty.domain.expiry import active
from services.loyalty.domain.member import Cause, Member
from services.loyalty.domain.pending import earn_or_hold
from services.loyalty.domain.program import Program
from services.loyalty.domain.records import Ref


@dataclass(frozen=True, slots=True)
class Earned:
    """What something earned: the entry, if it was anything, and why not more."""

    entry: Entry | None
    outcome: Outcome


def book_ref(program_id: str) -> Ref[RuleBook]:
    """Where a programme's rules are kept."""
    return Ref(RULE_BOOKS, program_id)


def usage_refs(program_id: str, member_id: str) -> Iterator[Ref[Any]]:
    """Where the usage of a programme's rules and of a member's limits is kept."""
    yield Ref(PROGRAM_USAGE, program_id)
    yield Ref(MEMBER_USAGE, f"{program_id}/{member_id}")


def weighing_refs(program_id: str, member_id: str) -> Iterator[Ref[Any]]:
    """Everything that must be loaded before something of a member is weighed by rules."""
    yield from usage_refs(program_id, member_id)
    yield Ref(CUSTOMERS, member_id)
    yield Ref(SEGMENTS, member_id)


def known(books: Books, program: Program, member: Member, person_id: str) -> Known:
    """What is known of the rules, of who earns, and of whom it is about: another, where they share an account."""
    return Known(
        program=program,
        book=books.record(book_ref(program.id)) or RuleBook(program.id),
        member=member,
        customer=books.record(Ref(CUSTOMERS, person_id)),
        segments=books.record(Ref(SEGMENTS, person_id)),
        usage=books.record(Ref(PROGRAM_USAGE, program.id)),
        member_usage=books.record(Ref(MEMBER_USAGE, f"{program.id}/{person_id}")),
    )


def earn_by_rate(books: Books, program: Program, member_id: str, amount_minor: int, cause: Cause) -> Earned:
    """Enter what an order earns where no rule and no limit has a say. ``BalanceLimitReached`` as ``earn_by_rules``."""
    points = program.points_for(amount_minor)
    if points == 0:
        return Earned(None, Outcome())
    return Earned(_enter(books, program, books.earner(program.id, member_id), points, cause, member_id), Outcome())


def _enter(books: Books, program: Program, member: Member, points: int, cause: Cause, member_id: str) -> Entry:
    """What was earned, after what it extends as activity."""
    member, extension = active(member, program, cause.event_time, cause.record_time)
    member, entry = earn_or_hold(member, program, points, cause)
    return note_activity(books, books.enter_all(member, [*extension, entry]), member_id)


def earn_by_rules(
    books: Books, program: Program, member_id: str, activity: Activity, cause: Cause, boosts: Sequence[Boost] = ()
) -> Earned:
    """Enter what ``activity`` earns, if it is anything. ``BalanceLimitReached`` and ``MemberBlocked`` leave the
    books as they were.
    """
    now = cause.record_time
    member, person_id = books.earner(program.id, member_id), books.account_id(program.id, member_id)
    found = known(books, program, member, person_id)
    outcome = weigh(found, activity, now, boosts)
    if outcome.points == 0:
        return Earned(None, outcome)
    by_rules = outcome.shares if any(share.rule_id != BASE for share in outcome.shares) else ()
    entry = _enter(books, program, member, outcome.points, replace(cause, shares=by_rules), member_id)
    if by_rules or found.book.limits:
        usage, member_usage = count_usage(found, activity, outcome.shares, now)
        books.put_record(Ref(PROGRAM_USAGE, program.id), usage)
        if member_usage is not None:
            books.put_record(Ref(MEMBER_USAGE, f"{program.id}/{person_id}"), member_usage)
    return Earned(entry, outcome)


def give_back(books: Books, program: Program, order: Entry, refund: Entry) -> None:
    """Count what a refund of ``order`` came to as not given, so that it can be given again."""
    usage_ref, member_ref = Ref(PROGRAM_USAGE, program.id), Ref(MEMBER_USAGE, f"{program.id}/{refund.member_id}")
    member_usage = books.record(member_ref)
    came_to = refund.points + refund.uncollected
    returned: Sequence[Share] = refund.shares or (Share(BASE, 0, came_to),)
    if not refund.shares and member_usage is None:
        return
    before = books.record(usage_ref) or ProgramUsage(program.id)
    usage, after = return_usage(before, member_usage, returned, order.event_time, program.time_zone)
    if usage != before:
        books.put_record(usage_ref, usage)
    if after is not None and after != member_usage:
        books.put_record(member_ref, after)
