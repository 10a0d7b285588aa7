"""The check finds whatever is wrong: each invariant is broken once, by hand."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from services.loyalty.domain.books import Books, OrderCounts
from services.loyalty.domain.check import VIOLATIONS_MAX, Audit, Violation
from services.loyalty.domain.entry import Account, Entry, Lot
from services.loyalty.domain.member import Member
from services.loyalty.domain.orders import ApplyOrderEvents
from services.loyalty.domain.program import Qualification
from services.loyalty.domain.refund import RefundedOrder
from tests.loyalty.making import (
    DAY,
    NOW,
    RETURN_WINDOW,
    burning,
    earning,
    offering,
    opening,
    order,
    posting,
    program,
    redeeming,
    refunding,
)

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


def _waited() -> tuple[Member, list[Entry]]:
    books = Books(order_counts=OrderCounts())
    opening(pending=RETURN_WINDOW).apply(books, NOW)
    ApplyOrderEvents([order("o1", 3000), order("o2", 2000, time=NOW - 20 * DAY)]).apply(books, NOW)
    refunding("r1", "o1", 1000).apply(books, NOW)
    refunding("r2", "o2", 500).apply(books, NOW)
    posting("r3", "o1").apply(books, NOW)
    earning("r4", 7, pending=True).apply(books, NOW)
    return books.member("club", "ann"), books.entered


def _found_waited(member: Member, entries: list[Entry]) -> set[str]:
    audit = Audit()
    audit.check_member(member, program(pending=RETURN_WINDOW), entries)
    return {violation.invariant for violation in audit.violations}


def test_a_sound_ledger_with_pending_points_and_refunds_has_no_violations() -> None:
    assert _found_waited(*_waited()) == set()


@pytest.mark.parametrize(
    ("invariant", "damage"),
    [
        ("PENDING_DIFFERS", lambda member: replace(member, pending=())),
        ("PENDING_DIFFERS", lambda member: replace(member, pending=member.pending * 2)),
        ("REFUNDED_DIFFERS", lambda member: replace(member, refunded=0)),
        ("SPEND_DIFFERS", lambda member: replace(member, spend_minor=5000)),
    ],
)
def test_a_member_whose_pending_points_or_refunds_are_damaged_is_found(
    invariant: str, damage: Callable[[Member], Member]
) -> None:
    member, entries = _waited()
    assert invariant in _found_waited(damage(member), entries)


@pytest.mark.parametrize(
    ("invariant", "at", "damage"),
    [
        ("REFUND_DIFFERS", 2, {"order_amount_minor": 4000}),
        ("REFUND_DIFFERS", 2, {"uncollected": 1}),
        ("REFUND_DIFFERS", 3, {"order_id": "o9"}),
        ("ENTRY_ID_INVALID", 3, {"refund_number": 2}),
        ("SOURCE_INVALID", 4, {"points": 19, "lots": (Lot(1, 19),)}),
        ("SOURCE_INVALID", 4, {"source_entry_id": "club/order/o2"}),
        ("RUNNING_BALANCE_DIFFERS", 0, {"pending": 29}),
        ("DEBT_INVALID", 3, {"points": 50}),
        ("ACCOUNTS_INVALID", 4, {"debit": Account.ISSUANCE}),
    ],
)
def test_a_damaged_posting_or_refund_is_found(invariant: str, at: int, damage: dict[str, Any]) -> None:
    member, entries = _waited()
    entries[at] = replace(entries[at], **damage)
    assert invariant in _found_waited(member, entries)


def test_what_is_kept_as_refunded_must_be_what_the_refunds_come_to() -> None:
    audit = Audit()
    audit.refunds["club", "o1"] = 500
    kept = RefundedOrder("club", "o1", amount_minor=500, count=1)
    audit.check_refunds(("club", "o1"), None, kept)
    assert audit.violations == []
    audit.check_refunds(("club", "o1"), None, replace(kept, amount_minor=499))
    audit.check_refunds(("club", "o1"), None, None)
    audit.check_refunds(("club", "o2"), RefundedOrder("club", "o2", 1, 1), RefundedOrder("club", "o2", 1, 1))
    assert [violation.invariant for violation in audit.violations] == ["REFUND_DIFFERS"] * 3


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
