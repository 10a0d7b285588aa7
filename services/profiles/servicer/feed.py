"""The feed, as followers hear it."""

from collections.abc import AsyncIterator
from typing import Any

from tessera.profiles.v1 import profiles_service_pb2 as pb

from services.common.auth import ALL_TENANTS, principal
from services.profiles.servicer.messages import Context
from services.profiles.servicer.tail import Feed, Wanted


class FeedRpcs:
    """Tells every change, in the order of commits."""

    _feed: Feed

    async def FollowChanges(self, request: pb.FollowChangesRequest, context: Context) -> AsyncIterator[Any]:
        tenant = principal().tenant
        wanted = Wanted(None if tenant == ALL_TENANTS else tenant, frozenset(request.event_names))
        async for answer in self._feed.follow(request.after_cursor, wanted):
            yield answer
