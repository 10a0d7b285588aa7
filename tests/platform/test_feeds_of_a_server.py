"""Feeds and the server that serves them: how many there may be, and what a drain means to a follower."""

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from tessera.profiles.v1 import profiles_service_pb2 as pb
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.common.grpc_errors import error_info
from tests.answering import AnsweringSettings, answering, nothing
from tests.conftest import Keyring

SECONDS = 20


async def endless() -> AsyncIterator[pb.FollowChangesResponse]:
    """One response, then silence."""
    yield pb.FollowChangesResponse(cursor="1")
    await asyncio.Event().wait()


def follow(channel: grpc.aio.Channel, keyring: Keyring) -> AsyncIterator[pb.FollowChangesResponse]:
    stub = ProfilesServiceStub(channel)
    return aiter(stub.FollowChanges(pb.FollowChangesRequest(), metadata=keyring.header(), timeout=SECONDS))


async def refusal(feed: AsyncIterator[pb.FollowChangesResponse]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await anext(feed)
    info = error_info(caught.value)
    return caught.value.code(), info.reason if info else ""


async def test_a_drain_ends_feeds_at_once_and_sends_followers_elsewhere(
    configure: Callable[..., Any], keyring: Keyring
) -> None:
    serving = answering(configure(AnsweringSettings, drain_seconds_max=SECONDS), nothing, endless())
    up = await serving.__aenter__()
    async with grpc.aio.insecure_channel(up.address) as channel:
        feed = follow(channel, keyring)
        assert (await anext(feed)).cursor == "1"
        async with asyncio.timeout(SECONDS / 2):
            await serving.__aexit__(None, None, None)
        assert await refusal(feed) == (grpc.StatusCode.UNAVAILABLE, "DRAINING")


async def test_a_feed_past_the_limit_is_refused(configure: Callable[..., Any], keyring: Keyring) -> None:
    settings = configure(AnsweringSettings, concurrent_feeds_max=1)
    async with answering(settings, nothing, endless()) as up, grpc.aio.insecure_channel(up.address) as channel:
        first = follow(channel, keyring)
        assert (await anext(first)).cursor == "1"
        assert await refusal(follow(channel, keyring)) == (grpc.StatusCode.RESOURCE_EXHAUSTED, "TOO_MANY_CALLS")
