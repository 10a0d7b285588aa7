"""The rpcs of reports and of the ledger as a file."""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from tessera.loyalty.v1 import report_pb2 as pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceServicer

from services.common.auth import principal
from services.common.clock import Clock, to_micros
from services.loyalty.domain.figures import Basis, date_of, first_day
from services.loyalty.domain.liability import Month
from services.loyalty.domain.point_cost import PointCost
from services.loyalty.domain.program import NEVER
from services.loyalty.domain.report import (
    FORECAST_MONTHS,
    Days,
    Interval,
    PeriodFigures,
    Report,
    ReportRequest,
    days_between,
)
from services.loyalty.handlers.reports import MadeReport, export_ledger, get_loyalty_report, set_point_cost
from services.loyalty.ports import Entries, Ledger, Programs, Referrals
from services.loyalty.ports.reporting import EntryWriter, Reports
from services.loyalty.servicer.calls import Context, micros, named, timestamp
from services.loyalty.servicer.referrals import referral_figures

_INTERVALS = {
    pb.REPORT_INTERVAL_UNSPECIFIED: Interval.DAY,
    pb.REPORT_INTERVAL_DAY: Interval.DAY,
    pb.REPORT_INTERVAL_WEEK: Interval.WEEK,
    pb.REPORT_INTERVAL_MONTH: Interval.MONTH,
}


@dataclass(frozen=True, kw_only=True)
class ReportRpcs(LoyaltyServiceServicer):
    """Reports, and the ledger as a file."""

    ledger: Ledger
    programs: Programs
    entries: Entries
    reports: Reports
    referrals: Referrals
    csv_file: Callable[[], EntryWriter]
    parquet_file: Callable[[], EntryWriter]
    clock: Clock

    async def SetPointCost(self, request: pb.SetPointCostRequest, context: Context) -> pb.SetPointCostResponse:
        told = request.cost
        cost = PointCost(
            program_id=told.program_id,
            per_1000_minor=told.cost_per_1000_points_minor,
            margin_share=told.gross_margin_share,
        )
        return pb.SetPointCostResponse(cost=_cost(await set_point_cost(self.ledger, named(request), cost)))

    async def GetLoyaltyReport(
        self, request: pb.GetLoyaltyReportRequest, context: Context
    ) -> pb.GetLoyaltyReportResponse:
        interval = _INTERVALS[request.interval]
        asked = ReportRequest(
            program_id=request.program_id,
            days=days_between(request.first_date, request.last_date, interval),
            interval=interval,
            basis=Basis.EVENT if request.time_basis == pb.REPORT_TIME_BASIS_EVENT else Basis.RECORD,
            forecast_months=request.forecast_months or FORECAST_MONTHS,
        )
        now = to_micros(self.clock())
        made = await get_loyalty_report(self.programs, self.reports, self.referrals, principal().tenant, asked, now)
        return pb.GetLoyaltyReportResponse(report=report_message(made))

    async def ExportLedger(
        self, request: pb.ExportLedgerRequest, context: Context
    ) -> AsyncIterator[pb.ExportLedgerResponse]:
        writer = self.parquet_file() if request.format == pb.LEDGER_FILE_FORMAT_PARQUET else self.csv_file()
        start = micros(request.start_time) if request.HasField("start_time") else 0
        end = micros(request.end_time) if request.HasField("end_time") else NEVER
        tenant = principal().tenant
        async for part in export_ledger(self.programs, self.entries, writer, tenant, request.program_id, start, end):
            if part:
                yield pb.ExportLedgerResponse(content=part)


def _cost(cost: PointCost) -> pb.PointCost:
    return pb.PointCost(
        program_id=cost.program_id,
        cost_per_1000_points_minor=cost.per_1000_minor,
        gross_margin_share=cost.margin_share or None,
        set_time=timestamp(cost.set_time),
    )


def report_message(made: MadeReport) -> pb.LoyaltyReport:
    """A report."""
    report = made.report
    return pb.LoyaltyReport(
        program_id=report.program.id,
        currency=report.program.currency,
        report_time=timestamp(report.time),
        entered_until_cursor=made.cursor,
        complete=made.complete,
        liability=pb.LoyaltyLiability(
            spendable_points=report.spendable,
            owed_points=report.owed,
            pending_points=report.pending,
            amount_minor=_amount(report, report.spendable),
            pending_amount_minor=_amount(report, report.pending),
        ),
        forecast=_forecast(report),
        breakage=_breakage(report),
        expiring_weeks=[_expiring(report, *each) for each in report.expiring_weeks],
        expiring_months=[_expiring(report, *each) for each in report.expiring_months],
        series=map(figures_message, report.series),
        total=figures_message(report.total),
        tiers=_tiers(report),
        tier_moves=[
            pb.TierMove(from_tier_id=before, to_tier_id=after, count=count)
            for (before, after), count in report.moves.items()
        ],
        program_return=_return(report),
        repeat_purchases=_repeat(report),
        promotions=[
            pb.PromotionFigures(
                offer_id=each.offer_id,
                campaign_id=each.campaign_id,
                use_count=each.uses,
                discount_minor=each.discount_minor,
            )
            for each in report.promotions
        ],
        referrals=[
            pb.ReferralRate(campaign_id=campaign.campaign_id, figures=referral_figures(counts))
            for campaign, counts in made.referrals
        ],
    )


def figures_message(figures: PeriodFigures) -> pb.LoyaltyFigures:
    """What happened in some days."""
    return pb.LoyaltyFigures(
        **_dates(figures.days),
        issued_points=figures.issued,
        posted_points=figures.posted,
        burned_points=figures.burned,
        expired_points=figures.expired,
        refunded_points=figures.refunded,
        voided_points=figures.voided,
        restored_points=figures.restored,
        uncollected_points=figures.uncollected,
        closing_balance_points=figures.closing_balance,
        closing_pending_points=figures.closing_pending,
        order_count=figures.orders,
        order_amount_minor=figures.order_amount_minor,
        refunded_amount_minor=figures.refunded_amount_minor,
        enrolled_count=figures.enrolled,
        entry_count=figures.entries,
    )


def _forecast(report: Report) -> list[pb.LiabilityForecast]:
    def message(last_day: int, month: Month) -> pb.LiabilityForecast:
        return pb.LiabilityForecast(
            last_date=date_of(last_day).isoformat(),
            spendable_points=month.spendable,
            present_points=month.present,
            burned_points=month.burned,
            expired_points=month.expired,
            new_points=month.new,
            amount_minor=_amount(report, month.spendable),
        )

    return [message(first_day(at + 1) - 1, month) for at, month in enumerate(report.forecast, report.month + 1)]


def _breakage(report: Report) -> pb.Breakage:
    breakage = report.breakage
    return pb.Breakage(
        matured_points=breakage.matured,
        expired_points=breakage.expired,
        rate=breakage.expired / breakage.matured if breakage.matured else None,
        expected_points=breakage.expected,
        expected_amount_minor=None if breakage.expected is None else _amount(report, breakage.expected),
        month_count=breakage.months,
    )


def _expiring(report: Report, days: Days, points: int) -> pb.ExpiringPoints:
    return pb.ExpiringPoints(**_dates(days), points=points, amount_minor=_amount(report, points))


def _tiers(report: Report) -> list[pb.TierFigures]:
    members = sum(tier.members for tier in report.tiers)
    return [
        pb.TierFigures(
            tier_id=tier.tier_id,
            member_count=tier.members,
            share=tier.members / members if members else 0.0,
            joined_count=tier.joined,
            left_count=tier.left,
        )
        for tier in report.tiers
    ]


def _return(report: Report) -> pb.ProgramReturn:
    total, cost = report.total, report.cost
    revenue = total.order_amount_minor - total.refunded_amount_minor
    margin = cost.margin_of(revenue) if cost else None
    spent = cost.of(total.burned - total.restored) if cost else None
    given = sum(each.discount_minor for each in report.promotions if each.offer_id)
    answer = pb.ProgramReturn(
        net_revenue_minor=revenue, margin_minor=margin, points_cost_minor=spent, discount_minor=given
    )
    if margin is not None and spent is not None and spent + given > 0:
        # What members paid is after discounts, so these are what it was given up for, not a cost on top.
        answer.return_share = (margin - spent) / (spent + given)
    return answer


def _repeat(report: Report) -> pb.RepeatPurchases:
    repeat = report.repeat
    return pb.RepeatPurchases(
        buyer_count=repeat.buyers,
        repeat_buyer_count=repeat.repeat_buyers,
        repeat_rate=repeat.repeat_buyers / repeat.buyers if repeat.buyers else None,
        returning_buyer_count=repeat.returning_buyers,
    )


def _amount(report: Report, points: int) -> int | None:
    return report.cost.of(points) if report.cost else None


def _dates(days: Days) -> dict[str, Any]:
    return {"first_date": date_of(days.first).isoformat(), "last_date": date_of(days.last).isoformat()}
