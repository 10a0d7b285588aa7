"""What forecasting predicts of customers, as rows of the analytical engine."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

import pyarrow as pa

from services.common.columnar import Columnar, Remove, of_tenant
from services.segmentation.adapters.tables import PREDICTIONS
from services.segmentation.ports.predictions import Prediction

FOLLOWER = "forecasting"


@dataclass(frozen=True, slots=True)
class Told:
    """What is predicted of a customer from now on; ``None``: nothing any more."""

    tenant: str
    customer_id: str
    prediction: Prediction | None


class ColumnarPredictions:
    """The port ``Predictions``, and where the feed's cursor is committed together with the rows."""

    def __init__(self, columnar: Columnar) -> None:
        self._columnar = columnar

    async def cursor(self) -> str:
        """The cursor of the last batch that was applied."""
        return await self._columnar.cursor(FOLLOWER)

    async def begin_again(self) -> None:
        """Read the feed from its beginning, which replaces what is here: forecasting's data were lost or put back."""
        await self.apply([], "")

    async def apply(self, told: Collection[Told], cursor: str) -> None:
        """Keep what is told and remove what is taken back; the same again changes nothing."""
        rows = await asyncio.to_thread(_rows, [each for each in told if each.prediction is not None])
        gone = [each for each in told if each.prediction is None]
        keys = {"tenant": [each.tenant for each in gone], "customer_id": [each.customer_id for each in gone]}
        removals = [Remove(PREDICTIONS, pa.table(keys))] if gone else []
        await self._columnar.append({PREDICTIONS: rows} if len(rows) else {}, FOLLOWER, cursor, removals)

    async def of(self, tenant: str, customer_ids: Collection[str]) -> list[Prediction]:
        rows = of_tenant(self._columnar.table(PREDICTIONS), tenant)
        theirs = rows.filter(rows.customer_id.isin(sorted(customer_ids))).drop("tenant").order_by("customer_id")
        return [Prediction(**row) for row in (await self._columnar.execute(theirs)).to_pylist()]


def _rows(told: Collection[Told]) -> pa.Table:
    names = [name for name in PREDICTIONS.schema.names if name != "tenant"]
    columns = {name: [getattr(each.prediction, name) for each in told] for name in names}
    columns["tenant"] = [each.tenant for each in told]
    return pa.table({name: columns[name] for name in PREDICTIONS.schema.names}, schema=PREDICTIONS.schema)
