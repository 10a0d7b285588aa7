"""Retention, growth and trends over the wire."""

from collections.abc import Sequence
from dataclasses import dataclass

from tessera.segmentation.v1 import insight_pb2, segmentation_service_pb2_grpc
from tessera.segmentation.v1 import retention_pb2 as pb

from services.common.auth import principal
from services.common.clock import Clock
from services.segmentation.domain.calendar import Calendar, Unit
from services.segmentation.domain.funnel import share
from services.segmentation.domain.growth import PERIODS_DEFAULT, Figure, GrowthPeriod
from services.segmentation.domain.retention import Cell, Cohort, CohortBy
from services.segmentation.domain.selection import EventFilter
from services.segmentation.handlers.get_growth import get_growth, get_trend
from services.segmentation.handlers.get_retention import get_retention
from services.segmentation.ports import Analytics, Insights, Segments
from services.segmentation.servicer.context import Context
from services.segmentation.servicer.insights import (
    as_of,
    breakdown_of,
    day_text,
    events_of,
    group_value,
    money,
    timestamp,
)

ORDERS = EventFilter("Order Completed")


@dataclass(frozen=True, kw_only=True)
class GrowthRpcs(segmentation_service_pb2_grpc.SegmentationServiceServicer):
    """The rpcs of retention, growth and trends."""

    segments: Segments
    analytics: Analytics
    insights: Insights
    clock: Clock

    async def GetRetention(self, request: pb.GetRetentionRequest, context: Context) -> pb.GetRetentionResponse:
        first = events_of(request.first_event, "first_event") if request.HasField("first_event") else ORDERS
        returning = (
            events_of(request.returning_event, "returning_event") if request.HasField("returning_event") else first
        )
        question, result, at = await get_retention(
            self.segments,
            self.insights,
            self.analytics.pattern_fault,
            self.clock,
            principal().tenant,
            first=first,
            returning=returning,
            by=CohortBy(request.cohort_by or CohortBy.FIRST_EVENT),
            breakdown=breakdown_of(request),
            unit=_unit(request.period_unit),
            periods=request.period_count or PERIODS_DEFAULT,
            time_zone=request.time_zone,
            unbounded=request.kind == pb.RETENTION_KIND_UNBOUNDED,
            currency=request.currency,
            at=as_of(request),
        )
        cohorts = [_cohort(question.calendar, result.currency, cohort) for cohort in result.cohorts]
        return pb.GetRetentionResponse(cohorts=cohorts, as_of_time=timestamp(at))

    async def GetGrowth(self, request: pb.GetGrowthRequest, context: Context) -> pb.GetGrowthResponse:
        question, result, at = await get_growth(
            self.segments,
            self.insights,
            self.analytics.pattern_fault,
            self.clock,
            principal().tenant,
            activity=events_of(request.activity, "activity"),
            conversion=events_of(request.conversion, "conversion") if request.HasField("conversion") else ORDERS,
            breakdown=breakdown_of(request),
            unit=_unit(request.period_unit),
            periods=request.period_count or PERIODS_DEFAULT,
            time_zone=request.time_zone,
            currency=request.currency,
            at=as_of(request),
        )

        def written(periods: Sequence[GrowthPeriod]) -> list[pb.GrowthPeriod]:
            return [_growth(question.calendar, result.currency, period) for period in periods]

        return pb.GetGrowthResponse(
            periods=written(result.periods),
            groups=[
                pb.GrowthGroup(group=group_value(label), periods=written(periods)) for label, periods in result.groups
            ],
            as_of_time=timestamp(at),
        )

    async def GetTrend(self, request: pb.GetTrendRequest, context: Context) -> pb.GetTrendResponse:
        question, series, at = await get_trend(
            self.segments,
            self.insights,
            self.analytics.pattern_fault,
            self.clock,
            principal().tenant,
            events=events_of(request.filter, "filter"),
            figure=Figure(request.figure or Figure.EVENTS),
            property=request.property,
            breakdown=breakdown_of(request),
            unit=_unit(request.period_unit),
            periods=request.period_count or PERIODS_DEFAULT,
            time_zone=request.time_zone,
            at=as_of(request),
        )
        last = question.calendar.period(at)
        grouped = question.breakdown is not None
        return pb.GetTrendResponse(
            periods=[day_text(question.calendar, period) for period in range(last - question.periods + 1, last + 1)],
            series=[
                pb.TrendSeries(group=group_value(label) if grouped else None, values=values) for label, values in series
            ],
            as_of_time=timestamp(at),
        )


def _unit(unit: insight_pb2.PeriodUnit.ValueType) -> Unit:
    return Unit(unit or Unit.MONTH)


def _cohort(calendar: Calendar, currency: str, cohort: Cohort) -> pb.Cohort:
    return pb.Cohort(
        period="" if cohort.period is None else day_text(calendar, cohort.period),
        group=group_value(cohort.label) if cohort.period is None else None,
        customer_count=cohort.customers,
        cells=[_cell(currency, cell) for cell in cohort.cells],
    )


def _cell(currency: str, cell: Cell) -> pb.RetentionCell:
    return pb.RetentionCell(
        offset=cell.offset,
        customer_count=cell.customers,
        retained_count=cell.retained,
        share=share(cell.retained, cell.customers),
        revenue=money(currency, cell.revenue),
        revenue_to_date=money(currency, cell.revenue_to_date),
        ongoing=cell.ongoing,
    )


def _growth(calendar: Calendar, currency: str, it: GrowthPeriod) -> pb.GrowthPeriod:
    counted = it.counted
    return pb.GrowthPeriod(
        period=day_text(calendar, it.period),
        new_count=counted.new,
        retained_count=counted.retained,
        resurrected_count=counted.resurrected,
        churned_count=it.churned,
        active_count=it.active,
        converted_count=counted.converted,
        conversion_rate=share(counted.converted, it.active),
        order_count=counted.orders,
        buyer_count=counted.buyers,
        repeat_buyer_count=counted.repeat_buyers,
        repeat_purchase_rate=share(counted.repeat_buyers, counted.buyers),
        revenue=money(currency, counted.revenue),
        revenue_per_active=money(currency, it.revenue_per_active),
        lifetime_value=money(currency, it.lifetime_value),
        stickiness=it.stickiness,
        ongoing=it.ongoing,
    )
