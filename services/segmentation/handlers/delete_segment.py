"""Delete a segment that no other one needs; its members leave it first."""

from services.common.errors import AlreadyExists, Conflict
from services.segmentation.domain.segment import Segment, SegmentInUse, SegmentNotFound, users
from services.segmentation.handlers.destinations import destination_naming
from services.segmentation.handlers.evaluation import Evaluation
from services.segmentation.handlers.saving import persisted
from services.segmentation.ports import Request, Segments
from services.segmentation.ports.destinations import Destinations


async def delete_segment(
    segments: Segments,
    destinations: Destinations,
    evaluation: Evaluation,
    tenant: str,
    request: Request,
    segment_id: str,
) -> None:
    """``SegmentNotFound``, ``SegmentInUse``. A segment that could not be deleted after all is filled again."""

    async def attempt() -> Segment:
        await _deletable(segments, tenant, segment_id)
        if (served := await destination_naming(destinations, tenant, segment_id)) is not None:
            raise SegmentInUse(f"segment {segment_id} is sent to destination {served}", used_by=served)
        async with evaluation.emptied(tenant, segment_id):
            catalogue = await segments.catalogue(tenant)
            segment = await _deletable(segments, tenant, segment_id)
            await segments.delete(tenant, segment, catalogue, request)
            return segment

    try:
        await persisted(segments, tenant, request, attempt)
    except (SegmentInUse, Conflict, AlreadyExists):
        await evaluation.refresh(tenant, [segment_id])
        raise


async def _deletable(segments: Segments, tenant: str, segment_id: str) -> Segment:
    catalogue = await segments.catalogue(tenant)
    if segment_id not in catalogue.segments:
        raise SegmentNotFound(segment_id)
    if used_by := users(segment_id, catalogue.rules):
        raise SegmentInUse(f"segment {segment_id} is named by the rule of segment {used_by[0]}", used_by=used_by[0])
    return catalogue.segments[segment_id]
