"""Evaluate one segment for all customers now."""

from services.segmentation.domain.segment import Segment
from services.segmentation.handlers.evaluation import Evaluation
from services.segmentation.handlers.get_segment import get_segment
from services.segmentation.ports import Segments


async def refresh_segment(segments: Segments, evaluation: Evaluation, tenant: str, segment_id: str) -> Segment:
    """The segment, once its members are stored; ``SegmentNotFound``."""
    segment = await get_segment(segments, tenant, segment_id)
    await evaluation.refresh(tenant, [segment_id])
    return segment
