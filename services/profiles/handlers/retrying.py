"""Do again what another writer was faster at."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.common.errors import AlreadyExists, Conflict, RequestIdReused

ATTEMPTS_MAX = 20
RETRY_SECONDS = 0.01

T = TypeVar("T")


async def retrying(attempt: Callable[[], Awaitable[T]]) -> T:
    """The outcome of ``attempt``, which reads and commits; ``Conflict`` or ``AlreadyExists`` only after twenty."""
    for number in range(ATTEMPTS_MAX):
        try:
            return await attempt()
        except RequestIdReused:
            raise
        except (Conflict, AlreadyExists):
            if number == ATTEMPTS_MAX - 1:
                raise
            await asyncio.sleep(RETRY_SECONDS * number * random.random())
    raise AssertionError("unreachable")
