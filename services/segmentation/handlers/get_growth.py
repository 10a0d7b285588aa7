"""How the customer base grows, and figures over time."""

from collections.abc import Sequence

from services.common.clock import Clock
from services.common.rules import PatternFault
from services.segmentation.domain.calendar import Unit, calendar
from services.segmentation.domain.growth import Figure, Growth, GrowthResult, Trend, TrendInvalid, TrendSeries
from services.segmentation.domain.selection import (
    Breakdown,
    ByProperty,
    BySegments,
    ByTrait,
    EventFilter,
    check_filter,
    check_path,
)
from services.segmentation.handlers.asking import moment, named_segments
from services.segmentation.ports import Insights, Segments


async def get_growth(
    segments: Segments,
    insights: Insights,
    pattern_fault: PatternFault,
    clock: Clock,
    tenant: str,
    *,
    activity: EventFilter,
    conversion: EventFilter,
    breakdown: Breakdown | None,
    unit: Unit,
    periods: int,
    time_zone: str,
    currency: str,
    at: int | None,
) -> tuple[Growth, GrowthResult, int]:
    """The question, the periods, the moment; ``RuleInvalid``, ``BreakdownInvalid``, ``SegmentNotFound``,
    ``TimeZoneUnknown``."""
    check_filter(activity, "activity", pattern_fault)
    check_filter(conversion, "conversion", pattern_fault)
    rules = await named_segments(segments, tenant, breakdown, (ByTrait, BySegments))
    asked = moment(clock, at)
    question = Growth(activity, conversion, breakdown, calendar(unit, time_zone, asked), periods, currency)
    return question, await insights.growth(tenant, question, rules, asked), asked


async def get_trend(
    segments: Segments,
    insights: Insights,
    pattern_fault: PatternFault,
    clock: Clock,
    tenant: str,
    *,
    events: EventFilter,
    figure: Figure,
    property: str,
    breakdown: Breakdown | None,
    unit: Unit,
    periods: int,
    time_zone: str,
    at: int | None,
) -> tuple[Trend, Sequence[TrendSeries], int]:
    """The question, the series, the moment; errors as for ``get_growth``, and ``TrendInvalid``."""
    check_filter(events, "filter", pattern_fault)
    if (figure is Figure.SUM) != bool(property):
        raise TrendInvalid("a sum needs a property, other figures take none", field="property")
    if property:
        check_path(property, "property")
    rules = await named_segments(segments, tenant, breakdown, (ByTrait, ByProperty, BySegments))
    asked = moment(clock, at)
    question = Trend(events, figure, property, breakdown, calendar(unit, time_zone, asked), periods)
    return question, await insights.trend(tenant, question, rules, asked), asked
