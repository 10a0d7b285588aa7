"""Keeping scores and rankings: what members gain moves them at once in every leaderboard that counts it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from services.common.clock import Clock, to_micros
from services.common.store import Change, Delete, Document, Query, Store, Write
from services.loyalty.adapters.documents import ENTRIES, read_entry
from services.loyalty.adapters.feed_keeper import FeedKeeper, kept
from services.loyalty.adapters.records import RECORDS, read_record
from services.loyalty.adapters.report_records import RENAMED
from services.loyalty.adapters.store import StoredPrograms
from services.loyalty.domain.entry import Entry, EntryKind, order_entry_id
from services.loyalty.domain.leaderboard import (
    LEADERBOARD_BOOKS,
    LEADERBOARD_NAMES,
    Leaderboard,
    LeaderboardBook,
    LeaderboardName,
)
from services.loyalty.domain.program import Program
from services.loyalty.domain.score import (
    RANKINGS,
    SCORES,
    Gain,
    Ranking,
    Score,
    counts,
    gained,
    gains_of,
    joined,
    new_score,
    placed,
    ranking_id,
    score_id,
)
from services.loyalty.domain.score_change import SCORE_CHANGES, ScoreChange, ScoreChangeKind

PAGE_MAX = 500


class LeaderboardKeeper(FeedKeeper):
    """Counts what entries and achievements bring members, for ever."""

    follower = "loyalty.leaderboards"

    def __init__(self, store: Store, clock: Clock) -> None:
        super().__init__(store)
        self._clock = clock

    async def counted(self, changes: Sequence[Change]) -> list[Write]:
        of_tenants: dict[str, list[Entry | ScoreChange]] = {}
        for change in changes:
            if change.collection == ENTRIES.name and RENAMED not in change.body:
                of_tenants.setdefault(change.tenant, []).append(read_entry(change.id, change.body))
            elif change.collection == SCORE_CHANGES.name:
                of_tenants.setdefault(change.tenant, []).append(read_record(SCORE_CHANGES, change.body))
        writes: list[Write] = []
        for tenant, told in of_tenants.items():
            scoring = await open_scoring(self._store, tenant, to_micros(self._clock()))
            if scoring.boards:
                await scoring.add(told)
                writes += await scoring.writes()
        return writes


@dataclass(slots=True)
class Scoring:
    """A tenant's scores while they change: what was read, and what became of it."""

    store: Store
    tenant: str
    now: int
    programs: Mapping[str, Program]
    boards: Mapping[str, LeaderboardBook]
    scores: dict[str, Score] = field(default_factory=dict)
    known: dict[str, Document | None] = field(default_factory=dict)
    read: dict[str, Document | None] = field(default_factory=dict)
    """Documents that were read at once, because they will be needed; ``None``: there is none."""

    async def add(self, told: Sequence[Entry | ScoreChange]) -> None:
        """Count what was told, in its order."""
        sources = await self._sources([each for each in told if isinstance(each, Entry)])
        gains = [_gains(each, sources) for each in told]
        await self._read_ahead(told, gains)
        for each, gained_now in zip(told, gains, strict=True):
            if isinstance(each, Entry) or each.kind is ScoreChangeKind.PROGRESS:
                await self._gain(each.program_id, gained_now)
            elif each.kind is ScoreChangeKind.NAME:
                await self._of_member(each.member_id)  # which are written again, as they are shown now
            elif each.kind is ScoreChangeKind.MERGE:
                await self._move(each.program_id, each.partner_id, each.member_id, None)
            else:
                await self._move(each.program_id, each.member_id, each.partner_id, frozenset(each.origin_ids))

    async def writes(self) -> list[Write]:
        """The commit that keeps the scores, each where it belongs now, and the rankings that they are part of."""
        names = await self._names()
        moved: dict[str, list[tuple[str | None, str | None]]] = {}
        writes: list[Write] = []
        for key, score in self.scores.items():
            known, board = self.known[key], self.boards[score.program_id].find(score.leaderboard_id)
            if board is None:
                continue
            zone, name = self.programs[score.program_id].time_zone, names.get(f"{score.program_id}/{score.member_id}")
            after = placed(score, board, zone, self.now, hidden=bool(name and name.hidden))
            before = known.body["place"] if known else None
            if before != after.place:
                moved.setdefault(after.ranking, []).append((before, after.place))
            if after.parts:
                writes.append(kept(self.tenant, SCORES, key, after, known))
            elif known:
                writes.append(Delete(self.tenant, RECORDS[SCORES.name], key, known.version))
        return [*writes, *await ranking_writes(self.store, self.tenant, moved)]

    async def touch(self, documents: Iterable[Document]) -> list[str]:
        """Have these scores at hand; their ids."""
        found = [each for each in documents if each.id not in self.scores]
        self.scores |= {each.id: read_record(SCORES, each.body) for each in found}
        self.known |= {each.id: each for each in found}
        return [each.id for each in found]

    async def _gain(self, program_id: str, gains: Iterable[Gain]) -> None:
        for gain, board, fresh in self._counted(program_id, gains):
            key = await self._at_hand(fresh)
            self.scores[key] = gained(self.scores[key], board, gain, self.programs[program_id].time_zone)

    def _counted(self, program_id: str, gains: Iterable[Gain]) -> Iterator[tuple[Gain, Leaderboard, Score]]:
        """Each gain with each leaderboard that counts it, and the score that it would begin there."""
        if book := self.boards.get(program_id):
            zone = self.programs[program_id].time_zone
            for gain in gains:
                for board in book.leaderboards:
                    if counts(board, gain):
                        yield gain, board, new_score(board, gain.member_id, gain.event_time, zone)

    async def _read_ahead(self, told: Sequence[Entry | ScoreChange], gains: Sequence[Sequence[Gain]]) -> None:
        pairs = zip(told, gains, strict=True)
        keys = {_key(fresh) for each, found in pairs for _, _, fresh in self._counted(each.program_id, found)}
        documents = await self.store.get_many(self.tenant, RECORDS[SCORES.name], list(keys)) if keys else {}
        self.read = {key: documents.get(key) for key in keys}

    async def _at_hand(self, fresh: Score) -> str:
        """The id of the member's score in a period, read if it was not yet."""
        key = _key(fresh)
        if key not in self.scores:
            collection = RECORDS[SCORES.name]
            document = self.read[key] if key in self.read else await self.store.get(self.tenant, collection, key)
            self.known[key] = document
            self.scores[key] = read_record(SCORES, document.body) if document else fresh
        return key

    async def _move(self, program_id: str, from_id: str, to_id: str, origin_ids: frozenset[str] | None) -> None:
        """Give what one member has in a programme, or what came under these origins, to another."""
        await self._of_member(from_id)
        for key, score in list(self.scores.items()):
            if (score.program_id, score.member_id) != (program_id, from_id):
                continue
            leaving = {at: days for at, days in score.parts.items() if origin_ids is None or at in origin_ids}
            if leaving:
                to = await self._at_hand(replace(score, member_id=to_id, parts={}, place=None))
                self.scores[to] = joined(self.scores[to], leaving)
                self.scores[key] = replace(score, parts={k: v for k, v in score.parts.items() if k not in leaving})

    async def _of_member(self, member_id: str) -> None:
        after = ""
        while True:
            query = Query(where={"member_id": member_id}, limit=PAGE_MAX, after=after)
            page = await self.store.find(self.tenant, RECORDS[SCORES.name], query)
            await self.touch(page.documents)
            after = page.next_cursor
            if not after:
                return

    async def _sources(self, entries: Sequence[Entry]) -> dict[str, Entry]:
        """What entries are about: orders that are refunded, and what was pending or is revoked."""
        ids = dict.fromkeys(_source_id(each) for each in entries if each.program_id in self.boards)
        ids.pop("", None)
        found = await self.store.get_many(self.tenant, ENTRIES, list(ids)) if ids else {}
        return {each.id: read_entry(each.id, each.body) for each in found.values()}

    async def _names(self) -> dict[str, LeaderboardName]:
        ids = dict.fromkeys(f"{each.program_id}/{each.member_id}" for each in self.scores.values())
        found = await self.store.get_many(self.tenant, RECORDS[LEADERBOARD_NAMES.name], list(ids)) if ids else {}
        return {each.id: read_record(LEADERBOARD_NAMES, each.body) for each in found.values()}


async def open_scoring(store: Store, tenant: str, now: int) -> Scoring:
    """A tenant's leaderboards, and no score yet."""
    programs = await StoredPrograms(store).all(tenant)
    found = await store.get_many(tenant, RECORDS[LEADERBOARD_BOOKS.name], list(programs))
    boards = {each.id: read_record(LEADERBOARD_BOOKS, each.body) for each in found.values()}
    return Scoring(store, tenant, now, programs, boards)


async def ranking_writes(
    store: Store, tenant: str, moved: Mapping[str, Sequence[tuple[str | None, str | None]]]
) -> list[Write]:
    """The writes that let members be at other places of rankings: before and after, ``None`` without a rank."""
    documents = await store.get_many(tenant, RECORDS[RANKINGS.name], list(moved)) if moved else {}
    writes: list[Write] = []
    for name, steps in moved.items():
        known = documents.get(name)
        ranking = read_record(RANKINGS, known.body) if known else Ranking(name)
        for before, after in steps:
            ranking = ranking.changed(before, after)
        writes.append(kept(tenant, RANKINGS, name, ranking, known))
    return writes


def _source_id(entry: Entry) -> str:
    match entry.kind:
        case EntryKind.REFUND:
            return order_entry_id(entry.program_id, entry.order_id)
        case EntryKind.POST | EntryKind.REVOKE:
            return entry.source_entry_id
    return ""


def _key(score: Score) -> str:
    return score_id(ranking_id(score.program_id, score.leaderboard_id, score.period), score.member_id)


def _gains(told: Entry | ScoreChange, sources: Mapping[str, Entry]) -> list[Gain]:
    return [*(gains_of(told, sources.get(_source_id(told))) if isinstance(told, Entry) else _progress(told))]


def _progress(change: ScoreChange) -> Iterator[Gain]:
    for compared, amount in change.amounts.items():
        yield Gain(change.member_id, change.partner_id, compared, change.event_time, amount, change.time)
