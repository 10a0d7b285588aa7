"""What forecasting predicts of customers, as rows of the analytical engine."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass

import pyarrow as pa

from services.common.columnar import Columnar, Remove, Table, of_tenant
from services.segmentation.adapters.predicted_tables import CATEGORY_PREFERENCES, PREDICTIONS, PROPENSITIES, UPLIFTS
from services.segmentation.ports.predictions import CategoryPreference, Prediction, Propensity, Uplift

FOLLOWER = "forecasting"


@dataclass(frozen=True, slots=True)
class Told:
    """What is predicted of a customer from now on; ``None``: nothing any more. The others: all that there are."""

    tenant: str
    customer_id: str
    prediction: Prediction | None
    propensities: Sequence[Propensity] = ()
    preferences: Sequence[CategoryPreference] = ()
    uplifts: Sequence[Uplift] = ()

    def said(self, table: Table) -> set[str]:
        """The models, or categories, of which something is said, by the table that it is kept in."""
        if table is PROPENSITIES:
            return {it.model_id for it in self.propensities}
        if table is UPLIFTS:
            return {it.model_id for it in self.uplifts}
        return {it.category for it in self.preferences}


class ColumnarPredictions:
    """The port ``Predictions``, and where the feed's cursor is committed together with the rows."""

    def __init__(self, columnar: Columnar) -> None:
        self._columnar = columnar
        self._known: dict[tuple[Table, str], set[str]] = {}
        """By table and tenant, the models or categories that rows may be of."""

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
        rows_of = {PREDICTIONS: rows}
        for table, made in ((PROPENSITIES, _likely), (CATEGORY_PREFERENCES, _liked), (UPLIFTS, _moved)):
            rows_of[table] = await asyncio.to_thread(made, told)
            if len(unsaid := await self._unsaid(table, told)):
                removals.append(Remove(table, unsaid))
        said = {table: each for table, each in rows_of.items() if len(each)}
        await self._columnar.append(said, FOLLOWER, cursor, removals)

    async def _unsaid(self, table: Table, told: Collection[Told]) -> pa.Table:
        """The keys of what was said of these customers, as far as it is known, and is not said any more."""
        keys: list[tuple[str, str, str]] = []
        names = table.key
        for each in told:
            if (table, each.tenant) not in self._known:
                self._known[table, each.tenant] = await self._named(table, each.tenant)
            said = each.said(table)
            known = self._known[table, each.tenant] = self._known[table, each.tenant] | said
            keys.extend((each.tenant, each.customer_id, name) for name in sorted(known - said))
        return pa.table({name: pa.array([key[at] for key in keys], pa.string()) for at, name in enumerate(names)})

    async def _named(self, table: Table, tenant: str) -> set[str]:
        rows, (_, _, name) = of_tenant(self._columnar.table(table), tenant), table.key
        return set((await self._columnar.execute(rows.select(name).distinct()))[name].to_pylist())

    async def likely(self, tenant: str, customer_ids: Collection[str]) -> list[tuple[str, Propensity]]:
        rows = of_tenant(self._columnar.table(PROPENSITIES), tenant)
        theirs = rows.filter(rows.customer_id.isin(sorted(customer_ids))).order_by("customer_id", "model_id")
        found = (await self._columnar.execute(theirs)).to_pylist()
        return [
            (row["customer_id"], Propensity(row["model_id"], row["time"], row["probability"], row["percentile"]))
            for row in found
        ]

    async def liked(self, tenant: str, customer_ids: Collection[str]) -> list[tuple[str, CategoryPreference]]:
        rows = of_tenant(self._columnar.table(CATEGORY_PREFERENCES), tenant)
        theirs = rows.filter(rows.customer_id.isin(sorted(customer_ids))).order_by("customer_id", "place", "category")
        found = (await self._columnar.execute(theirs)).to_pylist()
        return [
            (row["customer_id"], CategoryPreference(row["category"], row["time"], row["probability"], row["place"]))
            for row in found
        ]

    async def moved(self, tenant: str, customer_ids: Collection[str]) -> list[tuple[str, Uplift]]:
        rows = of_tenant(self._columnar.table(UPLIFTS), tenant)
        theirs = rows.filter(rows.customer_id.isin(sorted(customer_ids))).order_by("customer_id", "model_id")
        found = (await self._columnar.execute(theirs)).to_pylist()
        return [
            (row["customer_id"], Uplift(row["model_id"], row["time"], row["uplift"], row["percentile"], row["answer"]))
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


def _liked(told: Collection[Told]) -> pa.Table:
    rows = [(each, it) for each in told for it in each.preferences]
    columns = {
        "tenant": [each.tenant for each, _ in rows],
        "customer_id": [each.customer_id for each, _ in rows],
        "category": [it.category for _, it in rows],
        "time": [it.time for _, it in rows],
        "probability": [it.probability for _, it in rows],
        "place": [it.place for _, it in rows],
    }
    return pa.table({name: columns[name] for name in CATEGORY_PREFERENCES.schema.names}, CATEGORY_PREFERENCES.schema)


def _moved(told: Collection[Told]) -> pa.Table:
    rows = [(each, it) for each in told for it in each.uplifts]
    columns = {
        "tenant": [each.tenant for each, _ in rows],
        "customer_id": [each.customer_id for each, _ in rows],
        **{name: [getattr(it, name) for _, it in rows] for name in UPLIFTS.schema.names[2:]},
    }
    return pa.table({name: columns[name] for name in UPLIFTS.schema.names}, schema=UPLIFTS.schema)


def _rows(told: Collection[Told]) -> pa.Table:
    names = [name for name in PREDICTIONS.schema.names if name != "tenant"]
    columns = {name: [getattr(each.prediction, name) for each in told] for name in names}
    columns["tenant"] = [each.tenant for each in told]
    return pa.table({name: columns[name] for name in PREDICTIONS.schema.names}, schema=PREDICTIONS.schema)
