"""What use cases need of the outside to keep views and carts no longer than is wanted."""

from collections.abc import Mapping
from typing import Protocol


class RecordedSignals(Protocol):
    """Views and carts, of all tenants. Times are in microseconds."""

    async def oldest_signals(self) -> Mapping[str, int]:
        """When the oldest view or cart of each tenant that has any was."""
        ...

    async def forget_signals(self, tenant: str, before: int, at_most: int) -> int:
        """Delete the oldest views and carts from before a moment, ``at_most`` and those of the same time as the last of
        them: how many were found, 0 once there are none left."""
        ...
