"""What was known of each customer at a moment, and what they did after it, as one expression over the order lines.

Nothing but the last aggregation looks past the moment.
"""

from dataclasses import replace
from functools import reduce
from operator import and_

import ibis
import ibis.expr.types as ir
import numpy as np
import pyarrow as pa

from services.common.columnar.texts import Bound
from services.forecasting.adapters.event_properties import fulfilling, removed, summed
from services.forecasting.domain.periods import DAY
from services.forecasting.domain.propensity import EVENT_WINDOWS_DAYS, GOAL_WINDOWS_DAYS, WINDOWS_DAYS, Goal, Moment

_COUNTS_OF_GOAL = ("goal_events", "goal_event_days", "goal_event_sum")
_AT, _TODAY = (ibis.param("int64") for _ in range(2))


def bound(at: int) -> Bound:
    """The values of the parameters of an expression for the moment ``at`` (microseconds)."""
    return {_AT: at, _TODAY: at // DAY}


def moment(lines: ir.Table, currency: str, goal: Goal) -> ir.Table:
    """One row a customer who had ordered by the moment: their features, ``reached`` and ``later_amount``."""
    lines = lines.filter(lines.currency == currency, lines.customer_id != "")
    lines = lines.mutate(counts=_counts(lines, goal), day=_day(lines.time))
    known = lines.filter(lines.time <= _AT)
    daily = _daily(known)
    found = _bought(known, daily)
    if not goal.of_all_lines:
        found = found.left_join(_towards(daily), "customer_id").drop("customer_id_right")
    later = _later(lines.filter(lines.time > _AT, lines.time <= _AT + goal.horizon, lines.counts == 1))
    found = found.left_join(later, "customer_id").drop("customer_id_right")
    found = found.mutate(later_amount=found.later_amount.coalesce(0))
    came = (found.later_orders.coalesce(0) >= goal.min_orders) & (found.later_amount >= goal.min_amount)
    found = found.mutate(reached=~came if goal.absent else came)
    return found.select("customer_id", "reached", "later_amount", *goal.features).order_by("customer_id")


def event_moment(events: ir.Table, lines: ir.Table, currency: str, goal: Goal) -> ir.Table:
    """The same of a goal of events: one row a customer of whom any event is known by the moment."""
    events = events.filter(events.customer_id != "")
    counting = _counting(events, goal)
    if goal.paths:
        events = events.anti_join(removed(events), "customer_id")
    found = _done(_once(events.filter(events.time <= _AT)))
    found = _joined(found, _done_of_goal(counting.filter(counting.time <= _AT), goal))
    found = found.mutate(goal_event_day_share=found.goal_event_days.coalesce(0) / found.event_days)
    known = lines.filter(lines.currency == currency, lines.customer_id != "", lines.time <= _AT)
    known = known.mutate(counts=0, day=_day(known.time))
    found = _joined(found, _bought(known, _daily(known)))
    later = counting.filter(counting.time > _AT, counting.time <= _AT + goal.horizon)
    found = _joined(found, later.group_by("customer_id").aggregate(later=later.count(), later_sum=later["sum"].sum()))
    came = found.later.coalesce(0) >= goal.min_orders
    if goal.sum_property:
        came &= found.later_sum.coalesce(0.0) >= goal.min_sum
    counted = {name: found[name].coalesce(0) for name in goal.features if name.startswith(_COUNTS_OF_GOAL)}
    found = found.mutate(reached=~came if goal.absent else came, **counted)
    return found.select("customer_id", "reached", *goal.features).order_by("customer_id")


def _counting(events: ir.Table, goal: Goal) -> ir.Table:
    """The events that count towards the goal, one row each, with what they add to its ``sum``."""
    if not goal.paths:
        return _once(events.filter(events.name == goal.event_name, *_matching(events, goal))).mutate(sum=0.0)
    named = events.filter(events.name == goal.event_name)
    # The properties are in the first row of an event, what it names in any.
    matching = reduce(and_, _matching(named, goal), ibis.literal(value=True))
    named = named.mutate(
        lies=matching.cast("int64"), fulfils=fulfilling(named, goal).cast("int64"), adds=_added(named, goal)
    )
    found = named.group_by("customer_id", "message_id", "time").aggregate(
        looking=named.looking.max(), lies=named.lies.max(), fulfils=named.fulfils.max(), sum=named.adds.max()
    )
    return found.filter(found.lies == 1, found.fulfils == 1).mutate(day=_day(found.time))


def _added(events: ir.Table, goal: Goal) -> ir.Value:
    return ibis.cases((events.opens_event == 1, summed(events, goal))) if goal.sum_property else ibis.literal(0.0)


def _once(events: ir.Table) -> ir.Table:
    """One row an event: it has one for each product. (Those of a pseudonym share their ids, not their times.)"""
    found = events.group_by("customer_id", "message_id", "time").aggregate(looking=events.looking.max())
    return found.mutate(day=_day(found.time))


def _done(events: ir.Table) -> ir.Table:
    daily = events.group_by("customer_id", "day").aggregate(events=events.count(), looks=events.looking.sum())
    return daily.group_by("customer_id").aggregate(
        event_recency_days=_TODAY - daily.day.max(),
        event_tenure_days=_TODAY - daily.day.min(),
        events=daily.events.sum(),
        event_days=daily.count(),
        looks=daily.looks.sum(),
        **{f"event_days_in_{days}": _within(daily, days, 1) for days in EVENT_WINDOWS_DAYS},
        **{f"looks_in_{days}": _within(daily, days, daily.looks) for days in EVENT_WINDOWS_DAYS},
    )


def _done_of_goal(events: ir.Table, goal: Goal) -> ir.Table:
    daily = events.group_by("customer_id", "day").aggregate(events=events.count(), sum=events["sum"].sum())
    found = daily.group_by("customer_id").aggregate(
        goal_event_recency_days=_TODAY - daily.day.max(),
        goal_events=daily.events.sum(),
        goal_event_days=daily.count(),
        span=daily.day.max() - daily.day.min(),
        **({"goal_event_sum": daily["sum"].sum()} if goal.sum_property else {}),
        **{f"goal_event_days_in_{days}": _within(daily, days, 1) for days in EVENT_WINDOWS_DAYS},
    )
    found = found.mutate(goal_event_gap_days=found.span / (found.goal_event_days - 1).nullif(0)).drop("span")
    return found.mutate(goal_event_overdue=found.goal_event_recency_days / found.goal_event_gap_days)


def _joined(found: ir.Table, more: ir.Table) -> ir.Table:
    return found.left_join(more, "customer_id").drop("customer_id_right")


def _bought(known: ir.Table, daily: ir.Table) -> ir.Table:
    """What is known of the orders of each customer."""
    return _joined(_habits(daily), _variety(known))


def read_moment(rows: pa.Table, goal: Goal) -> Moment:
    """The rows of ``moment``."""
    columns = [rows[name].to_numpy(zero_copy_only=False).astype(np.float64) for name in goal.features]
    reached = rows["reached"].to_numpy(zero_copy_only=False).astype(np.bool_)
    found = Moment(rows["customer_id"].to_pylist(), np.column_stack(columns), reached)
    if "later_amount" not in rows.column_names:  # what is foreseen comes to no amount
        return found
    return replace(found, amount=rows["later_amount"].to_numpy(zero_copy_only=False).astype(np.float64))


def _counts(lines: ir.Table, goal: Goal) -> ir.Value:
    """1 for a line that counts towards the goal, 0 for any other."""
    counts: ir.BooleanValue = ibis.literal(value=True)
    for matching in _matching(lines, goal):
        counts = counts & matching
    return counts.cast("int64")


def _matching(rows: ir.Table, goal: Goal) -> list[ir.BooleanValue]:
    """What a line or an event has to be for the goal."""
    wanted = {
        "category": goal.categories,
        "product_id": goal.product_ids,
        "store_id": goal.store_ids,
        "channel": goal.channels,
    }
    return [rows[name].isin(values) for name, values in wanted.items() if values]


def _day(time: ir.Value) -> ir.Value:
    # A whole number throughout: a division of doubles could round at midnight.
    return ((time - time % DAY) / DAY).round().cast("int64")


def _daily(known: ir.Table) -> ir.Table:
    """One row a customer and day whose orders come to more than zero, with the days since the one before."""
    days = known.group_by("customer_id", "day").aggregate(
        amount=known.amount_minor.sum(),
        lines=known.count(),
        goal_lines=known.counts.sum(),
        goal_amount=(known.amount_minor * known.counts).sum(),
    )
    days = days.filter(days.amount > 0)
    before = ibis.window(group_by=days.customer_id, order_by=days.day)
    return days.mutate(gap=days.day - days.day.lag().over(before))


def _habits(daily: ir.Table) -> ir.Table:
    found = daily.group_by("customer_id").aggregate(
        recency_days=_TODAY - daily.day.max(),
        tenure_days=_TODAY - daily.day.min(),
        purchase_days=daily.count(),
        amount=daily.amount.sum(),
        amount_per_purchase=daily.amount.mean(),
        amount_deviation=daily.amount.cast("float64").std(how="sample"),
        gap_days=daily.gap.mean(),
        gap_days_deviation=daily.gap.cast("float64").std(how="sample"),
        gap_days_longest=daily.gap.max(),
        line_count=daily.lines.sum(),
        **{f"purchase_days_in_{days}": _within(daily, days, 1) for days in WINDOWS_DAYS},
        **{f"amount_in_{days}": _within(daily, days, daily.amount) for days in WINDOWS_DAYS},
    )
    return found.mutate(
        overdue=found.recency_days / found.gap_days,
        lines_per_purchase=found.line_count / found.purchase_days,
        amount_per_line=found.amount / found.line_count,
    )


def _variety(known: ir.Table) -> ir.Table:
    return known.group_by("customer_id").aggregate(
        products=known.product_id.nunique(), categories=known.category.nunique(), stores=known.store_id.nunique()
    )


def _towards(daily: ir.Table) -> ir.Table:
    """What the customer did of what the goal asks for; the share of it in all they paid."""
    goal_day = (daily.goal_lines > 0).cast("int64")
    found = daily.group_by("customer_id").aggregate(
        goal_recency_days=_TODAY - daily.day.max(where=daily.goal_lines > 0),
        goal_days=goal_day.sum(),
        goal_amount=daily.goal_amount.sum(),
        paid=daily.amount.sum(),
        **{f"goal_days_in_{days}": _within(daily, days, goal_day) for days in GOAL_WINDOWS_DAYS},
    )
    return found.mutate(goal_amount_share=found.goal_amount / found.paid)


def _within(daily: ir.Table, days: int, value: ir.Value | int) -> ir.Value:
    return ibis.cases((daily.day > _TODAY - days, value), else_=0).sum()


def _later(lines: ir.Table) -> ir.Table:
    """How many orders came whose lines that count come to more than zero, and to how much these came."""
    orders = lines.group_by("customer_id", "message_id").aggregate(amount=lines.amount_minor.sum())
    orders = orders.filter(orders.amount > 0)
    return orders.group_by("customer_id").aggregate(later_orders=orders.count(), later_amount=orders.amount.sum())
