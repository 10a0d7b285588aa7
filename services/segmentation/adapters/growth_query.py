"""Growth and trends as Ibis expressions: one row for each group and period, since the beginning."""

from collections.abc import Mapping

import ibis
import ibis.expr.types as ir

from services.common.rules import Rule
from services.segmentation.adapters import breakdowns
from services.segmentation.adapters.breakdowns import LABEL, selected
from services.segmentation.adapters.expressions import History
from services.segmentation.adapters.periods import day_of, period_at, period_of
from services.segmentation.adapters.rfm_query import orders_until
from services.segmentation.domain.growth import Figure, Growth, Trend
from services.segmentation.domain.selection import Breakdown, ByProperty

_CELL = ("period", *LABEL)


def labels_of(history: History, breakdown: Breakdown | None, segments: Mapping[str, Rule], at: int) -> ir.Table:
    """Every customer seen with its label, rare labels made one."""
    seen = history.events.filter(history.events.time <= at)
    customers = seen.select("customer_id").distinct()
    if breakdown is None:
        return breakdowns.unlabelled(customers)
    assert not isinstance(breakdown.by, ByProperty), "customers have no property"
    labels = breakdowns.of_customers(history, breakdown.by, segments, at)
    labelled = breakdowns.with_label(customers, labels, breakdown.by)
    return breakdowns.limited(labelled, breakdown.value_count_max, lambda rows: rows.count())


def presence(history: History, labels: ir.Table, question: Growth, at: int) -> ir.Table:
    """New, retained, resurrected, gone and the days of activity."""
    seen = history.events.filter(history.events.time <= at)
    active = seen.filter(selected(seen, question.activity, at))
    days = active.select("customer_id", day=day_of(active.time, question.calendar)).distinct()
    placed = days.mutate(period=period_of(days.day, question.calendar.unit))
    visits = placed.group_by(["customer_id", "period"]).aggregate(days=placed.count())
    own = ibis.window(group_by="customer_id", order_by="period")
    beside = visits.mutate(before=visits.period.lag().over(own), next=visits.period.lead().over(own))
    joined = beside.join(labels, "customer_id")
    # Never null: of nothing but nulls Spark counts null.
    stayed = (joined.before == joined.period - 1).fill_null(False)
    back = (joined.before < joined.period - 1).fill_null(False)
    return joined.group_by(list(_CELL)).aggregate(
        new=joined.count(where=joined.before.isnull()),
        retained=joined.count(where=stayed),
        resurrected=joined.count(where=back),
        gone=joined.count(where=joined.next.isnull() | (joined.next > joined.period + 1)),
        active_days=joined.days.sum().cast("int64"),
    )


def conversions(history: History, labels: ir.Table, question: Growth, at: int) -> ir.Table:
    """How many customers converted."""
    seen = history.events.filter(history.events.time <= at)
    converted = seen.filter(selected(seen, question.conversion, at))
    visits = converted.select("customer_id", period=period_at(converted.time, question.calendar)).distinct()
    joined = visits.join(labels, "customer_id")
    return joined.group_by(list(_CELL)).aggregate(converted=joined.count())


def purchases(history: History, labels: ir.Table, question: Growth, currency: str, at: int) -> ir.Table:
    """Orders, who placed them, who of them had ordered before, and what they came to."""
    orders = orders_until(history.events, at)
    orders = orders.filter(orders.currency == currency)
    placed = orders.select("customer_id", "total_minor", period=period_at(orders.time, question.calendar))
    bought = placed.group_by(["customer_id", "period"]).aggregate(
        orders=placed.count(), revenue=placed.total_minor.sum().cast("int64")
    )
    before = bought.period.lag().over(ibis.window(group_by="customer_id", order_by="period"))
    bought = bought.mutate(again=before.notnull() | (bought.orders > 1))
    joined = bought.join(labels, "customer_id")
    return joined.group_by(list(_CELL)).aggregate(
        orders=joined.orders.sum().cast("int64"),
        buyers=joined.count(),
        repeat_buyers=joined.count(where=joined.again),
        revenue=joined.revenue.sum().cast("int64"),
    )


def trend(history: History, question: Trend, segments: Mapping[str, Rule], at: int) -> ir.Table:
    """The figure by group and period."""
    seen = history.events.filter(history.events.time <= at)
    first = question.calendar.period(at) - question.periods + 1
    seen = seen.mutate(period=period_at(seen.time, question.calendar))
    rows = seen.filter(selected(seen, question.events, at) & (seen.period >= first))
    breakdown = question.breakdown
    if breakdown is None:
        labelled = breakdowns.unlabelled(rows)
    elif isinstance(breakdown.by, ByProperty):
        labelled = breakdowns.of_events(rows, breakdown.by.property)
    else:
        labels = breakdowns.of_customers(history, breakdown.by, segments, at)
        labelled = breakdowns.with_label(rows, labels, breakdown.by)
    kept = labelled.select(
        "customer_id", *_CELL, values=labelled.numbers.get(question.property) if question.property else ibis.null()
    )
    if breakdown is not None:
        kept = breakdowns.limited(kept, breakdown.value_count_max, lambda rows: rows.count())
    return kept.group_by(list(_CELL)).aggregate(figure=_figure(kept, question.figure), events=kept.count())


def _figure(rows: ir.Table, figure: Figure) -> ir.Value:
    if figure is Figure.EVENTS:
        return rows.count().cast("float64")
    if figure is Figure.CUSTOMERS:
        return rows.customer_id.nunique().cast("float64")
    # Decimal, because a sum of floats depends on the order in which an engine meets them.
    return rows["values"].sums().cast("decimal(38, 6)").sum().cast("float64").fill_null(0.0)
