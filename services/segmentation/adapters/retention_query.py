"""Retention as Ibis expressions: one row for each cohort and offset."""

from collections.abc import Mapping

import ibis.expr.types as ir

from services.common.rules import Rule
from services.segmentation.adapters import breakdowns
from services.segmentation.adapters.breakdowns import LABEL, selected
from services.segmentation.adapters.expressions import History
from services.segmentation.adapters.periods import period_at
from services.segmentation.adapters.rfm_query import orders_until
from services.segmentation.domain.retention import CohortBy, Retention
from services.segmentation.domain.selection import ByTrait, EventFilter

_COHORT = ("period", *LABEL)


def beginnings(history: History, question: Retention, segments: Mapping[str, Rule], at: int) -> ir.Table:
    """One row for each customer that began in one of the periods: ``began``, its ``period``, the label."""
    seen = history.events.filter(history.events.time <= at)
    first = EventFilter() if question.by is CohortBy.FIRST_SEEN else question.first
    began = seen.filter(selected(seen, first, at)).group_by("customer_id").aggregate(began=lambda rows: rows.time.min())
    began = began.mutate(period=period_at(began.began, question.calendar))
    began = began.filter(began.period > question.calendar.period(at) - question.periods)
    if question.breakdown is not None and isinstance(question.breakdown.by, ByTrait):
        labels = breakdowns.of_customers(history, question.breakdown.by, segments, at)
        labelled = breakdowns.with_label(began, labels, question.breakdown.by)
        return breakdowns.limited(labelled, question.breakdown.value_count_max, lambda rows: rows.count())
    return breakdowns.unlabelled(began)


def sizes(began: ir.Table) -> ir.Table:
    """How many began, by cohort."""
    return began.group_by(list(_COHORT)).aggregate(customers=began.count())


def returns(history: History, began: ir.Table, question: Retention, at: int) -> ir.Table:
    """How many came back, by cohort and offset; unbounded, each customer at the last offset alone."""
    seen = history.events.filter(history.events.time <= at)
    came = seen.filter(selected(seen, question.returning, at)).select("customer_id", "time")
    later = began.join(came, "customer_id")
    later = later.filter(later.time > later.began)
    offset = period_at(later.time, question.calendar) - later.period
    visits = later.select("customer_id", *_COHORT, offset=offset)
    if question.unbounded:
        visits = visits.group_by(["customer_id", *_COHORT]).aggregate(offset=visits.offset.max())
    else:
        visits = visits.distinct()
    return visits.group_by([*_COHORT, "offset"]).aggregate(customers=visits.count())


def revenue(history: History, began: ir.Table, question: Retention, currency: str, at: int) -> ir.Table:
    """What orders came to from the beginning on, by cohort and offset."""
    orders = orders_until(history.events, at)
    paid = orders.filter(orders.currency == currency).select("customer_id", "time", "total_minor")
    later = began.join(paid, "customer_id")
    later = later.filter(later.time >= later.began)
    offset = period_at(later.time, question.calendar) - later.period
    placed = later.select(*_COHORT, "total_minor", offset=offset)
    return placed.group_by([*_COHORT, "offset"]).aggregate(revenue=placed.total_minor.sum().cast("int64"))
