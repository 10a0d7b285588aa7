"""The port ``Transfers`` over the document store."""

from services.common.store import Query, Store
from services.loyalty.adapters.records import RECORDS, read_record
from services.loyalty.adapters.stored_records import stored_record
from services.loyalty.domain.spending_policy import SPENDING_POLICIES, SpendingPolicy
from services.loyalty.domain.transfer import TRANSFERS, Transfer


class StoredTransfers:
    """Reads transfers and the policies that limit them."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def policy(self, tenant: str, program_id: str) -> SpendingPolicy:
        found = await stored_record(self._store, tenant, SPENDING_POLICIES, program_id)
        return found or SpendingPolicy(program_id)

    async def page(
        self, tenant: str, program_id: str, member_id: str, *, received: bool, limit: int, after: str
    ) -> tuple[list[Transfer], str]:
        where = {"program_id": program_id, "receiver_id" if received else "sender_id": member_id}
        query = Query(where=where, order_by="time", descending=True, limit=limit, after=after)
        page = await self._store.find(tenant, RECORDS[TRANSFERS.name], query)
        return [read_record(TRANSFERS, document.body) for document in page.documents], page.next_cursor
