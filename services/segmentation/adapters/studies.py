"""Clusterings and lookalikes: what is known of them as documents, who is in them as rows of the analytical engine."""

import uuid
from collections.abc import Container, Sequence
from dataclasses import asdict
from typing import Any

import ibis
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.common.columnar import Columnar, Remove, of_tenant
from services.common.errors import AlreadyExists
from services.common.idempotency import remember, replayed
from services.common.store import Delete, Insert, Query, Store
from services.segmentation.adapters.store import CLUSTERINGS, LOOKALIKES
from services.segmentation.adapters.tables import CLUSTERED, RESEMBLING
from services.segmentation.domain.lookalike import Lookalike, Reach
from services.segmentation.domain.persona import Clustering, ClusterModel, Difference, Favourite, Persona, Space, Trial
from services.segmentation.ports import Request

KEPT_MAX = 10
_WANTED = ibis.table({"customer_id": "string"}, name="wanted")


class StoredStarts:
    """Which job a request started."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def once(self, tenant: str, request: Request, job_id: str) -> str:
        answer = await replayed(self._store, tenant, request.request_id, request.fingerprint)
        if answer is None:
            try:
                await self._store.commit(remember(tenant, request.request_id, request.fingerprint, {"job_id": job_id}))
            except AlreadyExists:  # the same request came twice at once
                answer = await replayed(self._store, tenant, request.request_id, request.fingerprint)
        return str(answer["job_id"]) if answer else job_id


class StoredClusterings:
    """The port ``Clusterings``. The last ``KEPT_MAX`` are kept, and those that rules name."""

    def __init__(self, store: Store, columnar: Columnar) -> None:
        self._store, self._columnar = store, columnar

    async def keep(
        self,
        tenant: str,
        found: Clustering,
        customer_ids: Sequence[str],
        labels: npt.NDArray[np.int64],
        named: Container[str] = (),
    ) -> None:
        await self.assign(tenant, found.clustering_id, customer_ids, labels)
        body = {**asdict(found), "space": int(found.space)}
        await self._store.commit([Insert(tenant, CLUSTERINGS, body.pop("clustering_id"), body)])
        await self._forget_oldest(tenant, named)

    async def assign(
        self, tenant: str, clustering_id: str, customer_ids: Sequence[str], labels: npt.NDArray[np.int64]
    ) -> None:
        count = len(customer_ids)
        rows = pa.table(
            {
                "tenant": pa.repeat(tenant, count),
                "customer_id": pa.array(customer_ids, pa.string()),
                "clustering_id": pa.repeat(clustering_id, count),
                "cluster": pa.array(labels),
            }
        )
        await self._columnar.append({CLUSTERED: rows}, f"clustering of {tenant}", uuid.uuid4().hex)

    async def assignments(self, tenant: str, clustering_id: str, limit: int, after: str) -> list[tuple[str, int]]:
        rows = of_tenant(self._columnar.table(CLUSTERED), tenant)
        own = rows.filter((rows.clustering_id == clustering_id) & (rows.customer_id > after))
        query = own.select("customer_id", "cluster").order_by("customer_id").limit(limit)
        answer = await self._columnar.execute(query)
        return list(zip(answer["customer_id"].to_pylist(), answer["cluster"].to_pylist(), strict=True))

    async def _forget_oldest(self, tenant: str, named: Container[str]) -> None:
        kept = await self._store.find(
            tenant, CLUSTERINGS, Query(order_by="as_of", descending=True, limit=KEPT_MAX * 10)
        )
        old = [document.id for document in kept.documents[KEPT_MAX:] if document.id not in named]
        if not old:
            return
        gone = pa.table({"tenant": [tenant] * len(old), "clustering_id": old})
        await self._columnar.append({}, f"clusterings of {tenant} gone", old[0], [Remove(CLUSTERED, gone)])
        await self._store.commit([Delete(tenant, CLUSTERINGS, each) for each in old])

    async def get(self, tenant: str, clustering_id: str) -> Clustering | None:
        if clustering_id:
            document = await self._store.get(tenant, CLUSTERINGS, clustering_id)
        else:
            newest = Query(order_by="as_of", descending=True, limit=1)
            document = next(iter((await self._store.find(tenant, CLUSTERINGS, newest)).documents), None)
        return _clustering(document.id, document.body) if document else None

    async def clusters_of(self, tenant: str, clustering_id: str, customer_ids: Sequence[str]) -> dict[str, int]:
        rows = of_tenant(self._columnar.table(CLUSTERED), tenant)
        own = rows.filter(rows.clustering_id == clustering_id).semi_join(_WANTED, "customer_id")
        given = {"wanted": pa.table({"customer_id": pa.array(customer_ids, pa.string())})}
        answer = await self._columnar.execute(own.select("customer_id", "cluster"), given)
        return {row["customer_id"]: row["cluster"] for row in answer.to_pylist()}

    async def members(self, tenant: str, clustering_id: str, cluster: int, limit: int, after: str) -> list[str]:
        rows = of_tenant(self._columnar.table(CLUSTERED), tenant)
        own = rows.filter(
            (rows.clustering_id == clustering_id) & (rows.cluster == cluster) & (rows.customer_id > after)
        )
        query = own.select("customer_id").order_by("customer_id").limit(limit)
        found: list[str] = (await self._columnar.execute(query))["customer_id"].to_pylist()
        return found


class StoredLookalikes:
    """The port ``Lookalikes``."""

    def __init__(self, store: Store, columnar: Columnar) -> None:
        self._store, self._columnar = store, columnar

    async def keep(self, tenant: str, found: Lookalike, ranked: Sequence[str]) -> None:
        count = len(ranked)
        rows = pa.table(
            {
                "tenant": pa.repeat(tenant, count),
                "customer_id": pa.array(ranked, pa.string()),
                "lookalike_id": pa.repeat(found.lookalike_id, count),
                "place": pa.array(range(count), pa.int64()),
            }
        )
        await self._columnar.append({RESEMBLING: rows}, f"lookalikes of {tenant}", found.lookalike_id)
        body = asdict(found)
        await self._store.commit([Insert(tenant, LOOKALIKES, body.pop("lookalike_id"), body)])

    async def get(self, tenant: str, lookalike_id: str) -> Lookalike | None:
        document = await self._store.get(tenant, LOOKALIKES, lookalike_id)
        if document is None:
            return None
        body = document.body
        return Lookalike(lookalike_id=document.id, **{**body, "reach": [Reach(**each) for each in body["reach"]]})

    async def ranked(self, tenant: str, lookalike_id: str, start: int, limit: int) -> list[str]:
        if not limit:
            return []
        rows = of_tenant(self._columnar.table(RESEMBLING), tenant)
        own = rows.filter((rows.lookalike_id == lookalike_id) & (rows.place >= start) & (rows.place < start + limit))
        query = own.order_by("place").select("customer_id")
        found: list[str] = (await self._columnar.execute(query))["customer_id"].to_pylist()
        return found


def _clustering(clustering_id: str, body: dict[str, Any]) -> Clustering:
    model = body.get("model")
    return Clustering(
        clustering_id=clustering_id,
        **{
            **body,
            "trials": [Trial(**each) for each in body["trials"]],
            "personas": [_persona(each) for each in body["personas"]],
            "model": ClusterModel(**model) if model else None,
            "space": Space(body.get("space", Space.BEHAVIOUR)),
        },
    )


def _persona(body: dict[str, Any]) -> Persona:
    return Persona(
        **{
            **body,
            "differences": [Difference(**each) for each in body["differences"]],
            "categories": [Favourite(**each) for each in body["categories"]],
        }
    )
