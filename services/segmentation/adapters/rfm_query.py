"""RFM of all customers as one Ibis expression."""

from collections.abc import Sequence
from functools import reduce
from operator import add

import ibis
import ibis.expr.types as ir

from services.common.flat.comparisons import Moment
from services.segmentation.adapters.ranking import FIGURES, RANKING, scored
from services.segmentation.adapters.tables import ORDER_COMPLETED
from services.segmentation.domain.rfm import DAY_MICROS, SCORES, Cuts


def orders_until(events: ir.Table, at: Moment) -> ir.Table:
    """One tenant's orders up to ``at``."""
    return events.filter(events.name == ORDER_COMPLETED, events.total_minor.notnull(), events.time <= at)


def currencies(orders: ir.Table) -> ir.Table:
    """The currencies of ``orders``, the one with the most orders first, then by alphabet."""
    counted = orders.group_by("currency").aggregate(count=orders.count())
    return counted.order_by(ibis.desc("count"), "currency").limit(1)


def rfm(counted: ir.Table, at: Moment, cuts: Cuts | None = None) -> ir.Table:
    """One row for each customer with orders, all in one currency; the contract says how scores are made."""
    figures = counted.group_by("customer_id").aggregate(**_figures(counted, at))
    if cuts is not None:
        return figures.mutate(
            recency_score=SCORES - _passed(figures.recency_days - 1, cuts.recency_days),
            frequency_score=1 + _passed(figures.frequency, cuts.frequency),
            monetary_score=1 + _passed(figures.monetary_minor, cuts.monetary_minor),
        )
    return figures.mutate(
        recency_score=_score(figures, ibis.desc("recency_days")),
        frequency_score=_score(figures, ibis.asc("frequency")),
        monetary_score=_score(figures, ibis.asc("monetary_minor")),
    )


def scores(events: ir.Table, at: Moment) -> ir.Table:
    """The RFM of one tenant's customers at ``at`` in the currency with the most orders, by the names of scores."""
    orders = orders_until(events, at)
    return _named(rfm(orders.semi_join(currencies(orders), "currency"), at))


def ranked_scores(events: ir.Table, at: Moment) -> ir.Table:
    """As ``scores``, of the customers of ``events`` only, against the ranking that is given to the query."""
    orders = orders_until(events, at)
    own = orders.inner_join(RANKING, orders.currency == RANKING.currency)
    passed = {name: own[name].max() for name in RANKING.columns if name != "currency"}  # the same in all rows
    figures = own.group_by("customer_id").aggregate(**_figures(own, at), **passed)
    return _named(figures.select("customer_id", *FIGURES, **scored(figures)))


def _figures(orders: ir.Table, at: Moment) -> dict[str, ir.Value]:
    return {
        "recency_days": ((at - orders.time.max()) // DAY_MICROS).cast("int64"),
        "frequency": orders.count(),
        "monetary_minor": orders.total_minor.sum(),
    }


def _named(table: ir.Table) -> ir.Table:
    cell = table.recency_score * 100 + table.frequency_score * 10 + table.monetary_score
    columns = {f"rfm.{name}": table[name] for name in table.columns if name != "customer_id"}
    return table.select("customer_id", **columns, **{"rfm.cell": cell})


def _score(figures: ir.Table, order: ir.Value) -> ir.IntegerValue:
    # Ibis counts ranks from 0: the number of customers before.
    before = ibis.rank().over(order_by=order)
    return (1 + (before * SCORES) // figures.count().over()).cast("int64")


def _passed(figure: ir.IntegerValue, cuts: Sequence[int]) -> ir.IntegerValue:
    """How many cuts the figure reaches."""
    return reduce(add, [(figure >= cut).cast("int64") for cut in cuts])
