"""What segments are worth as Ibis expressions: one row with every figure of every group."""

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import or_

import ibis
import ibis.expr.types as ir

from services.common.money import decimals
from services.common.rules import Rule, SegmentCondition
from services.segmentation.adapters.expressions import History, evaluation
from services.segmentation.adapters.response_query import responses
from services.segmentation.adapters.rfm_query import orders_until
from services.segmentation.domain.segment_value import Spans

OTHERS, EVERYBODY = "others", "everybody"


def groups(history: History, segment_ids: Sequence[str], segments: Mapping[str, Rule], at: int) -> ir.Table:
    """One row for each customer seen: whether it is in each segment (``s0``, ``s1`` …), in none, and true."""
    asked: dict[str, Rule] = {f"s{number}": SegmentCondition(each) for number, each in enumerate(segment_ids)}
    found = evaluation(history, asked, segments, at)
    some = reduce(or_, [found[name] for name in asked])
    return found.mutate(**{OTHERS: ~some, EVERYBODY: ibis.literal(True)})


def sizes(customers: ir.Table, names: Sequence[str]) -> ir.Table:
    """How many customers each group has."""
    return customers.aggregate(**{f"{name}_customers": customers.count(where=customers[name]) for name in names})


def worth(
    history: History,
    messages: ir.Table,
    customers: ir.Table,
    names: Sequence[str],
    currency: str,
    spans: Spans,
    at: int,
) -> ir.Table:
    """Every figure of each group; ``messages`` are those that were sent."""
    orders = orders_until(history.events, at)
    orders = orders.filter(orders.currency == currency)
    recent = orders.time > at - spans.window
    cost = orders.numbers.get("cost").sums()
    costed = recent & cost.notnull()
    minor = (cost * (10 ** decimals(currency) if currency else 1)).round().cast("int64")
    bought = orders.group_by("customer_id").aggregate(
        orders=orders.count(where=recent),
        revenue=orders.total_minor.sum(where=recent),
        last=orders.time.max(),
        costed_revenue=orders.total_minor.sum(where=costed),
        cost=minor.sum(where=costed),
    )
    joined = customers.left_join(bought, "customer_id").drop("customer_id_right")
    joined = joined.left_join(_predicted(history, currency, at), "customer_id").drop("customer_id_right")
    joined = joined.left_join(responses(messages, history.events, orders, spans, at), "customer_id")
    filled = joined.mutate(
        orders=joined.orders.fill_null(0),
        revenue=joined.revenue.fill_null(0),
        costed_revenue=joined.costed_revenue.fill_null(0),
        cost=joined.cost.fill_null(0),
        ever=joined["last"].notnull(),
        lapsed=(joined["last"] <= at - spans.lapse).fill_null(False),
    )
    figures: dict[str, ir.Value] = {}
    for name in names:
        inside = filled[name]
        figures[f"{name}_buyers"] = filled.count(where=inside & (filled.orders > 0))
        figures[f"{name}_repeat_buyers"] = filled.count(where=inside & (filled.orders > 1))
        figures[f"{name}_ever_buyers"] = filled.count(where=inside & filled.ever)
        figures[f"{name}_lapsed"] = filled.count(where=inside & filled.lapsed)
        for figure in ("orders", "revenue", "costed_revenue", "cost"):
            figures[f"{name}_{figure}"] = filled[figure].sum(where=inside).fill_null(0).cast("int64")
        figures[f"{name}_predicted"] = filled.count(where=inside & filled.churn.notnull())
        figures[f"{name}_churn_probability"] = filled.churn.mean(where=inside).fill_null(0.0)
        for figure in ("expected_revenue", "lifetime_value"):
            figures[f"{name}_{figure}"] = filled[figure].sum(where=inside).fill_null(0).cast("int64")
        figures |= _responded(filled, inside, name)
    return filled.aggregate(**figures)


def _responded(filled: ir.Table, inside: ir.BooleanValue, name: str) -> dict[str, ir.Value]:
    figures: dict[str, ir.Value] = {}
    counts = {"sent": "messages", "converted": "attributed_orders"}
    for figure in ("sent", "delivered", "opened", "clicked", "converted"):
        some = (filled[counts.get(figure, figure)] > 0).fill_null(False)
        figures[f"{name}_{figure}"] = filled.count(where=inside & some)
    for figure in ("messages", "attributed_orders", "attributed"):
        figures[f"{name}_{figure}"] = filled[figure].sum(where=inside).fill_null(0).cast("int64")
    return figures


def _predicted(history: History, currency: str, at: int) -> ir.Table:
    """What is expected of each customer; money of those predicted in another currency is nothing."""
    known = history.found.predictions.filter(history.found.predictions.time <= at)
    comparable = known.currency == currency
    return known.select(
        "customer_id",
        churn=known.churn_probability,
        expected_revenue=ibis.ifelse(comparable, known.expected_revenue_minor, 0),
        lifetime_value=ibis.ifelse(comparable, known.lifetime_value_minor, 0),
    )
