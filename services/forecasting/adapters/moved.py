"""Customers whose orders a merge or unmerge moved: what is said of them is said again.

The orders and the predictions lie in two stores. Who is moved is noted before the orders are, and forgotten when the
predictions are made: whoever is killed in between makes them after the next start.
"""

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass

from services.common.store import Collection as Documents
from services.common.store import Delete, Put, Store

MOVED = Documents("moved_customers")
_PENDING = "pending"

PredictAgain = Callable[[str, Collection[tuple[str, str]]], Awaitable[None]]
"""Predicts for the tenant's pairs of whose orders were and whose they are."""


@dataclass(frozen=True, slots=True)
class Move:
    """Orders of ``source`` are those of ``target`` from now on."""

    tenant: str
    source: str
    target: str


class MovedCustomers:
    """Who was moved, and is still to be predicted again."""

    def __init__(self, store: Store, predict_again: PredictAgain) -> None:
        self._store, self._predict_again = store, predict_again

    async def note(self, moves: Sequence[Move]) -> None:
        """Remember these before the orders are moved."""
        if moves:
            body = {"moves": [[it.tenant, it.source, it.target] for it in moves]}
            await self._store.commit([Put("*", MOVED, _PENDING, body)])

    async def settle(self) -> None:
        """Predict again whoever is noted."""
        pending = await self._store.get("*", MOVED, _PENDING)
        if pending is None:
            return
        pairs: dict[str, list[tuple[str, str]]] = {}
        for tenant, source, target in pending.body["moves"]:
            pairs.setdefault(tenant, []).append((source, target))
        for tenant, moved in pairs.items():
            await self._predict_again(tenant, moved)
        await self._store.commit([Delete("*", MOVED, _PENDING)])
