"""The port ``Coupons`` over the document store."""

from collections.abc import AsyncIterator, Sequence
from typing import Any, TypeVar

from services.common.errors import AlreadyExists
from services.common.store import Insert, Put, Query, Range, Store
from services.loyalty.adapters.promotion_records import PROMOTION_TENANTS
from services.loyalty.adapters.records import RECORDS, read_record, record_body
from services.loyalty.domain.coupon import (
    CAMPAIGNS,
    COUPONS,
    ORDERS,
    USAGES,
    Coupon,
    CouponCampaign,
    CouponCampaignNotFound,
    CouponOrder,
    CouponUsage,
)
from services.loyalty.domain.records import Kind

T = TypeVar("T")

ALL = "*"
TENANTS_MAX = 1000


class StoredCoupons:
    """Reads coupons; what changes them goes through the ledger, except for new codes, which nothing refers to."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def campaign(self, tenant: str, campaign_id: str) -> CouponCampaign:
        found = await self._get(tenant, CAMPAIGNS, campaign_id)
        if found is None:
            raise CouponCampaignNotFound(f"there is no coupon campaign {campaign_id}", campaign_id=campaign_id)
        return found

    async def usage(self, tenant: str, campaign_id: str) -> tuple[int, CouponUsage]:
        count = await self._store.count(tenant, RECORDS[COUPONS.name], Query(where={"campaign_id": campaign_id}))
        return count, await self._get(tenant, USAGES, campaign_id) or CouponUsage(campaign_id)

    async def campaigns(self, tenant: str, limit: int, after: str) -> tuple[list[CouponCampaign], str]:
        return await self._find(tenant, CAMPAIGNS, Query(limit=limit, after=after))

    async def find(self, tenant: str, codes: Sequence[str]) -> dict[str, Coupon]:
        found = await self._store.get_many(tenant, RECORDS[COUPONS.name], list(dict.fromkeys(codes)))
        return {code: read_record(COUPONS, document.body) for code, document in found.items()}

    async def page(
        self, tenant: str, campaign_id: str, holder_id: str, limit: int, after: str
    ) -> tuple[list[Coupon], str]:
        where = {"campaign_id": campaign_id} if campaign_id else {"holder_id": holder_id}
        return await self._find(tenant, COUPONS, Query(where=where, limit=limit, after=after))

    async def free(self, tenant: str, campaign_id: str, limit: int) -> list[str]:
        query = Query(where={"campaign_id": campaign_id, "holder_id": "", "uses": 0}, limit=limit)
        coupons, _ = await self._find(tenant, COUPONS, query)
        return [coupon.code for coupon in coupons]

    async def order(self, tenant: str, order_id: str) -> CouponOrder | None:
        return await self._get(tenant, ORDERS, order_id)

    async def orders(self, tenant: str, customer_id: str, limit: int, after: str) -> tuple[list[CouponOrder], str]:
        query = Query(
            where={"customer_id": customer_id}, order_by="update_time", descending=True, limit=limit, after=after
        )
        return await self._find(tenant, ORDERS, query)

    async def due(self, tenant: str, as_of: int, limit: int) -> list[CouponOrder]:
        query = Query(range=Range("next_expire_time", at_most=as_of), limit=limit)
        return (await self._find(tenant, ORDERS, query))[0]

    async def add(self, tenant: str, coupons: Sequence[Coupon]) -> int:
        collection = RECORDS[COUPONS.name]
        fresh = {coupon.code: coupon for coupon in coupons}
        while fresh:
            try:
                await self._store.commit(
                    [Insert(tenant, collection, code, record_body(coupon)) for code, coupon in fresh.items()]
                )
            except AlreadyExists:  # one in some millions of millions: leave out those that exist
                for code in await self._store.get_many(tenant, collection, list(fresh)):
                    del fresh[code]
            else:
                break
        return len(fresh)

    async def tenants(self) -> AsyncIterator[str]:
        after = ""
        while True:
            page = await self._store.find(ALL, PROMOTION_TENANTS, Query(limit=TENANTS_MAX, after=after))
            for document in page.documents:
                yield document.id
            after = page.next_cursor
            if not after:
                return

    async def enlist(self, tenant: str) -> None:
        await self._store.commit([Put(ALL, PROMOTION_TENANTS, tenant, {})])

    async def _get(self, tenant: str, kind: Kind[T], id: str) -> T | None:
        document = await self._store.get(tenant, RECORDS[kind.name], id)
        return read_record(kind, document.body) if document else None

    async def _find(self, tenant: str, kind: Kind[T], query: Any) -> tuple[list[T], str]:
        page = await self._store.find(tenant, RECORDS[kind.name], query)
        return [read_record(kind, document.body) for document in page.documents], page.next_cursor
