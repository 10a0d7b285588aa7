"""Who was treated in experiments, in the analytical engine: as it is recorded, and as crm tells it of campaigns."""

import asyncio
import hashlib
import uuid
from collections.abc import Sequence
from itertools import chain
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from services.common.columnar import Columnar, Keep, Remove, Table, of_tenant
from services.common.store import Collection, Put, Store
from services.forecasting.adapters.activities import ACTIVITIES
from services.forecasting.adapters.lines import ORDER_LINES
from services.forecasting.domain.uplift import CAMPAIGN, Treatment, UpliftExperiment

FOLLOWER = "forecasting.treatments"
CAMPAIGNS = "forecasting.campaigns"
"""The follower of crm."""
CAMPAIGNS_LISTED_MAX = 200
ERASED = Collection("erased_recipients")
"""Digests of who was erased: crm hears of that by itself, and may tell of them until it does."""
TREATMENTS = Table(
    "treatments",
    pa.schema(
        [
            ("tenant", pa.string()),
            ("experiment_id", pa.string()),
            ("origin_id", pa.string()),
            ("treated", pa.int64()),
            ("time", pa.int64()),
        ]
    ),
    key=("tenant", "experiment_id", "origin_id"),
    keep=Keep.LAST,
)


class Assigned(NamedTuple):
    """A row of the table."""

    tenant: str
    experiment_id: str
    origin_id: str
    treated: int
    time: int


class ColumnarTreatments:
    """The port ``Treatments`` over the analytical engine."""

    def __init__(self, columnar: Columnar, store: Store) -> None:
        self._columnar, self._store = columnar, store
        self._turn = asyncio.Lock()

    async def cursor(self) -> str:
        return await self._columnar.cursor(CAMPAIGNS)

    async def apply(self, told: Sequence[Assigned], cursor: str) -> None:
        """Keep a batch of what crm told, but for who was erased; again, it changes nothing."""
        async with self._turn:
            gone = await self._erased(told)
            kept = [it for it in told if (it.tenant, it.origin_id) not in gone]
            await self._columnar.append({TREATMENTS: _table(kept)} if kept else {}, CAMPAIGNS, cursor)

    async def _erased(self, told: Sequence[Assigned]) -> set[tuple[str, str]]:
        found: set[tuple[str, str]] = set()
        for tenant in {it.tenant for it in told}:
            ids = {_digest(it.origin_id): it.origin_id for it in told if it.tenant == tenant}
            found |= {(tenant, ids[it]) for it in await self._store.get_many(tenant, ERASED, list(ids))}
        return found

    async def record(self, tenant: str, request_id: str, experiment_id: str, rows: Sequence[Treatment]) -> None:
        table = _table([Assigned(tenant, experiment_id, it.customer_id, int(it.treated), it.time) for it in rows])
        await self._columnar.append({TREATMENTS: table}, f"{FOLLOWER}.{tenant}", request_id)

    async def experiments(self, tenant: str) -> list[UpliftExperiment]:
        rows = self._rows(tenant)
        query = rows.group_by("experiment_id").aggregate(
            treated=rows.treated.sum(), count=rows.count(), first=rows.time.min(), last=rows.time.max()
        )
        found = [
            UpliftExperiment(it["experiment_id"], it["treated"], it["count"] - it["treated"], it["first"], it["last"])
            for it in (await self._columnar.execute(query.order_by("experiment_id"))).to_pylist()
        ]
        campaigns = sorted((it for it in found if it.campaign_id), key=lambda it: it.last_time, reverse=True)
        return list(chain((it for it in found if not it.campaign_id), campaigns[:CAMPAIGNS_LISTED_MAX]))

    async def has(self, tenant: str, experiment_id: str) -> bool:
        rows = self._rows(tenant)
        query = rows.filter(rows.experiment_id == experiment_id).select("experiment_id").limit(1)
        return bool((await self._columnar.execute(query)).num_rows)

    async def treatments(self, tenant: str, experiment_id: str) -> tuple[list[Treatment], int]:
        rows = self._rows(tenant)
        rows = rows.filter(rows.experiment_id == experiment_id)
        joined = rows.left_join(self._owners(tenant, rows), "origin_id")
        whose = joined.select("treated", "time", customer_id=joined.owner.coalesce(joined.origin_id))
        each = whose.group_by("customer_id").aggregate(
            treated=whose.treated.max(), always=whose.treated.min(), time=whose.time.min()
        )
        found = (await self._columnar.execute(each.order_by("customer_id"))).to_pylist()
        clear = [it for it in found if it["treated"] == it["always"]]
        return [Treatment(it["customer_id"], bool(it["treated"]), it["time"]) for it in clear], len(found) - len(clear)

    def _owners(self, tenant: str, rows: ir.Table) -> ir.Table:
        """Who the origins of ``rows`` are now, where orders or events say so."""
        each = [of_tenant(self._columnar.table(it), tenant) for it in (ORDER_LINES, ACTIVITIES)]
        known = ibis.union(*(it.select("origin_id", "customer_id").semi_join(rows, "origin_id") for it in each))
        return known.group_by("origin_id").aggregate(owner=known.customer_id.max())

    async def delete(self, tenant: str, experiment_id: str) -> None:
        await self._remove(tenant, "experiment_id", [experiment_id])

    async def forget(self, tenant: str, origin_ids: Sequence[str]) -> int:
        """Remove the records of these customers, and keep none that crm is still to tell; how many there were."""
        rows = self._rows(tenant)
        theirs = rows.filter(rows.origin_id.isin(origin_ids))
        query = theirs.aggregate(count=theirs.count())
        async with self._turn:
            await self._store.commit([Put(tenant, ERASED, _digest(it), {}) for it in origin_ids])
            count = int((await self._columnar.execute(query))["count"][0].as_py())
            if count:
                await self._remove(tenant, "origin_id", origin_ids)
        return count

    async def of_customer(self, tenant: str, origin_ids: Sequence[str]) -> list[tuple[str, Treatment]]:
        """Experiment and record of these customers."""
        rows = self._rows(tenant)
        theirs = rows.filter(rows.origin_id.isin(origin_ids)).order_by("experiment_id", "origin_id")
        found = (await self._columnar.execute(theirs)).to_pylist()
        return [(it["experiment_id"], Treatment(it["origin_id"], bool(it["treated"]), it["time"])) for it in found]

    async def _remove(self, tenant: str, column: str, values: Sequence[str]) -> None:
        keys = pa.table({"tenant": [tenant] * len(values), column: list(values)})
        await self._columnar.append({}, f"{FOLLOWER}.{tenant}", uuid.uuid4().hex, [Remove(TREATMENTS, keys)])

    def _rows(self, tenant: str) -> ir.Table:
        return of_tenant(self._columnar.table(TREATMENTS), tenant)


def experiment_of(campaign_id: str) -> str:
    """The name of a campaign's experiment."""
    return f"{CAMPAIGN}{campaign_id}"


def _table(rows: Sequence[Assigned]) -> pa.Table:
    columns = zip(zip(*rows, strict=True), TREATMENTS.schema.types, strict=True)
    return pa.Table.from_arrays([pa.array(column, type=kind) for column, kind in columns], schema=TREATMENTS.schema)


def _digest(origin_id: str) -> str:
    return hashlib.blake2b(origin_id.encode(), digest_size=20).hexdigest()
