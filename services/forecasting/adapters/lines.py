"""Order lines in the analytical engine."""

from collections.abc import Mapping, Sequence

import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from services.common.columnar import Amendment, Assign, Columnar, Table, of_tenant
from services.forecasting.adapters.activities import ACTIVITIES, DIMENSIONS, counted, undescribed
from services.forecasting.adapters.event_properties import described, property_names, read_described
from services.forecasting.adapters.histories import histories, read_histories
from services.forecasting.adapters.memberships import MEMBERSHIPS, forgotten
from services.forecasting.adapters.moments import bound, event_moment, moment, read_moment
from services.forecasting.adapters.sends import FOLLOWER as SENDS_FOLLOWER
from services.forecasting.adapters.sends import SENDS
from services.forecasting.adapters.series import Tables, sums
from services.forecasting.adapters.tastes import categories, later, read_tastes, tastes
from services.forecasting.domain.activities import BoughtLine
from services.forecasting.domain.customers import Histories
from services.forecasting.domain.event_properties import Described
from services.forecasting.domain.measures import Dimension, Measure
from services.forecasting.domain.periods import Periods
from services.forecasting.domain.preference import Tastes
from services.forecasting.domain.propensity import Goal, Moment
from services.forecasting.domain.series import Extent, Selection, Sums
from services.forecasting.ports import Status

FOLLOWER = "forecasting.events"
ERASER = "forecasting.erasures"
ORDER_LINES = Table(
    "order_lines",
    pa.schema(
        [
            ("tenant", pa.string()),
            ("message_id", pa.string()),
            ("time", pa.int64()),
            ("order_id", pa.string()),
            ("customer_id", pa.string()),
            # Whom the order's names belong to; merges and unmerges give what has it another customer.
            ("origin_id", pa.string()),
            ("product_id", pa.string()),
            ("category", pa.string()),
            ("store_id", pa.string()),
            ("quantity", pa.float64()),
            ("amount_minor", pa.int64()),
            # What it would have been without discounts: at least the amount.
            ("list_minor", pa.int64()),
            ("currency", pa.string()),
            # The first line of its order, and of its category in its order: orders are counted by adding these up.
            ("opens_order", pa.int64()),
            ("opens_category", pa.int64()),
        ]
    ),
    key=("tenant", "message_id"),
)


SERIES_TABLES = (ORDER_LINES, ACTIVITIES, MEMBERSHIPS, SENDS)
"""What series are made of."""


class ColumnarLines:
    """The port ``Lines`` over the analytical engine."""

    def __init__(self, columnar: Columnar) -> None:
        self._columnar = columnar

    async def cursor(self) -> str:
        """The cursor of the last batch that was appended."""
        return await self._columnar.cursor(FOLLOWER)

    async def append(
        self,
        rows: pa.Table,
        cursor: str,
        owners: Mapping[tuple[str, str], str] | None = None,
        activities: pa.Table | None = None,
    ) -> None:
        """Append the lines and the activities of a batch, give those of origins to their ``owners``, and move the
        cursor, together.

        ``owners``: the customer by tenant and origin.
        """
        moved = _owners(owners) if owners else None
        moves = [Assign(it, ("tenant", "origin_id"), moved) for it in (ORDER_LINES, ACTIVITIES)] if moved else []
        batch = {ORDER_LINES: rows, ACTIVITIES: activities}
        await self._columnar.append({table: it for table, it in batch.items() if it}, FOLLOWER, cursor, moves)

    async def count(self, tenant: str, origin_ids: Sequence[str]) -> int:
        """How many lines these origins have."""
        lines = self._lines(tenant)
        theirs = lines.filter(lines.origin_id.isin(origin_ids))
        query = theirs.aggregate(count=theirs.count())
        return int((await self._columnar.execute(query))["count"][0].as_py())

    async def pseudonymise(self, tenant: str, erasure_id: str, origin_ids: Sequence[str], pseudonym: str) -> None:
        """Let the lines and activities of these origins be a pseudonym's, without the names of their orders and events,
        and keep nothing of their segments, nor of the properties of events."""
        count = len(origin_ids)
        names = ("tenant", "origin_id")
        taken = pa.table(
            {
                "tenant": [tenant] * count,
                "origin_id": list(origin_ids),
                "customer_id": [pseudonym] * count,
                "message_id": [f"{pseudonym}/{number}" for number in range(count)],
            }
        )
        nameless = taken.append_column("order_id", pa.array([""] * count))
        nothing_said = pa.table({**dict(zip(taken.column_names, taken.columns, strict=True)), **undescribed(count)})
        changes: list[Amendment] = [
            Assign(ORDER_LINES, names, nameless),
            Assign(ACTIVITIES, names, nothing_said),
            forgotten(tenant, origin_ids),
        ]
        await self._columnar.append({}, f"{ERASER}.{tenant}", erasure_id, changes)
        renamed = pa.table({"tenant": [tenant], "customer_id": [pseudonym], "origin_id": [pseudonym]})
        under = [Assign(it, ("tenant", "customer_id"), renamed) for it in (ORDER_LINES, ACTIVITIES)]
        await self._columnar.append({}, f"{ERASER}.{tenant}", f"{erasure_id}/origin", under)

    async def of_customer(self, tenant: str, origin_ids: Sequence[str], after: int, limit: int) -> list[BoughtLine]:
        """A page of what these origins bought, the first first."""
        lines = self._lines(tenant)
        chosen = lines.filter(lines.origin_id.isin(origin_ids)).order_by("time", "message_id", "product_id", "quantity")
        query = chosen.limit(limit, offset=after).select(
            "time", "order_id", "product_id", "category", "store_id", "quantity", "amount_minor", "currency"
        )
        return [BoughtLine(**row) for row in (await self._columnar.execute(query)).to_pylist()]

    async def status(self, tenant: str) -> Status:
        cursor = await self.cursor()
        lines = self._lines(tenant)
        query = lines.aggregate(
            orders=lines.opens_order.sum(),
            lines=(lines.product_id != "").cast("int64").sum(),
            last=lines.time.max(),
        )
        row = (await self._columnar.execute(query)).to_pylist()[0]
        sends_cursor = await self._columnar.cursor(SENDS_FOLLOWER)
        return Status(cursor, row["orders"] or 0, row["lines"] or 0, row["last"], sends_cursor)

    async def extent(self, tenant: str, selection: Selection | None = None) -> Extent | None:
        if selection is not None and not selection.measure.of_orders:
            return await self._extent_of_events(tenant, selection)
        lines = self._lines(tenant)
        query = lines.group_by("currency").aggregate(first=lines.time.min(), last=lines.time.max())
        rows = (await self._columnar.execute(query)).to_pylist()
        if not rows:
            return None
        currencies = tuple(sorted(row["currency"] for row in rows))
        return Extent(min(row["first"] for row in rows), max(row["last"] for row in rows), currencies)

    async def _extent_of_events(self, tenant: str, selection: Selection) -> Extent | None:
        """From the first event that the measure looks at to the newest of any."""
        rows = of_tenant(self._columnar.table(ACTIVITIES), tenant)
        of_sends = selection.measure is Measure.SENDS
        looked_at = of_tenant(self._columnar.table(SENDS), tenant) if of_sends else counted(rows, selection)
        query = looked_at.aggregate(first=looked_at.time.min(), last=looked_at.time.max())
        own = await self._columnar.execute(query)
        first, newest = own["first"][0].as_py(), own["last"][0].as_py()
        if first is None:
            return None
        last = (await self._columnar.execute(rows.aggregate(last=rows.time.max())))["last"][0].as_py()
        return Extent(first, newest if last is None else max(last, newest), ())

    async def sums(self, tenant: str, selection: Selection, periods: Periods) -> Sums:
        return await self._sums(tenant, selection, periods, listed=False)

    async def listed(self, tenant: str, selection: Selection, periods: Periods) -> Sums:
        return await self._sums(tenant, selection, periods, listed=True)

    async def _sums(self, tenant: str, selection: Selection, periods: Periods, *, listed: bool) -> Sums:
        narrowed = {it: of_tenant(self._columnar.table(it), tenant) for it in SERIES_TABLES}
        query, given = sums(Tables(*narrowed.values()), selection, periods, listed=listed)
        found = await self._columnar.execute(query, given)
        return Sums(
            found["value"].to_pylist(),
            found["bucket"].to_numpy().astype(np.int64),
            found["figure"].to_numpy().astype(np.float64),
        )

    async def values(
        self, tenant: str, dimension: Dimension, limit: int, selection: Selection | None = None
    ) -> list[tuple[str, int]]:
        if dimension is Dimension.SEGMENT:
            entered = of_tenant(self._columnar.table(MEMBERSHIPS), tenant)
            found = entered.group_by(value=entered.segment_id).aggregate(lines=entered.count())
        elif dimension is Dimension.CHANNEL or (selection and not selection.measure.of_orders):
            rows = of_tenant(self._columnar.table(ACTIVITIES), tenant)
            rows = counted(rows, selection) if selection and not selection.measure.of_orders else rows
            found = rows.group_by(value=rows[DIMENSIONS[dimension]]).aggregate(lines=rows.count())
        else:
            lines = self._lines(tenant)
            lines = lines.filter(lines.product_id != "")
            found = lines.group_by(value=lines[DIMENSIONS[dimension]]).aggregate(lines=lines.count())
        query = found.order_by(found.lines.desc(), found.value).limit(limit)
        return [(row["value"], row["lines"]) for row in (await self._columnar.execute(query)).to_pylist()]

    async def categories(self, tenant: str) -> dict[str, str]:
        lines = self._lines(tenant)
        lines = lines.filter(lines.product_id != "")
        newest = lines.group_by("product_id", "category").aggregate(last=lines.time.max())
        rows = (await self._columnar.execute(newest.order_by("last", "category"))).to_pylist()
        return {row["product_id"]: row["category"] for row in rows}

    async def histories(
        self, tenant: str, currency: str, until: int, end: int, customer_ids: Sequence[str] | None = None
    ) -> Histories:
        lines = self._lines(tenant)
        if customer_ids is not None:
            lines = lines.filter(lines.customer_id.isin(customer_ids))
        return read_histories(await self._columnar.execute(histories(lines, currency, until, end)))

    async def moment(
        self, tenant: str, currency: str, goal: Goal, at: int, customer_ids: Sequence[str] | None = None
    ) -> Moment:
        asked, when = (_of(self._lines(tenant), customer_ids), currency, goal), bound(at)
        if goal.event_name:
            events = _of(of_tenant(self._columnar.table(ACTIVITIES), tenant), customer_ids)
            return read_moment(await self._columnar.execute(event_moment(events, *asked), bound=when), goal)
        return read_moment(await self._columnar.execute(moment(*asked), bound=when), goal)

    async def described(self, tenant: str, event_name: str, paths: Sequence[str]) -> Described:
        rows = of_tenant(self._columnar.table(ACTIVITIES), tenant)
        query = described(rows.filter(rows.name == event_name), paths)
        return read_described((await self._columnar.execute(query)).to_pylist()[0], paths)

    async def property_names(self, tenant: str, event_name: str, limit: int) -> list[str]:
        rows = of_tenant(self._columnar.table(ACTIVITIES), tenant)
        query = property_names(rows.filter(rows.name == event_name), limit)
        return [str(it) for it in (await self._columnar.execute(query))["path"].to_pylist()]

    async def tastes(
        self,
        tenant: str,
        currency: str,
        horizon_days: int,
        at: int,
        names: tuple[str, ...] | None = None,
        customer_ids: Sequence[str] | None = None,
    ) -> Tastes:
        lines = _of(self._lines(tenant), customer_ids)
        known = await self.moment(tenant, currency, Goal(horizon_days), at, customer_ids)
        if names is None:
            named = await self._columnar.execute(categories(lines, currency, at))
            names = tuple(named["category"].to_pylist())
        asked = (lines, currency, names, horizon_days, at)
        before, after = await self._columnar.execute(tastes(*asked)), await self._columnar.execute(later(*asked))
        return read_tastes(known, names, before, after)

    def _lines(self, tenant: str) -> ir.Table:
        return of_tenant(self._columnar.table(ORDER_LINES), tenant)


def _owners(owners: Mapping[tuple[str, str], str]) -> pa.Table:
    return pa.table(
        {
            "tenant": [tenant for tenant, _ in owners],
            "origin_id": [origin for _, origin in owners],
            "customer_id": list(owners.values()),
        }
    )


def _of(rows: ir.Table, customer_ids: Sequence[str] | None) -> ir.Table:
    return rows if customer_ids is None else rows.filter(rows.customer_id.isin(customer_ids))
