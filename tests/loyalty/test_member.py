"""A member's lots, tiers and limits, one entry at a time."""

import pytest

from services.loyalty.domain.entry import Account, Entry, EntryKind, Lot, order_entry_id
from services.loyalty.domain.errors import BalanceLimitReached, InsufficientPoints
from services.loyalty.domain.member import EARNED_MAX, Cause, Member, burn, earn, expire
from services.loyalty.domain.program import NEVER, Program, Qualification
from services.loyalty.domain.standing import standing
from tests.loyalty.making import DAY, NOW, instant, program

CLUB = program()


def _earned(
    member: Member, points: int, time: int = NOW, club: Program = CLUB, amount_minor: int = 0
) -> tuple[Member, Entry]:
    entry_id = order_entry_id(club.id, str(member.entry_count))
    cause = Cause(entry_id, EntryKind.ORDER, NOW, time, order_amount_minor=amount_minor)
    return earn(member, club, points, cause)


def _burned(member: Member, points: int, now: int = NOW) -> tuple[Member, Entry]:
    return burn(member, CLUB, points, Cause("burn", EntryKind.BURN, now, now))


def _saved(*amounts_and_times: tuple[int, int]) -> Member:
    member = Member("club", "ann")
    for points, time in amounts_and_times:
        member, _ = _earned(member, points, time)
    return member


def test_earning_moves_points_from_issuance_to_the_member() -> None:
    member, entry = _earned(Member("club", "ann"), 40)
    assert (entry.debit, entry.credit, entry.points, entry.balance) == (Account.ISSUANCE, Account.MEMBER, 40, 40)
    assert (member.balance, member.earned, member.entry_count, entry.sequence) == (40, 40, 1, 1)


def test_points_of_one_day_are_one_lot() -> None:
    member = _saved((10, NOW), (5, NOW + 3600), (7, NOW - DAY))
    assert [lot.points for lot in member.lots] == [7, 15]


def test_what_expires_first_is_spent_first() -> None:
    member = _saved((10, NOW), (10, NOW - 300 * DAY), (10, NOW - 100 * DAY))
    left, entry = _burned(member, 15)
    first, second, third = (lot.expire_time for lot in member.lots)
    assert first < second < third
    assert entry.lots == (Lot(first, 10), Lot(second, 5))
    assert left.lots == (Lot(second, 5), Lot(third, 10))


def test_points_past_their_time_cannot_be_spent_even_before_their_expiry_is_entered() -> None:
    member = _saved((10, NOW - 400 * DAY), (4, NOW))
    assert (member.balance, member.available(NOW)) == (14, 4)
    with pytest.raises(InsufficientPoints) as refused:
        _burned(member, 5)
    assert refused.value.metadata == {"needed": "5", "available": "4"}
    left, _ = _burned(member, 4)
    assert left.lots == member.lots[:1]


def test_burning_more_than_the_balance_is_refused_and_changes_nothing() -> None:
    member = _saved((10, NOW))
    with pytest.raises(InsufficientPoints):
        _burned(member, 11)
    assert member == _saved((10, NOW))


def test_points_expire_at_the_midnight_after_their_last_day_and_not_before() -> None:
    member = _saved((10, instant(2025, 3, 15, 18)))
    midnight = instant(2026, 3, 16)
    assert (member.available(midnight - 1), member.available(midnight)) == (10, 0)
    assert expire(member, CLUB, midnight - 1, midnight) is None
    taken = expire(member, CLUB, midnight, midnight)
    assert taken is not None
    left, entry = taken
    assert (left.balance, left.expired, left.lots) == (0, 10, ())
    assert (entry.debit, entry.credit, entry.points) == (Account.MEMBER, Account.EXPIRED, 10)


def test_points_that_never_expire_are_spent_last() -> None:
    forever = program(validity_months=0)
    member, _ = _earned(_saved((5, NOW)), 5, club=forever)
    assert member.lots[-1] == Lot(NEVER, 5)
    assert _burned(member, 6)[0].lots == (Lot(NEVER, 4),)


def test_nobody_earns_more_than_a_balance_can_hold() -> None:
    member, _ = _earned(Member("club", "ann"), EARNED_MAX)
    with pytest.raises(BalanceLimitReached):
        _earned(member, 1)


def test_an_entry_says_which_tier_it_led_to() -> None:
    member, first = _earned(Member("club", "ann"), 99)
    member, second = _earned(member, 1)
    member, third = _burned(member, 100)
    assert [(entry.previous_tier_id, entry.tier_id) for entry in (first, second, third)] == [
        ("", "basic"),
        ("basic", "silver"),
        ("silver", "silver"),
    ]


@pytest.mark.parametrize(
    ("qualification", "qualifying"),
    [
        (Qualification.LIFETIME_POINTS, 23),
        (Qualification.ROLLING_YEAR_POINTS, 13),
        (Qualification.LIFETIME_SPEND, 2350),
        (Qualification.ROLLING_YEAR_SPEND, 1350),
    ],
)
def test_tiers_count_points_or_spend_ever_or_within_a_year(qualification: Qualification, qualifying: int) -> None:
    club = program(qualification=qualification)
    member = Member("club", "ann")
    for points, amount_minor, time in ((10, 1000, NOW - 366 * DAY), (13, 1350, NOW - 364 * DAY)):
        member, _ = _earned(member, points, time, club, amount_minor)
    assert member.qualifying(club, NOW) == qualifying


def test_a_rolling_year_forgets_as_time_passes() -> None:
    club = program(qualification=Qualification.ROLLING_YEAR_POINTS)
    member, _ = _earned(Member("club", "ann"), 120, instant(2025, 6, 1, 9), club)
    assert member.qualifying(club, instant(2026, 5, 31, 23)) == 120
    assert member.qualifying(club, instant(2026, 6, 1)) == 0


def test_the_standing_tells_how_much_is_missing_and_what_expires_soon() -> None:
    member = _saved((60, NOW), (8, NOW - 350 * DAY), (3, NOW - 360 * DAY), (2, NOW - 400 * DAY))
    found = standing(member, CLUB, NOW)
    assert (found.available, found.qualifying, found.next_tier_amount) == (71, 73, 27)
    assert found.tier is not None
    assert found.next_tier is not None
    assert (found.tier.id, found.next_tier.id) == ("basic", "silver")
    assert [lot.points for lot in found.expiring] == [3, 8]
    assert found.expiring_points == 11
