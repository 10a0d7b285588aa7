"""Spend on channels in the analytical engine, and the sales that it stands beside."""

from collections.abc import Mapping, Sequence
from datetime import date

import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from services.common.columnar import Columnar, Keep, Table, of_tenant
from services.forecasting.adapters.buckets import bucket
from services.forecasting.adapters.lines import ORDER_LINES
from services.forecasting.domain.media_mix import Spend, SpendChannel
from services.forecasting.domain.periods import Periods

FOLLOWER = "forecasting.spend"
SPEND = Table(
    "media_spend",
    pa.schema(
        [
            ("tenant", pa.string()),
            ("channel", pa.string()),
            ("region", pa.string()),
            ("currency", pa.string()),
            ("day", pa.int64()),
            ("amount_minor", pa.int64()),
        ]
    ),
    key=("tenant", "channel", "region", "currency", "day"),
    keep=Keep.LAST,
)
Sums = Sequence[tuple[str, int, float]]


class ColumnarSpend:
    """The port ``SpendRecords`` over the analytical engine. Days are counted from 1970."""

    def __init__(self, columnar: Columnar) -> None:
        self._columnar = columnar

    async def record(self, tenant: str, request_id: str, rows: Sequence[Spend]) -> None:
        found = [(tenant, it.channel, it.region, it.currency, _number(it.day), it.amount_minor) for it in rows]
        columns = [pa.array(column) for column in zip(*found, strict=True)]
        table = pa.table(columns, schema=SPEND.schema)
        await self._columnar.append({SPEND: table}, f"{FOLLOWER}.{tenant}", request_id)

    async def channels(self, tenant: str) -> list[SpendChannel]:
        spend = self._spend(tenant)
        query = spend.group_by("channel", "currency").aggregate(
            amount=spend.amount_minor.sum().cast("int64"), first=spend.day.min(), last=spend.day.max()
        )
        regions = spend.group_by("channel").aggregate(count=spend.region.nunique())
        counts = {row["channel"]: row["count"] for row in (await self._columnar.execute(regions)).to_pylist()}
        found: dict[str, list[dict[str, int | str]]] = {}
        for row in (await self._columnar.execute(query)).to_pylist():
            found.setdefault(row["channel"], []).append(row)
        return [_channel(name, rows, counts[name]) for name, rows in sorted(found.items())]

    async def spend(self, tenant: str, currency: str, first: date, last: date) -> list[tuple[str, str, int, int]]:
        """Channel, region, day and amount, of the days from ``first`` to ``last``."""
        spend = self._spend(tenant)
        chosen = spend.filter(
            spend.currency == currency, spend.day >= _number(first), spend.day <= _number(last)
        ).select("channel", "region", "day", "amount_minor")
        table = await self._columnar.execute(chosen)
        return list(zip(*(table[name].to_pylist() for name in table.column_names), strict=True))

    async def sales(self, tenant: str, currency: str, periods: Periods) -> list[tuple[str, int, int]]:
        """Store, bucket and amount."""
        lines = of_tenant(self._columnar.table(ORDER_LINES), tenant)
        lines = lines.filter(lines.currency == currency, lines.time >= periods.starts[0], lines.time < periods.end)
        keyed = lines.select(
            store=lines.store_id, bucket=bucket(lines.time, periods.buckets), amount=lines.amount_minor
        )
        query = keyed.group_by("store", "bucket").aggregate(amount=keyed.amount.sum().cast("int64"))
        table = await self._columnar.execute(query)
        return list(zip(*(table[name].to_pylist() for name in table.column_names), strict=True))

    def _spend(self, tenant: str) -> ir.Table:
        return of_tenant(self._columnar.table(SPEND), tenant)


def _number(day: date) -> int:
    return int(np.datetime64(day, "D").astype(int))


def _day(number: int | str) -> date:
    return date.fromordinal(date(1970, 1, 1).toordinal() + int(number))


def _channel(name: str, rows: Sequence[Mapping[str, int | str]], regions: int) -> SpendChannel:
    amounts = {str(row["currency"]): int(row["amount"]) for row in rows}
    first, last = min(int(row["first"]) for row in rows), max(int(row["last"]) for row in rows)
    return SpendChannel(name, amounts, _day(first), _day(last), regions)
