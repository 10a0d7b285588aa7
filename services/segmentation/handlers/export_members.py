"""Write the members of a segment into a file, part by part."""

import asyncio
from collections.abc import AsyncIterator

from services.segmentation.handlers.get_segment import get_segment
from services.segmentation.ports import Memberships, MemberWriter, Segments

MEMBERS_A_READ = 1_000
MEMBERS_A_PART = 20_000


async def export_members(
    segments: Segments, memberships: Memberships, writer: MemberWriter, tenant: str, segment_id: str
) -> AsyncIterator[bytes]:
    """The parts of the file; ``SegmentNotFound``. No more than one part is held at a time."""
    await get_segment(segments, tenant, segment_id)
    part: list[tuple[str, int]] = []
    after = ""
    while True:
        page, after = await memberships.members(tenant, segment_id, MEMBERS_A_READ, after)
        part += page
        if len(part) >= MEMBERS_A_PART or (part and not after):
            yield await asyncio.to_thread(writer.write, part)
            part = []
        if not after:
            yield await asyncio.to_thread(writer.end)
            return
