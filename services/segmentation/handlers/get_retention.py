"""Who comes back, period after period."""

from services.common.clock import Clock
from services.common.rules import PatternFault
from services.segmentation.domain.calendar import Unit, calendar
from services.segmentation.domain.retention import CohortBy, Retention, RetentionResult
from services.segmentation.domain.selection import Breakdown, BreakdownInvalid, ByTrait, EventFilter, check_filter
from services.segmentation.handlers.asking import moment, named_segments
from services.segmentation.ports import Insights, Segments


async def get_retention(
    segments: Segments,
    insights: Insights,
    pattern_fault: PatternFault,
    clock: Clock,
    tenant: str,
    *,
    first: EventFilter,
    returning: EventFilter,
    by: CohortBy,
    breakdown: Breakdown | None,
    unit: Unit,
    periods: int,
    time_zone: str,
    unbounded: bool,
    currency: str,
    at: int | None,
) -> tuple[Retention, RetentionResult, int]:
    """The question, the matrix, the moment; ``RuleInvalid``, ``BreakdownInvalid``, ``TimeZoneUnknown``."""
    check_filter(first, "first_event", pattern_fault)
    check_filter(returning, "returning_event", pattern_fault)
    if (by is CohortBy.TRAIT) != (breakdown is not None):
        raise BreakdownInvalid("cohorts by trait need a breakdown by trait, others take none", field="breakdown")
    rules = await named_segments(segments, tenant, breakdown, (ByTrait,))
    asked = moment(clock, at)
    question = Retention(
        first, returning, by, breakdown, calendar(unit, time_zone, asked), periods, unbounded, currency
    )
    return question, await insights.retention(tenant, question, rules, asked), asked
