"""The port ``Achievements`` over the document store."""

from services.common.store import Store
from services.loyalty.adapters.records import RECORDS, read_record
from services.loyalty.adapters.stored_records import stored_record
from services.loyalty.domain.achievement import ACHIEVEMENT_BOOKS, AchievementBook
from services.loyalty.domain.achievement_progress import PROGRESS, Progress, progress_ref


class StoredAchievements:
    """Reads achievements."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def book(self, tenant: str, program_id: str) -> AchievementBook:
        found = await stored_record(self._store, tenant, ACHIEVEMENT_BOOKS, program_id)
        return found or AchievementBook(program_id)

    async def progress(self, tenant: str, book: AchievementBook, member_id: str) -> dict[str, Progress]:
        ids = [progress_ref(book.program_id, each.achievement_id, member_id).id for each in book.achievements]
        documents = await self._store.get_many(tenant, RECORDS[PROGRESS.name], ids) if ids else {}
        found = [read_record(PROGRESS, document.body) for document in documents.values()]
        return {each.achievement_id: each for each in found}
