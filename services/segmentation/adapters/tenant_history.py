"""The history of a tenant's customers, of all or of those who are given when a query is executed."""

from collections.abc import Collection

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from services.common.columnar import Columnar, of_tenant
from services.common.columnar.texts import Bound
from services.segmentation.adapters.expressions import History
from services.segmentation.adapters.group_query import Groups
from services.segmentation.adapters.group_tables import GROUP_TABLES
from services.segmentation.adapters.predicted_tables import PREDICTED_TABLES
from services.segmentation.adapters.score_query import Found
from services.segmentation.adapters.tables import (
    CLUSTERED,
    CONSENTS,
    EVENTS,
    LIST_ENTRIES,
    RESEMBLING,
    TRAITS,
    hashed,
)

TOUCHED = ibis.table({"customer_id": "string"}, name="touched")
_FOUND = (*PREDICTED_TABLES, CLUSTERED, RESEMBLING)
_HASHES = ibis.param("int64")


def tenant_history(columnar: Columnar, tenant: str) -> History:
    """Everything that is known of a tenant's customers."""
    events, traits, consents, entries, *found = (
        of_tenant(columnar.table(table), tenant) for table in (EVENTS, TRAITS, CONSENTS, LIST_ENTRIES, *_FOUND)
    )
    groups = Groups(*(of_tenant(columnar.table(table), tenant) for table in GROUP_TABLES))
    return History(events, traits, consents, entries, events, Found(*found), groups)


def of_touched(rows: ir.Table) -> ir.Table:
    """The rows of the customers who are given with ``given_to`` and ``hashes_of``."""
    # The numbers are looked for first: engines find them several times as fast as texts.
    likely = rows.filter(rows.customer_hash.isin([_HASHES])) if "customer_hash" in rows.columns else rows
    return likely.semi_join(TOUCHED, "customer_id")


def given_to(customer_ids: Collection[str] | None) -> dict[str, pa.Table] | None:
    """The table of the customers whom a query is about."""
    return None if customer_ids is None else {"touched": pa.table({"customer_id": pa.array(customer_ids, pa.string())})}


def hashes_of(customer_ids: Collection[str] | None) -> Bound:
    """The parameter of a query with their numbers."""
    return {} if customer_ids is None else {_HASHES: [hashed(who) for who in customer_ids] or [-1]}
