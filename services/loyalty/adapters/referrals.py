"""The port ``Referrals`` over the document store."""

from services.common.store import Query, Range, Store
from services.loyalty.adapters.records import RECORDS, read_record
from services.loyalty.adapters.stored_records import stored_record
from services.loyalty.domain.referral import BOOK, BOOKS, COUNTS, REFERRALS, Referral, ReferralBook, ReferralCounts


class StoredReferrals:
    """Reads referrals."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def book(self, tenant: str) -> ReferralBook:
        return await stored_record(self._store, tenant, BOOKS, BOOK.id) or ReferralBook()

    async def counts(self, tenant: str, campaign_id: str) -> ReferralCounts:
        return await stored_record(self._store, tenant, COUNTS, campaign_id) or ReferralCounts()

    async def page(
        self, tenant: str, advocate_id: str, friend_id: str, limit: int, after: str
    ) -> tuple[list[Referral], str]:
        where = {"advocate_id": advocate_id} if advocate_id else {"friend_id": friend_id}
        query = Query(where=where, order_by="update_time", descending=True, limit=limit, after=after)
        page = await self._store.find(tenant, RECORDS[REFERRALS.name], query)
        return [read_record(REFERRALS, document.body) for document in page.documents], page.next_cursor

    async def due(self, tenant: str, as_of: int, limit: int) -> list[Referral]:
        query = Query(range=Range("next_due_time", at_most=as_of), limit=limit)
        page = await self._store.find(tenant, RECORDS[REFERRALS.name], query)
        return [read_record(REFERRALS, document.body) for document in page.documents]
