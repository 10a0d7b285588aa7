"""List the segments that depend on one."""

from services.segmentation.domain.segment import SegmentNotFound, dependants, users
from services.segmentation.ports import Segments


async def list_dependents(
    segments: Segments, tenant: str, segment_id: str, limit: int, after: str
) -> tuple[list[tuple[str, bool]], str]:
    """A page of segment ids after ``after``, each with whether its own rule names the segment, and the id after which
    the next page begins (empty at the end); ``SegmentNotFound``."""
    rules = (await segments.catalogue(tenant)).rules
    if segment_id not in rules:
        raise SegmentNotFound(segment_id)
    direct = set(users(segment_id, rules))
    following = sorted(each for each in dependants(segment_id, rules) if each > after)
    page = following[:limit]
    return [(each, each in direct) for each in page], page[-1] if len(following) > limit else ""
