"""What was bought, as rows of the analytical engine; read with Ibis."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc

from services.common.columnar import Columnar, Table, of_tenant
from services.recommendation.domain.history import Bought

FOLLOWER = "recommendation.orders"
INTERACTIONS = Table(
    "interactions",
    pa.schema(
        [
            ("tenant", pa.string()),
            ("position", pa.int64()),
            ("customer_id", pa.string()),
            ("basket_id", pa.string()),
            ("item_id", pa.string()),
            ("time", pa.int64()),
            ("quantity", pa.float64()),
            ("amount_minor", pa.int64()),
            ("currency", pa.string()),
        ]
    ),
)
TABLES = (INTERACTIONS,)
RECENT_MICROS = 28 * 86_400_000_000
POPULAR_MAX = 10_000
POPULAR_SECONDS = 30.0

_WANTED = pa.schema([("customer_id", pa.string())])


@dataclass(slots=True)
class Lines:
    """Lines of orders, column by column."""

    tenant: list[str] = field(default_factory=list)
    customer_id: list[str] = field(default_factory=list)
    basket_id: list[str] = field(default_factory=list)
    item_id: list[str] = field(default_factory=list)
    time: list[int] = field(default_factory=list)
    quantity: list[float] = field(default_factory=list)
    amount_minor: list[int] = field(default_factory=list)
    currency: list[str] = field(default_factory=list)


class ColumnarInteractions:
    """The port ``Interactions``. Each line's ``position`` is the number of the batch that brought it, so that what
    came after a training is a range of positions, which the engine finds without reading the rest."""

    def __init__(self, columnar: Columnar) -> None:
        self._columnar = columnar
        self._last_position: int | None = None
        self._recent: dict[str, tuple[int, set[str]]] = {}
        self._popular: dict[str, tuple[float, list[tuple[str, int]]]] = {}

    async def record(self, lines: Lines, cursor: str) -> None:
        """Append lines and move the cursor, in one commit; the same batch again changes nothing. For one writer."""
        if self._last_position is None:
            newest = self._columnar.table(INTERACTIONS).aggregate(last=_.position.max())
            self._last_position = (await self._columnar.execute(newest))["last"][0].as_py() or 0
        position = self._last_position + 1
        rows = pa.table(
            [lines.tenant, pa.repeat(position, len(lines.tenant)), lines.customer_id, lines.basket_id, lines.item_id,
             lines.time, lines.quantity, lines.amount_minor, lines.currency],
            schema=INTERACTIONS.schema,
        )  # fmt: skip
        # Before the commit: a reader that misses the customer here would answer without the new lines.
        for tenant, customer_id in zip(lines.tenant, lines.customer_id, strict=True):
            if tenant in self._recent:
                self._recent[tenant][1].add(customer_id)
        if await self._columnar.append({INTERACTIONS: rows}, FOLLOWER, cursor):
            self._last_position = position

    async def cursor(self) -> str:
        return await self._columnar.cursor(FOLLOWER)

    async def count(self, tenant: str) -> int:
        counted = await self._columnar.execute(self._lines(tenant).aggregate(lines=_.count()))
        return int(counted["lines"][0].as_py())

    async def bought_since(self, tenant: str, position: int, customer_ids: Sequence[str]) -> dict[str, list[Bought]]:
        wanted = await self._with_lines_since(tenant, position, customer_ids)
        if not wanted:
            return {}
        named = ibis.table(ibis.Schema.from_pyarrow(_WANTED), name="wanted_customers")
        lines = self._lines(tenant).filter(_.position > position, _.quantity > 0)
        query = lines.semi_join(named, "customer_id").select("customer_id", "item_id", "basket_id", "time")
        found = await self._columnar.execute(query, {"wanted_customers": pa.table([wanted], schema=_WANTED)})
        bought: dict[str, list[Bought]] = {customer_id: [] for customer_id in wanted}
        for line in found.to_pylist():
            bought[line["customer_id"]].append(Bought(line["item_id"], line["basket_id"], line["time"]))
        return bought

    async def popular(self, tenant: str) -> Sequence[tuple[str, int]]:
        now = asyncio.get_running_loop().time()
        kept = self._popular.get(tenant)
        if kept is None or kept[0] < now:
            kept = now + POPULAR_SECONDS, await self._most_bought(tenant)
            self._popular[tenant] = kept
        return kept[1]

    async def purchases(self, tenant: str) -> tuple[pa.Table, int]:
        """Everything that a training learns from, and the position up to which it goes."""
        lines = self._lines(tenant).filter(_.quantity > 0)
        table = await self._columnar.execute(lines.select("customer_id", "basket_id", "item_id", "time", "position"))
        position = pc.max(table["position"]).as_py() or 0
        return table.drop_columns("position"), int(position)

    async def _with_lines_since(self, tenant: str, position: int, customer_ids: Sequence[str]) -> list[str]:
        """Those customers who have lines after a position. For a trained model that is a small set, kept here, so that
        most requests need no query at all."""
        if not position:
            return list(customer_ids)
        known = self._recent.get(tenant)
        if known is None or known[0] != position:
            known = position, set()
            self._recent[tenant] = known  # from here on ``record`` adds to it, while the query runs
            late = self._lines(tenant).filter(_.position > position).select("customer_id").distinct()
            known[1].update((await self._columnar.execute(late))["customer_id"].to_pylist())
        return [customer_id for customer_id in customer_ids if customer_id in known[1]]

    async def _most_bought(self, tenant: str) -> list[tuple[str, int]]:
        lines = self._lines(tenant).filter(_.quantity > 0)
        recent = lines.filter(lines.time > lines.time.max().as_scalar() - RECENT_MICROS)
        buyers = recent.group_by("item_id").aggregate(buyers=_.customer_id.nunique())
        ranked = buyers.order_by(ibis.desc("buyers"), "item_id").limit(POPULAR_MAX)
        found = await self._columnar.execute(ranked)
        return list(zip(found["item_id"].to_pylist(), found["buyers"].to_pylist(), strict=True))

    def _lines(self, tenant: str) -> ir.Table:
        return of_tenant(self._columnar.table(INTERACTIONS), tenant)


_ = ibis._
