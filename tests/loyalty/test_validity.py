"""How long points are valid: against a reference that counts days, by examples, and what changes when lots expire."""

from datetime import UTC, date, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.clock import from_micros, to_micros
from services.common.errors import Refusal
from services.loyalty.adapters.documents import program_body, read_program
from services.loyalty.domain.entry import EntryKind, Lot
from services.loyalty.domain.errors import ValidityInvalid
from services.loyalty.domain.expiry import ChangeExpiry
from services.loyalty.domain.orders import ApplyOrderEvents
from services.loyalty.domain.program import NEVER
from services.loyalty.domain.validity import ExpiryRounding, Validity, ValidityUnit, check_validity, days_later
from tests.loyalty.conftest import House
from tests.loyalty.making import DAY, NOW, TENANT, burning, earning, instant, opening, order, program, request

BERLIN = "Europe/Berlin"


def valid(count: int, unit: str, rounding: str = "none", *, active: bool = False) -> Validity:
    return Validity(count, ValidityUnit(unit), ExpiryRounding(rounding), active)


def changing(id: str, expire_time: int = NEVER, **changed: Any) -> ChangeExpiry:
    values = {"program_id": "club", "member_id": "ann", "extend_days": 0, "until": NEVER, "reason": "sorry", **changed}
    return ChangeExpiry(expire_time=expire_time, request_id=id, **values)


@pytest.mark.parametrize(
    ("validity", "start", "end"),
    [
        (valid(30, "day", "day"), datetime(2026, 3, 15, 12), datetime(2026, 4, 15)),
        (valid(30, "day", "month"), datetime(2026, 3, 15, 12), datetime(2026, 5, 1)),
        (valid(12, "month", "quarter"), datetime(2026, 3, 31, 23), datetime(2027, 4, 1)),
        (valid(1, "year", "year"), datetime(2024, 2, 29, 8), datetime(2026, 1, 1)),
        (valid(1, "week", "week"), datetime(2026, 3, 15, 12), datetime(2026, 3, 23)),
        (valid(1, "month"), datetime(2026, 1, 31, 9, 30), datetime(2026, 2, 28, 9, 30)),
        (valid(1, "day"), datetime(2026, 3, 28, 12), datetime(2026, 3, 29, 12)),
    ],
)
def test_points_expire_by_the_calendar_of_the_zone(validity: Validity, start: datetime, end: datetime) -> None:
    zone = ZoneInfo(BERLIN)
    expected = to_micros(end.replace(tzinfo=zone).astimezone(UTC))
    assert validity.expire_time(to_micros(start.replace(tzinfo=zone).astimezone(UTC)), BERLIN) == expected


def _in_period(rounding: ExpiryRounding, day: date, other: date) -> bool:
    match rounding:
        case ExpiryRounding.WEEK:
            return day.isocalendar()[:2] == other.isocalendar()[:2]
        case ExpiryRounding.MONTH:
            return (day.year, day.month) == (other.year, other.month)
        case ExpiryRounding.QUARTER:
            return (day.year, (day.month + 2) // 3) == (other.year, (other.month + 2) // 3)
        case ExpiryRounding.YEAR:
            return day.year == other.year
    return day == other


@given(
    st.sampled_from([each for each in ExpiryRounding if each is not ExpiryRounding.NONE]),
    st.integers(1, 900),
    st.sampled_from(["UTC", BERLIN, "Asia/Kathmandu", "America/Los_Angeles"]),
    st.datetimes(datetime(2020, 1, 1), datetime(2035, 1, 1)),
)
def test_a_rounded_validity_ends_with_the_last_day_of_its_period(
    rounding: ExpiryRounding, days: int, zone: str, start: datetime
) -> None:
    began = start.replace(tzinfo=UTC)
    ends = Validity(days, ValidityUnit.DAY, rounding).expire_time(to_micros(began), zone)
    after = from_micros(ends).astimezone(ZoneInfo(zone))
    last = began.astimezone(ZoneInfo(zone)).date() + timedelta(days=days)
    assert (after.hour, after.minute) == (0, 0)
    assert _in_period(rounding, after.date() - timedelta(days=1), last)
    assert not _in_period(rounding, after.date(), last)


@pytest.mark.parametrize(
    ("validity", "months"),
    [(valid(1, "day"), 3), (valid(0, "day"), 0), (valid(101, "year"), 0), (valid(5, "day", active=True), 0)],
)
def test_a_validity_that_contradicts_itself_is_refused(validity: Validity, months: int) -> None:
    with pytest.raises(ValidityInvalid):
        check_validity(validity, months)


def test_a_programme_keeps_its_validity() -> None:
    made = program(validity_months=0)
    kept = program_body(made) | {"validity": None}
    assert read_program("club", {name: value for name, value in kept.items() if value is not None}).validity is None


async def test_a_programme_with_a_validity_is_read_as_it_was_opened(house: House) -> None:
    validity = valid(1, "year", "quarter", active=True)
    opened = await house.ledger.post(request("o"), opening("stars", validity_months=0, validity=validity))
    again = await house.ledger.post(request("o"), opening("stars", validity_months=0, validity=validity))
    assert opened == again == read_program("stars", program_body(opened))
    assert opened.validity == validity


async def test_the_expiry_of_lots_is_set_extended_and_taken_away(house: House) -> None:
    await house.ledger.post(request("e1"), earning("e1", 10))
    await house.ledger.post(request("e2"), earning("e2", 5, event_time=instant(2025, 6, 1)))
    first = instant(2025, 6, 1 + 1) + 365 * DAY
    assert next(lot.expire_time for lot in (await house.member("ann")).lots) == first

    soon = await house.ledger.post(request("c1"), changing("c1", NOW + DAY, until=first))
    assert (soon.kind, soon.points, soon.lots) == (EntryKind.VALIDITY, 5, (Lot(first, 5),))
    assert soon.gained_lots == (Lot(NOW + DAY, 5),)
    assert soon.balance == 15
    more = await house.ledger.post(request("c2"), changing("c2", extend_days=10))
    assert more.points == 15
    assert more.gained_lots[0] == Lot(days_later(NOW + DAY, 10, "UTC"), 5)
    last = await house.ledger.post(request("c3"), changing("c3"))
    assert last.gained_lots == (Lot(NEVER, 15),)
    assert (await house.member("ann")).lots == last.gained_lots
    with pytest.raises(Refusal) as refused:
        await house.ledger.post(request("c4"), changing("c4"))
    assert refused.value.reason == "LOT_NOT_FOUND"
    assert await house.ledger.post(request("c1"), changing("c1", NOW + DAY, until=first)) == soon
    assert (await house.audit()).violations == []


async def test_lots_whose_time_has_passed_are_not_brought_back(house: House) -> None:
    await house.ledger.post(request("e1"), earning("e1", 10, event_time=NOW - 900 * DAY))
    with pytest.raises(Refusal) as refused:
        await house.ledger.post(request("c1"), changing("c1", NOW + DAY))
    assert refused.value.reason == "LOT_NOT_FOUND"


async def test_activity_extends_what_the_member_has_once_a_day(house: House) -> None:
    yearly = valid(1, "month", "day", active=True)
    await house.ledger.post(request("o"), opening("stars", validity_months=0, validity=yearly))
    await house.ledger.apply_order_events({TENANT: ApplyOrderEvents([order("o1", 1000)])}, "", "c1")
    house.clock.micros += 20 * DAY
    later = house.clock.micros
    told = [order("o2", 1000, time=later), order("o3", 1000, time=later), order("late", 1000, time=later - 5 * DAY)]
    await house.ledger.apply_order_events({TENANT: ApplyOrderEvents(told)}, "c1", "c2")
    until = yearly.expire_time(later, "UTC")
    member = await house.member("ann", "stars")
    assert member.lots == (Lot(yearly.expire_time(later - 5 * DAY, "UTC"), 10), Lot(until, 30))
    assert member.entry_count == 5
    house.clock.micros += DAY
    await house.ledger.post(request("b"), burning("b", 5, program_id="stars"))
    assert {lot.expire_time for lot in (await house.member("ann", "stars")).lots} == {until + DAY}
    assert (await house.audit()).violations == []


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(1, 9)), min_size=1, max_size=8), st.randoms())
def test_the_order_in_which_activities_are_told_changes_no_expiry_of_what_was_there(
    told: list[tuple[int, int]], chance: Any
) -> None:
    from services.loyalty.domain.expiry import active
    from services.loyalty.domain.member import Member

    club = program(validity_months=0)
    object.__setattr__(club, "validity", valid(2, "week", "day", active=True))
    shuffled = list(told)
    chance.shuffle(shuffled)
    ends = []
    for days in (told, shuffled):
        member = Member("club", "ann", balance=7, earned=7, lots=(Lot(NOW + DAY, 7),), entry_count=1)
        for day, _ in days:
            member, _ = active(member, club, NOW - day * DAY, NOW)
        ends.append(member.lots)
    assert ends[0] == ends[1]
