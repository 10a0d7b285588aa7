"""Refunds: exact to the point whatever their order, and no more than the policy allows."""

import asyncio
import itertools
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import Refusal
from services.common.store.sqlite import SqliteStore
from services.loyalty.adapters.documents import COLLECTIONS
from services.loyalty.adapters.ledger import StoredLedger
from services.loyalty.adapters.store import StoredEntries, StoredOrderFeed
from services.loyalty.domain.books import Books, OrderCounts
from services.loyalty.domain.entry import Account, Entry, EntryKind, Lot
from services.loyalty.domain.errors import OrderNotFound, RefundExceedsOrder
from services.loyalty.domain.orders import ApplyOrderEvents, Order
from services.loyalty.domain.program import Program, Qualification, RefundPolicy
from services.loyalty.domain.refunds import OrderRefund
from tests.loyalty.conftest import House
from tests.loyalty.making import (
    DAY,
    NOW,
    RETURN_WINDOW,
    TENANT,
    burning,
    earning,
    opening,
    order,
    refunding,
    request,
    told_refund,
    voiding,
)

POLICIES = tuple(RefundPolicy)


def _books(*events: Order | OrderRefund, **changed: Any) -> Books:
    books = Books(order_counts=OrderCounts())
    opening(**changed).apply(books, NOW)
    ApplyOrderEvents(events).apply(books, NOW)
    return books


async def _feed(house: House, *events: Order | OrderRefund) -> OrderCounts:
    cursor = await StoredOrderFeed(house.store).cursor()
    return await house.ledger.apply_order_events({TENANT: ApplyOrderEvents(events)}, cursor, f"{cursor}+")


async def _refunds(house: House, member_id: str = "ann", program_id: str = "club") -> Sequence[Entry]:
    page, _ = await StoredEntries(house.store).page(TENANT, program_id, member_id, 100, "")
    return [entry for entry in page[::-1] if entry.kind is EntryKind.REFUND]


@given(
    amount_minor=st.integers(100, 10**7),
    rate=st.integers(1, 1000),
    cuts=st.lists(st.floats(0, 1), max_size=6),
    shuffled=st.randoms(use_true_random=False),
)
def test_partial_refunds_come_to_the_same_in_any_order_and_to_everything_in_the_end(
    amount_minor: int, rate: int, cuts: list[float], shuffled: random.Random
) -> None:
    edges = sorted({0, amount_minor, *(int(amount_minor * cut) for cut in cuts)})
    parts = [upper - lower for lower, upper in itertools.pairwise(edges)]
    shuffled.shuffle(parts)
    books = _books(order("o", amount_minor), points_per_100_minor=rate, refund_policy=RefundPolicy.ALLOW_NEGATIVE)
    earned = books.member("club", "ann").balance
    refunded = 0
    for number, part in enumerate(parts):
        refunding(f"r{number}", "o", part).apply(books, NOW)
        refunded += part
        assert books.member("club", "ann").refunded == earned * refunded // amount_minor
    assert (books.member("club", "ann").balance, books.member("club", "ann").spend_minor) == (0, 0)


async def test_a_refund_takes_back_its_share_and_says_what_is_left(house: House) -> None:
    await _feed(house, order("o1", 1999))
    first = await house.ledger.post(request("r1"), refunding("r1", "o1", 1000))
    assert (first.entry.points, first.entry.order_amount_minor, first.left_minor) == (9, 1000, 999)
    assert (first.entry.debit, first.entry.credit) == (Account.MEMBER, Account.ISSUANCE)
    assert await house.ledger.post(request("r1"), refunding("r1", "o1", 1000)) == first
    rest = await house.ledger.post(request("r2"), refunding("r2", "o1"))
    assert (rest.entry.points, rest.entry.refund_number, rest.left_minor) == (10, 2, 0)
    member = await house.member("ann")
    assert (member.balance, member.earned, member.refunded, member.spend_minor) == (0, 19, 19, 0)
    assert (await house.audit()).violations == []


async def test_more_than_is_left_of_an_order_is_refused(house: House) -> None:
    await _feed(house, order("o1", 1000))
    await house.ledger.post(request("r1"), refunding("r1", "o1", 600))
    with pytest.raises(RefundExceedsOrder) as refused:
        await house.ledger.post(request("r2"), refunding("r2", "o1", 401))
    assert refused.value.metadata == {"left": "400", "asked": "401"}
    await house.ledger.post(request("r3"), refunding("r3", "o1"))
    with pytest.raises(RefundExceedsOrder):
        await house.ledger.post(request("r4"), refunding("r4", "o1"))
    with pytest.raises(OrderNotFound):
        await house.ledger.post(request("r5"), refunding("r5", "other"))
    assert (await house.audit()).violations == []


async def test_of_many_parallel_refunds_no_more_than_the_order_is_applied(house: House, store_file: Path) -> None:
    other_store = await SqliteStore.open(store_file, COLLECTIONS)
    ledgers = [house.ledger, StoredLedger(other_store, house.clock)]
    await _feed(house, order("o1", 2050))
    posts = [ledgers[n % 2].post(request(f"r{n}"), refunding(f"r{n}", "o1", 100)) for n in range(60)]
    outcomes = await asyncio.gather(*posts, return_exceptions=True)
    assert sum(isinstance(outcome, RefundExceedsOrder) for outcome in outcomes) == 40
    assert not any(isinstance(outcome, Exception) and not isinstance(outcome, Refusal) for outcome in outcomes)
    assert (await house.member("ann")).refunded == 20 * 2000 // 2050
    assert (await house.audit()).violations == []
    await ledgers[1].close()
    await other_store.close()


@pytest.mark.parametrize(
    ("policy", "balance", "taken", "uncollected"),
    [
        (RefundPolicy.ONLY_PENDING, 30, 0, 100),
        (RefundPolicy.WITHIN_BALANCE, 0, 30, 70),
        (RefundPolicy.ALLOW_NEGATIVE, -70, 100, 0),
    ],
)
async def test_of_points_that_are_spent_already_the_policy_says_what_is_taken(
    house: House, policy: RefundPolicy, balance: int, taken: int, uncollected: int
) -> None:
    await house.ledger.post(request("p"), opening("strict", refund_policy=policy))
    await _feed(house, order("o1", 10_000))
    await house.ledger.post(request("b"), burning("b", 70, program_id="strict"))
    refunded = await house.ledger.post(request("r"), refunding("r", "o1", program_id="strict"))
    entry = refunded.entry
    assert (entry.balance, entry.points, entry.uncollected, entry.debt) == (
        balance,
        taken,
        uncollected,
        max(0, -balance),
    )
    assert (await house.member("ann", "strict")).spend_minor == 0
    assert (await house.audit()).violations == []


async def test_what_is_earned_next_pays_the_debt_first(house: House) -> None:
    await house.ledger.post(request("p"), opening("lax", refund_policy=RefundPolicy.ALLOW_NEGATIVE))
    await _feed(house, order("o1", 10_000))
    await house.ledger.post(request("b"), burning("b", 70, program_id="lax"))
    await house.ledger.post(request("r"), refunding("r", "o1", program_id="lax"))
    first = await house.ledger.post(request("e1"), earning("e1", 40, program_id="lax"))
    assert (first.balance, first.lots, first.debt) == (-30, (), 40)
    with pytest.raises(Refusal, match="1 points are needed and 0 are available"):
        await house.ledger.post(request("b2"), burning("b2", 1, program_id="lax"))
    second = await house.ledger.post(request("e2"), earning("e2", 40, program_id="lax"))
    assert (second.balance, [lot.points for lot in second.lots], second.debt) == (10, [10], 30)
    assert (await house.audit()).violations == []


@pytest.mark.parametrize("policy", POLICIES)
async def test_pending_points_are_refunded_before_they_are_spendable(house: House, policy: RefundPolicy) -> None:
    await house.ledger.post(request("p"), opening("window", pending=RETURN_WINDOW, refund_policy=policy))
    await _feed(house, order("o1", 1000), order("o2", 5000))
    first = await house.ledger.post(request("r1"), refunding("r1", "o1", 250, "window"))
    assert (first.entry.debit, first.entry.points, first.entry.pending) == (Account.PENDING, 2, 58)
    house.clock.micros += 14 * DAY
    second = await house.ledger.post(request("r2"), refunding("r2", "o1", 250, "window"))
    taken = 0 if policy is RefundPolicy.ONLY_PENDING else 3
    assert (second.entry.debit, second.entry.points, second.entry.balance) == (Account.MEMBER, taken, 58 - taken)
    assert (await house.audit()).violations == []


async def test_of_points_that_were_voided_nothing_is_taken_again(house: House) -> None:
    told = opening("window", pending=RETURN_WINDOW, refund_policy=RefundPolicy.ALLOW_NEGATIVE)
    await house.ledger.post(request("p"), told)
    await _feed(house, order("o1", 1000))
    await house.ledger.post(request("v"), voiding("v", "o1", program_id="window"))
    refunded = await house.ledger.post(request("r"), refunding("r", "o1", program_id="window"))
    assert (refunded.entry.points, refunded.entry.uncollected, refunded.entry.balance) == (0, 10, 0)
    assert (await house.audit()).violations == []


def test_points_are_taken_from_the_lot_that_the_order_filled_and_then_from_what_expires_first() -> None:
    times = (NOW - 90 * DAY, NOW - 60 * DAY, NOW)
    books = _books(*(order(f"o{n}", 1000, time=time) for n, time in enumerate(times)))
    old, own, new = (lot.expire_time for lot in books.member("club", "ann").lots)
    refunding("r1", "o1", 400).apply(books, NOW)
    assert books.member("club", "ann").lots == (Lot(old, 10), Lot(own, 6), Lot(new, 10))
    burning("b", 13).apply(books, NOW)
    refunded = refunding("r2", "o1").apply(books, NOW)
    assert refunded.entry.lots == (Lot(own, 3), Lot(new, 3))
    assert books.member("club", "ann").lots == (Lot(new, 7),)


def test_points_whose_time_has_passed_expire_and_are_not_taken() -> None:
    books = _books(order("o1", 1000, time=NOW - 400 * DAY), refund_policy=RefundPolicy.ALLOW_NEGATIVE)
    refunded = refunding("r", "o1").apply(books, NOW)
    assert [entry.kind for entry in books.entered] == [EntryKind.ORDER, EntryKind.EXPIRY, EntryKind.REFUND]
    assert (refunded.entry.points, refunded.entry.balance) == (10, -10)


@pytest.mark.parametrize(
    ("qualification", "left"),
    [
        (Qualification.LIFETIME_POINTS, 110),
        (Qualification.ROLLING_YEAR_POINTS, 60),
        (Qualification.LIFETIME_SPEND, 11_000),
        (Qualification.ROLLING_YEAR_SPEND, 6_000),
    ],
)
def test_what_is_refunded_no_longer_counts_towards_tiers(qualification: Qualification, left: int) -> None:
    orders = [order("old", 10_000, time=NOW - 366 * DAY), order("new", 10_000)]
    books = _books(*orders, qualification=qualification, validity_months=0)
    club = books.programs["club"]
    refunding("r1", "new", 4_000).apply(books, NOW)
    demoted = refunding("r2", "old", 5_000).apply(books, NOW)
    assert books.member("club", "ann").qualifying(club, NOW) == left
    assert _tier(club, left) == demoted.entry.tier_id


def _tier(club: Program, qualifying: int) -> str:
    tier = club.tier_at(qualifying)
    return tier.id if tier else ""


async def test_events_refund_in_full_by_total_or_by_lines_at_most_the_order(house: House) -> None:
    await _feed(house, *(order(f"o{n}", 1000) for n in range(4)))
    refunds = (
        told_refund("o0"),
        told_refund("o1", 2.5, time=NOW - DAY),
        told_refund("o2", 1.25, 1.25, currency=""),
        told_refund("o3", 99),
        told_refund("o3", 1),
        told_refund("o3", currency="EUR"),
        told_refund("o2", 0),
    )
    assert await _feed(house, *refunds) == OrderCounts(refunds=4, empty_refunds=2)
    assert [(entry.order_id, entry.points) for entry in await _refunds(house)] == [
        ("o0", 10),
        ("o1", 2),
        ("o2", 2),
        ("o3", 10),
    ]
    assert (await _refunds(house))[1].event_time == NOW - DAY
    assert (await house.audit()).violations == []


@pytest.mark.parametrize("apart", [True, False])
async def test_a_refund_that_comes_before_its_order_is_applied_when_the_order_comes(house: House, apart: bool) -> None:
    early = (told_refund("o1", 3), told_refund("o1", 4), told_refund("o1", 99))
    if apart:
        assert await _feed(house, *early) == OrderCounts(waiting_refunds=3)
        with pytest.raises(OrderNotFound):
            await house.ledger.post(request("r"), refunding("r", "o1"))
        assert (await _feed(house, order("o1", 1000))).refunds == 3
    else:
        await _feed(house, *early, order("o1", 1000))
    assert [entry.points for entry in await _refunds(house)] == [3, 4, 3]
    assert await StoredOrderFeed(house.store).counts(TENANT) == OrderCounts(earned=1, refunds=3)
    assert (await _feed(house, order("o1", 1000))).refunds == 0
    assert (await house.member("ann")).balance == 0
    assert (await house.audit()).violations == []


async def test_the_order_of_events_is_the_order_of_entries_within_a_batch_too(house: House) -> None:
    await house.ledger.post(request("b0"), earning("b0", 5))
    await _feed(house, order("o1", 1000), told_refund("o1"), order("o2", 2000), told_refund("o2", 10))
    page, _ = await StoredEntries(house.store).page(TENANT, "club", "ann", 100, "")
    assert [entry.balance for entry in page[::-1]] == [5, 15, 5, 25, 15]
    assert (await house.audit()).violations == []


async def test_a_refund_goes_to_whom_the_order_earned_for(house: House) -> None:
    await _feed(house, order("o1", 1000, "bob"))
    await _feed(house, told_refund("o1"))
    assert (await house.member("bob")).balance == 0
    assert [entry.member_id for entry in await _refunds(house, "bob")] == ["bob"]


async def test_order_ids_of_any_text_are_refunded(house: House) -> None:
    strange = ["\0", "é" * 500, "a/b", " ", "x\ny"]
    await _feed(house, *(order(text, 100) for text in strange))
    await _feed(house, *(told_refund(text) for text in strange))
    assert (await house.member("ann")).refunded == 5
    assert (await house.audit()).violations == []
