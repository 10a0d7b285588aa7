"""What customers did, event by event, in the analytical engine: of it visits and active customers are counted."""

from collections.abc import Sequence
from typing import Any

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from services.common.columnar import Columnar, Table, of_tenant
from services.common.flat.columns import FLAT, flat_columns
from services.common.flat.properties import Flat
from services.forecasting.domain.activities import Seen
from services.forecasting.domain.measures import Dimension, Measure
from services.forecasting.domain.series import Selection

ORDER_COMPLETED = "Order Completed"
LOOKING = frozenset(
    {
        "Products Searched",
        "Product List Viewed",
        "Product List Filtered",
        "Product Clicked",
        "Product Viewed",
        "Product Added",
        "Product Removed",
        "Cart Viewed",
        "Checkout Started",
    }
)
"""Segment's names of what a customer does in a shop before an order."""
VISIT_GAP = 30 * 60 * 1_000_000
"""A visit is over after 30 minutes without looking at anything: what web analytics has meant by a session since its
beginning."""

ACTIVITIES = Table(
    "activities",
    # One row for each product that an event names, and one for an event that names none.
    pa.schema(
        [
            ("tenant", pa.string()),
            ("message_id", pa.string()),
            ("time", pa.int64()),
            ("name", pa.string()),
            ("customer_id", pa.string()),
            ("origin_id", pa.string()),
            ("product_id", pa.string()),
            ("category", pa.string()),
            ("store_id", pa.string()),
            ("channel", pa.string()),
            # Whether it is looking at something: 1 or 0.
            ("looking", pa.int64()),
            # The first row of its event, and of its product and its category in it: events are counted by adding up.
            ("opens_event", pa.int64()),
            ("opens_product", pa.int64()),
            ("opens_category", pa.int64()),
            # Whether the properties of the event are known: 1, or 0 where they were removed with the person. Null of
            # events that came before properties were kept, and in rows that open no event.
            ("described", pa.int64()),
            *FLAT,
            ("left_out", pa.list_(pa.string())),
        ]
    ),
    key=("tenant", "message_id"),
)
DIMENSIONS = {
    Dimension.CATEGORY: "category",
    Dimension.PRODUCT: "product_id",
    Dimension.STORE: "store_id",
    Dimension.CHANNEL: "channel",
}
_VALUES = ("texts", "numbers", "flags")
_OPENS = {Dimension.CATEGORY: "opens_category", Dimension.PRODUCT: "opens_product"}


class ColumnarActivities:
    """The port ``Activities`` over the analytical engine."""

    def __init__(self, columnar: Columnar) -> None:
        self._columnar = columnar

    async def count(self, tenant: str, origin_ids: Sequence[str] | None = None) -> int:
        """How many events there are, or how many of these origins."""
        rows = of_tenant(self._columnar.table(ACTIVITIES), tenant)
        theirs = rows if origin_ids is None else rows.filter(rows.origin_id.isin(origin_ids))
        query = theirs.aggregate(count=theirs.opens_event.sum())
        return int((await self._columnar.execute(query))["count"][0].as_py() or 0)

    async def of_customer(self, tenant: str, origin_ids: Sequence[str], after: int, limit: int) -> list[Seen]:
        """A page of what these origins did, the first first."""
        rows = of_tenant(self._columnar.table(ACTIVITIES), tenant)
        chosen = rows.filter(rows.origin_id.isin(origin_ids))
        query = chosen.order_by("time", "message_id", "opens_event", "product_id").limit(limit, offset=after)
        columns = ("time", "name", "product_id", "category", "store_id", "channel", *_VALUES)
        return [_seen(row) for row in (await self._columnar.execute(query.select(*columns))).to_pylist()]


def _seen(row: dict[str, Any]) -> Seen:
    held = {path: values for name in _VALUES for path, values in row.pop(name) or ()}
    return Seen(**row, properties={path: values[0] if len(values) == 1 else values for path, values in held.items()})


def undescribed(count: int) -> dict[str, pa.Array]:
    """The columns of so many rows of which no properties are known any more."""
    nothing = pa.array([[]] * count, type=pa.list_(pa.string()))
    return {
        "described": pa.array([0] * count, type=pa.int64()),
        **flat_columns([Flat()] * count),
        "left_out": nothing,
    }


def counted(rows: ir.Table, selection: Selection) -> ir.Table:
    """Those of one tenant's activities that a measure looks at."""
    if selection.measure is Measure.EVENTS:
        return rows.filter(rows.name == selection.event_name)
    looking = rows.looking == 1
    return rows.filter(looking if selection.measure is Measure.VISITS else looking | (rows.name == ORDER_COMPLETED))


def visits(rows: ir.Table) -> ir.Table:
    """``rows`` of looking, each with the beginning of its visit as its ``time``."""
    theirs = ibis.window(group_by="customer_id", order_by="time")
    gap = rows.time - rows.time.lag().over(theirs)
    begun = rows.mutate(begun=ibis.cases((gap <= VISIT_GAP, ibis.null("int64")), else_=rows.time))
    # Rows of the same moment go together, whichever of them is the first.
    until_now = ibis.range_window(group_by="customer_id", order_by="time", preceding=None, following=0)
    return begun.mutate(time=begun.begun.max().over(until_now)).drop("begun")


def event_figure(rows: ir.Table, dimension: Dimension) -> ir.Value:
    """What is added up to count events."""
    return rows[_OPENS.get(dimension, "opens_event")]
