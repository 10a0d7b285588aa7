"""Achievements: the same whichever way events come, against a recount of all of them; rewards once, and revoked."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.errors import Refusal
from services.common.rules import Comparison, Operator
from services.common.rules.condition import Condition
from services.loyalty.adapters.clubs import StoredClubs
from services.loyalty.adapters.records import read_record, record_body
from services.loyalty.adapters.store import StoredEntries, StoredOrderFeed, StoredPrograms
from services.loyalty.domain.achievement import (
    Achievement,
    AchievementBook,
    AchievementPeriod,
    Step,
    StepMeasure,
    achievements_ref,
)
from services.loyalty.domain.achievement_events import Happened
from services.loyalty.domain.achievement_operations import CreateAchievement, UpdateAchievement
from services.loyalty.domain.achievement_progress import PROGRESS, Progress, day_number, progress_ref, streak
from services.loyalty.domain.achievement_refunds import OrderUndone
from services.loyalty.domain.books import Books, OrderCounts
from services.loyalty.domain.check import Audit
from services.loyalty.domain.entry import Entry, EntryKind
from services.loyalty.domain.orders import ApplyOrderEvents, Told
from services.loyalty.domain.program import RefundPolicy
from services.loyalty.handlers.achievements import list_member_achievements
from tests.loyalty.conftest import House
from tests.loyalty.making import DAY, NOW, TENANT, burning, opening, order, refunding, request, told_refund

ORDERED = "Order Completed"
EPOCH = date(1970, 1, 1)
TODAY = day_number(NOW, "UTC")


def step(target: int = 1, measure: str = "count", event_name: str = ORDERED, **changed: Any) -> Step:
    return Step(event_name, StepMeasure(measure), target, **changed)


def achievement(period: str, *steps: Step, **changed: Any) -> Achievement:
    values = {"achievement_id": "it", "name": "It", "reward_points": 10, "revoked_by_refund": True, **changed}
    return Achievement(program_id="club", steps=steps or (step(),), period=AchievementPeriod(period), **values)


@dataclass(frozen=True)
class Event:
    """An order, or another event, some days ago."""

    id: str
    name: str
    days_ago: int
    amount: float

    def told(self) -> Happened:
        properties = {"total": self.amount}
        order_id = self.id if self.name == ORDERED else ""
        return Happened(self.id, self.name, "ann", NOW - self.days_ago * DAY, lambda: properties, order_id)


EVENTS = st.lists(
    st.builds(
        Event,
        id=st.integers(1, 30).map(str),
        name=st.sampled_from([ORDERED, ORDERED, "Review Written"]),
        days_ago=st.integers(0, 45),
        amount=st.sampled_from([0.0, 1.5, 10.0, 33.333]),
    ),
    max_size=25,
    unique_by=lambda event: event.id,
)
ACHIEVEMENTS = st.one_of(
    st.builds(
        lambda period, target, measure, both: achievement(
            period,
            step(
                target * 1000 if measure == "sum" else target,
                measure,
                property_name="total" if measure == "sum" else "",
            ),
            *([step(1, event_name="Review Written")] if both else []),
        ),
        st.sampled_from(["once", "day", "week", "month", "year"]),
        st.integers(1, 4),
        st.sampled_from(["count", "sum", "distinct_days"]),
        st.booleans(),
    ),
    st.builds(
        lambda target, length, most: achievement("rolling_days", step(target), length=length, completions_max=most),
        st.integers(1, 4),
        st.integers(1, 9),
        st.integers(0, 3),
    ),
    st.builds(
        lambda period, length, misses: achievement(period, step(), length=length, misses=misses),
        st.sampled_from(["day_streak", "week_streak"]),
        st.integers(1, 4),
        st.integers(0, 2),
    ),
)


def books_with(told: Achievement, policy: RefundPolicy = RefundPolicy.ALLOW_NEGATIVE) -> Books:
    books = Books(order_counts=OrderCounts())
    opening(refund_policy=policy).apply(books, NOW)
    CreateAchievement(achievement=told).apply(books, NOW)
    return books


def apply(books: Books, *told: Told) -> None:
    ApplyOrderEvents(told).apply(books, NOW)


def reckoned(told: Achievement, events: Sequence[Event]) -> int:
    """How often the achievement is completed: by looking at every period, or by trying every choice of windows."""
    if told.period.streak:
        weekly = told.period is AchievementPeriod.WEEK_STREAK
        units = sorted({_week_start(day) // 7 if weekly else day for day in _days(events)})
        width = told.length + told.misses
        good = [
            (first, last)
            for first in units
            for last in units
            if first <= last < first + width and sum(first <= unit <= last for unit in units) >= told.length
        ]
        return _most(good)
    if told.period is AchievementPeriod.ROLLING_DAYS:
        days = sorted({TODAY - event.days_ago for event in events})
        good = [
            (first, last)
            for first in days
            for last in days
            if first <= last < first + told.length
            and _done(told, [event for event in events if first <= TODAY - event.days_ago <= last])
        ]
        most = _most(good)
        return min(most, told.completions_max) if told.completions_max else most
    periods: dict[Any, list[Event]] = {}
    for event in events:
        periods.setdefault(_period(told.period, TODAY - event.days_ago), []).append(event)
    return sum(_done(told, inside) for inside in periods.values())


def _week_start(day: int) -> int:
    at = EPOCH + timedelta(days=day)
    return (at - timedelta(days=at.weekday())).toordinal()


def _days(events: Sequence[Event]) -> set[int]:
    return {TODAY - event.days_ago for event in events if event.name == ORDERED}


def _most(windows: list[tuple[int, int]], after: int = -1) -> int:
    """The largest number of windows that do not overlap, by trying."""
    later = [window for window in windows if window[0] > after]
    if not later:
        return 0
    return max(
        1 + _most(later, last) for last in {last for _, last in later if last <= min(end for _, end in later) + 8}
    )


def _period(period: AchievementPeriod, day: int) -> Any:
    at = EPOCH + timedelta(days=day)
    return {
        AchievementPeriod.ONCE: 0,
        AchievementPeriod.DAY: day,
        AchievementPeriod.WEEK: at.isocalendar()[:2],
        AchievementPeriod.MONTH: (at.year, at.month),
        AchievementPeriod.YEAR: at.year,
    }[period]


def _done(told: Achievement, events: Sequence[Event]) -> bool:
    for each in told.steps:
        found = [event for event in events if event.name == each.event_name]
        amount = {
            StepMeasure.COUNT: len(found),
            StepMeasure.SUM: sum(round(event.amount * 1000) for event in found),
            StepMeasure.DISTINCT_DAYS: len({event.days_ago for event in found}),
        }[each.measure]
        if amount < each.target:
            return False
    return True


def standing(books: Books) -> int:
    progress = books.record(progress_ref("club", "it", "ann"))
    return progress.completed_count if progress else 0


def checked(books: Books) -> None:
    audit, member = Audit(), books.members.get(("club", "ann"))
    if member:
        audit.check_member(member, books.programs["club"], books.entered)
    assert audit.violations == []


@settings(max_examples=150, deadline=None)
@given(ACHIEVEMENTS, EVENTS, st.randoms(use_true_random=False), st.data())
def test_however_events_come_twice_late_or_undone_it_comes_to_a_recount_of_them(
    told: Achievement, events: list[Event], chance: Any, data: st.DataObject
) -> None:
    undone = {event.id for event in events if event.name == ORDERED and data.draw(st.booleans())}
    calls: list[Told] = [event.told() for event in events]
    calls += [event.told() for event in events if chance.random() < 0.3]
    calls += [OrderUndone(each, whole=True) for each in undone]
    chance.shuffle(calls)
    books = books_with(told)
    apply(books, *calls)
    kept = [event for event in events if event.id not in undone]
    assert standing(books) == reckoned(told, kept)
    points = sum(entry.points for entry in books.entered if entry.kind is EntryKind.GRANT)
    points -= sum(entry.points for entry in books.entered if entry.kind is EntryKind.REVOKE)
    assert points == 10 * standing(books)
    progress = books.record(progress_ref("club", "it", "ann"))
    assert progress is None or read_record(PROGRESS, record_body(progress)) == progress
    checked(books)


def test_what_an_order_brought_goes_back_with_it_and_comes_again() -> None:
    books = books_with(achievement("once", step(2)))
    apply(books, *(Event(each, ORDERED, 0, 5.0).told() for each in ("1", "2")))
    apply(books, OrderUndone("1", whole=True))
    assert [entry.kind for entry in books.entered] == [EntryKind.GRANT, EntryKind.REVOKE]
    apply(books, OrderUndone("1", whole=True), Event("1", ORDERED, 0, 5.0).told())
    assert standing(books) == 0
    apply(books, Event("3", ORDERED, 0, 5.0).told())
    assert [entry.kind for entry in books.entered][2:] == [EntryKind.GRANT]
    assert len({entry.id for entry in books.entered}) == 3
    assert books.members["club", "ann"].balance == 10
    checked(books)


def test_an_achievement_that_refunds_leave_alone_stays() -> None:
    books = books_with(achievement("once", revoked_by_refund=False))
    apply(books, Event("1", ORDERED, 0, 5.0).told(), OrderUndone("1", whole=True))
    assert (standing(books), books.members["club", "ann"].balance) == (1, 10)


@pytest.mark.parametrize(
    ("policy", "taken", "balance"),
    [(RefundPolicy.ONLY_PENDING, 0, 4), (RefundPolicy.WITHIN_BALANCE, 4, 0), (RefundPolicy.ALLOW_NEGATIVE, 10, -6)],
)
def test_what_is_revoked_keeps_to_the_refund_policy(policy: RefundPolicy, taken: int, balance: int) -> None:
    books = books_with(achievement("once"), policy)
    apply(books, Event("1", ORDERED, 0, 5.0).told())
    burning("b", 6).apply(books, NOW)
    apply(books, OrderUndone("1", whole=True))
    entry = books.entered[-1]
    assert (entry.kind, entry.points, entry.uncollected) == (EntryKind.REVOKE, taken, 10 - taken)
    assert books.members["club", "ann"].balance == balance
    checked(books)


def test_only_what_fulfils_the_condition_in_the_time_of_a_challenge_counts() -> None:
    dear = Condition(Comparison("total", Operator.AT_LEAST, (20.0,)))
    challenge = achievement(
        "once",
        step(2, condition=dear),
        step(1, event_name="Review Written"),
        start_time=NOW - 10 * DAY,
        end_time=NOW - DAY,
    )
    books = books_with(challenge)
    apply(books, Event("1", ORDERED, 5, 19.0).told(), Event("2", ORDERED, 11, 50.0).told())
    apply(books, Event("3", ORDERED, 1, 50.0).told(), Event("4", "Review Written", 2, 0).told())
    assert books.record(progress_ref("club", "it", "ann")).days[0].amounts == (0, 1)  # type: ignore[union-attr]
    apply(books, Event("5", ORDERED, 10, 50.0).told(), Event("6", ORDERED, 3, 20.0).told())
    assert standing(books) == 1


def test_a_streak_is_as_long_as_the_units_in_a_row_with_their_misses() -> None:
    told = achievement("day_streak", step(), length=30, misses=1)

    def length(*days_ago: int) -> int:
        books = books_with(told)
        apply(books, *(Event(str(each), ORDERED, each, 1.0).told() for each in days_ago))
        return streak(told, books.record(progress_ref("club", "it", "ann")) or Progress("club", "it", "ann"), TODAY)

    assert length() == 0
    assert length(0, 1, 2) == 3
    assert length(1, 2) == 2
    assert length(1, 3, 5) == 2
    assert length(3) == 0


def test_days_that_nothing_can_change_are_forgotten_and_completions_are_not() -> None:
    told = achievement("rolling_days", step(2), length=2)
    books, now = books_with(told), NOW
    numbers = count()
    for _ in range(60):
        for _ in range(2):
            told_id = f"o{next(numbers)}"
            ApplyOrderEvents([Happened(told_id, ORDERED, "ann", now, dict, told_id)]).apply(books, now)
        now += 30 * DAY
    progress = books.record(progress_ref("club", "it", "ann"))
    assert progress is not None
    assert progress.completed_count == 60
    assert len(progress.days) < 30
    assert progress.decided > 30
    assert books.members["club", "ann"].earned == 600


def test_what_is_told_too_late_or_from_the_future_counts_for_nothing() -> None:
    books = books_with(achievement("once"))
    apply(books, Event("1", ORDERED, 401, 1.0).told(), Event("2", ORDERED, -1, 1.0).told())
    assert standing(books) == 0
    apply(books, Event("3", ORDERED, 400, 1.0).told())
    assert standing(books) == 1


def test_where_there_is_no_achievement_an_event_needs_that_and_nothing_else() -> None:
    books = Books(order_counts=OrderCounts())
    opening().apply(books, NOW)
    happened = Event("1", ORDERED, 0, 1.0).told()
    needs = happened.needs(books.programs)
    assert list(needs.records) == [achievements_ref("club")]
    assert needs.then is not None
    further = needs.then(books)
    assert (list(further.members), list(further.records), further.then) == ([], [], None)
    apply(books, happened, OrderUndone("1", whole=True))
    assert not books.touched_records


@pytest.mark.parametrize(
    "wrong",
    [
        achievement("rolling_days"),
        achievement("once", length=3),
        achievement("day", step(1, "sum")),
        achievement("day", step(1, property_name="total")),
        achievement("week_streak", length=50, misses=4),
        achievement("day", misses=1),
        achievement("once", start_time=NOW, end_time=NOW),
        achievement("once", completions_max=2),
    ],
)
def test_an_achievement_that_contradicts_itself_is_refused(wrong: Achievement) -> None:
    with pytest.raises(Refusal) as refused:
        books_with(wrong)
    assert refused.value.reason == "ACHIEVEMENT_INVALID"


async def tell(house: House, *told: Told) -> None:
    after = await StoredOrderFeed(house.store).cursor()
    cursor = f"c{int(after[1:]) + 1}" if after else "c1"
    await house.ledger.apply_order_events({TENANT: ApplyOrderEvents(told)}, after, cursor)


async def entries(house: House) -> list[Entry]:
    return await StoredEntries(house.store).of_member(TENANT, await house.member("ann"))


async def test_orders_that_the_feed_tells_complete_and_a_refund_by_a_till_revokes(house: House) -> None:
    told = achievement("month", step(2), achievement_id="regular", name="Regular")
    made = await house.ledger.post(request("c"), CreateAchievement(achievement=told))
    assert await house.ledger.post(request("c"), CreateAchievement(achievement=told)) == made
    for order_id in ("o1", "o2"):
        await tell(house, order(order_id, 1000), Event(order_id, ORDERED, 0, 10.0).told())
    assert (await house.member("ann")).balance == 30
    await house.ledger.post(request("r1"), refunding("r1", "o2", 400))
    assert (await house.member("ann")).balance == 26
    await house.ledger.post(request("r2"), refunding("r2", "o2"))
    assert [entry.kind for entry in await entries(house)][-2:] == [EntryKind.REFUND, EntryKind.REVOKE]
    assert (await house.member("ann")).balance == 10
    await tell(house, order("o3", 1000), Event("o3", ORDERED, 0, 10.0).told())
    await tell(house, told_refund("o3", 4.0), OrderUndone("o3", whole=False))
    assert (await house.member("ann")).balance == 26
    await tell(house, told_refund("o3", 6.0), OrderUndone("o3", whole=False))
    assert (await house.member("ann")).balance == 10
    reached = await list_member_achievements(
        StoredPrograms(house.store), StoredClubs(house.store), TENANT, "club", "ann", NOW
    )
    (regular,) = reached
    assert (regular.amounts, regular.completed_count, len(regular.completions)) == ((1,), 0, 2)
    assert (await house.audit()).violations == []


async def test_an_achievement_can_change_but_for_what_it_asks(house: House) -> None:
    told = achievement("month", step(2))
    await house.ledger.post(request("c"), CreateAchievement(achievement=told))
    renamed = achievement("month", step(2), name="Other", reward_points=5, active=False)
    changed = await house.ledger.post(request("u"), UpdateAchievement(achievement=renamed, version=1))
    assert (changed.version, changed.name) == (2, "Other")
    book = await StoredClubs(house.store).achievements(TENANT, "club")
    assert book == AchievementBook("club", (changed,))
    for number, (other, version, reason) in enumerate(
        [
            (achievement("month", step(3)), 2, "ACHIEVEMENT_INVALID"),
            (renamed, 1, "ACHIEVEMENT_CHANGED"),
            (achievement("month", achievement_id="no"), 1, "ACHIEVEMENT_NOT_FOUND"),
        ]
    ):
        with pytest.raises(Refusal) as refused:
            await house.ledger.post(request(f"x{number}"), UpdateAchievement(achievement=other, version=version))
        assert refused.value.reason == reason
    with pytest.raises(Refusal) as refused:
        await house.ledger.post(request("again"), CreateAchievement(achievement=told))
    assert refused.value.reason == "ACHIEVEMENT_EXISTS"
