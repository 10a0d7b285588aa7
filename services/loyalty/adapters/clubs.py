"""The port ``Clubs`` over the document store."""

from services.common.store import Query, Store
from services.loyalty.adapters.merged_members import person_of
from services.loyalty.adapters.records import RECORDS, read_record
from services.loyalty.adapters.stored_records import stored_record
from services.loyalty.domain.account_activity import ACCOUNT_ACTIVITY, AccountActivity
from services.loyalty.domain.achievement import ACHIEVEMENT_BOOKS, AchievementBook
from services.loyalty.domain.achievement_progress import PROGRESS, Progress, progress_ref
from services.loyalty.domain.shared_account import SHARED_ACCOUNTS, SharedAccount, account_ref
from services.loyalty.domain.spending_policy import SPENDING_POLICIES, SpendingPolicy
from services.loyalty.domain.transfer import TRANSFERS, Transfer


class StoredClubs:
    """Reads what members do together."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def policy(self, tenant: str, program_id: str) -> SpendingPolicy:
        found = await stored_record(self._store, tenant, SPENDING_POLICIES, program_id)
        return found or SpendingPolicy(program_id)

    async def transfers(
        self, tenant: str, program_id: str, member_id: str, *, received: bool, limit: int, after: str
    ) -> tuple[list[Transfer], str]:
        where = {"program_id": program_id, "receiver_id" if received else "sender_id": member_id}
        query = Query(where=where, order_by="time", descending=True, limit=limit, after=after)
        page = await self._store.find(tenant, RECORDS[TRANSFERS.name], query)
        return [read_record(TRANSFERS, document.body) for document in page.documents], page.next_cursor

    async def achievements(self, tenant: str, program_id: str) -> AchievementBook:
        found = await stored_record(self._store, tenant, ACHIEVEMENT_BOOKS, program_id)
        return found or AchievementBook(program_id)

    async def progress(self, tenant: str, book: AchievementBook, member_id: str) -> dict[str, Progress]:
        member_id = await person_of(self._store, tenant, book.program_id, member_id)
        ids = [progress_ref(book.program_id, each.achievement_id, member_id).id for each in book.achievements]
        documents = await self._store.get_many(tenant, RECORDS[PROGRESS.name], ids) if ids else {}
        found = [read_record(PROGRESS, document.body) for document in documents.values()]
        return {each.achievement_id: each for each in found}

    async def shared_account(self, tenant: str, program_id: str, account_id: str) -> SharedAccount | None:
        return await stored_record(self._store, tenant, SHARED_ACCOUNTS, account_ref(program_id, account_id).id)

    async def account_activity(
        self, tenant: str, program_id: str, member_id: str, limit: int, after: str
    ) -> tuple[list[AccountActivity], str]:
        where = {"program_id": program_id, "account_id": member_id}
        query = Query(where=where, order_by="time", descending=True, limit=limit, after=after)
        page = await self._store.find(tenant, RECORDS[ACCOUNT_ACTIVITY.name], query)
        return [read_record(ACCOUNT_ACTIVITY, document.body) for document in page.documents], page.next_cursor
