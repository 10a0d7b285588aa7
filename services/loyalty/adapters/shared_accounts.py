"""The port ``SharedAccounts`` over the document store."""

from services.common.store import Query, Store
from services.loyalty.adapters.records import RECORDS, read_record
from services.loyalty.adapters.stored_records import stored_record
from services.loyalty.domain.account_activity import ACCOUNT_ACTIVITY, AccountActivity
from services.loyalty.domain.shared_account import SHARED_ACCOUNTS, SharedAccount, account_ref


class StoredSharedAccounts:
    """Reads shared accounts."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, tenant: str, program_id: str, account_id: str) -> SharedAccount | None:
        return await stored_record(self._store, tenant, SHARED_ACCOUNTS, account_ref(program_id, account_id).id)

    async def activity(
        self, tenant: str, program_id: str, member_id: str, limit: int, after: str
    ) -> tuple[list[AccountActivity], str]:
        where = {"program_id": program_id, "account_id": member_id}
        query = Query(where=where, order_by="time", descending=True, limit=limit, after=after)
        page = await self._store.find(tenant, RECORDS[ACCOUNT_ACTIVITY.name], query)
        return [read_record(ACCOUNT_ACTIVITY, document.body) for document in page.documents], page.next_cursor
