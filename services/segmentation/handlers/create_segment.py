"""Create a segment: check its rule against the others, store it, and have it evaluated."""

from collections.abc import Callable

from services.common.clock import Clock, to_micros
from services.common.rules import Rule
from services.segmentation.domain.segment import Segment, check
from services.segmentation.handlers.evaluation import Evaluation
from services.segmentation.handlers.saving import persisted
from services.segmentation.ports import Analytics, Request, Segments


async def create_segment(
    segments: Segments,
    evaluation: Evaluation,
    analytics: Analytics,
    clock: Clock,
    new_id: Callable[[], str],
    tenant: str,
    request: Request,
    name: str,
    description: str,
    rule: Rule,
) -> Segment:
    """The new segment; ``RuleInvalid``, ``RuleUnsupported``, ``SegmentNotFound``."""

    async def attempt() -> Segment:
        catalogue = await segments.catalogue(tenant)
        now = to_micros(clock())
        segment = Segment(new_id(), name, description, rule, 1, now, now)
        check(rule, segment.segment_id, catalogue.rules, analytics.pattern_fault, catalogue.lists, catalogue.scores)
        await segments.save(tenant, segment, catalogue, request)
        return segment

    created = await persisted(segments, tenant, request, attempt)
    evaluation.renew(tenant, [created.segment_id])
    return created
