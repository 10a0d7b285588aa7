"""A mutation that can be asked for again: the first answer is given again, and lost races are run again."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.common.errors import AlreadyExists, Conflict

ATTEMPTS_MAX = 20
RETRY_SECONDS = 0.005

T = TypeVar("T")


async def once(answered: Callable[[], Awaitable[T | None]], work: Callable[[], Awaitable[T]]) -> T:
    """What ``answered`` says was answered before, else what ``work`` answers.

    ``work`` reads, decides and commits; it is done again when its commit finds that another writer was faster.
    """
    for attempt in range(1, ATTEMPTS_MAX + 1):
        before = await answered()
        if before is not None:
            return before
        try:
            return await work()
        except (Conflict, AlreadyExists) as error:
            lost_race = type(error) in (Conflict, AlreadyExists)  # the store's own; a use case raises narrower ones
            if not lost_race or attempt == ATTEMPTS_MAX:
                raise
        await asyncio.sleep(RETRY_SECONDS * attempt)
    raise AssertionError("unreachable")
