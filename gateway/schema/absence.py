"""What does not exist is null in GraphQL, not an error."""

from collections.abc import Awaitable
from typing import TypeVar

import grpc

T = TypeVar("T")


async def none_if_not_found(call: Awaitable[T]) -> T | None:
    """The answer of ``call``; ``None`` if the service says NOT_FOUND."""
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        if error.code() is grpc.StatusCode.NOT_FOUND:
            return None
        raise
