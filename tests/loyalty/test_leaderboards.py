"""Leaderboards over a real store: ranks as sorting gives them, kept as entries come, through refunds and merges."""

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tessera.loyalty.v1 import leaderboard_pb2 as pb

from services.common.errors import AlreadyExists, Conflict, Refusal
from services.common.store import Query
from services.common.store.mongo import MongoStore
from services.loyalty.adapters.documents import COLLECTIONS
from services.loyalty.adapters.feed_keeper import Counted
from services.loyalty.adapters.leaderboard_keeper import LeaderboardKeeper
from services.loyalty.adapters.leaderboards import StoredLeaderboards, forget_scores
from services.loyalty.adapters.ledger import StoredLedger
from services.loyalty.adapters.records import RECORDS
from services.loyalty.adapters.store import StoredPrograms
from services.loyalty.domain.achievement_events import Happened
from services.loyalty.domain.achievement_operations import CreateAchievement
from services.loyalty.domain.achievement_refunds import OrderUndone
from services.loyalty.domain.leaderboard import LEADERBOARDS_MAX, CreateLeaderboard, Leaderboard, Metric
from services.loyalty.domain.merges import MergeTold, UnmergeTold
from services.loyalty.domain.score import SCORES, bucket_end, bucket_of, least_place, place_of
from services.loyalty.domain.score_change import SetLeaderboardName
from services.loyalty.domain.zones import Period
from services.loyalty.handlers.leaderboards import (
    Place,
    Standing,
    forget_scores_that_are_over,
    get_standing,
    list_standings,
)
from tests.loyalty.club import Club
from tests.loyalty.conftest import House, SetClock
from tests.loyalty.making import DAY, NOW, TENANT, earning, opening, order, refunding, request, told_refund
from tests.loyalty.test_achievements import ORDERED, achievement, step
from tests.loyalty.test_club_rpcs import club, refusal
from tests.loyalty.test_referrals import tell
from tests.mongodb import mongodb_url

__all__ = ["club", "mongodb_url"]


@pytest.fixture
async def boards(house: House) -> AsyncIterator[StoredLeaderboards]:
    """Leaderboards whose keeper is at work."""
    keeper = LeaderboardKeeper(house.store, house.clock)
    running = asyncio.create_task(keeper.run())
    yield StoredLeaderboards(house.store, keeper)
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def board(house: House, leaderboard_id: str = "most", **changed: Any) -> Leaderboard:
    values = {"name": "Most", "metric": Metric.POINTS, "period": Period.LIFETIME, **changed}
    made = Leaderboard(program_id="club", leaderboard_id=leaderboard_id, **values)
    return await house.ledger.post(request(f"b-{leaderboard_id}"), CreateLeaderboard(leaderboard=made, salt="salt"))


async def gain(house: House, member_id: str, points: int, days_ago: int = 0) -> None:
    entered = f"{member_id}-{await house.store.count(TENANT, RECORDS[SCORES.name])}-{points}-{days_ago}-{_next()}"
    told = earning(entered, points, member_id, event_time=house.clock.micros - days_ago * DAY)
    await house.ledger.post(request(entered), told)


_count = 0


def _next() -> int:
    global _count
    _count += 1
    return _count


async def standings(
    house: House, boards: StoredLeaderboards, leaderboard_id: str = "most", instant: int = 0, size: int = 100
) -> list[Standing]:
    found: list[Standing] = []
    token = ""
    while True:
        page = await list_standings(
            StoredPrograms(house.store), boards, TENANT, "club", leaderboard_id, instant or NOW, size, token
        )
        assert page.complete
        found += page.standings
        token = page.next_token
        if not token:
            assert page.members == len(found)
            return found


async def place(
    house: House, boards: StoredLeaderboards, member_id: str, neighbours: int = 2, leaderboard_id: str = "most"
) -> Place:
    programs = StoredPrograms(house.store)
    return await get_standing(programs, boards, TENANT, "club", leaderboard_id, member_id, NOW, neighbours)


def ranked(scores: dict[str, int]) -> dict[str, tuple[int, int, bool]]:
    """Score, rank and whether it is tied, by comparing each with all."""
    held = {each: score for each, score in scores.items() if score > 0}
    return {
        each: (score, 1 + sum(other > score for other in held.values()), list(held.values()).count(score) > 1)
        for each, score in held.items()
    }


def shown(found: list[Standing]) -> dict[str, tuple[int, int, bool]]:
    return {each.member_id: (each.score, each.rank, each.tied) for each in found}


async def scores_of(house: House, boards: StoredLeaderboards, leaderboard_id: str = "most") -> dict[str, int]:
    return {each.member_id: each.score for each in await standings(house, boards, leaderboard_id)}


@given(st.integers(1, 2**53), st.integers(1, 2**53))
def test_a_better_score_is_in_no_lower_bucket_and_at_a_later_place(one: int, other: int) -> None:
    low, high = sorted((one, other))
    assert bucket_of(low) <= bucket_of(high)
    assert low < bucket_end(bucket_of(low))
    assert bucket_of(bucket_end(bucket_of(low))) == bucket_of(low) + 1
    assert (place_of(low, "a") < least_place(high)) is (low < high)


scores = st.lists(st.one_of(st.integers(1, 9), st.integers(1, 5000)), min_size=1, max_size=14)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(gained=scores, size=st.integers(1, 5), at=st.integers(0, 30), neighbours=st.integers(0, 4))
async def test_ranks_pages_and_neighbours_are_what_sorting_gives(
    house: House, boards: StoredLeaderboards, gained: list[int], size: int, at: int, neighbours: int
) -> None:
    """Each example is a month of its own."""
    month = _next() % 1200
    if not (await boards.book(TENANT, "club")).leaderboards:
        await board(house, period=Period.MONTH)
    then = NOW - (month + 1) * 32 * DAY
    told = {f"m{number}": points for number, points in enumerate(gained)}
    for member_id, points in told.items():
        name = f"{month}-{member_id}"
        await house.ledger.post(request(name), earning(name, points, member_id, event_time=max(then, 0)))
    found = await standings(house, boards, instant=then, size=size)
    assert shown(found) == ranked(told)
    assert [each.score for each in found] == sorted(told.values(), reverse=True)
    own = found[at % len(found)]
    programs = StoredPrograms(house.store)
    near = await get_standing(programs, boards, TENANT, "club", "most", own.member_id, then, neighbours)
    index = found.index(own)
    assert near.own == own
    assert list(near.ahead) == found[max(0, index - neighbours) : index]
    assert list(near.behind) == found[index + 1 : index + 1 + neighbours]


async def test_orders_count_and_refunds_take_off_in_the_period_of_the_order(
    house: House, boards: StoredLeaderboards
) -> None:
    await house.ledger.post(request("before"), earning("before", 1000, "old"))
    house.clock.micros += 1
    await board(house)
    await board(house, "spend", metric=Metric.SPEND, period=Period.MONTH)
    await tell(house, order("o1", 5000, "ann", time=NOW - 40 * DAY), order("o2", 3000, "bob", time=NOW))
    assert await scores_of(house, boards) == {"ann": 50, "bob": 30}
    assert await scores_of(house, boards, "spend") == {"bob": 3000}
    await tell(house, told_refund("o1", 30.0))
    earlier = await standings(house, boards, "spend", NOW - 40 * DAY)
    assert [(each.member_id, each.score) for each in earlier] == [("ann", 2000)]
    await house.ledger.post(request("r"), refunding("r", "o2"))
    assert await scores_of(house, boards, "spend") == {}
    assert await scores_of(house, boards) == {"ann": 20}
    assert (await place(house, boards, "bob")).own.rank == 0


async def test_days_leave_a_rolling_leaderboard_as_they_pass(house: House, boards: StoredLeaderboards) -> None:
    await board(house, rolling_days=7)
    programs = StoredPrograms(house.store)
    for member_id, points, days_ago in [("ann", 5, 6), ("ann", 1, 0), ("bob", 3, 3), ("old", 9, 7)]:
        await gain(house, member_id, points, days_ago)
    assert await scores_of(house, boards) == {"ann": 6, "bob": 3}
    house.clock.micros += DAY
    assert await forget_scores_that_are_over(programs, boards, house.clock.micros) >= 1
    assert await scores_of(house, boards) == {"bob": 3, "ann": 1}
    house.clock.micros += 10 * DAY
    while await forget_scores_that_are_over(programs, boards, house.clock.micros):
        pass
    assert await scores_of(house, boards) == {}
    assert await house.store.count(TENANT, RECORDS[SCORES.name]) == 0


async def test_periods_are_forgotten_long_after_they_end(house: House, boards: StoredLeaderboards) -> None:
    await board(house, period=Period.DAY)
    await gain(house, "ann", 5)
    assert await scores_of(house, boards) == {"ann": 5}
    programs = StoredPrograms(house.store)
    assert await forget_scores_that_are_over(programs, boards, NOW + 390 * DAY) == 0
    assert await forget_scores_that_are_over(programs, boards, NOW + 402 * DAY) == 1
    assert await scores_of(house, boards) == {}


async def test_who_is_hidden_has_no_rank_and_who_is_shown_has_an_alias(
    house: House, boards: StoredLeaderboards
) -> None:
    await board(house)
    for member_id, points in (("ann", 3), ("bob", 5), ("cid", 3)):
        await gain(house, member_id, points)
    first, *rest = await standings(house, boards)
    assert first.name.startswith("Member ")
    assert "bob" not in first.name
    assert len({each.name for each in (first, *rest)}) == 3
    for member_id, alias, hidden in (("bob", "", True), ("ann", "Queen Ann", False)):
        named = SetLeaderboardName(
            program_id="club", member_id=member_id, alias=alias, hidden=hidden, request_id=f"n-{member_id}"
        )
        await house.ledger.post(request(named.request_id), named)
    found = {each.member_id: each for each in await standings(house, boards)}
    assert {each: (one.rank, one.tied) for each, one in found.items()} == {"ann": (1, True), "cid": (1, True)}
    assert found["ann"].name == "Queen Ann"
    own = (await place(house, boards, "bob")).own
    assert (own.rank, own.score) == (0, 5)
    await gain(house, "bob", 1)
    assert set(await scores_of(house, boards)) == {"ann", "cid"}
    shown_again = SetLeaderboardName(program_id="club", member_id="bob", alias="", hidden=False, request_id="again")
    await house.ledger.post(request("again"), shown_again)
    assert await scores_of(house, boards) == {"bob": 6, "ann": 3, "cid": 3}


async def test_scores_follow_merges_and_go_back_by_origin(house: House, boards: StoredLeaderboards) -> None:
    await board(house)
    for member_id, points in (("ann", 3), ("bob", 5), ("cid", 4)):
        await gain(house, member_id, points)
    await tell(house, MergeTold("m1", "ann", "bob"), MergeTold("m2", "cid", "ann"))
    await gain(house, "bob", 10)
    await tell(house, order("late", 700, "bob"))
    assert await scores_of(house, boards) == {"cid": 29}
    assert (await place(house, boards, "bob")).own.member_id == "cid"
    await tell(house, UnmergeTold("m1", "cid", "bob", ("bob",)))
    assert await scores_of(house, boards) == {"bob": 22, "cid": 7}
    await house.ledger.post(request("r"), refunding("r", "late"))
    assert await scores_of(house, boards) == {"bob": 15, "cid": 7}
    await tell(house, UnmergeTold("m2", "cid", "ann", ("ann",)))
    assert await scores_of(house, boards) == {"bob": 15, "cid": 4, "ann": 3}
    assert (await house.audit()).violations == []


async def test_an_achievements_sum_is_compared_and_a_partial_refund_takes_its_share(
    house: House, boards: StoredLeaderboards
) -> None:
    told = achievement("year", step(50_000, "sum", property_name="total"))
    await house.ledger.post(request("a"), CreateAchievement(achievement=told))
    await board(house, metric=Metric.ACHIEVEMENT, achievement_id="it")
    for order_id, amount in (("o1", 60.0), ("o2", 10.0)):
        minor = round(amount * 100)
        details: Callable[[], dict[str, Any]] = partial(dict, total=amount)
        happened = Happened(order_id, ORDERED, "ann", NOW, details, order_id, currency="USD", amount_minor=minor)
        await tell(house, order(order_id, minor), happened)
    assert await scores_of(house, boards) == {"ann": 70_000}
    assert (await house.member("ann")).balance == 80
    await tell(house, told_refund("o1", 20.0), OrderUndone("o1", whole=False, currency="USD", amounts=(20.0,)))
    assert await scores_of(house, boards) == {"ann": 50_000}
    assert (await house.member("ann")).balance == 60
    await house.ledger.post(request("r"), refunding("r", "o1", 100))
    assert await scores_of(house, boards) == {"ann": 49_000}
    assert (await house.member("ann")).balance == 49
    await tell(house, told_refund("o1"), OrderUndone("o1", whole=True))
    assert await scores_of(house, boards) == {"ann": 10_000}
    assert (await house.audit()).violations == []


async def test_what_is_entered_counts_once_however_many_keepers_there_are(house: House) -> None:
    await board(house)
    for number in range(60):
        await gain(house, f"m{number % 7}", number + 1)
    batches = [batch async for batch in _feed(house)]
    keepers = [LeaderboardKeeper(house.store, house.clock) for _ in range(2)]
    for keeper in keepers:
        await keeper._load_cursor()
    for batch in batches:
        for keeper in keepers:
            try:
                await keeper.apply(Counted(batch, batch[-1].cursor))
            except (AlreadyExists, Conflict):
                await keeper._load_cursor()
    boards = StoredLeaderboards(house.store, keepers[0])
    expected = {f"m{at}": sum(n + 1 for n in range(60) if n % 7 == at) for at in range(7)}
    assert await scores_of(house, boards) == expected


async def _feed(house: House) -> AsyncIterator[list[Any]]:
    end = await house.store.end_of_feed()
    async for batch in house.store.changes("", limit=7):
        yield batch
        if batch[-1].cursor == end:
            return


async def test_who_is_forgotten_leaves_every_ranking(house: House, boards: StoredLeaderboards) -> None:
    await board(house)
    await board(house, "daily", period=Period.DAY)
    for member_id, points in (("ann", 3), ("bob", 5)):
        await gain(house, member_id, points)
    assert len(await standings(house, boards)) == 2
    await forget_scores(house.store, TENANT, "bob")
    assert await scores_of(house, boards) == await scores_of(house, boards, "daily") == {"ann": 3}
    page = await house.store.find(TENANT, RECORDS[SCORES.name], Query(where={"member_id": "bob"}))
    assert page.documents == ()


async def test_ranks_are_the_same_on_mongodb(mongodb_url: str) -> None:
    store = await MongoStore.open(mongodb_url, f"loyalty_{uuid.uuid4().hex[:12]}", COLLECTIONS)
    house = House(store, StoredLedger(store, clock := SetClock()), clock)
    keeper = LeaderboardKeeper(store, clock)
    running = asyncio.create_task(keeper.run())
    try:
        boards = StoredLeaderboards(store, keeper)
        await house.ledger.post(request("open"), opening("club"))
        await board(house)
        await board(house, "rolling", rolling_days=3)
        told = {"ann": 5, "bob": 700, "cid": 5, "dan": 701}
        for member_id, points in told.items():
            await gain(house, member_id, points)
        for leaderboard_id in ("most", "rolling"):
            assert shown(await standings(house, boards, leaderboard_id, size=2)) == ranked(told)
        near = await place(house, boards, "bob", 1)
        assert [each.member_id for each in (*near.ahead, near.own)] == ["dan", "bob"]
        assert near.behind[0].score == 5
        await tell(house, MergeTold("m", "ann", "dan"))
        assert await scores_of(house, boards) == {"ann": 706, "bob": 700, "cid": 5}
        clock.micros += 4 * DAY
        while await forget_scores_that_are_over(StoredPrograms(store), boards, clock.micros):
            pass
        assert await scores_of(house, boards, "rolling") == {}
    finally:
        running.cancel()
        await house.ledger.close()
        await store.close()


async def test_refusals_come_in_the_order_in_which_they_are_listed(house: House) -> None:
    for number in range(LEADERBOARDS_MAX):
        await board(house, f"b{number}")
    wrong = {"metric": Metric.ACHIEVEMENT, "achievement_id": "none"}
    cases = [
        ("none", "b1", {"rolling_days": 7, "period": Period.DAY}, "LEADERBOARD_INVALID"),
        ("none", "b1", {}, "PROGRAM_NOT_FOUND"),
        ("club", "b1", wrong, "LEADERBOARD_INVALID"),
        ("club", "b1", {}, "LEADERBOARD_EXISTS"),
        ("club", "one-more", {}, "LEADERBOARD_LIMIT_REACHED"),
    ]
    for number, (program_id, leaderboard_id, changed, reason) in enumerate(cases):
        values = {"name": "Most", "metric": Metric.POINTS, "period": Period.LIFETIME, **changed}
        told = Leaderboard(program_id=program_id, leaderboard_id=leaderboard_id, **values)  # type: ignore[arg-type]
        with pytest.raises(Refusal) as refused:
            await house.ledger.post(request(f"x{number}"), CreateLeaderboard(leaderboard=told, salt="s"))
        assert refused.value.reason == reason


async def test_leaderboards_over_grpc_name_nobody_to_those_who_may_only_read(
    club: Club, keyring: Any, configure: Callable[..., Any]
) -> None:
    await club.open()
    most = pb.Leaderboard(
        leaderboard_id="most", name="Most", metric=pb.LEADERBOARD_METRIC_POINTS, period=pb.LEADERBOARD_PERIOD_WEEK
    )
    creating = pb.CreateLeaderboardRequest(program_id="club", leaderboard=most, request_id="cl")
    made = (await club.stub.CreateLeaderboard(creating, metadata=club.metadata)).leaderboard
    assert (made.active, made.period, made.leaderboard_id) == (True, most.period, "most")
    await club.earn(10)
    listing = pb.ListStandingsRequest(program_id="club", leaderboard_id="most")
    page = await club.stub.ListStandings(listing, metadata=club.metadata)
    assert [(each.rank, each.score, each.member_id) for each in page.standings] == [(1, 10, "ann")]
    assert (page.member_count, page.complete, page.next_page_token) == (1, True, "")
    reader = keyring.header(scopes=["loyalty:read"])
    seen = (await club.stub.ListStandings(listing, metadata=reader)).standings[0]
    assert (seen.rank, seen.member_id, seen.display_name[:7]) == (1, "", "Member ")
    asking = pb.GetStandingRequest(program_id="club", leaderboard_id="most", member_id="ann", neighbour_count=3)
    own = await club.stub.GetStanding(asking, metadata=reader)
    assert (own.standing.rank, own.standing.member_id, len(own.ahead), len(own.behind)) == (1, "ann", 0, 0)
    naming = pb.SetLeaderboardNameRequest(program_id="club", member_id="ann", alias="Ann the First", request_id="n")
    assert (await club.stub.SetLeaderboardName(naming, metadata=club.metadata)).name.display_name == "Ann the First"
    resting = pb.UpdateLeaderboardRequest(program_id="club", leaderboard_id="most", active=False, request_id="ul")
    assert not (await club.stub.UpdateLeaderboard(resting, metadata=club.metadata)).leaderboard.active
    (listed,) = (
        await club.stub.ListLeaderboards(pb.ListLeaderboardsRequest(program_id="club"), metadata=reader)
    ).leaderboards
    assert (listed.name, listed.active) == ("Most", False)
    listing.leaderboard_id = "none"
    assert await refusal(club.stub.ListStandings(listing, metadata=reader)) == "LEADERBOARD_NOT_FOUND"
    odd = pb.Leaderboard(leaderboard_id="o", name="O", metric=pb.LEADERBOARD_METRIC_POINTS, rolling_days=3)
    asked = pb.CreateLeaderboardRequest(program_id="club", leaderboard=odd, request_id="odd")
    assert await refusal(club.stub.CreateLeaderboard(asked, metadata=club.metadata)) == "FIELD_INVALID"
