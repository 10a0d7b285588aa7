"""What forecasting predicts of customers, as rows of the analytical engine."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pyarrow as pa

from services.common.columnar import Columnar, Remove, of_tenant
from services.segmentation.adapters.tables import PREDICTIONS, PROPENSITIES
from services.segmentation.ports.predictions import Prediction, Propensity

FOLLOWER = "forecasting"


@dataclass(frozen=True, slots=True)
class Told:
    """What is predicted of a customer from now on; ``None``: nothing any more. ``propensities``: all that there are."""

    tenant: str
    customer_id: str
    prediction: Prediction | None
    propensities: Sequence[Propensity] = ()


class ColumnarPredictions:
    """The port ``Predictions``, and where the feed's cursor is committed together with the rows."""

    def __init__(self, columnar: Columnar) -> None:
        self._columnar = columnar
        self._models: dict[str, set[str]] = {}
        """By tenant, the models that rows may be of."""

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
        likely = await asyncio.to_thread(_likely, told)
        if len(unsaid := await self._unsaid(told)):
            removals.append(Remove(PROPENSITIES, unsaid))
        appended = {table: each for table, each in ((PREDICTIONS, rows), (PROPENSITIES, likely)) if len(each)}
        await self._columnar.append(appended, FOLLOWER, cursor, removals)

    async def _unsaid(self, told: Collection[Told]) -> pa.Table:
        """The keys of what models said of these customers, as far as it is known, and do not say any more."""
        keys: list[tuple[str, str, str]] = []
        for each in told:
            if each.tenant not in self._models:
                self._models[each.tenant] = await self._named(each.tenant)
            said = {it.model_id for it in each.propensities}
            known = self._models[each.tenant] = self._models[each.tenant] | said
            keys.extend((each.tenant, each.customer_id, model) for model in sorted(known - said))
        names = ("tenant", "customer_id", "model_id")
        return pa.table({name: pa.array([key[at] for key in keys], pa.string()) for at, name in enumerate(names)})

    async def _named(self, tenant: str) -> set[str]:
        rows = of_tenant(self._columnar.table(PROPENSITIES), tenant)
        return set((await self._columnar.execute(rows.select("model_id").distinct()))["model_id"].to_pylist())

    async def likely(self, tenant: str, customer_ids: Collection[str]) -> list[tuple[str, Propensity]]:
        rows = of_tenant(self._columnar.table(PROPENSITIES), tenant)
        theirs = rows.filter(rows.customer_id.isin(sorted(customer_ids))).order_by("customer_id", "model_id")
        found = (await self._columnar.execute(theirs)).to_pylist()
        return [
            (row["customer_id"], Propensity(row["model_id"], row["time"], row["probability"], row["percentile"]))
            for row in found
        ]

    async def of(self, tenant: str, customer_ids: Collection[str]) -> list[Prediction]:
        rows = of_tenant(self._columnar.table(PREDICTIONS), tenant)
        theirs = rows.filter(rows.customer_id.isin(sorted(customer_ids))).drop("tenant").order_by("customer_id")
        return [Prediction(**row) for row in (await self._columnar.execute(theirs)).to_pylist()]


def _likely(told: Collection[Told]) -> pa.Table:
    rows = [(each, it) for each in told for it in each.propensities]
    columns = {
        "tenant": [each.tenant for each, _ in rows],
        "customer_id": [each.customer_id for each, _ in rows],
        "model_id": [it.model_id for _, it in rows],
        "time": [it.time for _, it in rows],
        "probability": [it.probability for _, it in rows],
        "percentile": [it.percentile for _, it in rows],
    }
    return pa.table({name: columns[name] for name in PROPENSITIES.schema.names}, schema=PROPENSITIES.schema)


def _rows(told: Collection[Told]) -> pa.Table:
    names = [name for name in PREDICTIONS.schema.names if name != "tenant"]
    columns = {name: [getattr(each.prediction, name) for each in told] for name in names}
    columns["tenant"] = [each.tenant for each in told]
    return pa.table({name: columns[name] for name in PREDICTIONS.schema.names}, schema=PREDICTIONS.schema)
