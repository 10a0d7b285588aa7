"""RFM of all customers as one Ibis expression."""

import ibis
import ibis.expr.types as ir

from services.segmentation.adapters.tables import ORDER_COMPLETED
from services.segmentation.domain.rfm import DAY_MICROS, SCORES


def orders_until(events: ir.Table, at: int) -> ir.Table:
    """One tenant's orders up to ``at``."""
    return events.filter(events.name == ORDER_COMPLETED, events.total_minor.notnull(), events.time <= at)


def currencies(orders: ir.Table) -> ir.Table:
    """The currencies of ``orders``, the one with the most orders first, then by alphabet."""
    counted = orders.group_by("currency").aggregate(count=orders.count())
    return counted.order_by(ibis.desc("count"), "currency").limit(1)


def rfm(orders: ir.Table, currency: str, at: int) -> ir.Table:
    """One row for each customer with orders in ``currency``; the contract says how scores are made."""
    counted = orders.filter(orders.currency == currency)
    figures = counted.group_by("customer_id").aggregate(
        recency_days=((at - counted.time.max()) // DAY_MICROS).cast("int64"),
        frequency=counted.count(),
        monetary_minor=counted.total_minor.sum(),
    )
    return figures.mutate(
        recency_score=_score(figures, ibis.desc("recency_days")),
        frequency_score=_score(figures, ibis.asc("frequency")),
        monetary_score=_score(figures, ibis.asc("monetary_minor")),
    )


def _score(figures: ir.Table, order: ir.Value) -> ir.IntegerValue:
    # Ibis counts ranks from 0: the number of customers before.
    before = ibis.rank().over(order_by=order)
    return (1 + (before * SCORES) // figures.count().over()).cast("int64")
