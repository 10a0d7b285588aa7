"""What segments are worth, side by side."""

from collections.abc import Sequence

from services.common.clock import Clock
from services.segmentation.domain.segment_value import SegmentValues, Spans
from services.segmentation.domain.selection import Breakdown, BySegments
from services.segmentation.handlers.asking import moment, named_segments
from services.segmentation.ports import Insights, Segments


async def get_segment_value(
    segments: Segments,
    insights: Insights,
    clock: Clock,
    tenant: str,
    segment_ids: Sequence[str],
    spans: Spans,
    currency: str,
    at: int | None,
) -> tuple[SegmentValues, int]:
    """The figures, and the moment; ``SegmentNotFound``."""
    rules = await named_segments(segments, tenant, Breakdown(BySegments(tuple(segment_ids))), (BySegments,))
    asked = moment(clock, at)
    return await insights.segment_values(tenant, segment_ids, rules, spans, currency, asked), asked
