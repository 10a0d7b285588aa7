"""Read one segment."""

from services.segmentation.domain.segment import Segment, SegmentNotFound
from services.segmentation.ports import Segments


async def get_segment(segments: Segments, tenant: str, segment_id: str) -> Segment:
    """The segment; ``SegmentNotFound``."""
    segment = await segments.get(tenant, segment_id)
    if segment is None:
        raise SegmentNotFound(segment_id)
    return segment
