"""The check finds whatever is wrong: each invariant is broken once, by hand."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from services.loyalty.domain.books import Books
from services.loyalty.domain.check import VIOLATIONS_MAX, Audit, Violation
from services.loyalty.domain.entry import Account, Entry, Lot
from services.loyalty.domain.member import Member
from services.loyalty.domain.program import Qualification
from tests.loyalty.making import DAY, NOW, burning, earning, offering, opening, program, redeeming

CLUB = opening(qualification=Qualification.ROLLING_YEAR_POINTS)


def _kept() -> tuple[Member, list[Entry]]:
    books = Books()
    CLUB.apply(books, NOW)
    offering("mug", 5, 3).apply(books, NOW)
    earning("r1", 30, event_time=NOW - 100 * DAY).apply(books, NOW)
    earning("r2", 20).apply(books, NOW)
    burning("r3", 35).apply(books, NOW)
    redeeming("r4", "mug").apply(books, NOW)
    return books.member("club", "ann"), books.entered


def _found(member: Member, entries: list[Entry]) -> set[str]:
    audit = Audit()
    audit.check_member(member, program(qualification=Qualification.ROLLING_YEAR_POINTS), entries)
    return {violation.invariant for violation in audit.violations}


def test_a_sound_ledger_has_no_violations() -> None:
    assert _found(*_kept()) == set()


@pytest.mark.parametrize(
    ("invariant", "damage"),
    [
        ("BALANCE_DIFFERS", lambda member: replace(member, balance=member.balance + 1)),
        ("EARNED_DIFFERS", lambda member: replace(member, earned=1)),
        ("SPENT_DIFFERS", lambda member: replace(member, spent=0)),
        ("EXPIRED_DIFFERS", lambda member: replace(member, expired=1)),
        ("SPEND_DIFFERS", lambda member: replace(member, spend_minor=1)),
        ("LOTS_DIFFER", lambda member: replace(member, lots=())),
        ("QUALIFYING_DIFFERS", lambda member: replace(member, qualified=())),
        ("SEQUENCE_BROKEN", lambda member: replace(member, entry_count=5)),
    ],
)
def test_a_damaged_member_is_found(invariant: str, damage: Callable[[Member], Member]) -> None:
    member, entries = _kept()
    assert invariant in _found(damage(member), entries)


@pytest.mark.parametrize(
    ("invariant", "damage"),
    [
        ("SEQUENCE_BROKEN", lambda entries: entries[:-1]),
        ("SEQUENCE_BROKEN", lambda entries: [*entries, entries[-1]]),
        ("RUNNING_BALANCE_DIFFERS", lambda entries: [replace(entries[0], balance=7), *entries[1:]]),
        ("ACCOUNTS_INVALID", lambda entries: [*entries[:-1], replace(entries[-1], credit=Account.EXPIRED)]),
        ("ACCOUNTS_INVALID", lambda entries: [replace(entries[0], points=0, lots=()), *entries[1:]]),
        ("ENTRY_LOTS_DIFFER", lambda entries: [replace(entries[0], lots=(Lot(1, 29),)), *entries[1:]]),
        ("LOT_NEGATIVE", lambda entries: [*entries[:2], replace(entries[2], lots=(Lot(1, 35),)), entries[3]]),
        ("ENTRY_ID_INVALID", lambda entries: [replace(entries[0], request_id="other"), *entries[1:]]),
    ],
)
def test_a_damaged_entry_is_found(invariant: str, damage: Callable[[list[Entry]], list[Entry]]) -> None:
    member, entries = _kept()
    assert invariant in _found(member, damage(entries))


def test_stock_that_does_not_match_the_redemptions_is_found() -> None:
    books = Books()
    CLUB.apply(books, NOW)
    sold = offering("mug", 5, 3).apply(books, NOW)
    audit = Audit()
    audit.check_stock(replace(sold, redeemed=1), replace(sold, redeemed=1))
    audit.check_stock(sold, replace(sold, redeemed=4))
    assert [violation.invariant for violation in audit.violations] == ["STOCK_DIFFERS"] * 2


def test_entries_that_no_member_counts_are_found() -> None:
    member, entries = _kept()
    audit = Audit()
    audit.check_member(member, program(), entries)
    audit.check_count(len(entries) + 1)
    assert "ENTRIES_ORPHANED" in {violation.invariant for violation in audit.violations}


def test_the_list_of_violations_is_bounded() -> None:
    audit = Audit()
    for _ in range(VIOLATIONS_MAX + 1):
        audit.report(Violation("club", "ann", "BALANCE_DIFFERS", ""))
    assert len(audit.violations) == VIOLATIONS_MAX
