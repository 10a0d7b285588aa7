"""Commits to published collections, merged: their writers contend for the counter of the feed."""

import asyncio
import contextlib

from services.common.errors import ResourceExhausted, Unavailable
from services.common.store.mongo_writes import Prepared, Transactions

GROUP_MAX = 256
"""How many published commits may wait before ``commit`` itself waits."""
GROUP_WRITES_MAX = 2_000
"""How many documents are merged into one transaction at most (a single commit may be larger)."""


class PublishedCommits:
    """Commits to published collections: those that wait while one is under way go together in the next."""

    def __init__(self, transactions: Transactions) -> None:
        self._transactions = transactions
        self._waiting: asyncio.Queue[tuple[list[Prepared], asyncio.Future[None]]] = asyncio.Queue(GROUP_MAX)
        self._task: asyncio.Task[None] | None = None
        self._closed = False

    async def apply(self, writes: list[Prepared]) -> None:
        """Apply ``writes`` as ``Transactions.apply`` does."""
        if self._closed:
            raise Unavailable("the store is closed")
        self._task = self._task or asyncio.create_task(self._serve(), name="store-publisher")
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        await self._waiting.put((writes, done))
        await done

    async def close(self) -> None:
        """Apply what was accepted and stop."""
        self._closed = True
        if self._task:
            await self._waiting.join()
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task

    async def _serve(self) -> None:
        carried: tuple[list[Prepared], asyncio.Future[None]] | None = None
        while True:
            group = [carried or await self._waiting.get()]
            carried = None
            addresses = {write.address for write in group[0][0]}
            while not self._waiting.empty() and carried is None and len(addresses) < GROUP_WRITES_MAX:
                following = self._waiting.get_nowait()
                touched = {write.address for write in following[0]}
                if touched & addresses:
                    carried = following
                else:
                    group.append(following)
                    addresses |= touched
            await self._settle(group)

    async def _settle(self, group: list[tuple[list[Prepared], asyncio.Future[None]]]) -> None:
        try:
            await self._transactions.apply([write for writes, _ in group for write in writes])
            failure: Exception | None = None
        except Exception as error:
            failure = error
        outage = isinstance(failure, (Unavailable, ResourceExhausted))
        if failure and not outage and len(group) > 1:  # one of them is at fault: apply each by itself
            for one in group:
                await self._settle([one])
            return
        for _, done in group:
            self._waiting.task_done()
            if not done.done():
                done.set_exception(failure) if failure else done.set_result(None)
