"""Keep settings of a tenant once for one request."""

from collections.abc import Awaitable, Callable

from services.common.errors import AlreadyExists, Conflict
from services.recommendation.ports import Request, Requests


async def keep_settings(requests: Requests, request: Request, put: Callable[[], Awaitable[None]], now: int) -> int:
    """When the settings were replaced: ``now``, by ``put``, or by the request when it came before."""
    answered = await requests.replayed(request)
    if answered is None:
        try:
            await put()
        except (Conflict, AlreadyExists):
            answered = await requests.replayed(request)
    return int(answered["update_time"]) if answered else now
