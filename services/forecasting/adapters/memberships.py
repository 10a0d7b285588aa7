"""Who was in which segment when, in the analytical engine, as segmentation tells it."""

from collections.abc import Sequence
from typing import NamedTuple

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from services.common.columnar import Columnar, Remove, Table, of_tenant
from services.forecasting.domain.activities import Transition

FOLLOWER = "forecasting.memberships"
ALWAYS, NEVER = 0, 2**62

MEMBERSHIPS = Table(
    "memberships",
    pa.schema(
        [
            ("tenant", pa.string()),
            ("segment_id", pa.string()),
            # Who it was told of; whose that is after merges, the activities say.
            ("origin_id", pa.string()),
            ("time", pa.int64()),
            ("cursor", pa.string()),
            # ENTERED or LEFT.
            ("change", pa.int64()),
        ]
    ),
    key=("tenant", "cursor", "segment_id", "origin_id"),
)


ENTERED, LEFT = 1, -1


class Move(NamedTuple):
    """A row of the table."""

    tenant: str
    segment_id: str
    origin_id: str
    time: int
    cursor: str
    change: int


class ColumnarMemberships:
    """Memberships over the analytical engine."""

    def __init__(self, columnar: Columnar) -> None:
        self._columnar = columnar

    async def cursor(self) -> str:
        """The cursor of the last batch that was applied."""
        return await self._columnar.cursor(FOLLOWER)

    async def apply(self, moves: Sequence[Move], cursor: str) -> None:
        """Keep a batch of transitions; again, it changes nothing."""
        known = await self._entered(moves)
        kept = [it for it in moves if it.change == ENTERED or it[:3] in known]
        table = pa.table([pa.array(it) for it in zip(*kept, strict=True)], schema=MEMBERSHIPS.schema) if kept else None
        await self._columnar.append({MEMBERSHIPS: table} if table else {}, FOLLOWER, cursor)

    async def _entered(self, moves: Sequence[Move]) -> set[tuple[str, str, str]]:
        """Who of those who leave is known to have entered. (A person who was erased leaves too: that is not kept.)"""
        found = {it[:3] for it in moves if it.change == ENTERED}
        leaving = {it[:3] for it in moves} - found
        for tenant in {it[0] for it in leaving}:
            rows = of_tenant(self._columnar.table(MEMBERSHIPS), tenant)
            ids = sorted({it[2] for it in leaving if it[0] == tenant})
            query = rows.filter(rows.origin_id.isin(ids)).select("tenant", "segment_id", "origin_id").distinct()
            for row in (await self._columnar.execute(query)).to_pylist():
                found.add((row["tenant"], row["segment_id"], row["origin_id"]))
        return found

    async def count(self, tenant: str, origin_ids: Sequence[str]) -> int:
        """How many transitions these origins have."""
        rows = of_tenant(self._columnar.table(MEMBERSHIPS), tenant)
        theirs = rows.filter(rows.origin_id.isin(origin_ids))
        return int((await self._columnar.execute(theirs.aggregate(count=theirs.count())))["count"][0].as_py())

    async def of_customer(self, tenant: str, origin_ids: Sequence[str], after: int, limit: int) -> list[Transition]:
        """A page of where these origins came and went, the first first."""
        rows = of_tenant(self._columnar.table(MEMBERSHIPS), tenant)
        query = rows.filter(rows.origin_id.isin(origin_ids)).order_by("time", "segment_id", "cursor")
        chosen = query.limit(limit, offset=after).select("time", "segment_id", entered=query.change > 0)
        return [Transition(**row) for row in (await self._columnar.execute(chosen)).to_pylist()]


def spans(memberships: ir.Table, activities: ir.Table, segment_ids: Sequence[str]) -> ir.Table:
    """One tenant's memberships as spans: segment, customer, and from when to when, which two of a customer never share.

    A customer is in a segment while any origin of theirs is. Before a segment's first evaluation, those whom it found
    count.
    """
    if segment_ids:
        memberships = memberships.filter(memberships.segment_id.isin(segment_ids))
    owners = activities.select("origin_id", owner=activities.customer_id).distinct()
    first = memberships.time.min().over(ibis.window(group_by="segment_id"))
    told = memberships.mutate(begin=ibis.cases((memberships.time == first, ALWAYS), else_=memberships.time))
    told = told.left_join(owners, "origin_id")
    told = told.mutate(owner=ibis.coalesce(told.owner, told.origin_id))
    order = [told.begin, told.cursor, told.origin_id]
    theirs = ibis.window(group_by=["segment_id", "owner"], order_by=order)
    until_now = ibis.rows_window(group_by=["segment_id", "owner"], order_by=order, preceding=None, following=0)
    states = told.mutate(inside=told.change.sum().over(until_now), end=told.begin.lead().over(theirs))
    kept = states.filter(states.inside > 0, states.end.isnull() | (states.end > states.begin))
    return kept.select("segment_id", "owner", "begin", end=ibis.coalesce(kept.end, ibis.literal(NEVER, "int64")))


def forgotten(tenant: str, origin_ids: Sequence[str]) -> Remove:
    """Removes the memberships of these origins."""
    return Remove(MEMBERSHIPS, pa.table({"tenant": [tenant] * len(origin_ids), "origin_id": list(origin_ids)}))
