"""Experiments as documents, and which of them runs on a placement."""

import asyncio
from dataclasses import asdict
from typing import Any

from services.common.idempotency import remember
from services.common.store import Collection, Delete, Insert, Put, Query, Store
from services.recommendation.domain.experiment import Experiment, Variant
from services.recommendation.ports import Request

EXPERIMENTS = Collection("experiments")
RUNNING = Collection("running_experiments")
"""By placement: two cannot run on one."""
COLLECTIONS = (EXPERIMENTS, RUNNING)
FRESH_SECONDS = 5.0


class StoredExperiments:
    """The port ``Experiments``."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._kept: dict[tuple[str, str], tuple[float, Experiment | None]] = {}

    async def running(self, tenant: str, placement_id: str) -> Experiment | None:
        now = asyncio.get_running_loop().time()
        known = self._kept.get((tenant, placement_id))
        if known is None or known[0] < now:
            document = await self._store.get(tenant, RUNNING, placement_id)
            found = await self.get(tenant, str(document.body["experiment_id"])) if document else None
            known = now + FRESH_SECONDS, found
            self._kept[tenant, placement_id] = known
        return known[1]

    async def get(self, tenant: str, experiment_id: str) -> Experiment | None:
        document = await self._store.get(tenant, EXPERIMENTS, experiment_id)
        return _read(document.body) if document else None

    async def page(self, tenant: str, limit: int, after: str) -> tuple[list[Experiment], str]:
        page = await self._store.find(tenant, EXPERIMENTS, Query(limit=limit, after=after))
        return [_read(document.body) for document in page.documents], page.next_cursor

    async def start(self, request: Request, experiment: Experiment) -> None:
        tenant, placement_id = request.tenant, experiment.placement_id
        await self._store.commit(
            [
                Insert(tenant, EXPERIMENTS, experiment.experiment_id, asdict(experiment)),
                Insert(tenant, RUNNING, placement_id, {"experiment_id": experiment.experiment_id}),
                *remember(tenant, request.id, request.fingerprint, {}),
            ]
        )
        self._kept.pop((tenant, placement_id), None)

    async def stop(self, request: Request, experiment: Experiment) -> None:
        tenant, placement_id = request.tenant, experiment.placement_id
        await self._store.commit(
            [
                Put(tenant, EXPERIMENTS, experiment.experiment_id, asdict(experiment)),
                Delete(tenant, RUNNING, placement_id),
                *remember(tenant, request.id, request.fingerprint, {}),
            ]
        )
        self._kept.pop((tenant, placement_id), None)


def _read(body: dict[str, Any]) -> Experiment:
    return Experiment(**body | {"variants": tuple(Variant(**each) for each in body["variants"])})
