"""Series as expressions over what is kept of orders, events and memberships: one row a value and bucket."""

from collections.abc import Mapping
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir
import pyarrow as pa

from services.forecasting.adapters.activities import (
    DIMENSIONS,
    ORDER_COMPLETED,
    VISIT_GAP,
    counted,
    event_figure,
    visits,
)
from services.forecasting.adapters.buckets import bucket
from services.forecasting.adapters.memberships import spans
from services.forecasting.domain.measures import Dimension, Granularity, Measure
from services.forecasting.domain.periods import Periods
from services.forecasting.domain.series import Selection

_PERIODS = pa.schema([("bucket", pa.int64()), ("period", pa.int64())])
Given = Mapping[str, pa.Table]


@dataclass(frozen=True, slots=True)
class Tables:
    """The tables, each narrowed to one tenant."""

    lines: ir.Table
    activities: ir.Table
    memberships: ir.Table
    sends: ir.Table


def sums(tables: Tables, selection: Selection, periods: Periods, *, listed: bool = False) -> tuple[ir.Table, Given]:
    """The figures of a selection by ``value`` and ``bucket``, and the small tables that the expression names;
    ``listed``: what its order lines would have cost without discounts.

    Buckets add up to periods, except where the period itself is the bucket, as for what counts once in it.
    """
    if selection.measure.of_orders:
        return _of_orders(tables, selection, periods, listed=listed), {}
    if selection.measure is Measure.EVENTS:
        rows = _divided(tables, _within(counted(tables.activities, selection), periods), selection)
        keyed = rows.select("value", bucket=bucket(rows.time, periods.buckets), figure=rows.figure)
        return keyed.group_by("value", "bucket").aggregate(figure=keyed.figure.sum()), {}
    if selection.measure is Measure.SENDS:
        rows = _within(tables.sends, periods)
        keyed = rows.select(value=ibis.literal(""), bucket=bucket(rows.time, periods.buckets))
        return keyed.group_by("value", "bucket").aggregate(figure=keyed.count()), {}
    if selection.measure is Measure.VISITS:
        return _of_visits(tables, selection, periods), {}
    return _of_customers(tables, selection, periods)


def _of_orders(tables: Tables, selection: Selection, periods: Periods, *, listed: bool) -> ir.Table:
    lines = _within(tables.lines, periods)
    if selection.currency:
        lines = lines.filter(lines.currency == selection.currency)
    once = not listed and selection.measure is Measure.ORDERS and selection.dimension is Dimension.PRODUCT
    listed_minor = ibis.coalesce(lines.list_minor, lines.amount_minor)  # null in lines of an earlier version
    lines = lines.mutate(figure=listed_minor if listed else _order_figure(lines, selection))
    if selection.dimension is Dimension.CHANNEL:
        lines = _with_channel(lines, tables.activities)
    lines = _divided(tables, lines, selection)
    keyed = lines.select("value", bucket=bucket(lines.time, periods.buckets), figure=lines.figure)
    figure = keyed.figure.nunique() if once else keyed.figure.sum()
    return keyed.group_by("value", "bucket").aggregate(figure=figure)


def _order_figure(lines: ir.Table, selection: Selection) -> ir.Value:
    """What is added up; of orders by product, what is counted once."""
    if selection.measure is Measure.SALES:
        return lines.amount_minor
    if selection.measure is Measure.UNITS:
        return lines.quantity
    if selection.dimension is Dimension.PRODUCT:
        return lines.message_id
    return lines.opens_category if selection.dimension is Dimension.CATEGORY else lines.opens_order


def _with_channel(lines: ir.Table, activities: ir.Table) -> ir.Table:
    """The lines with the channel of their orders, which lies with the events that they came from."""
    orders = activities.filter(activities.name == ORDER_COMPLETED, activities.opens_event == 1)
    through = orders.group_by("message_id", "time").aggregate(channel=orders.channel.min())
    joined = lines.left_join(through, ["message_id", "time"])
    return joined.select(*lines.columns, channel=ibis.coalesce(joined.channel, ""))


def _of_visits(tables: Tables, selection: Selection, periods: Periods) -> ir.Table:
    looking = counted(tables.activities, selection)
    rows = visits(looking.filter(looking.time >= periods.starts[0] - VISIT_GAP))
    rows = _divided(tables, _within(rows, periods), selection)
    once = rows.select("value", "customer_id", "time").distinct()
    keyed = once.select("value", bucket=bucket(once.time, periods.buckets))
    return keyed.group_by("value", "bucket").aggregate(figure=keyed.count())


def _of_customers(tables: Tables, selection: Selection, periods: Periods) -> tuple[ir.Table, Given]:
    rows = _divided(tables, _within(counted(tables.activities, selection), periods), selection)
    keyed = rows.select("value", "customer_id", bucket=bucket(rows.time, periods.buckets))
    if periods.granularity in (Granularity.HOUR, Granularity.DAY):
        return keyed.group_by("value", "bucket").aggregate(figure=keyed.customer_id.nunique()), {}
    # A customer of several days counts once in the week.
    name = f"periods_{periods.granularity.name.lower()}"
    joined = keyed.join(ibis.table(ibis.Schema.from_pyarrow(_PERIODS), name=name), "bucket")
    found = joined.group_by("value", "period").aggregate(figure=joined.customer_id.nunique())
    return found.select("value", bucket=found.period, figure=found.figure), {name: _periods(periods)}


def _periods(periods: Periods) -> pa.Table:
    """The days of the periods, and the day that each period begins with."""
    ends = [*periods.keys[1:], periods.buckets.of(periods.end - 1) + 1]
    rows = [(day, key) for key, end in zip(periods.keys, ends, strict=True) for day in range(key, end)]
    return pa.table([pa.array(it) for it in zip(*rows, strict=True)], schema=_PERIODS)


def _divided(tables: Tables, rows: ir.Table, selection: Selection) -> ir.Table:
    """``rows`` with the ``value`` that each counts for, of the values that are asked for, and their ``figure``."""
    dimension = selection.dimension
    if selection.measure is Measure.EVENTS:
        rows = rows.mutate(figure=event_figure(rows, dimension))
    if dimension is Dimension.TOTAL:
        return rows.mutate(value=ibis.literal(""))
    if dimension is Dimension.SEGMENT:
        inside = spans(tables.memberships, tables.activities, selection.values)
        then = [rows.customer_id == inside.owner, rows.time >= inside.begin, rows.time < inside.end]
        joined = rows.join(inside, then)
        return joined.select(*rows.columns, value=joined.segment_id)
    found = rows.mutate(value=rows[DIMENSIONS[dimension]])
    return found.filter(found.value.isin(selection.values)) if selection.values else found


def _within(rows: ir.Table, periods: Periods) -> ir.Table:
    return rows.filter(rows.time >= periods.starts[0], rows.time < periods.end)
