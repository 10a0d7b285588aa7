"""List the definitions that a segment has had."""

from services.segmentation.domain.history import SegmentVersion
from services.segmentation.domain.segment import SegmentNotFound
from services.segmentation.ports import Segments


async def list_segment_versions(
    segments: Segments, tenant: str, segment_id: str, limit: int, after: str
) -> tuple[list[SegmentVersion], str]:
    """A page of versions, the newest first, and the token of the next; ``SegmentNotFound``."""
    page = await segments.versions(tenant, segment_id, limit, after)
    if not page[0] and not after:
        raise SegmentNotFound(segment_id)
    return page
