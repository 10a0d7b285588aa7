"""What was bought, as rows of the analytical engine; read with Ibis."""

import asyncio
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa
import pyarrow.compute as pc

from services.common.columnar import Amendment, Assign, Columnar, Remove, Table, of_tenant
from services.recommendation.adapters.since import CustomersSince
from services.recommendation.adapters.tables import PERSONAL, SIGNALS
from services.recommendation.domain.history import Bought

FOLLOWER = "recommendation.orders"
RETENTION_FOLLOWER = "recommendation.retention"
INTERACTIONS = Table(
    "interactions",
    pa.schema(
        [
            ("tenant", pa.string()),
            ("position", pa.int64()),
            ("customer_id", pa.string()),
            ("origin_customer_id", pa.string()),
            ("basket_id", pa.string()),
            ("item_id", pa.string()),
            ("time", pa.int64()),
            ("quantity", pa.float64()),
            ("amount_minor", pa.int64()),
            ("currency", pa.string()),
        ]
    ),
)
MOVES = Table("moves", pa.schema([("tenant", pa.string()), ("position", pa.int64()), ("customer_id", pa.string())]))
"""Customers whose lines were moved or removed in the batch of a position: what a model remembers of them from before is
no longer theirs."""
TABLES = (INTERACTIONS, MOVES, *PERSONAL)
DAY_MICROS = 86_400_000_000
RECENT_MICROS = 28 * DAY_MICROS
SIGNALS_MAX = 5_000_000
"""Views and carts that a training reads, the newest."""
POPULAR_MAX = 10_000
POPULAR_SECONDS = 30.0

_WANTED = pa.schema([("customer_id", pa.string())])


@dataclass(slots=True)
class Lines:
    """Lines of orders, column by column."""

    tenant: list[str] = field(default_factory=list)
    customer_id: list[str] = field(default_factory=list)
    origin_customer_id: list[str] = field(default_factory=list)
    """Empty where all customers are who they were."""
    basket_id: list[str] = field(default_factory=list)
    item_id: list[str] = field(default_factory=list)
    time: list[int] = field(default_factory=list)
    quantity: list[float] = field(default_factory=list)
    amount_minor: list[int] = field(default_factory=list)
    currency: list[str] = field(default_factory=list)


@dataclass(slots=True)
class Shows:
    """Views and carts, column by column; ``kind`` holds numbers of ``SignalKind``."""

    tenant: list[str] = field(default_factory=list)
    customer_id: list[str] = field(default_factory=list)
    origin_customer_id: list[str] = field(default_factory=list)
    item_id: list[str] = field(default_factory=list)
    kind: list[int] = field(default_factory=list)
    time: list[int] = field(default_factory=list)

    def rows(self) -> pa.Table:
        """As rows of the table."""
        columns = (self.tenant, self.customer_id, self.origin_customer_id, self.item_id, self.kind, self.time)
        return pa.table(list(columns), schema=SIGNALS.schema)


@dataclass(slots=True)
class Moved:
    """Whose the lines are from now on, and who is forgotten."""

    owners: dict[tuple[str, str], str] = field(default_factory=dict)
    """The customer to whom an origin of a tenant belongs."""
    touched: set[tuple[str, str]] = field(default_factory=set)
    """Tenants and customers who lost lines or got some."""
    erased: set[tuple[str, str]] = field(default_factory=set)
    """Tenants and origins of whom nothing is kept."""


class ColumnarInteractions:
    """The port ``Interactions``. Each line's ``position`` is the number of the batch that brought it, so that what
    came after a training is a range of positions, which the engine finds without reading the rest."""

    def __init__(self, columnar: Columnar) -> None:
        self._columnar = columnar
        self._last_position: int | None = None
        self._recent, self._moved = CustomersSince(self._late), CustomersSince(self._touched)
        self._popular: dict[str, tuple[float, list[tuple[str, int]]]] = {}

    async def record(self, lines: Lines, cursor: str, moved: Moved | None = None, shows: Shows | None = None) -> None:
        """Append lines, views and carts, move and remove what is to be, and move the cursor, in one commit; the same
        batch again changes nothing. For one writer."""
        moved = moved or Moved()
        if self._last_position is None:
            newest = self._columnar.table(INTERACTIONS).aggregate(last=_.position.max())
            self._last_position = (await self._columnar.execute(newest))["last"][0].as_py() or 0
        position = self._last_position + 1
        rows = pa.table(
            [lines.tenant, pa.repeat(position, len(lines.tenant)), lines.customer_id,
             lines.origin_customer_id or lines.customer_id, lines.basket_id, lines.item_id, lines.time, lines.quantity,
             lines.amount_minor, lines.currency],
            schema=INTERACTIONS.schema,
        )  # fmt: skip
        # Before the commit: a reader that misses the customer here would answer without the new lines.
        for tenant, customer_id in zip(lines.tenant, lines.customer_id, strict=True):
            self._recent.add(tenant, customer_id)
        for tenant, customer_id in moved.touched | moved.erased:
            self._moved.add(tenant, customer_id)
        batches = {INTERACTIONS: rows} | ({MOVES: _moves(moved, position)} if moved.touched | moved.erased else {})
        if shows and shows.tenant:
            batches[SIGNALS] = shows.rows()
        if await self._columnar.append(batches, FOLLOWER, cursor, _amendments(moved)):
            self._last_position = position

    async def remove(self, moved: Moved, reason: str) -> None:
        """Remove the lines of those who are erased, at once; ``reason`` names the erasure. Again it changes nothing."""
        await self._columnar.append({}, f"recommendation.erasure.{reason}", "done", _amendments(moved))

    async def lines_of(self, tenant: str, origins: Sequence[str], limit: int, offset: int) -> list[dict[str, Any]]:
        """A page of the recorded lines of a person, by time."""
        rows = self._lines(tenant)
        theirs = rows.filter(rows.customer_id.isin(list(origins)) | rows.origin_customer_id.isin(list(origins)))
        ordered = theirs.order_by("time", "basket_id", "item_id", "position").limit(limit, offset=offset)
        found: list[dict[str, Any]] = (await self._columnar.execute(ordered.drop("tenant", "position"))).to_pylist()
        return found

    async def count_of(self, tenant: str, origins: Sequence[str]) -> int:
        """How many lines of a person are recorded."""
        rows = self._lines(tenant)
        theirs = rows.filter(rows.customer_id.isin(list(origins)) | rows.origin_customer_id.isin(list(origins)))
        return int((await self._columnar.execute(theirs.aggregate(lines=_.count())))["lines"][0].as_py())

    async def anything_since(self, tenant: str, position: int) -> bool:
        late = self._lines(tenant).filter(_.position > position).limit(1)
        found = await self._columnar.execute(late.select("position"))
        return bool(found.num_rows or await self.moved_since(tenant, position))

    async def moved_since(self, tenant: str, position: int) -> AbstractSet[str]:
        return await self._moved.of(tenant, position)

    async def _touched(self, tenant: str, position: int) -> list[str]:
        moves = of_tenant(self._columnar.table(MOVES), tenant).filter(_.position > position)
        return list((await self._columnar.execute(moves.select("customer_id").distinct()))["customer_id"].to_pylist())

    async def lines_since(self, tenant: str, position: int) -> dict[str, int]:
        late = self._lines(tenant).filter(_.position > position, _.quantity > 0)
        found = await self._columnar.execute(late.group_by("item_id").aggregate(count=_.count()))
        return dict(zip(found["item_id"].to_pylist(), found["count"].to_pylist(), strict=True))

    async def moved_after(self, tenant: str, position: int) -> bool:
        """Whether anybody was merged, parted or erased after a position."""
        moves = of_tenant(self._columnar.table(MOVES), tenant).filter(_.position > position).limit(1)
        return bool((await self._columnar.execute(moves.select("position"))).num_rows)

    async def cursor(self) -> str:
        return await self._columnar.cursor(FOLLOWER)

    async def count(self, tenant: str) -> int:
        counted = await self._columnar.execute(self._lines(tenant).aggregate(lines=_.count()))
        return int(counted["lines"][0].as_py())

    async def bought_since(self, tenant: str, position: int, customer_ids: Sequence[str]) -> dict[str, list[Bought]]:
        wanted = await self._with_lines_since(tenant, position, customer_ids)
        moved = await self.moved_since(tenant, position) if position else frozenset()
        whole = [customer_id for customer_id in customer_ids if customer_id in moved]
        partly = [customer_id for customer_id in wanted if customer_id not in moved]
        return await self._bought(tenant, position, partly) | await self._bought(tenant, 0, whole)

    async def _bought(self, tenant: str, position: int, wanted: Sequence[str]) -> dict[str, list[Bought]]:
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

    async def buyers_since(self, tenant: str, position: int, limit: int) -> list[str]:
        late = self._lines(tenant).filter(_.position > position, _.quantity > 0).select("customer_id").distinct()
        found = await self._columnar.execute(late.order_by("customer_id").limit(limit))
        return list(found["customer_id"].to_pylist())

    async def signals(self, tenant: str) -> pa.Table:
        """The views and carts that a training learns from, the newest: a customer, an item and a kind once a day, so
        that whoever reloads a page all day counts once."""
        rows = of_tenant(self._columnar.table(SIGNALS), tenant)
        days = rows.mutate(day=(_.time // DAY_MICROS).cast("int64")).group_by("customer_id", "item_id", "kind", "day")
        newest = days.aggregate(time=_.time.max()).order_by(ibis.desc("time"), "customer_id", "item_id", "kind")
        return await self._columnar.execute(newest.limit(SIGNALS_MAX).select("customer_id", "item_id", "kind", "time"))

    async def signals_of(self, tenant: str, ids: Sequence[str], limit: int, offset: int) -> list[dict[str, Any]]:
        theirs = self._signals_of(tenant, ids).order_by("time", "item_id", "kind").limit(limit, offset=offset)
        found: list[dict[str, Any]] = (
            await self._columnar.execute(theirs.select("item_id", "kind", "time"))
        ).to_pylist()
        return found

    async def signal_count_of(self, tenant: str, ids: Sequence[str]) -> int:
        """How many views and carts of a person are recorded."""
        counted = await self._columnar.execute(self._signals_of(tenant, ids).aggregate(rows=_.count()))
        return int(counted["rows"][0].as_py())

    async def oldest_signals(self) -> dict[str, int]:
        every = self._columnar.table(SIGNALS).group_by("tenant").aggregate(oldest=_.time.min())
        found = await self._columnar.execute(every)
        return dict(zip(found["tenant"].to_pylist(), found["oldest"].to_pylist(), strict=True))

    async def forget_signals(self, tenant: str, before: int, at_most: int) -> int:
        """By their times: whatever has the same time as a row that is too old is too old as well."""
        old = of_tenant(self._columnar.table(SIGNALS), tenant).filter(_.time < before)
        rows = (await self._columnar.execute(old.order_by("time").limit(at_most).select("time")))["time"]
        if not len(rows):
            return 0
        times = rows.unique()
        gone = pa.table({"tenant": pa.array([tenant] * len(times)), "time": times})
        cursor = f"{tenant} {before} {times[-1].as_py()}"
        await self._columnar.append({}, RETENTION_FOLLOWER, cursor, [Remove(SIGNALS, gone)])
        return len(rows)

    def _signals_of(self, tenant: str, ids: Sequence[str]) -> ir.Table:
        rows, named = of_tenant(self._columnar.table(SIGNALS), tenant), list(ids)
        return rows.filter(rows.customer_id.isin(named) | rows.origin_customer_id.isin(named))

    async def _with_lines_since(self, tenant: str, position: int, customer_ids: Sequence[str]) -> list[str]:
        """Those customers who have lines after a position."""
        if not position:
            return list(customer_ids)
        recent = await self._recent.of(tenant, position)
        return [customer_id for customer_id in customer_ids if customer_id in recent]

    async def _late(self, tenant: str, position: int) -> list[str]:
        late = self._lines(tenant).filter(_.position > position).select("customer_id").distinct()
        return list((await self._columnar.execute(late))["customer_id"].to_pylist())

    async def _most_bought(self, tenant: str) -> list[tuple[str, int]]:
        lines = self._lines(tenant).filter(_.quantity > 0)
        recent = lines.filter(lines.time > lines.time.max().as_scalar() - RECENT_MICROS)
        buyers = recent.group_by("item_id").aggregate(buyers=_.customer_id.nunique())
        ranked = buyers.order_by(ibis.desc("buyers"), "item_id").limit(POPULAR_MAX)
        found = await self._columnar.execute(ranked)
        return list(zip(found["item_id"].to_pylist(), found["buyers"].to_pylist(), strict=True))

    def _lines(self, tenant: str) -> ir.Table:
        return of_tenant(self._columnar.table(INTERACTIONS), tenant)


def _moves(moved: Moved, position: int) -> pa.Table:
    who = sorted(moved.touched | moved.erased)
    columns = [[tenant for tenant, _ in who], [position] * len(who), [customer_id for _, customer_id in who]]
    return pa.table(columns, schema=MOVES.schema)


def _amendments(moved: Moved) -> list[Amendment]:
    found: list[Amendment] = []
    if moved.owners:
        keys = [list(column) for column in zip(*moved.owners, strict=True)]
        values = pa.table(
            {"tenant": keys[0], "origin_customer_id": keys[1], "customer_id": list(moved.owners.values())}
        )
        found += [Assign(table, ("tenant", "origin_customer_id"), values) for table in (INTERACTIONS, *PERSONAL)]
    if moved.erased:
        who = sorted(moved.erased)
        tenants, ids = [tenant for tenant, _ in who], [customer_id for _, customer_id in who]
        found += [
            Remove(table, pa.table({"tenant": tenants, name: ids}))
            for table in (INTERACTIONS, *PERSONAL)
            for name in ("customer_id", "origin_customer_id")
        ]
    return found


_ = ibis._
