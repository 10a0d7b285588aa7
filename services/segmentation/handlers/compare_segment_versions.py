"""Compare two definitions of a segment."""

from dataclasses import dataclass

from services.segmentation.domain.history import Difference, SegmentVersion, SegmentVersionNotFound, differences
from services.segmentation.ports import Segments


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two definitions and the nodes in which they differ."""

    before: SegmentVersion
    after: SegmentVersion
    differences: list[Difference]


async def compare_segment_versions(
    segments: Segments, tenant: str, segment_id: str, before: int, after: int
) -> Comparison:
    """What differs; ``SegmentVersionNotFound``."""
    known = await segments.versions_of(tenant, segment_id, [before, after])
    for version in (before, after):
        if version not in known:
            raise SegmentVersionNotFound(segment_id, version)
    rules = known[before].segment.rule, known[after].segment.rule
    return Comparison(known[before], known[after], differences(*rules))
