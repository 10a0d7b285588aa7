"""How every change of a definition is carried out: once a request, and again where another writer was faster."""

from collections.abc import Awaitable, Callable

from services.common.errors import AlreadyExists, Conflict
from services.segmentation.domain.segment import Segment, SegmentChanged
from services.segmentation.ports import Request, Segments

ATTEMPTS_MAX = 10


async def persisted(
    segments: Segments, tenant: str, request: Request, attempt: Callable[[], Awaitable[Segment]]
) -> Segment:
    """The first answer to ``request``, or that of ``attempt``; ``RequestIdReused``."""
    for number in range(ATTEMPTS_MAX):
        answered = await segments.answered(tenant, request)
        if answered is not None:
            return answered
        try:
            return await attempt()
        except (Conflict, AlreadyExists) as error:
            if isinstance(error, SegmentChanged) or number == ATTEMPTS_MAX - 1:
                raise
    raise AssertionError("unreachable")
