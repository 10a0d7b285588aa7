"""Named models of which the followers of predictions are told what the newest versions say."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress

from services.common.errors import Conflict
from services.common.store import Collection, Delete, Put, Query, Store, Write
from services.forecasting.adapters.fits import Kept, M, S, StoredFits
from services.forecasting.adapters.prediction_changes import telling

_MARKS_MAX = 100_000


class ToldFits(StoredFits[M, S]):
    """The models of a kind.

    ``untold`` is kept under the tenant ``*``: models whose newest version has still to be told, and from which version
    on, and models that were deleted, until all that they said is taken back. ``turn`` is the right to change the feed,
    which all who write to it share.
    """

    def __init__(self, store: Store, where: Kept[M, S], untold: Collection, turn: asyncio.Lock | None = None) -> None:
        super().__init__(store, where)
        self._untold = untold
        self.turn = turn or self.turn

    async def settle(self) -> None:
        """Tell what a process before this one did not come to."""
        for mark in (await self._store.find("*", self._untold, Query(limit=_MARKS_MAX))).documents:
            tenant, model_id = mark.body["tenant"], mark.body["model_id"]
            if claimed := mark.body.get("deleted"):
                await self._take_back(tenant, model_id, claimed)
                continue
            newest = await self.get(tenant, model_id)
            if newest is None:
                await self._store.commit([Delete("*", self._untold, mark.id)])
            else:
                await self._settle(tenant, model_id, mark.body["first"], newest.version)

    async def _marking(self, tenant: str, model_id: str, before: int) -> Sequence[Write]:
        mark = await self._store.get("*", self._untold, _mark(tenant, model_id))
        first = min(max(before, 1), mark.body["first"] if mark else max(before, 1))
        body = {"tenant": tenant, "model_id": model_id, "first": first}
        return [Put("*", self._untold, _mark(tenant, model_id), body)]

    def _deleting(self, tenant: str, model_id: str, claimed: int) -> Sequence[Write]:
        body = {"tenant": tenant, "model_id": model_id, "deleted": claimed}
        return [Put("*", self._untold, _deletion(tenant, model_id), body)]

    async def _take_back(self, tenant: str, model_id: str, claimed: int) -> None:
        await super()._take_back(tenant, model_id, claimed)
        mark = await self._store.get("*", self._untold, _deletion(tenant, model_id))
        if mark is not None and mark.body["deleted"] == claimed:  # else it was deleted again meanwhile
            with suppress(Conflict):
                await self._store.commit([Delete("*", self._untold, mark.id, mark.version)])

    async def _telling(self, tenant: str, customer_ids: Sequence[str]) -> Sequence[Write]:
        return await telling(self._store, tenant, customer_ids)

    async def _told(self, tenant: str, model_id: str, first: int, current: int) -> None:
        for version in range(current, first - 1, -1):
            async for customer_ids in self.pages(tenant, model_id, version):
                async with self.turn:
                    await self._store.commit(await telling(self._store, tenant, customer_ids))
        await self._store.commit([Delete("*", self._untold, _mark(tenant, model_id))])


def _mark(tenant: str, model_id: str) -> str:
    return f"{tenant}/{model_id}"


def _deletion(tenant: str, model_id: str) -> str:
    return f"{tenant}/{model_id}/deleted"
