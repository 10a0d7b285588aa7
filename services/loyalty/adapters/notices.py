"""The port ``Notices`` over the document store: what entries tell, and notices of their own, in one feed."""

from collections.abc import AsyncIterator, Iterator, Sequence

from services.common.errors import InvalidCursor
from services.common.store import Change, Query, Range, Store
from services.loyalty.adapters.documents import ENTRIES, read_entry
from services.loyalty.adapters.records import RECORDS, read_record
from services.loyalty.adapters.report_records import RENAMED
from services.loyalty.adapters.stored_records import stored_record
from services.loyalty.domain.notice import EXPIRY_NOTICES, NOTICES, SWEEPS, ExpiryNotices, Notice, Sweep, notices_of
from services.loyalty.ports.reporting import Noticed

FEED_BATCH_MAX = 500
PART = "."
"""In a cursor: after so many of the notices of an entry."""


class StoredNotices:
    """Reads notices."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def follow(self, after: str, tenant: str | None) -> AsyncIterator[Noticed]:
        entry, heard = await self._place(after)
        async for batch in self._store.changes(_before(entry) if heard else entry, tenant=tenant, limit=FEED_BATCH_MAX):
            cursor = batch[-1].cursor
            caught_up = len(batch) < FEED_BATCH_MAX and cursor == await self._store.end_of_feed()
            told = [
                (change.tenant, notice, at)
                for change in batch
                for notice, at in _cursors(change)[heard if change.cursor == entry else 0 :]
            ]
            yield Noticed(told, cursor, caught_up)

    async def _place(self, after: str) -> tuple[str, int]:
        """The entry of a cursor, and how many of its notices were heard where that is not all."""
        entry, dot, heard = after.partition(PART)
        if dot and not (entry and heard.isdecimal()):
            raise InvalidCursor("this is not a cursor of a notice")
        if dot:
            await self._store.feed_position(entry)
        return entry, int(heard) if dot else 0

    async def newest(self) -> str:
        return await self._store.end_of_feed()

    async def setting(self, tenant: str, program_id: str) -> ExpiryNotices:
        found: ExpiryNotices | None = await stored_record(self._store, tenant, EXPIRY_NOTICES, program_id)
        return found or ExpiryNotices(program_id)

    async def sweep(self, tenant: str, program_id: str) -> Sweep | None:
        return await stored_record(self._store, tenant, SWEEPS, program_id)

    async def existing(self, tenant: str, notice_ids: Sequence[str]) -> set[str]:
        return set(await self._store.get_many(tenant, RECORDS[NOTICES.name], notice_ids))

    async def before(self, tenant: str, before: int, limit: int) -> list[str]:
        query = Query(range=Range("time", below=before), limit=limit)
        page = await self._store.find(tenant, RECORDS[NOTICES.name], query)
        return [document.id for document in page.documents]


def _cursors(change: Change) -> list[tuple[Notice, str]]:
    """What a change tells, each with a cursor behind it: of the last it is the change's own."""
    told = list(_told(change))
    cursors = [f"{change.cursor}{PART}{number}" for number in range(1, len(told))]
    return list(zip(told, [*cursors, change.cursor], strict=False))


def _before(cursor: str) -> str:
    """The cursor right before an entry: whoever resumes there reads it again."""
    made_by, _, digits = cursor.rpartition("-")
    place = int(digits, 16) - 1
    return f"{made_by}-{place:x}" if place else ""


def _told(change: Change) -> Iterator[Notice]:
    """What a change has to tell; an entry that came again under a pseudonym tells nothing anew."""
    if change.collection == NOTICES.name:
        yield read_record(NOTICES, change.body)
    elif change.collection == ENTRIES.name and RENAMED not in change.body:
        yield from notices_of(read_entry(change.id, change.body))
