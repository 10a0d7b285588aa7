"""What each customer had bought of each category at a moment, and what after it, over the order lines.

Nothing but ``later`` looks past the moment.
"""

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from services.forecasting.domain.periods import DAY
from services.forecasting.domain.preference import CATEGORIES_MAX, TASTE_WINDOWS_DAYS, IntArray, Tastes
from services.forecasting.domain.propensity import FloatArray, Moment


def categories(lines: ir.Table, currency: str, at: int) -> ir.Table:
    """The categories with the most lines by ``at``, the most first."""
    known = _of_categories(lines, currency).filter(lines.time <= at)
    found = known.group_by("category").aggregate(lines=known.count())
    return found.order_by(found.lines.desc(), found.category).limit(CATEGORIES_MAX)


def tastes(lines: ir.Table, currency: str, names: tuple[str, ...], horizon_days: int, at: int) -> ir.Table:
    """One row a customer and category with purchases by ``at`` (microseconds)."""
    known = _of_categories(lines, currency)
    known = known.filter(known.time <= at, known.category.isin(names))
    # A whole number throughout: a division of doubles could round at midnight.
    known = known.mutate(day=((known.time - known.time % DAY) / DAY).round().cast("int64"))
    daily = known.group_by("customer_id", "category", "day").aggregate(amount=known.amount_minor.sum())
    daily = daily.filter(daily.amount > 0)
    today = at // DAY
    windows = {f"days_in_{days}": _within(daily, today, days) for days in TASTE_WINDOWS_DAYS}
    found = daily.group_by("customer_id", "category").aggregate(
        recency_days=today - daily.day.max(),
        first_days=today - daily.day.min(),
        days=daily.count(),
        days_in_horizon=_within(daily, today, horizon_days),
        amount=daily.amount.sum(),
        **windows,
    )
    return found.order_by("customer_id", "category")


def later(lines: ir.Table, currency: str, names: tuple[str, ...], horizon_days: int, at: int) -> ir.Table:
    """The customers and categories with purchases within the horizon after ``at``."""
    coming = _of_categories(lines, currency)
    until = at + horizon_days * DAY
    coming = coming.filter(coming.time > at, coming.time <= until, coming.category.isin(names))
    orders = coming.group_by("customer_id", "category", "message_id").aggregate(amount=coming.amount_minor.sum())
    orders = orders.filter(orders.amount > 0)
    return orders.select("customer_id", "category").distinct().order_by("customer_id", "category")


def read_tastes(moment: Moment, names: tuple[str, ...], before: pa.Table, after: pa.Table) -> Tastes:
    """The rows of ``tastes`` and ``later``, as far as the moment knows the customers."""
    place = _places(before, moment, names)
    there = (place >= 0).all(axis=1)
    there_later = _places(after, moment, names)

    def column(name: str) -> FloatArray:
        found: FloatArray = before[name].to_numpy(zero_copy_only=False).astype(np.float64)[there]
        return found

    return Tastes(
        moment=moment,
        names=names,
        customers=place[there, 0],
        categories=place[there, 1],
        recency_days=column("recency_days"),
        first_days=column("first_days"),
        days=column("days"),
        days_in_horizon=column("days_in_horizon"),
        days_in=np.column_stack([column(f"days_in_{days}") for days in TASTE_WINDOWS_DAYS]),
        amount=column("amount"),
        bought_later=there_later[(there_later >= 0).all(axis=1)],
    )


def _places(rows: pa.Table, moment: Moment, names: tuple[str, ...]) -> IntArray:
    """The place of each row's customer and category; -1 where there is none."""
    among = (("customer_id", moment.ids), ("category", names))
    found = [
        pc.fill_null(pc.index_in(rows[name], value_set=pa.array(known, pa.string())), -1).to_numpy()
        for name, known in among
    ]
    return np.column_stack(found).astype(np.int64)


def _of_categories(lines: ir.Table, currency: str) -> ir.Table:
    return lines.filter(lines.currency == currency, lines.customer_id != "", lines.category != "")


def _within(daily: ir.Table, today: int, days: int) -> ir.Value:
    return ibis.cases((daily.day > today - days, 1), else_=0).sum()
