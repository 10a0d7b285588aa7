"""Of whom something came after a position: read once, then kept up to date by whoever records."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field


@dataclass(slots=True)
class _Known:
    position: int
    customers: set[str] = field(default_factory=set)
    whole: bool = False
    reading: asyncio.Lock = field(default_factory=asyncio.Lock)


class CustomersSince:
    """For a trained model a small set of each tenant, so that most requests need no query. Nobody is answered before it
    is whole, and a reading that fails is tried again by whoever asks next."""

    def __init__(self, read: Callable[[str, int], Awaitable[Iterable[str]]]) -> None:
        self._read = read
        self._known: dict[str, _Known] = {}

    def add(self, tenant: str, customer_id: str) -> None:
        """Something of a customer is about to be recorded: before the commit, or a reader could miss it."""
        if known := self._known.get(tenant):
            known.customers.add(customer_id)

    async def of(self, tenant: str, position: int) -> AbstractSet[str]:
        """The customers; it goes on growing."""
        known = self._known.get(tenant)
        if known is None or known.position != position:
            known = self._known[tenant] = _Known(position)  # from here on ``add`` adds to it, while it is read
        if not known.whole:
            async with known.reading:
                if not known.whole:
                    known.customers.update(await self._read(tenant, position))
                    known.whole = True
        return known.customers
