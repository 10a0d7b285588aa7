"""Count how many members segments share."""

import asyncio
from collections.abc import Sequence

from services.segmentation.domain.overlap import Overlap, overlap
from services.segmentation.domain.segment import SegmentNotFound
from services.segmentation.handlers.reading import member_ids
from services.segmentation.ports import Memberships, Segments


async def get_segment_overlap(
    segments: Segments, memberships: Memberships, tenant: str, segment_ids: Sequence[str]
) -> Overlap:
    """The figures, from the memberships as they are stored; ``SegmentNotFound``."""
    wanted = list(dict.fromkeys(segment_ids))
    known = await segments.many(tenant, wanted)
    for segment_id in wanted:
        if segment_id not in known:
            raise SegmentNotFound(segment_id)
    members = {segment_id: await member_ids(memberships, tenant, segment_id) for segment_id in wanted}
    return await asyncio.to_thread(overlap, members)
