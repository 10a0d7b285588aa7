"""Order lines in the analytical engine."""

from collections.abc import Mapping, Sequence

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from services.common.columnar import Assign, Columnar, Table, of_tenant
from services.forecasting.adapters.histories import histories, read_histories
from services.forecasting.adapters.moments import moment, read_moment
from services.forecasting.domain.customers import Histories
from services.forecasting.domain.measures import Dimension, Measure
from services.forecasting.domain.periods import Buckets
from services.forecasting.domain.propensity import Goal, Moment
from services.forecasting.domain.series import Extent, Selection, Sums
from services.forecasting.ports import BoughtLine, Status

FOLLOWER = "forecasting.orders"
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


class ColumnarLines:
    """The port ``Lines`` over the analytical engine."""

    def __init__(self, columnar: Columnar) -> None:
        self._columnar = columnar

    async def cursor(self) -> str:
        """The cursor of the last batch that was appended."""
        return await self._columnar.cursor(FOLLOWER)

    async def append(self, rows: pa.Table, cursor: str, owners: Mapping[tuple[str, str], str] | None = None) -> None:
        """Append the lines of a batch, give the lines of origins to their ``owners``, and move the cursor, together.

        ``owners``: the customer by tenant and origin.
        """
        moves = [Assign(ORDER_LINES, ("tenant", "origin_id"), _owners(owners))] if owners else []
        await self._columnar.append({ORDER_LINES: rows} if len(rows) else {}, FOLLOWER, cursor, moves)

    async def count(self, tenant: str, origin_ids: Sequence[str]) -> int:
        """How many lines these origins have."""
        lines = self._lines(tenant)
        theirs = lines.filter(lines.origin_id.isin(origin_ids))
        query = theirs.aggregate(count=theirs.count())
        return int((await self._columnar.execute(query))["count"][0].as_py())

    async def pseudonymise(self, tenant: str, erasure_id: str, origin_ids: Sequence[str], pseudonym: str) -> None:
        """Let the lines of these origins be a pseudonym's, without the names of their orders."""
        count = len(origin_ids)
        names = ("tenant", "origin_id")
        taken = Assign(
            ORDER_LINES,
            names,
            pa.table(
                {
                    "tenant": [tenant] * count,
                    "origin_id": list(origin_ids),
                    "customer_id": [pseudonym] * count,
                    "order_id": [""] * count,
                    "message_id": [f"{pseudonym}/{number}" for number in range(count)],
                }
            ),
        )
        await self._columnar.append({}, f"{ERASER}.{tenant}", erasure_id, [taken])
        renamed = pa.table({"tenant": [tenant], "customer_id": [pseudonym], "origin_id": [pseudonym]})
        under = Assign(ORDER_LINES, ("tenant", "customer_id"), renamed)
        await self._columnar.append({}, f"{ERASER}.{tenant}", f"{erasure_id}/origin", [under])

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
        return Status(cursor, row["orders"] or 0, row["lines"] or 0, row["last"])

    async def extent(self, tenant: str) -> Extent | None:
        lines = self._lines(tenant)
        query = lines.group_by("currency").aggregate(first=lines.time.min(), last=lines.time.max())
        rows = (await self._columnar.execute(query)).to_pylist()
        if not rows:
            return None
        currencies = tuple(sorted(row["currency"] for row in rows))
        return Extent(min(row["first"] for row in rows), max(row["last"] for row in rows), currencies)

    async def sums(self, tenant: str, selection: Selection, buckets: Buckets, first: int, end: int) -> Sums:
        return await self._sums(tenant, selection, buckets, first, end, listed=False)

    async def listed(self, tenant: str, selection: Selection, buckets: Buckets, first: int, end: int) -> Sums:
        return await self._sums(tenant, selection, buckets, first, end, listed=True)

    async def _sums(
        self, tenant: str, selection: Selection, buckets: Buckets, first: int, end: int, *, listed: bool
    ) -> Sums:
        dimension = selection.dimension
        lines = self._lines(tenant)
        lines = lines.filter(lines.time >= first, lines.time < end)
        if selection.currency:
            lines = lines.filter(lines.currency == selection.currency)
        if selection.values and dimension is not Dimension.TOTAL:
            lines = lines.filter(_value(lines, dimension).isin(selection.values))
        keyed = lines.select(
            value=_value(lines, dimension),
            bucket=bucket(lines.time, buckets),
            figure=lines.list_minor if listed else _figure(lines, selection.measure, dimension),
        )
        once = not listed and selection.measure is Measure.ORDERS and dimension is Dimension.PRODUCT
        figure = keyed.figure.nunique() if once else keyed.figure.sum()
        found = await self._columnar.execute(keyed.group_by("value", "bucket").aggregate(figure=figure))
        return Sums(
            found["value"].to_pylist(),
            found["bucket"].to_numpy().astype(np.int64),
            found["figure"].to_numpy().astype(np.float64),
        )

    async def values(self, tenant: str, dimension: Dimension, limit: int) -> list[tuple[str, int]]:
        lines = self._lines(tenant)
        lines = lines.filter(lines.product_id != "")
        counted = lines.group_by(value=_value(lines, dimension)).aggregate(lines=lines.count())
        query = counted.order_by(counted.lines.desc(), counted.value).limit(limit)
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

    async def moment(self, tenant: str, currency: str, goal: Goal, at: int) -> Moment:
        return read_moment(await self._columnar.execute(moment(self._lines(tenant), currency, goal, at)), goal)

    def _lines(self, tenant: str) -> ir.Table:
        return of_tenant(self._columnar.table(ORDER_LINES), tenant)


_COLUMNS = {Dimension.CATEGORY: "category", Dimension.PRODUCT: "product_id", Dimension.STORE: "store_id"}


def _value(lines: ir.Table, dimension: Dimension) -> ir.Value:
    return ibis.literal("") if dimension is Dimension.TOTAL else lines[_COLUMNS[dimension]]


def _figure(lines: ir.Table, measure: Measure, dimension: Dimension) -> ir.Value:
    """What is added up; of orders by product, what is counted once."""
    if measure is Measure.SALES:
        return lines.amount_minor
    if measure is Measure.UNITS:
        return lines.quantity
    if dimension is Dimension.PRODUCT:
        return lines.message_id
    return lines.opens_category if dimension is Dimension.CATEGORY else lines.opens_order


def _owners(owners: Mapping[tuple[str, str], str]) -> pa.Table:
    return pa.table(
        {
            "tenant": [tenant for tenant, _ in owners],
            "origin_id": [origin for _, origin in owners],
            "customer_id": list(owners.values()),
        }
    )


def bucket(time: ir.Value, buckets: Buckets) -> ir.Value:
    """The bucket's number, in whole numbers throughout: a division of doubles could round at a boundary."""
    shift: ir.Value = ibis.literal(buckets.shifts[0][1], type="int64")
    for begin, value in buckets.shifts[1:]:
        shift = ibis.cases((time >= begin, ibis.literal(value, type="int64")), else_=shift)
    local = time + shift
    return ((local - local % buckets.unit) / buckets.unit).round().cast("int64")
