"""Funnels, retention, growth and trends in the schema."""

from tessera.segmentation.v1 import association_pb2, funnel_pb2, insight_pb2, segment_value_pb2
from tessera.segmentation.v1 import retention_pb2 as pb

from gateway.context import Info
from gateway.schema.access import by_rpc
from gateway.schema.registry import from_proto, input_from_proto, query


@input_from_proto(insight_pb2.EventFilter, "event", "where")
class EventFilterInput: ...


@input_from_proto(insight_pb2.SegmentBreakdown, "segment_ids")
class SegmentBreakdownInput: ...


@input_from_proto(insight_pb2.Breakdown, "trait", "property", "segments", "value_count_max")
class BreakdownInput: ...


@from_proto(insight_pb2.GroupValue, "text", "number", "flag", "segment_id", "missing", "others")
class GroupValue: ...


@input_from_proto(funnel_pb2.FunnelStep, "name", "filter")
class FunnelStepInput: ...


@input_from_proto(funnel_pb2.FunnelExclusion, "filter", "from_step", "to_step")
class FunnelExclusionInput: ...


@input_from_proto(funnel_pb2.Funnel, "steps", "window", "order", "exclusions", "entered")
class FunnelDefinitionInput: ...


@input_from_proto(funnel_pb2.GetFunnelRequest, "funnel", "breakdown", "as_of_time")
class FunnelInput: ...


@from_proto(
    funnel_pb2.FunnelStepResult,
    "name",
    "customer_count",
    "conversion",
    "step_conversion",
    "median_time",
    "median_step_time",
)
class FunnelStepResult: ...


@from_proto(funnel_pb2.FunnelGroup, "group", "steps")
class FunnelGroup: ...


@from_proto(funnel_pb2.GetFunnelResponse, "steps", "groups", "as_of_time")
class FunnelResult: ...


@input_from_proto(
    pb.GetRetentionRequest,
    "first_event",
    "returning_event",
    "cohort_by",
    "breakdown",
    "period_unit",
    "period_count",
    "time_zone",
    "kind",
    "currency",
    "as_of_time",
)
class RetentionInput: ...


@from_proto(
    pb.RetentionCell,
    "offset",
    "customer_count",
    "retained_count",
    "share",
    "revenue",
    "revenue_to_date",
    "ongoing",
)
class RetentionCell: ...


@from_proto(pb.Cohort, "period", "group", "customer_count", "cells")
class Cohort: ...


@from_proto(pb.GetRetentionResponse, "cohorts", "as_of_time")
class RetentionResult: ...


@input_from_proto(
    pb.GetGrowthRequest,
    "activity",
    "conversion",
    "breakdown",
    "period_unit",
    "period_count",
    "time_zone",
    "currency",
    "as_of_time",
)
class GrowthInput: ...


@from_proto(
    pb.GrowthPeriod,
    "period",
    "new_count",
    "retained_count",
    "resurrected_count",
    "churned_count",
    "active_count",
    "converted_count",
    "conversion_rate",
    "order_count",
    "buyer_count",
    "repeat_buyer_count",
    "repeat_purchase_rate",
    "revenue",
    "revenue_per_active",
    "lifetime_value",
    "stickiness",
    "ongoing",
)
class GrowthPeriod: ...


@from_proto(pb.GrowthGroup, "group", "periods")
class GrowthGroup: ...


@from_proto(pb.GetGrowthResponse, "periods", "groups", "as_of_time")
class GrowthResult: ...


@input_from_proto(
    pb.GetTrendRequest,
    "filter",
    "figure",
    "property",
    "breakdown",
    "period_unit",
    "period_count",
    "time_zone",
    "as_of_time",
)
class TrendInput: ...


@from_proto(pb.TrendSeries, "group", "values")
class TrendSeries: ...


@from_proto(pb.GetTrendResponse, "periods", "series", "as_of_time")
class TrendResult: ...


@query(by_rpc("segmentation.GetFunnel"))
async def funnel(info: Info, input: funnel_pb2.GetFunnelRequest) -> funnel_pb2.GetFunnelResponse:
    """How far customers get through steps in an order: how many reach each, and how long they take."""
    return await info.context.backends.segmentation.GetFunnel(input, metadata=info.context.metadata)


@query(by_rpc("segmentation.GetRetention"))
async def retention(info: Info, input: pb.GetRetentionRequest) -> pb.GetRetentionResponse:
    """Who comes back: cohorts of customers, and for each what part of it came back in the periods after."""
    return await info.context.backends.segmentation.GetRetention(input, metadata=info.context.metadata)


@query(by_rpc("segmentation.GetGrowth"))
async def growth(info: Info, input: pb.GetGrowthRequest) -> pb.GetGrowthResponse:
    """How the customer base grows, period by period: who is new, retained, resurrected and churned, conversion, repeat
    purchases, revenue by customer, lifetime value to date, stickiness."""
    return await info.context.backends.segmentation.GetGrowth(input, metadata=info.context.metadata)


@query(by_rpc("segmentation.GetTrend"))
async def trend(info: Info, input: pb.GetTrendRequest) -> pb.GetTrendResponse:
    """A figure over events, period by period."""
    return await info.context.backends.segmentation.GetTrend(input, metadata=info.context.metadata)


@input_from_proto(
    association_pb2.GetAssociationsRequest,
    "basket",
    "window",
    "property",
    "support_min",
    "confidence_min",
    "item_count_min",
    "item_count_max",
    "consequent",
    "order_by",
    "rule_count_max",
    "as_of_time",
)
class AssociationsInput: ...


@from_proto(
    association_pb2.AssociationRule,
    "antecedent",
    "consequent",
    "basket_count",
    "support",
    "confidence",
    "lift",
    "leverage",
    "conviction",
)
class AssociationRule: ...


@from_proto(
    association_pb2.GetAssociationsResponse,
    "rules",
    "rule_count",
    "itemset_count",
    "basket_count",
    "item_count",
    "as_of_time",
)
class Associations: ...


@query(by_rpc("segmentation.GetAssociations"))
async def associations(
    info: Info, input: association_pb2.GetAssociationsRequest
) -> association_pb2.GetAssociationsResponse:
    """Which categories or products are bought together, and how much that says."""
    return await info.context.backends.segmentation.GetAssociations(input, metadata=info.context.metadata)


@from_proto(
    segment_value_pb2.SegmentValue,
    "segment_id",
    "customer_count",
    "earlier_customer_count",
    "growth",
    "buyer_count",
    "order_count",
    "revenue",
    "revenue_share",
    "revenue_per_customer",
    "order_value",
    "repeat_rate",
    "lapsed_share",
    "margin",
    "margin_known_share",
    "predicted_customer_count",
    "churn_probability_mean",
    "expected_revenue",
    "lifetime_value",
    "campaign_response",
)
class SegmentValue: ...


@from_proto(
    segment_value_pb2.CampaignResponse,
    "message_count",
    "sent_customer_count",
    "delivered_customer_count",
    "opened_customer_count",
    "clicked_customer_count",
    "converted_customer_count",
    "delivery_rate",
    "open_rate",
    "click_rate",
    "conversion_rate",
    "attributed_order_count",
    "attributed_revenue",
)
class CampaignResponse: ...


@from_proto(segment_value_pb2.GetSegmentValueResponse, "segments", "others", "everybody", "as_of_time")
class SegmentValues: ...


@input_from_proto(
    segment_value_pb2.GetSegmentValueRequest,
    "segment_ids",
    "window_days",
    "growth_days",
    "lapse_days",
    "response_days",
    "currency",
    "as_of_time",
)
class SegmentValueInput: ...


@query(by_rpc("segmentation.GetSegmentValue"))
async def segment_value(
    info: Info, input: segment_value_pb2.GetSegmentValueRequest
) -> segment_value_pb2.GetSegmentValueResponse:
    """What segments are worth, side by side, with everybody else as the baseline."""
    return await info.context.backends.segmentation.GetSegmentValue(input, metadata=info.context.metadata)
