"""RFM over the wire."""

from dataclasses import dataclass

from tessera.segmentation.v1 import segmentation_service_pb2 as pb
from tessera.segmentation.v1.segmentation_service_pb2_grpc import SegmentationServiceServicer

from services.common.auth import principal
from services.segmentation.domain.rfm import Cell, Cuts, Rfm, RfmTable, grid, summarise
from services.segmentation.handlers.get_rfm import get_rfm
from services.segmentation.ports import Analytics
from services.segmentation.servicer.context import Context
from services.segmentation.servicer.insights import as_of, money, timestamp


@dataclass(frozen=True, kw_only=True)
class RfmRpcs(SegmentationServiceServicer):
    """The rpcs of RFM."""

    analytics: Analytics

    async def GetRfm(self, request: pb.GetRfmRequest, context: Context) -> pb.GetRfmResponse:
        table, rfm = await get_rfm(
            self.analytics, principal().tenant, request.customer_id, request.currency, as_of(request), _cuts(request)
        )
        return pb.GetRfmResponse(rfm=_rfm(table, rfm))

    async def BatchGetRfm(self, request: pb.BatchGetRfmRequest, context: Context) -> pb.BatchGetRfmResponse:
        table = await self.analytics.rfm(principal().tenant, request.currency, as_of(request), _cuts(request))
        found = [table.customers[who] for who in request.customer_ids if who in table.customers]
        return pb.BatchGetRfmResponse(rfms=[_rfm(table, rfm) for rfm in found])

    async def GetRfmSummary(self, request: pb.GetRfmSummaryRequest, context: Context) -> pb.GetRfmSummaryResponse:
        table = await self.analytics.rfm(principal().tenant, request.currency, as_of(request), _cuts(request))
        groups = summarise(table)
        return pb.GetRfmSummaryResponse(
            groups=[
                pb.RfmGroupSummary(
                    group=pb.RfmGroup.ValueType(it.group),
                    customer_count=it.customer_count,
                    value=money(table.currency, it.value_minor),
                )
                for it in groups
            ],
            customer_count=len(table.customers),
            value=money(table.currency, sum(it.value_minor for it in groups)),
            as_of_time=timestamp(table.as_of),
            cells=[_cell(table, cell) for cell in grid(table)],
        )


def _cuts(request: pb.GetRfmRequest | pb.BatchGetRfmRequest | pb.GetRfmSummaryRequest) -> Cuts | None:
    if not request.HasField("cuts"):
        return None
    cuts = request.cuts
    return Cuts(tuple(cuts.recency_days), tuple(cuts.frequency), tuple(cuts.monetary_minor))


def _cell(table: RfmTable, cell: Cell) -> pb.RfmCell:
    return pb.RfmCell(
        recency_score=cell.recency_score,
        frequency_score=cell.frequency_score,
        group=pb.RfmGroup.ValueType(cell.group),
        customer_count=cell.customer_count,
        value=money(table.currency, cell.value_minor),
        monetary_score_mean=cell.monetary_score_mean,
    )


def _rfm(table: RfmTable, rfm: Rfm) -> pb.Rfm:
    return pb.Rfm(
        customer_id=rfm.customer_id,
        recency_days=rfm.recency_days,
        frequency=rfm.frequency,
        monetary=money(table.currency, rfm.monetary_minor),
        recency_score=rfm.recency_score,
        frequency_score=rfm.frequency_score,
        monetary_score=rfm.monetary_score,
        cell=rfm.cell,
        group=pb.RfmGroup.ValueType(rfm.group),
        as_of_time=timestamp(table.as_of),
    )
