"""A store that fails on demand."""

from collections.abc import Sequence
from typing import Any

from services.common.errors import Unavailable
from services.common.store import Write


class BreakingStore:
    """A store whose commits fail when a test says so: before they reach the disk, or after."""

    def __init__(self, store: Any) -> None:
        self._store = store
        self.failures: list[str] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def commit(self, writes: Sequence[Write]) -> None:
        failure = self.failures.pop() if self.failures else ""
        if failure == "before":
            raise Unavailable("the disk is gone")
        await self._store.commit(writes)
        if failure == "after":
            raise Unavailable("the answer was lost")
