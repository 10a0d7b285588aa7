"""How far customers get through steps."""

from services.common.clock import Clock
from services.common.rules import PatternFault
from services.segmentation.domain.funnel import Funnel, FunnelResult, check_funnel
from services.segmentation.domain.selection import Breakdown, ByProperty, BySegments, ByTrait
from services.segmentation.handlers.asking import moment, named_segments
from services.segmentation.ports import Insights, Segments


async def get_funnel(
    segments: Segments,
    insights: Insights,
    pattern_fault: PatternFault,
    clock: Clock,
    tenant: str,
    funnel: Funnel,
    breakdown: Breakdown | None,
    at: int | None,
) -> tuple[FunnelResult, int]:
    """The steps, and the moment; ``FunnelInvalid``, ``RuleInvalid``, ``BreakdownInvalid``, ``SegmentNotFound``."""
    check_funnel(funnel, pattern_fault)
    rules = await named_segments(segments, tenant, breakdown, (ByTrait, ByProperty, BySegments))
    asked = moment(clock, at)
    return await insights.funnel(tenant, funnel, breakdown, rules, asked), asked
