"""Feeds of services as sources of subscriptions: what is interrupted goes on where it was."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from contextlib import aclosing
from typing import TypeVar

import grpc

from services.common.feed import Batch

B = TypeVar("B", bound=Batch)
T = TypeVar("T")

ATTEMPTS_MAX = 6
BACKOFF_SECONDS = 0.2


async def resumed(opened: Callable[[str], AsyncIterable[B]], after: str) -> AsyncGenerator[B, None]:
    """The batches of a feed without an end, ``opened`` after a cursor, and again after the last one (``reopened``)."""
    cursor = after

    def onward() -> AsyncIterable[B]:
        return opened(cursor)

    while True:
        async with aclosing(reopened(onward)) as batches:
            async for batch in batches:
                cursor = batch.cursor
                yield batch
        await asyncio.sleep(BACKOFF_SECONDS)


async def reopened(opened: Callable[[], AsyncIterable[T]]) -> AsyncGenerator[T, None]:
    """What a ``Follow…`` rpc streams, to its end.

    A service that restarts ends its streams with UNAVAILABLE: they are opened again, up to ``ATTEMPTS_MAX`` times in a
    row with growing pauses. Any other error, and the last of these, is raised.
    """
    failures = 0
    while True:
        try:
            async for each in opened():
                failures = 0
                yield each
            return
        except grpc.aio.AioRpcError as error:
            failures += 1
            if error.code() is not grpc.StatusCode.UNAVAILABLE or failures == ATTEMPTS_MAX:
                raise
        await asyncio.sleep(BACKOFF_SECONDS * 2**failures)
