"""Pending points: apart from the balance until they are posted, voided or expired, each of them once."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from services.common.errors import Refusal
from services.loyalty.adapters.store import StoredEntries, StoredMembers, StoredOrderFeed, StoredPrograms
from services.loyalty.domain.books import OrderCounts
from services.loyalty.domain.entry import Account, Entry, EntryKind
from services.loyalty.domain.errors import InsufficientPoints, PendingNotFound, PendingRuleInvalid
from services.loyalty.domain.orders import ApplyOrderEvents, Order
from services.loyalty.domain.program import (
    NEVER,
    PendingRelease,
    PendingRule,
    Qualification,
    check_pending_rule,
)
from services.loyalty.domain.standing import standing
from services.loyalty.handlers.expire_due_points import expire_due_points
from tests.loyalty.conftest import House
from tests.loyalty.making import (
    DAY,
    NOW,
    ON_ACTION,
    RETURN_WINDOW,
    TENANT,
    burning,
    earning,
    offering,
    opening,
    order,
    posting,
    program,
    redeeming,
    request,
    voiding,
)

WINDOW = "window"
ACTION = "action"


@pytest.fixture
async def waiting(house: House) -> House:
    """A house with a programme that waits for two weeks, and one that waits for an action."""
    await house.ledger.post(request("w"), opening(WINDOW, pending=RETURN_WINDOW, validity_months=1))
    await house.ledger.post(request("a"), opening(ACTION, pending=ON_ACTION, currency="EUR", validity_months=1))
    return house


async def _feed(house: House, *orders: Order) -> OrderCounts:
    cursor = await StoredOrderFeed(house.store).cursor()
    return await house.ledger.apply_order_events({TENANT: ApplyOrderEvents(orders)}, cursor, f"{cursor}+")


async def _statement(house: House, program_id: str) -> Sequence[Entry]:
    page, _ = await StoredEntries(house.store).page(TENANT, program_id, "ann", 100, "")
    return page[::-1]


async def _tick(house: House) -> Any:
    programs, members = StoredPrograms(house.store), StoredMembers(house.store)
    return await expire_due_points(programs, members, house.ledger, house.clock.micros)


async def test_what_an_order_earns_waits_apart_from_the_balance(waiting: House) -> None:
    await _feed(waiting, order("o1", 5000))
    member = await waiting.member("ann", WINDOW)
    assert (member.balance, member.earned, member.pending_points) == (0, 0, 50)
    assert (await waiting.member("ann")).balance == 50  # the club does not wait
    (entry,) = await _statement(waiting, WINDOW)
    assert (entry.debit, entry.credit, entry.balance, entry.pending) == (Account.ISSUANCE, Account.PENDING, 0, 50)
    with pytest.raises(InsufficientPoints):
        await waiting.ledger.post(request("b"), burning("b", 1, program_id=WINDOW))
    assert (await waiting.audit()).violations == []


async def test_the_clock_posts_when_the_return_window_has_passed_and_validity_begins_then(waiting: House) -> None:
    await _feed(waiting, order("o1", 5000, time=NOW - 4 * DAY))
    waiting.clock.micros = NOW + 10 * DAY - 1
    assert (await _tick(waiting)).posted_points == 0
    waiting.clock.micros = NOW + 12 * DAY
    assert (await _tick(waiting)).posted_points == 50
    assert (await _tick(waiting)).posted_points == 0
    member = await waiting.member("ann", WINDOW)
    assert (member.balance, member.pending) == (50, ())
    (lot,) = member.lots
    assert lot.expire_time == program(validity_months=1).expire_time(NOW + 10 * DAY)
    posted = (await _statement(waiting, WINDOW))[-1]
    assert (posted.kind, posted.order_id, posted.event_time) == (EntryKind.POST, "o1", NOW + 10 * DAY)
    assert (await waiting.audit()).violations == []


async def test_points_whose_time_has_come_can_be_spent_before_the_clock_has_ticked(waiting: House) -> None:
    await _feed(waiting, order("o1", 5000), order("o2", 3000, time=NOW + 1))
    await waiting.ledger.post(request("mug"), offering("mug", 40, program_id=WINDOW))
    waiting.clock.micros = NOW + 14 * DAY
    known = await StoredPrograms(waiting.store).get(TENANT, WINDOW)
    found = standing(await waiting.member("ann", WINDOW), known, waiting.clock.micros)
    assert (found.available, found.qualifying, found.member.balance) == (50, 50, 0)
    redeemed = await waiting.ledger.post(request("r"), redeeming("r", "mug", program_id=WINDOW))
    assert (redeemed.balance, redeemed.pending) == (10, 30)
    assert [entry.kind for entry in await _statement(waiting, WINDOW)][2:] == [EntryKind.POST, EntryKind.REDEMPTION]
    assert (await waiting.audit()).violations == []


async def test_an_order_whose_window_has_passed_already_earns_spendable_points(waiting: House) -> None:
    await _feed(waiting, order("o1", 5000, time=NOW - 14 * DAY))
    member = await waiting.member("ann", WINDOW)
    assert (member.balance, member.pending) == (50, ())
    assert member.lots[0].expire_time == program(validity_months=1).expire_time(NOW)


async def test_an_action_posts_points_by_their_order_or_their_entry(waiting: House) -> None:
    await _feed(waiting, order("o1", 5000, currency="EUR"))
    granted = await waiting.ledger.post(request("g"), earning("g", 7, program_id=ACTION, pending=True))
    at_once = await waiting.ledger.post(request("h"), earning("h", 3, program_id=ACTION))
    assert (granted.pending, at_once.pending, at_once.balance) == (57, 57, 3)
    waiting.clock.micros += DAY
    posted = await waiting.ledger.post(request("p1"), posting("p1", "o1", program_id=ACTION))
    assert (posted.points, posted.balance, posted.pending, posted.source_entry_id) == (50, 53, 7, "action/order/o1")
    assert posted.lots[0].expire_time == program(validity_months=1).expire_time(NOW + DAY)
    posted = await waiting.ledger.post(request("p2"), posting("p2", entry_id=granted.id, program_id=ACTION))
    assert (posted.points, posted.balance, posted.pending) == (7, 60, 0)
    with pytest.raises(PendingNotFound):
        await waiting.ledger.post(request("p3"), posting("p3", "o1", program_id=ACTION))
    assert (await waiting.audit()).violations == []


async def test_points_that_wait_too_long_for_an_action_expire_and_cannot_be_posted(waiting: House) -> None:
    await _feed(waiting, order("o1", 5000, currency="EUR", time=NOW - 100 * DAY))
    waiting.clock.micros = NOW + 30 * DAY
    with pytest.raises(PendingNotFound):  # at the very instant, the clock has not ticked
        await waiting.ledger.post(request("p"), posting("p", "o1", program_id=ACTION))
    expired = await _tick(waiting)
    assert (expired.member_count, expired.points, expired.posted_points) == (1, 50, 0)
    member = await waiting.member("ann", ACTION)
    assert (member.balance, member.pending, member.expired) == (0, (), 0)
    assert (await _statement(waiting, ACTION))[-1].debit is Account.PENDING
    assert (await waiting.audit()).violations == []


async def test_voided_points_are_gone_for_good(waiting: House) -> None:
    await _feed(waiting, order("o1", 5000))
    voided = await waiting.ledger.post(request("v"), voiding("v", "o1", program_id=WINDOW))
    assert (voided.kind, voided.credit, voided.points, voided.pending) == (EntryKind.VOID, Account.ISSUANCE, 50, 0)
    assert await waiting.ledger.post(request("v"), voiding("v", "o1", program_id=WINDOW)) == voided
    waiting.clock.micros += 20 * DAY
    assert (await _tick(waiting)).posted_points == 0
    assert (await waiting.member("ann", WINDOW)).balance == 0
    assert (await waiting.audit()).violations == []


async def test_of_many_that_post_and_void_at_once_one_wins(waiting: House) -> None:
    await _feed(waiting, *(order(f"o{n}", 100) for n in range(40)))
    posts = [
        waiting.ledger.post(request(f"p{n}"), posting(f"p{n}", f"o{n % 40}", program_id=WINDOW)) for n in range(80)
    ]
    voids = [waiting.ledger.post(request(f"v{n}"), voiding(f"v{n}", f"o{n}", program_id=WINDOW)) for n in range(40)]
    outcomes = await asyncio.gather(*voids, *posts, return_exceptions=True)
    assert sum(isinstance(outcome, Refusal) for outcome in outcomes) == 80
    member = await waiting.member("ann", WINDOW)
    assert member.pending == ()
    assert member.balance == sum(isinstance(each, Entry) and each.kind is EntryKind.POST for each in outcomes)
    assert (await waiting.audit()).violations == []


@pytest.mark.parametrize(
    ("qualification", "at_once", "later"),
    [
        (Qualification.LIFETIME_POINTS, 0, 50),
        (Qualification.ROLLING_YEAR_POINTS, 0, 50),
        (Qualification.LIFETIME_SPEND, 5000, 5000),
        (Qualification.ROLLING_YEAR_SPEND, 5000, 5000),
    ],
)
async def test_points_count_towards_tiers_once_they_are_spendable_and_spend_at_once(
    house: House, qualification: Qualification, at_once: int, later: int
) -> None:
    told = opening(WINDOW, pending=RETURN_WINDOW, qualification=qualification)
    club = await house.ledger.post(request("w"), told)
    await _feed(house, order("o1", 5000))
    assert (await house.member("ann", WINDOW)).qualifying(club, NOW) == at_once
    house.clock.micros += 14 * DAY
    await _tick(house)
    assert (await house.member("ann", WINDOW)).qualifying(club, NOW) == later
    assert (await house.audit()).violations == []


def test_points_that_wait_without_a_limit_are_not_the_clocks_business() -> None:
    forever = program(pending=PendingRule(PendingRelease.ON_ACTION))
    assert forever.pending_until(NOW, NOW) == NEVER


@pytest.mark.parametrize(
    "rule",
    [
        PendingRule(PendingRelease.IMMEDIATE, DAY),
        PendingRule(PendingRelease.AFTER_DURATION),
        PendingRule(PendingRelease.AFTER_DURATION, 1_500_000),
        PendingRule(PendingRelease.AFTER_DURATION, 3661 * DAY),
        PendingRule(PendingRelease.ON_ACTION, -DAY),
    ],
)
def test_a_rule_that_contradicts_itself_is_refused(rule: PendingRule) -> None:
    with pytest.raises(PendingRuleInvalid):
        check_pending_rule(rule)
