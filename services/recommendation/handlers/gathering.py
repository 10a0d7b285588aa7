"""Lists that are asked for while others are being made: they are made together, next.

The arithmetic of a list takes as many calls as that of a hundred, so that the busier a server is the less a list costs.
Whoever comes where no such list was made just now is answered at once; after a batch the next one waits a moment for
company, since calls come in from the network one at a time.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from typing import Generic, TypeVar

Key = TypeVar("Key")
Asked = TypeVar("Asked")
Answer = TypeVar("Answer")

TOGETHER_MAX = 64
"""Of one batch; what comes beyond waits for the next."""
PAUSE_SECONDS = 0.002
"""From a batch to the next one."""


async def _moment() -> None:
    await asyncio.sleep(PAUSE_SECONDS)


class Gathering(Generic[Key, Asked, Answer]):
    """Answers by batches, of what is asked under the same key, with a ``pause`` after each. A failure is everybody's
    who was in the batch."""

    def __init__(
        self,
        answer: Callable[[Key, Sequence[Asked]], Awaitable[Sequence[Answer]]],
        pause: Callable[[], Awaitable[object]] = _moment,
    ) -> None:
        self._answer, self._pause = answer, pause
        self._waiting: dict[Key, list[tuple[Asked, asyncio.Future[Answer]]]] = {}
        self._running: dict[Key, asyncio.Task[None]] = {}

    async def ask(self, key: Key, asked: Asked) -> Answer:
        """The answer of the next batch."""
        promised: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._waiting.setdefault(key, []).append((asked, promised))
        if key not in self._running:
            # A context of its own: it works for all of them, not for whoever came first.
            self._running[key] = asyncio.create_task(self._run(key), context=Context())
        return await promised

    async def _run(self, key: Key) -> None:
        try:
            while waiting := self._waiting.pop(key, []):
                batch, rest = waiting[:TOGETHER_MAX], waiting[TOGETHER_MAX:]
                if rest:
                    self._waiting[key] = rest
                await self._tell(key, [each for each in batch if not each[1].done()])
                if not rest:
                    await self._pause()
        finally:
            del self._running[key]
            for _, promised in self._waiting.pop(key, []):
                promised.cancel()

    async def _tell(self, key: Key, batch: Sequence[tuple[Asked, "asyncio.Future[Answer]"]]) -> None:
        try:
            answers = await self._answer(key, [asked for asked, _ in batch]) if batch else []
        except Exception as error:
            for _, promised in batch:
                if not promised.done():
                    promised.set_exception(error)
        except BaseException:
            for _, promised in batch:
                promised.cancel()
            raise
        else:
            for (_, promised), answer in zip(batch, answers, strict=True):
                if not promised.done():  # who asked has gone
                    promised.set_result(answer)
