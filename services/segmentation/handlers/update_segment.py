"""Replace a segment's definition, checked against the others."""

from dataclasses import replace

from services.common.clock import Clock, to_micros
from services.common.rules import Rule
from services.segmentation.domain.segment import Segment, SegmentChanged, SegmentNotFound, check, dependants
from services.segmentation.handlers.evaluation import Evaluation
from services.segmentation.handlers.saving import persisted
from services.segmentation.ports import Analytics, Request, Segments


async def update_segment(
    segments: Segments,
    evaluation: Evaluation,
    analytics: Analytics,
    clock: Clock,
    tenant: str,
    request: Request,
    segment_id: str,
    name: str,
    description: str,
    rule: Rule,
    version: int,
) -> Segment:
    """The segment as it is now; ``SegmentNotFound``, ``SegmentChanged``, and what ``create_segment`` raises."""

    async def attempt() -> Segment:
        catalogue = await segments.catalogue(tenant)
        old = catalogue.segments.get(segment_id)
        if old is None:
            raise SegmentNotFound(segment_id)
        if version not in (0, old.version):
            raise SegmentChanged(f"segment {segment_id} is at version {old.version}", version=old.version)
        check(rule, segment_id, catalogue.rules, analytics.pattern_fault, catalogue.lists, catalogue.scores)
        new = replace(
            old,
            name=name,
            description=description,
            rule=rule,
            version=old.version + 1,
            update_time=to_micros(clock()),
        )
        await segments.save(tenant, new, catalogue, request)
        return new

    updated = await persisted(segments, tenant, request, attempt)
    catalogue = await segments.catalogue(tenant)
    evaluation.renew(tenant, {segment_id} | dependants(segment_id, catalogue.rules))
    return updated
