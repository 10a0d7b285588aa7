"""The behaviour of customers as one row of figures each: what clusters and lookalikes compare."""

from collections.abc import Sequence

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from services.segmentation.adapters.periods import day_of, local_of
from services.segmentation.adapters.rfm_query import orders_until
from services.segmentation.domain.calendar import DAY_MICROS, HOUR_MICROS, THURSDAY_OFFSET, Calendar
from services.segmentation.domain.persona import CUSTOMERS_MAX, DAYPARTS, Behaviour, CustomersTooMany, Figures

CATEGORY, CHANNEL = "products.category", "channel"
CATEGORIES_MAX, CHANNELS_MAX = 12, 5
SATURDAY = 5


def commonest(orders: ir.Table, path: str, limit: int) -> ir.Table:
    """The texts at a path that the most orders have, the commonest first."""
    each = orders.select(text=orders.texts.get(path).unique().unnest())
    counted = each.filter(each.text.notnull()).group_by("text").aggregate(count=lambda rows: rows.count())
    return counted.order_by(ibis.desc("count"), "text").limit(limit)


def told_apart(figures: Sequence[str]) -> tuple[list[str], list[str]]:
    """The categories and the channels that figures name, in their order."""
    kinds = [name.partition(":") for name in figures]
    categories = [value for kind, _, value in kinds if kind == "category"]
    return categories, [value for kind, _, value in kinds if kind == "channel"]


def orders_in(events: ir.Table, currency: str, at: int) -> ir.Table:
    """One tenant's orders in a currency up to ``at``."""
    orders = orders_until(events, at)
    return orders.filter(orders.currency == currency)


def behaviour(
    events: ir.Table, orders: ir.Table, categories: Sequence[str], channels: Sequence[str], calendar: Calendar, at: int
) -> ir.Table:
    """One row for each customer with orders: figures, and counts of orders of each kind."""
    hour = local_of(orders.time, calendar) % DAY_MICROS // HOUR_MICROS
    weekday = (day_of(orders.time, calendar) + THURSDAY_OFFSET) % 7
    bought = orders.texts.get(CATEGORY)
    through = orders.texts.get(CHANNEL)
    figures = orders.group_by("customer_id").aggregate(
        recency_days=((at - orders.time.max()) // DAY_MICROS).cast("int64"),
        frequency=orders.count(),
        monetary_minor=orders.total_minor.sum().cast("int64"),
        weekend=orders.count(where=weekday >= SATURDAY),
        discount=orders.count(where=_discounted(orders)),
        **{name: orders.count(where=_within(hour, start, end)) for name, (start, end) in DAYPARTS.items()},
        **{f"category_{n}": orders.count(where=_holds(bought, name)) for n, name in enumerate(categories)},
        **{f"channel_{n}": orders.count(where=_holds(through, name)) for n, name in enumerate(channels)},
    )
    seen = events.filter(events.time <= at)
    first = seen.group_by("customer_id").aggregate(tenure_days=((at - seen.time.min()) // DAY_MICROS).cast("int64"))
    return figures.join(first, "customer_id").order_by("customer_id").limit(CUSTOMERS_MAX + 1)


def _holds(values: ir.ArrayValue, name: str) -> ir.BooleanValue:
    return values.contains(name).fill_null(False)


def _within(hour: ir.IntegerValue, start: int, end: int) -> ir.BooleanValue:
    return (hour >= start) & (hour < end) if start < end else (hour >= start) | (hour < end)


def _discounted(orders: ir.Table) -> ir.BooleanValue:
    lowered = orders.numbers.get("discount").maxs() > 0
    coupon = orders.present.contains("coupon") | orders.present.contains("products.coupon")
    return lowered.fill_null(False) | coupon.fill_null(False)


def behaviour_of(answer: pa.Table, currency: str, categories: Sequence[str], channels: Sequence[str]) -> Behaviour:
    """The answer of ``behaviour`` as figures; ``CustomersTooMany``."""
    if answer.num_rows > CUSTOMERS_MAX:
        raise CustomersTooMany(f"more than {CUSTOMERS_MAX:,} customers have orders", maximum=CUSTOMERS_MAX)

    def column(name: str) -> Figures:
        return np.asarray(answer[name].to_numpy(), np.float64)

    orders = np.maximum(column("frequency"), 1)
    figures = {name: column(name) for name in ("recency_days", "frequency", "monetary_minor", "tenure_days")}
    figures["order_value_minor"] = figures["monetary_minor"] / orders
    figures.update({f"{name}_share": column(name) / orders for name in (*DAYPARTS, "weekend", "discount")})
    figures.update({f"category:{name}": column(f"category_{n}") / orders for n, name in enumerate(categories)})
    figures.update({f"channel:{name}": column(f"channel_{n}") / orders for n, name in enumerate(channels)})
    table = np.stack(list(figures.values()), axis=1)
    return Behaviour(currency, answer["customer_id"].to_pylist(), list(figures), table)
