"""The points of ``make run``, against the raw tables."""

import json
import uuid
from datetime import UTC, datetime

import pytest
from tessera.loyalty.v1 import loyalty_service_pb2 as loyalty

from tests.platform.demo import Client, Demo
from tests.platform.retailer import Retailer

pytestmark = pytest.mark.timeout(500)

PROGRAM = "rewards"
REWARD_POINTS = 500
MEMBER = "query Points($user: String!) { customer(userId: $user) { loyalty { availablePoints earnedPoints } } }"


def test_every_household_has_earned_a_point_a_whole_unit_of_each_order(client: Client, retailer: Retailer) -> None:
    earned = {household: sum(lots.values()) for household, lots in retailer.earned().items()}
    assert {household: member.earned_points for household, member in _members(client).items()} == earned


def test_points_that_are_older_than_twelve_months_have_expired(demo: Demo, client: Client, retailer: Retailer) -> None:
    spender, spent_at = _redemption(client, demo)[:2]
    today, members = _settled(client)
    expected = {}
    for household, lots in retailer.earned().items():
        expired = sum(points for expires, points in lots.items() if expires <= today)
        if household == spender:  # what was spent was what would have expired first
            due = sum(points for expires, points in lots.items() if spent_at < expires <= today)
            expired -= min(due, REWARD_POINTS)
        spent = REWARD_POINTS if household == spender else 0
        expected[household] = (expired, spent, sum(lots.values()) - expired - spent)
    answered = {
        household: (member.expired_points, member.spent_points, member.balance_points)
        for household, member in members.items()
    }
    assert answered == expected
    assert all(member.available_points == member.balance_points for member in members.values())
    # The year of the demonstration ends within the last week: on its very last day the oldest points are still good.
    oldest = min(expires for lots in retailer.earned().values() for expires in lots)
    assert oldest > today or sum(expired for expired, _, _ in expected.values()) > 0


def test_the_gateway_answers_the_same_points(client: Client, retailer: Retailer) -> None:
    earned = retailer.earned()
    _settled(client)
    members = _members(client)
    for household in list(earned)[::200]:
        assert client.ask(MEMBER, user=str(household))["customer"]["loyalty"] == {
            "availablePoints": members[household].available_points,
            "earnedPoints": sum(earned[household].values()),
        }


def test_the_ledger_is_sound_and_adds_up(client: Client, retailer: Retailer) -> None:
    _settled(client)
    check = client.call("loyalty", "CheckLedger")
    assert list(check.violations) == []
    (balances,) = check.balances
    members = _members(client)
    assert check.member_count == len(members)
    assert balances.member_points == sum(member.balance_points for member in members.values())
    assert balances.issuance_points == -sum(sum(lots.values()) for lots in retailer.earned().values())
    assert balances.spent_points == REWARD_POINTS
    assert balances.issuance_points + balances.member_points + balances.spent_points + balances.expired_points == 0


def test_the_entries_of_members_sum_to_their_balances(client: Client, retailer: Retailer) -> None:
    members = _members(client)
    orders = retailer.orders.assign(points=retailer.orders["cents"] // 100)
    for household in list(members)[::100]:
        member = members[household]
        entries = list(
            client.pages("loyalty", "ListEntries", "entries", program_id=PROGRAM, member_id=member.member_id)
        )
        gained = sum(e.points if e.credit == loyalty.ACCOUNT_KIND_MEMBER else -e.points for e in entries)
        assert (gained, len(entries)) == (member.balance_points, member.entry_count)
        assert [entry.sequence for entry in entries] == list(range(len(entries), 0, -1))
        own = orders[(orders["household"] == household) & (orders["points"] > 0)]
        by_order = {e.order_id: e.points for e in entries if e.kind == loyalty.ENTRY_KIND_ORDER}
        assert by_order == {str(basket): points for basket, points in own["points"].items()}


def test_every_order_was_seen_once(client: Client, retailer: Retailer) -> None:
    status = client.call("loyalty", "GetStatus")
    earning = int((retailer.orders["cents"] >= 100).sum())
    assert (status.earned_order_count, status.small_order_count) == (earning, len(retailer.orders) - earning)
    assert status.duplicate_order_count == status.invalid_order_count == status.other_currency_order_count == 0


def test_the_redemption_of_the_tour_took_what_the_reward_costs(demo: Demo, client: Client, retailer: Retailer) -> None:
    household, _, entry = _redemption(client, demo)
    assert (entry.points, sum(lot.points for lot in entry.lots)) == (REWARD_POINTS, REWARD_POINTS)
    assert (entry.debit, entry.credit) == (loyalty.ACCOUNT_KIND_MEMBER, loyalty.ACCOUNT_KIND_SPENT)
    (reward,) = client.pages("loyalty", "ListRewards", "rewards", program_id=PROGRAM)
    assert (reward.redeemed_count, reward.left_count) == (1, 999)
    assert f'"redemptionId": "{entry.entry_id}"' in demo.first
    assert f'"balancePoints": {entry.balance_points}' in demo.first
    assert sum(member.spent_points for member in _members(client).values()) == REWARD_POINTS
    assert client.customers[household].customer_id == entry.member_id


def _members(client: Client) -> dict[int, loyalty.Member]:
    every = sorted(client.households)
    found = [
        member
        for start in range(0, len(every), 1000)
        for member in client.call(
            "loyalty", "BatchGetMembers", program_id=PROGRAM, member_ids=every[start : start + 1000]
        ).members
    ]
    return {client.households[member.member_id]: member for member in found}


def _settled(client: Client) -> tuple[datetime, dict[int, loyalty.Member]]:
    """The members once everything that is due has expired, and the day on which that was so from first to last."""
    while True:
        before = _today()
        request = {"program_id": PROGRAM, "request_id": uuid.uuid4().hex}
        more = client.call("loyalty", "ExpirePoints", **request).more_due
        members = _members(client)
        if before == _today() and not more:
            return before, members


def _today() -> datetime:
    return datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def _redemption(client: Client, demo: Demo) -> tuple[int, datetime, loyalty.Entry]:
    """Who redeemed points in the tour, when, and the entry."""
    customer_id = json.loads((demo.folder / "journey.json").read_text())["customer_id"]
    entries = client.pages("loyalty", "ListEntries", "entries", program_id=PROGRAM, member_id=customer_id)
    (entry,) = (entry for entry in entries if entry.kind == loyalty.ENTRY_KIND_REDEMPTION)
    return client.households[customer_id], entry.event_time.ToDatetime(UTC), entry
