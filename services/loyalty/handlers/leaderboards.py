"""Leaderboards: making them, who stands where, and under which name."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.common.errors import Conflict
from services.loyalty.domain.leaderboard import (
    CreateLeaderboard,
    Leaderboard,
    LeaderboardBook,
    LeaderboardName,
    UpdateLeaderboard,
)
from services.loyalty.domain.score import Ranking, Score, least_place, period_of, ranking_id
from services.loyalty.domain.score_change import SetLeaderboardName
from services.loyalty.ports import Ledger, Programs, Request
from services.loyalty.ports.comparing import Leaderboards


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a member stands; rank 0 is without one."""

    member_id: str
    name: str
    score: int
    rank: int = 0
    tied: bool = False


@dataclass(frozen=True, slots=True)
class Standings:
    """A page of a leaderboard, best first."""

    leaderboard: Leaderboard
    standings: tuple[Standing, ...]
    members: int
    next_token: str
    complete: bool


@dataclass(frozen=True, slots=True)
class Place:
    """A member's own standing, and those directly before and behind."""

    leaderboard: Leaderboard
    own: Standing
    ahead: tuple[Standing, ...]
    behind: tuple[Standing, ...]
    members: int
    complete: bool


async def create_leaderboard(ledger: Ledger, request: Request, leaderboard: Leaderboard, salt: str) -> Leaderboard:
    """Add a leaderboard."""
    return await ledger.post(request, CreateLeaderboard(leaderboard=leaderboard, salt=salt))


async def update_leaderboard(
    ledger: Ledger, request: Request, *, program_id: str, leaderboard_id: str, name: str, active: bool
) -> Leaderboard:
    """Rename a leaderboard, or let it rest."""
    updating = UpdateLeaderboard(program_id=program_id, leaderboard_id=leaderboard_id, name=name, active=active)
    return await ledger.post(request, updating)


async def list_leaderboards(
    programs: Programs, boards: Leaderboards, tenant: str, program_id: str
) -> tuple[Leaderboard, ...]:
    """All leaderboards of a programme; ``ProgramNotFound``."""
    await programs.get(tenant, program_id)
    return (await boards.book(tenant, program_id)).leaderboards


async def set_leaderboard_name(
    ledger: Ledger, boards: Leaderboards, request: Request, *, program_id: str, member_id: str, alias: str, hidden: bool
) -> tuple[LeaderboardName, str]:
    """Set what others see of a member; with what that is."""
    setting = SetLeaderboardName(
        program_id=program_id, member_id=member_id, alias=alias, hidden=hidden, request_id=request.id
    )
    name = await ledger.post(request, setting)
    book = await boards.book(request.tenant, program_id)
    return name, _shown(book, name.member_id, name)


async def list_standings(
    programs: Programs,
    boards: Leaderboards,
    tenant: str,
    program_id: str,
    leaderboard_id: str,
    instant: int,
    limit: int,
    after: str,
) -> Standings:
    """A page of the period of an instant; ``ProgramNotFound``, ``LeaderboardNotFound``."""
    reading = await _open(programs, boards, tenant, program_id, leaderboard_id, instant)
    found, token = await boards.best(tenant, reading.ranking.ranking, limit + 1, after)
    shown = found[:limit]
    if len(found) > limit:  # one more was read to see whether it is tied with the last
        _, token = await boards.best(tenant, reading.ranking.ranking, limit, after)
    standings = await reading.standings(shown, found)
    return Standings(reading.leaderboard, standings, reading.ranking.members, token, reading.complete)


async def get_standing(
    programs: Programs,
    boards: Leaderboards,
    tenant: str,
    program_id: str,
    leaderboard_id: str,
    member_id: str,
    instant: int,
    neighbours: int,
) -> Place:
    """Where a member stands, and who is next to them; ``ProgramNotFound``, ``LeaderboardNotFound``."""
    reading = await _open(programs, boards, tenant, program_id, leaderboard_id, instant)
    member_id = await boards.person(tenant, program_id, member_id)
    ranking = reading.ranking.ranking
    score = await boards.score(tenant, ranking, member_id)
    if score is None or score.place is None:
        name = await reading.name(member_id)
        own = Standing(member_id, name, score.total if score else 0)
        return Place(reading.leaderboard, own, (), (), reading.ranking.members, reading.complete)
    better = await boards.near(tenant, ranking, score.place, neighbours, better=True)
    worse = await boards.near(tenant, ranking, score.place, neighbours + 1, better=False)
    row = [*reversed(better), score, *worse]
    standings = await reading.standings(row[: len(better) + 1 + neighbours], row)
    at = len(better)
    return Place(
        reading.leaderboard,
        standings[at],
        standings[:at],
        standings[at + 1 :],
        reading.ranking.members,
        reading.complete,
    )


async def forget_scores_that_are_over(programs: Programs, boards: Leaderboards, now: int) -> int:
    """Let days leave rolling windows, and forget old periods, of every tenant; how many scores."""
    count = 0
    for tenant in sorted({tenant async for tenant, _ in programs.everywhere()}):
        try:
            count += await boards.forget_over(tenant, now)
        except Conflict:  # somebody gained something in this moment: next time
            continue
    return count


@dataclass(frozen=True, slots=True)
class _Reading:
    boards: Leaderboards
    tenant: str
    book: LeaderboardBook
    leaderboard: Leaderboard
    ranking: Ranking
    complete: bool

    async def standings(self, rows: Sequence[Score], known: Sequence[Score]) -> tuple[Standing, ...]:
        """Rows that follow each other, with their ranks; ``known`` has at least one more, if there is one."""
        if not rows:
            return ()
        first = rows[0]
        assert first.place is not None
        position = await self.boards.ahead(self.tenant, self.ranking, first.place) + 1
        rank = await self.boards.ahead(self.tenant, self.ranking, least_place(first.total + 1)) + 1
        names = await self._names([each.member_id for each in rows])
        standings: list[Standing] = []
        for at, row in enumerate(rows):
            if at and row.total != rows[at - 1].total:
                rank = position + at
            beside = at + 1 < len(known) and known[at + 1].total == row.total
            tied = beside or rank != position + at
            standings.append(Standing(row.member_id, names[row.member_id], row.total, rank, tied))
        return tuple(standings)

    async def name(self, member_id: str) -> str:
        """What is shown of one member."""
        return (await self._names([member_id]))[member_id]

    async def _names(self, member_ids: Sequence[str]) -> dict[str, str]:
        told = await self.boards.names(self.tenant, self.book.program_id, member_ids)
        return {each: _shown(self.book, each, told.get(each)) for each in member_ids}


async def _open(
    programs: Programs, boards: Leaderboards, tenant: str, program_id: str, leaderboard_id: str, instant: int
) -> _Reading:
    program = await programs.get(tenant, program_id)
    book = await boards.book(tenant, program_id)
    leaderboard = book.get(leaderboard_id)
    complete = await boards.counted()
    period = period_of(leaderboard, instant, program.time_zone)
    ranking = await boards.ranking(tenant, ranking_id(program_id, leaderboard_id, period))
    return _Reading(boards, tenant, book, leaderboard, ranking, complete)


def _shown(book: LeaderboardBook, member_id: str, name: LeaderboardName | None) -> str:
    return (name.alias if name else "") or book.pseudonym(member_id)
