"""Reports of programmes in the schema."""

from typing import Annotated, cast

import strawberry
from tessera.loyalty.v1 import report_pb2 as pb

from gateway.context import Info
from gateway.schema.access import by_rpc
from gateway.schema.registry import from_proto, input_from_proto, mutation, query

_COST = ("program_id", "cost_per_1000_points_minor", "gross_margin_share")


@from_proto(pb.PointCost, *_COST, "set_time")
class PointCost: ...


@input_from_proto(pb.PointCost, *_COST)
class PointCostInput: ...


@input_from_proto(pb.SetPointCostRequest, "request_id", "cost")
class SetPointCostInput: ...


@from_proto(pb.SetPointCostResponse, "cost")
class SetPointCostPayload: ...


@from_proto(
    pb.LoyaltyLiability, "spendable_points", "owed_points", "pending_points", "amount_minor", "pending_amount_minor"
)
class LoyaltyLiability: ...


@from_proto(
    pb.LiabilityForecast,
    "last_date",
    "spendable_points",
    "present_points",
    "burned_points",
    "expired_points",
    "new_points",
    "amount_minor",
)
class LiabilityForecast: ...


@from_proto(
    pb.Breakage,
    "matured_points",
    "expired_points",
    "rate",
    "expected_points",
    "expected_amount_minor",
    "month_count",
)
class Breakage: ...


@from_proto(pb.ExpiringPoints, "first_date", "last_date", "points", "amount_minor")
class ExpiringPoints: ...


@from_proto(
    pb.LoyaltyFigures,
    "first_date",
    "last_date",
    "issued_points",
    "posted_points",
    "burned_points",
    "expired_points",
    "refunded_points",
    "voided_points",
    "restored_points",
    "uncollected_points",
    "closing_balance_points",
    "closing_pending_points",
    "order_count",
    "order_amount_minor",
    "refunded_amount_minor",
    "enrolled_count",
    "entry_count",
)
class LoyaltyFigures: ...


@from_proto(pb.TierFigures, "tier_id", "member_count", "share", "joined_count", "left_count")
class TierFigures: ...


@from_proto(pb.TierMove, "from_tier_id", "to_tier_id", "count")
class TierMove: ...


@from_proto(
    pb.ProgramReturn, "net_revenue_minor", "margin_minor", "points_cost_minor", "discount_minor", "return_share"
)
class ProgramReturn: ...


@from_proto(pb.RepeatPurchases, "buyer_count", "repeat_buyer_count", "repeat_rate", "returning_buyer_count")
class RepeatPurchases: ...


@from_proto(pb.PromotionFigures, "offer_id", "campaign_id", "use_count", "discount_minor")
class PromotionFigures: ...


@from_proto(pb.ReferralRate, "campaign_id", "figures")
class ReferralRate: ...


@from_proto(
    pb.LoyaltyReport,
    "program_id",
    "currency",
    "report_time",
    "complete",
    "liability",
    "forecast",
    "breakage",
    "expiring_weeks",
    "expiring_months",
    "series",
    "total",
    "tiers",
    "tier_moves",
    "program_return",
    "repeat_purchases",
    "promotions",
    "referrals",
)
class LoyaltyReport: ...


@query(by_rpc("loyalty.GetLoyaltyReport"))
async def loyalty_report(
    info: Info,
    program_id: strawberry.ID,
    first_date: str,
    last_date: str,
    interval: Annotated[int, pb.ReportInterval] = pb.REPORT_INTERVAL_DAY,
    time_basis: Annotated[int, pb.ReportTimeBasis] = pb.REPORT_TIME_BASIS_RECORD,
    forecast_months: int = 12,
) -> pb.LoyaltyReport:
    """How a programme does in a period, from the first to the last day (`YYYY-MM-DD`): what it owes and will owe, what
    expires, points as series, tiers, what it brings, and who comes back."""
    request = pb.GetLoyaltyReportRequest(
        program_id=program_id,
        first_date=first_date,
        last_date=last_date,
        interval=cast("pb.ReportInterval.ValueType", interval),
        time_basis=cast("pb.ReportTimeBasis.ValueType", time_basis),
        forecast_months=forecast_months,
    )
    answer = await info.context.backends.loyalty.GetLoyaltyReport(request, metadata=info.context.metadata)
    return answer.report


@mutation(by_rpc("loyalty.SetPointCost"))
async def set_point_cost(info: Info, input: pb.SetPointCostRequest) -> pb.SetPointCostResponse:
    return await info.context.backends.loyalty.SetPointCost(input, metadata=info.context.metadata)
