"""Write the members of a segment into a file, part by part."""

import asyncio
from collections.abc import AsyncIterator, Sequence

from services.segmentation.domain.member_column import MemberColumn, check_columns
from services.segmentation.handlers.get_segment import get_segment
from services.segmentation.handlers.member_columns import Row, with_columns
from services.segmentation.ports import Memberships, RowWriter, Segments
from services.segmentation.ports.trait_values import TraitValues

MEMBERS_A_READ = 1_000
MEMBERS_A_PART = 20_000


async def export_members(
    segments: Segments,
    memberships: Memberships,
    values: TraitValues,
    writer: RowWriter,
    tenant: str,
    segment_id: str,
    columns: Sequence[MemberColumn],
) -> AsyncIterator[bytes]:
    """The parts of the file; ``SegmentNotFound``, ``MemberColumnsInvalid``. No more than one part is held at a time."""
    check_columns(columns)
    await get_segment(segments, tenant, segment_id)
    part: list[Row] = []
    after = ""
    while True:
        page, after = await memberships.members(tenant, segment_id, MEMBERS_A_READ, after)
        part += page
        if len(part) >= MEMBERS_A_PART or (part and not after):
            yield await asyncio.to_thread(writer.write, await with_columns(values, tenant, part, columns))
            part = []
        if not after:
            yield await asyncio.to_thread(writer.end)
            return
