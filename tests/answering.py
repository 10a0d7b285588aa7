"""A server of profiles' contract, with everything that all servers share, whose answers a test gives."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, ClassVar

import grpc
from pydantic_settings import SettingsConfigDict
from tessera.profiles.v1 import profiles_service_pb2 as pb
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceServicer, add_ProfilesServiceServicer_to_server

from services.common.app import Exposed, Serving, serving
from services.common.settings import ServiceSettings

Context = grpc.aio.ServicerContext[Any, Any]
Answer = Callable[[Context], Awaitable[pb.GetStatisticsResponse]]
DESCRIPTOR = pb.DESCRIPTOR.services_by_name["ProfilesService"]


class AnsweringSettings(ServiceSettings):
    """The environment of such a server."""

    model_config = SettingsConfigDict(env_prefix="PROFILES_")
    service: ClassVar[str] = "profiles"


class Answering(ProfilesServiceServicer):
    """``GetStatistics`` is what the test says; ``FollowChanges`` streams what it yields."""

    def __init__(self, answer: Answer, changes: AsyncIterator[pb.FollowChangesResponse] | None = None) -> None:
        self._answer, self._changes = answer, changes

    async def GetStatistics(  # noqa: N802 (the contract's name)
        self, request: pb.GetStatisticsRequest, context: Context
    ) -> pb.GetStatisticsResponse:
        return await self._answer(context)

    async def FollowChanges(  # noqa: N802
        self, request: pb.FollowChangesRequest, context: Context
    ) -> AsyncIterator[pb.FollowChangesResponse]:
        assert self._changes is not None
        async for response in self._changes:
            yield response


async def nothing(context: Context) -> pb.GetStatisticsResponse:
    """An answer at once."""
    return pb.GetStatisticsResponse()


def answering(
    settings: AnsweringSettings,
    answer: Answer = nothing,
    changes: AsyncIterator[pb.FollowChangesResponse] | None = None,
) -> AbstractAsyncContextManager[Serving]:
    """Serve, with the real guard."""
    servicer = Answering(answer, changes)  # type: ignore[abstract]  # the other rpcs are UNIMPLEMENTED
    return serving(settings, Exposed(DESCRIPTOR, add_ProfilesServiceServicer_to_server, servicer))
