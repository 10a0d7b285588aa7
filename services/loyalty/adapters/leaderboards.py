"""The port ``Leaderboards`` over the document store: places in an index, and how many are ahead by bucket."""

from collections.abc import Sequence

from services.common.store import Delete, Query, Range, Store
from services.loyalty.adapters.leaderboard_keeper import LeaderboardKeeper, open_scoring, ranking_writes
from services.loyalty.adapters.merged_members import person_of
from services.loyalty.adapters.records import RECORDS, read_record
from services.loyalty.adapters.stored_records import stored_record
from services.loyalty.domain.achievement_progress import day_number
from services.loyalty.domain.leaderboard import LEADERBOARD_BOOKS, LEADERBOARD_NAMES, LeaderboardBook, LeaderboardName
from services.loyalty.domain.score import (
    RANKINGS,
    ROLLING,
    SCORES,
    Ranking,
    Score,
    bucket_end,
    bucket_of,
    least_place,
    score_at,
    score_id,
)
from services.loyalty.domain.score_change import SCORE_CHANGES

SWEPT_MAX = 500
CHANGES_KEPT_MICROS = 24 * 3600 * 1_000_000
"""How long changes stay in the feed after they were told: for a keeper that was away."""


class StoredLeaderboards:
    """Reads what the keeper counted, and forgets what is over."""

    def __init__(self, store: Store, keeper: LeaderboardKeeper) -> None:
        self._store, self._keeper = store, keeper

    async def counted(self) -> bool:
        _, complete = await self._keeper.catch_up()
        return complete

    async def book(self, tenant: str, program_id: str) -> LeaderboardBook:
        found = await stored_record(self._store, tenant, LEADERBOARD_BOOKS, program_id)
        return found or LeaderboardBook(program_id)

    async def ranking(self, tenant: str, ranking: str) -> Ranking:
        return await stored_record(self._store, tenant, RANKINGS, ranking) or Ranking(ranking)

    async def score(self, tenant: str, ranking: str, member_id: str) -> Score | None:
        return await stored_record(self._store, tenant, SCORES, score_id(ranking, member_id))

    async def best(self, tenant: str, ranking: str, limit: int, after: str) -> tuple[list[Score], str]:
        query = Query(
            where={"ranking": ranking}, range=Range("place", above=""), descending=True, limit=limit, after=after
        )
        page = await self._store.find(tenant, RECORDS[SCORES.name], query)
        return [read_record(SCORES, each.body) for each in page.documents], page.next_cursor

    async def near(self, tenant: str, ranking: str, place: str, limit: int, *, better: bool) -> list[Score]:
        if not limit:
            return []
        within = Range("place", above=place) if better else Range("place", above="", below=place)
        query = Query(where={"ranking": ranking}, range=within, descending=not better, limit=limit)
        page = await self._store.find(tenant, RECORDS[SCORES.name], query)
        return [read_record(SCORES, each.body) for each in page.documents]

    async def ahead(self, tenant: str, ranking: Ranking, place: str) -> int:
        bucket = bucket_of(score_at(place))
        within = Range("place", above=place, below=least_place(bucket_end(bucket)))
        query = Query(where={"ranking": ranking.ranking}, range=within)
        return ranking.above(bucket) + await self._store.count(tenant, RECORDS[SCORES.name], query)

    async def names(self, tenant: str, program_id: str, member_ids: Sequence[str]) -> dict[str, LeaderboardName]:
        ids = [f"{program_id}/{member_id}" for member_id in member_ids]
        found = await self._store.get_many(tenant, RECORDS[LEADERBOARD_NAMES.name], ids) if ids else {}
        names = (read_record(LEADERBOARD_NAMES, each.body) for each in found.values())
        return {each.member_id: each for each in names}

    async def person(self, tenant: str, program_id: str, member_id: str) -> str:
        return await person_of(self._store, tenant, program_id, member_id)

    async def forget_over(self, tenant: str, now: int) -> int:
        scoring = await open_scoring(self._store, tenant, now)
        # The latest day that it is anywhere: what is not over in its programme's zone comes back with the next look.
        today = max((day_number(now, each.time_zone) for each in scoring.programs.values()), default=0)
        query = Query(range=Range("due_day", at_most=today), limit=SWEPT_MAX)
        documents = (await self._store.find(tenant, RECORDS[SCORES.name], query)).documents
        for key in await scoring.touch(documents):
            score = scoring.scores[key]
            if score.period != ROLLING:
                scoring.scores[key] = score.emptied()
        old = Query(range=Range("time", below=now - CHANGES_KEPT_MICROS), limit=SWEPT_MAX)
        changes = (await self._store.find(tenant, RECORDS[SCORE_CHANGES.name], old)).documents
        drops = [Delete(tenant, RECORDS[SCORE_CHANGES.name], each.id) for each in changes]
        if writes := [*await scoring.writes(), *drops]:
            await self._store.commit(writes)
        return len(documents)


async def forget_scores(store: Store, tenant: str, member_id: str) -> None:
    """Take a person out of all rankings. ``Conflict`` where one changed meanwhile: do it again."""
    collection = RECORDS[SCORES.name]
    query = Query(where={"member_id": member_id}, limit=SWEPT_MAX)
    while found := (await store.find(tenant, collection, query)).documents:
        moved: dict[str, list[tuple[str | None, str | None]]] = {}
        for each in found:
            if each.body["place"] is not None:
                moved.setdefault(each.body["ranking"], []).append((each.body["place"], None))
        drops = [Delete(tenant, collection, each.id, each.version) for each in found]
        await store.commit([*drops, *await ranking_writes(store, tenant, moved)])
