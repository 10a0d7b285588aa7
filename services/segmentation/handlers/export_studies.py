"""Write who is in which cluster, and lookalikes, into files, part by part."""

import asyncio
from collections.abc import AsyncIterator

from services.segmentation.handlers.clustering import ClusteringWork
from services.segmentation.handlers.lookalikes import LookalikeWork
from services.segmentation.ports import RowWriter

ROWS_A_PART = 20_000


async def export_clusters(
    clustering: ClusteringWork, writer: RowWriter, tenant: str, clustering_id: str
) -> AsyncIterator[bytes]:
    """The parts of the file; ``ClusteringNotFound``. No more than one part is held at a time."""
    found = await clustering.get(tenant, clustering_id)
    personas = {persona.cluster: persona.name for persona in found.personas}
    after = ""
    while page := await clustering.clusterings.assignments(tenant, found.clustering_id, ROWS_A_PART, after):
        rows = [(who, cluster, personas.get(cluster, "")) for who, cluster in page]
        yield await asyncio.to_thread(writer.write, rows)
        after = page[-1][0]
    yield await asyncio.to_thread(writer.end)


async def export_lookalikes(
    lookalikes: LookalikeWork, writer: RowWriter, tenant: str, lookalike_id: str, share: float
) -> AsyncIterator[bytes]:
    """The parts of the file; ``LookalikeNotFound``, ``ShareInvalid``."""
    start = 0
    while True:
        page, _ = await lookalikes.customers(tenant, lookalike_id, share, start, ROWS_A_PART)
        if not page:
            break
        rows = [(who, start + place) for place, who in enumerate(page, 1)]
        yield await asyncio.to_thread(writer.write, rows)
        start += len(page)
    yield await asyncio.to_thread(writer.end)
