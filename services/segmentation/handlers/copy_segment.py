"""Make a segment of a definition that a segment has or had: a copy, or the same one as it was."""

from services.common.clock import Clock
from services.segmentation.domain.history import SegmentVersionNotFound
from services.segmentation.domain.segment import Segment
from services.segmentation.handlers.create_segment import create_segment
from services.segmentation.handlers.evaluation import Evaluation
from services.segmentation.handlers.get_segment import get_segment
from services.segmentation.handlers.update_segment import update_segment
from services.segmentation.ports import Analytics, Request, Segments

NAME_MAX, SUFFIX = 200, " (copy)"


async def copy_segment(
    segments: Segments,
    evaluation: Evaluation,
    analytics: Analytics,
    clock: Clock,
    new_id: str,
    tenant: str,
    request: Request,
    segment_id: str,
    version: int,
    name: str,
) -> Segment:
    """The copy; ``SegmentNotFound``, ``SegmentVersionNotFound``, and what ``create_segment`` raises where what the rule
    names is gone."""
    answered = await segments.answered(tenant, request)
    if answered is not None:
        return answered
    if version:
        original = await _as_it_was(segments, tenant, segment_id, version)
    else:
        original = await get_segment(segments, tenant, segment_id)
    named = name or original.name[: NAME_MAX - len(SUFFIX)] + SUFFIX
    description, rule = original.description, original.rule
    return await create_segment(
        segments, evaluation, analytics, clock, lambda: new_id, tenant, request, named, description, rule
    )


async def restore_segment(
    segments: Segments,
    evaluation: Evaluation,
    analytics: Analytics,
    clock: Clock,
    tenant: str,
    request: Request,
    segment_id: str,
    version: int,
    current_version: int,
) -> Segment:
    """The segment as it is now; ``SegmentVersionNotFound``, and what ``update_segment`` raises."""
    wanted = await _as_it_was(segments, tenant, segment_id, version)
    return await update_segment(
        segments,
        evaluation,
        analytics,
        clock,
        tenant,
        request,
        segment_id,
        wanted.name,
        wanted.description,
        wanted.rule,
        current_version,
    )


async def _as_it_was(segments: Segments, tenant: str, segment_id: str, version: int) -> Segment:
    known = await segments.versions_of(tenant, segment_id, [version])
    if version not in known:
        raise SegmentVersionNotFound(segment_id, version)
    return known[version].segment
