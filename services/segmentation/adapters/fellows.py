"""Who is in a group with whom: whom a change of one customer may concern."""

import asyncio
from collections.abc import Collection
from functools import lru_cache

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from services.common.columnar import Columnar, of_tenant
from services.segmentation.adapters.group_query import fellows
from services.segmentation.adapters.group_tables import GROUP_MEMBERS
from services.segmentation.adapters.tenant_history import given_to, hashes_of, of_touched

QUERIES_MAX = 64
_GROUPS = ibis.table({"group_id": "string"}, name="asked_groups")


class Fellows:
    """Finds them among all that was ever said, so that those are found too whom somebody has just left."""

    def __init__(self, columnar: Columnar) -> None:
        self._columnar = columnar
        self._query = lru_cache(QUERIES_MAX)(lambda tenant: fellows(self._rows(tenant), of_touched))

    async def of(self, tenant: str, customer_ids: Collection[str]) -> set[str]:
        """The customers, and whoever is or was in a group with one of them."""
        query = await asyncio.to_thread(self._query, tenant)
        found = await self._columnar.execute(query, given_to(customer_ids), hashes_of(customer_ids))
        return {*customer_ids, *found["customer_id"].to_pylist()}

    async def members(self, tenant: str, group_ids: Collection[str]) -> set[str]:
        """Whoever is or was a member of one of the groups."""
        theirs = self._rows(tenant).semi_join(_GROUPS, "group_id").select("customer_id").distinct()
        given = {"asked_groups": pa.table({"group_id": pa.array(group_ids, pa.string())})}
        return set((await self._columnar.execute(theirs, given))["customer_id"].to_pylist())

    def _rows(self, tenant: str) -> ir.Table:
        return of_tenant(self._columnar.table(GROUP_MEMBERS), tenant)
