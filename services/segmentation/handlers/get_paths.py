"""Which ways customers take."""

from services.common.clock import Clock
from services.common.rules import PatternFault
from services.segmentation.domain.path import Paths, PathsResult, check_paths
from services.segmentation.domain.selection import Breakdown, BySegments
from services.segmentation.handlers.asking import moment, named_segments
from services.segmentation.ports import Segments
from services.segmentation.ports.paths import PathFinder


async def get_paths(
    segments: Segments,
    finder: PathFinder,
    pattern_fault: PatternFault,
    clock: Clock,
    tenant: str,
    question: Paths,
    segment_id: str,
    at: int | None,
) -> tuple[PathsResult, int]:
    """The paths, and the moment; ``PathsInvalid``, ``RuleInvalid``, ``SegmentNotFound``."""
    check_paths(question, pattern_fault)
    named = Breakdown(BySegments((segment_id,))) if segment_id else None
    rules = await named_segments(segments, tenant, named, (BySegments,))
    asked = moment(clock, at)
    return await finder.paths(tenant, question, segment_id, rules, asked), asked
