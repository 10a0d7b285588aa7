"""Achievements through merges: one person's progress while merged, and each one's own again afterwards."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.loyalty.adapters.clubs import StoredClubs
from services.loyalty.adapters.store import StoredPrograms
from services.loyalty.domain.achievement import Achievement
from services.loyalty.domain.achievement_events import Happened
from services.loyalty.domain.achievement_operations import CreateAchievement
from services.loyalty.domain.achievement_progress import Progress, completed, progress_ref
from services.loyalty.domain.achievement_refunds import OrderUndone
from services.loyalty.domain.books import Books
from services.loyalty.domain.merges import MergeTold, UnmergeTold
from services.loyalty.handlers.achievements import list_member_achievements
from tests.loyalty.conftest import House
from tests.loyalty.making import DAY, NOW, TENANT, order, request
from tests.loyalty.test_achievements import ACHIEVEMENTS, ORDERED, achievement, apply, books_with, step
from tests.loyalty.test_referrals import tell

PEOPLE = ("ann", "bob", "cid")


def happened(id: str, origin_id: str, member_id: str, days_ago: int = 0, amount: float = 10.0) -> Happened:
    """An order of one customer, as it is told of whoever they are now."""
    properties = {"total": amount}
    return Happened(
        id, ORDERED, member_id, NOW - days_ago * DAY, lambda: properties, id, origin_id, "USD", round(amount * 100)
    )


def progress(books: Books, member_id: str) -> Progress:
    return books.record(progress_ref("club", "it", member_id)) or Progress("club", "it", member_id)


@dataclass
class People:
    """Who is part of whom, and what each did."""

    into: dict[str, str] = field(default_factory=dict)
    done: list[tuple[str, Happened]] = field(default_factory=list)

    def of(self, name: str) -> str:
        while name in self.into:
            name = self.into[name]
        return name

    def origins(self, name: str) -> set[str]:
        return {each for each in PEOPLE if self.of(each) == name}


steps = st.lists(
    st.one_of(
        st.tuples(st.just("order"), st.sampled_from(PEOPLE), st.integers(0, 30)),
        st.tuples(st.just("merge"), st.sampled_from(PEOPLE), st.sampled_from(PEOPLE)),
        st.tuples(st.just("unmerge"), st.sampled_from(PEOPLE), st.just("")),
        st.tuples(st.just("undo"), st.just(""), st.integers(0, 20)),
    ),
    max_size=14,
)


@settings(max_examples=150, deadline=None)
@given(told=ACHIEVEMENTS, steps=steps)
def test_progress_is_what_all_names_of_a_person_have_done(told: Achievement, steps: list[Any]) -> None:
    books, people = books_with(told), People()
    undone: set[str] = set()
    parted = False
    for at, (what, name, other) in enumerate(steps):
        if what == "order":
            event = happened(f"o{at}", name, people.of(name), other)
            people.done.append((name, event))
            apply(books, event)
        elif what == "merge" and people.of(name) == name and people.of(other) != name:
            apply(books, MergeTold(f"m{at}", people.of(other), name))
            people.into[name] = people.of(other)
        elif what == "unmerge" and name in people.into:
            origins = tuple(each for each in PEOPLE if _through(people, each, name))
            apply(books, UnmergeTold(f"u{at}", people.of(name), name, origins))
            del people.into[name]
            parted = True
        elif what == "undo" and other < len(people.done):
            undone.add(people.done[other][1].order_id)
            apply(books, OrderUndone(people.done[other][1].order_id, whole=True))
        for person in PEOPLE:
            alone = books_with(told)
            apply(alone, *(_as(event, person) for name, event in people.done if people.of(name) == person))
            apply(alone, *(OrderUndone(order_id, whole=True) for order_id in sorted(undone)))
            held = progress(books, person)
            assert held.days == (progress(alone, person).days if people.of(person) == person else ())
            sums = [day for part in held.parts for day in part.days]
            assert not held.parts or sum(sum(day.amounts) for day in sums) == sum(sum(d.amounts) for d in held.days)
            standing = [each for each in held.completions if not each.revoke_time]
            assert held.completed_count == len(standing)
            assert len({each.key for each in standing}) == len(standing)
            if people.of(person) == person and not parted:  # an unmerge rewards nothing: the next event does
                assert len(standing) >= len(completed(told, held))
    assert sum(entry.points for entry in books.entered if entry.kind.value == "grant") >= 0


def _through(people: People, each: str, name: str) -> bool:
    """Whether ``each`` is ``name``, or came to where it is through it."""
    while each != name and each in people.into:
        each = people.into[each]
    return each == name


def _as(event: Happened, member_id: str) -> Happened:
    return Happened(
        event.event_id, event.name, member_id, event.event_time, event.details, event.order_id, "", "USD", 1000
    )


@settings(max_examples=100, deadline=None)
@given(
    told=ACHIEVEMENTS,
    days=st.lists(st.tuples(st.sampled_from(PEOPLE[:2]), st.integers(0, 30)), max_size=12),
)
def test_an_unmerge_gives_back_exactly_what_each_had(told: Achievement, days: list[tuple[str, int]]) -> None:
    books = books_with(told)
    apply(books, *(happened(f"o{at}", name, name, days_ago) for at, (name, days_ago) in enumerate(days)))
    before = {name: progress(books, name) for name in PEOPLE[:2]}
    granted = {name: _granted(books, name) for name in PEOPLE[:2]}
    apply(books, MergeTold("m", "ann", "bob"))
    both = progress(books, "ann")
    assert both.completed_count >= max(each.completed_count for each in before.values())
    apply(books, UnmergeTold("u", "ann", "bob", ("bob",)))
    after = progress(books, "bob")
    assert (after.days, after.completions, after.completed_count, after.decided, after.parts) == (
        before["bob"].days,
        before["bob"].completions,
        before["bob"].completed_count,
        before["bob"].decided,
        (),
    )
    own = progress(books, "ann")
    assert (own.days, own.decided, own.parts) == (before["ann"].days, before["ann"].decided, ())
    assert own.completions[: len(before["ann"].completions)] == before["ann"].completions
    assert _granted(books, "bob") == granted["bob"]


def _granted(books: Books, name: str) -> int:
    found = books.found("club", name)
    return found.balance if found else 0


async def test_what_two_had_begun_is_completed_by_the_merge_once_and_read_by_either_name(house: House) -> None:
    told = achievement("once", step(3))
    await house.ledger.post(request("a"), CreateAchievement(achievement=told))
    for at, name in enumerate(("ann", "ann", "bob")):
        await tell(house, order(f"o{at}", 100, name), happened(f"o{at}", "", name))
    await tell(house, MergeTold("m", "ann", "bob"))
    member = await house.member("ann")
    assert member.balance == 13
    for name in ("ann", "bob"):
        (reached,) = await list_member_achievements(
            StoredPrograms(house.store), StoredClubs(house.store), TENANT, "club", name, NOW
        )
        assert (reached.amounts, reached.completed_count) == ((3,), 1)
    await tell(house, OrderUndone("o2", whole=True))
    assert (await house.member("bob")).balance == 3
    await tell(house, UnmergeTold("u", "ann", "bob", ("bob",)))
    assert (await house.audit()).violations == []


@pytest.mark.parametrize("period", ["once", "month"])
async def test_two_who_have_both_completed_it_have_it_once_and_their_points_stay(house: House, period: str) -> None:
    await house.ledger.post(request("a"), CreateAchievement(achievement=achievement(period, step(1))))
    for name in ("ann", "bob"):
        await tell(house, order(f"o-{name}", 100, name), happened(f"o-{name}", "", name))
    await tell(house, MergeTold("m", "ann", "bob"))
    (reached,) = await list_member_achievements(
        StoredPrograms(house.store), StoredClubs(house.store), TENANT, "club", "ann", NOW
    )
    assert (reached.completed_count, (await house.member("ann")).balance) == (1, 22)
    await tell(house, UnmergeTold("u", "ann", "bob", ("bob",)))
    assert [(await house.member(name)).balance for name in ("ann", "bob")] == [11, 11]
    assert (await house.audit()).violations == []


def test_what_one_merge_completed_is_not_rewarded_again_by_the_next() -> None:
    books = books_with(achievement("rolling_days", step(2), length=60))
    apply(books, *(happened(f"o-{name}", name, name) for name in PEOPLE))
    apply(books, MergeTold("m1", "bob", "ann"))
    assert (progress(books, "bob").completed_count, _granted(books, "bob")) == (1, 10)
    apply(books, MergeTold("m2", "bob", "cid"))
    assert (progress(books, "bob").completed_count, _granted(books, "bob")) == (1, 10)
    assert len({entry.id for entry in books.entered}) == len(books.entered)
