"""What customers bought, day by day, as one expression over the order lines."""

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from services.forecasting.domain.customers import Histories
from services.forecasting.domain.periods import DAY


def histories(lines: ir.Table, currency: str, until: int, end: int) -> ir.Table:
    """One row a customer who bought up to ``until``: what was until then, and what came after it up to ``end``."""
    lines = lines.filter(lines.currency == currency, lines.time <= end, lines.customer_id != "")
    # A whole number throughout: a division of doubles could round at midnight.
    day = ((lines.time - lines.time % DAY) / DAY).round().cast("int64")
    daily = lines.select("customer_id", "amount_minor", day=day, later=lines.time > until)
    days = daily.group_by("customer_id", "day", "later").aggregate(amount=daily.amount_minor.sum())
    days = days.filter(days.amount > 0)
    known = ~days.later
    found = days.group_by("customer_id").aggregate(
        count=_sum(known, 1),
        first_day=days.day.min(where=known),
        last_day=days.day.max(where=known),
        total=_sum(known, days.amount),
        later_count=_sum(days.later, 1),
        later_total=_sum(days.later, days.amount),
    )
    return found.filter(found["count"] > 0).order_by("customer_id")


def _sum(where: ir.BooleanValue, value: ir.Value | int) -> ir.Value:
    return ibis.cases((where, value), else_=0).sum().cast("int64")


def read_histories(rows: pa.Table) -> Histories:
    """The rows of ``histories``."""
    return Histories(
        ids=rows["customer_id"].to_pylist(),
        count=rows["count"].to_numpy().astype(np.int64),
        first_day=rows["first_day"].to_numpy().astype(np.int64),
        last_day=rows["last_day"].to_numpy().astype(np.int64),
        total_minor=rows["total"].to_numpy().astype(np.float64),
        later_count=rows["later_count"].to_numpy().astype(np.int64),
        later_minor=rows["later_total"].to_numpy().astype(np.float64),
    )
