"""The port ``Reports`` over the document store."""

from typing import Any, TypeVar

from services.common.store import Query, Range, Store
from services.loyalty.adapters.records import RECORDS, read_record
from services.loyalty.adapters.report_keeper import ReportKeeper
from services.loyalty.adapters.stored_records import stored_record
from services.loyalty.domain.figures import REPORT_COHORTS, REPORT_DAYS, REPORT_OUTSTANDING, REPORT_RETURNS, Outstanding
from services.loyalty.domain.point_cost import POINT_COSTS, PointCost
from services.loyalty.domain.promotion_figures import REPORT_PROMOTIONS
from services.loyalty.domain.records import Kind
from services.loyalty.domain.report import Kept, ReportRequest

T = TypeVar("T")
PAGE_MAX = 1000


class StoredReports:
    """Reads what the keeper counted."""

    def __init__(self, store: Store, keeper: ReportKeeper) -> None:
        self._store, self._keeper = store, keeper

    async def counted(self) -> tuple[str, bool]:
        return await self._keeper.catch_up()

    async def kept(self, tenant: str, request: ReportRequest, currency: str) -> Kept:
        program_id, days = request.program_id, request.days
        outstanding: Outstanding | None = await stored_record(self._store, tenant, REPORT_OUTSTANDING, program_id)
        by_day = {"program_id": program_id, "basis": request.basis.value}
        within = Range("day", at_least=days.first, at_most=days.last)
        return Kept(
            days=await self._all(tenant, REPORT_DAYS, by_day, Range("day", at_most=days.last)),
            returns=await self._all(tenant, REPORT_RETURNS, {"program_id": program_id}, within),
            promotions=await self._all(tenant, REPORT_PROMOTIONS, {"currency": currency}, within),
            outstanding=outstanding,
            cohorts=await self._all(tenant, REPORT_COHORTS, {"program_id": program_id}, Range("month", at_least=0)),
        )

    async def cost(self, tenant: str, program_id: str) -> PointCost | None:
        return await stored_record(self._store, tenant, POINT_COSTS, program_id)

    async def _all(self, tenant: str, kind: Kind[T], where: dict[str, Any], within: Range) -> list[T]:
        found: list[T] = []
        after = ""
        while True:
            query = Query(where=where, range=within, limit=PAGE_MAX, after=after)
            page = await self._store.find(tenant, RECORDS[kind.name], query)
            found += [read_record(kind, document.body) for document in page.documents]
            after = page.next_cursor
            if not after:
                return found
