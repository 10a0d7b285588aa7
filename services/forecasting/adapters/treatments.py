"""Who was treated in experiments, in the analytical engine."""

import uuid
from collections.abc import Sequence

import ibis.expr.types as ir
import pyarrow as pa

from services.common.columnar import Columnar, Keep, Remove, Table, of_tenant
from services.forecasting.adapters.lines import ORDER_LINES
from services.forecasting.domain.uplift import Treatment, UpliftExperiment

FOLLOWER = "forecasting.treatments"
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


class ColumnarTreatments:
    """The port ``Treatments`` over the analytical engine."""

    def __init__(self, columnar: Columnar) -> None:
        self._columnar = columnar

    async def record(self, tenant: str, request_id: str, experiment_id: str, rows: Sequence[Treatment]) -> None:
        columns = [
            [tenant] * len(rows),
            [experiment_id] * len(rows),
            [it.customer_id for it in rows],
            [int(it.treated) for it in rows],
            [it.time for it in rows],
        ]
        kinds = zip(columns, TREATMENTS.schema.types, strict=True)
        table = pa.Table.from_arrays([pa.array(column, type=kind) for column, kind in kinds], schema=TREATMENTS.schema)
        await self._columnar.append({TREATMENTS: table}, f"{FOLLOWER}.{tenant}", request_id)

    async def experiments(self, tenant: str) -> list[UpliftExperiment]:
        rows = self._rows(tenant)
        query = rows.group_by("experiment_id").aggregate(
            treated=rows.treated.sum(), count=rows.count(), first=rows.time.min(), last=rows.time.max()
        )
        found = (await self._columnar.execute(query.order_by("experiment_id"))).to_pylist()
        return [
            UpliftExperiment(it["experiment_id"], it["treated"], it["count"] - it["treated"], it["first"], it["last"])
            for it in found
        ]

    async def treatments(self, tenant: str, experiment_id: str) -> tuple[list[Treatment], int]:
        rows = self._rows(tenant)
        lines = of_tenant(self._columnar.table(ORDER_LINES), tenant)
        owners = lines.group_by("origin_id").aggregate(owner=lines.customer_id.max())
        joined = rows.filter(rows.experiment_id == experiment_id).left_join(owners, "origin_id")
        whose = joined.select("treated", "time", customer_id=joined.owner.coalesce(joined.origin_id))
        each = whose.group_by("customer_id").aggregate(
            treated=whose.treated.max(), always=whose.treated.min(), time=whose.time.min()
        )
        found = (await self._columnar.execute(each.order_by("customer_id"))).to_pylist()
        clear = [it for it in found if it["treated"] == it["always"]]
        return [Treatment(it["customer_id"], bool(it["treated"]), it["time"]) for it in clear], len(found) - len(clear)

    async def delete(self, tenant: str, experiment_id: str) -> None:
        await self._remove(tenant, "experiment_id", [experiment_id])

    async def forget(self, tenant: str, origin_ids: Sequence[str]) -> int:
        """Remove the records of these customers; how many there were."""
        rows = self._rows(tenant)
        theirs = rows.filter(rows.origin_id.isin(origin_ids))
        query = theirs.aggregate(count=theirs.count())
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
