"""What every question about the history of customers needs first: the moment, and the segments that it names."""

from collections.abc import Mapping, Sequence

from services.common.clock import Clock, to_micros
from services.common.rules import Rule
from services.segmentation.domain.segment import SegmentNotFound
from services.segmentation.domain.selection import Breakdown, BySegments, check_breakdown
from services.segmentation.ports import Segments


def moment(clock: Clock, at: int | None) -> int:
    """``at``, or now."""
    return to_micros(clock()) if at is None else at


async def named_segments(
    segments: Segments, tenant: str, breakdown: Breakdown | None, allowed: Sequence[type]
) -> Mapping[str, Rule]:
    """The rules of the tenant's segments, if the breakdown needs them; ``BreakdownInvalid``, ``SegmentNotFound``."""
    check_breakdown(breakdown, allowed)
    if breakdown is None or not isinstance(breakdown.by, BySegments):
        return {}
    rules = (await segments.catalogue(tenant)).rules
    for segment_id in breakdown.by.segment_ids:
        if segment_id not in rules:
            raise SegmentNotFound(segment_id)
    return rules
