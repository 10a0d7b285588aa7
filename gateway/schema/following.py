"""Feeds of services as sources of subscriptions: what is interrupted goes on where it was."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Callable
from typing import TypeVar

import grpc

from services.common.feed import Batch

B = TypeVar("B", bound=Batch)

ATTEMPTS_MAX = 6
BACKOFF_SECONDS = 0.2


async def resumed(opened: Callable[[str], AsyncIterable[B]], after: str) -> AsyncGenerator[B, None]:
    """The batches of a ``Follow…`` rpc, ``opened`` after a cursor.

    A service that restarts ends its feeds with UNAVAILABLE: the feed is opened again after the last cursor, up to
    ``ATTEMPTS_MAX`` times in a row with growing pauses. Any other error, and the last of these, is raised.
    """
    failures = 0
    while True:
        try:
            async for batch in opened(after):
                after, failures = batch.cursor, 0
                yield batch
        except grpc.aio.AioRpcError as error:
            failures += 1
            if error.code() is not grpc.StatusCode.UNAVAILABLE or failures == ATTEMPTS_MAX:
                raise
        await asyncio.sleep(BACKOFF_SECONDS * 2**failures)
