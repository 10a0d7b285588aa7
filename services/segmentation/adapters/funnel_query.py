"""Funnels as one Ibis expression: one pass over the moments of each customer for each step.

For each step and each moment at which it happens the expression keeps the latest beginning of a path that ends there:
whatever such a path can become, one with an earlier beginning cannot become more. So a window function over the
moments of a customer replaces the search for paths, and the work grows with the moments times the steps.
"""

from collections.abc import Mapping

import ibis
import ibis.expr.types as ir

from services.common.flat.comparisons import timely
from services.common.rules import Rule
from services.segmentation.adapters import breakdowns
from services.segmentation.adapters.breakdowns import LABEL, selected
from services.segmentation.adapters.expressions import History
from services.segmentation.domain.funnel import Funnel
from services.segmentation.domain.selection import Breakdown, ByProperty

_PATH = "struct<start: int64, now: int64>"


def reaching(events: ir.Table, funnel: Funnel, at: int) -> ir.Table:
    """One row for each customer that reaches the first step: for each step ``k`` the time from the first step and from
    the step before (``time_k`` and ``step_time_k``, microseconds), null if the customer does not reach it."""
    path = _moments(events.filter(events.time <= at), funnel, at)
    for number in range(1, len(funnel.steps)):
        path = _longer(path, funnel, number)
    ends = {f"end_{number}": _end(path, number) for number in range(len(funnel.steps))}
    customers = path.group_by("customer_id").aggregate(**ends)
    customers = customers.filter(customers.end_0.notnull())
    columns: dict[str, ir.Value] = {}
    for number in range(len(funnel.steps)):
        end = customers[f"end_{number}"]
        columns[f"time_{number}"] = end["moment"] - end["start"]
        columns[f"step_time_{number}"] = end["moment"] - end["before"]
    return customers.select("customer_id", **columns)


def results(customers: ir.Table, steps: int) -> ir.Table:
    """One row: for each step how many reach it, and the medians."""
    return customers.aggregate(**_figures(customers, steps))


def results_by(
    history: History, customers: ir.Table, funnel: Funnel, breakdown: Breakdown, segments: Mapping[str, Rule], at: int
) -> ir.Table:
    """As ``results``, a row for each group with its label."""
    if isinstance(breakdown.by, ByProperty):
        events = history.events.filter(history.events.time <= at)
        first = selected(events, funnel.steps[0], at) & timely(events.time, funnel.entered, at)
        labels = breakdowns.of_first_events(events.filter(first), breakdown.by.property)
    else:
        labels = breakdowns.of_customers(history, breakdown.by, segments, at)
    labelled = breakdowns.with_label(customers, labels, breakdown.by)
    limited = breakdowns.limited(labelled, breakdown.value_count_max, lambda rows: rows.count())
    return limited.group_by(list(LABEL)).aggregate(**_figures(limited, len(funnel.steps)))


def _figures(customers: ir.Table, steps: int) -> dict[str, ir.Value]:
    figures: dict[str, ir.Value] = {}
    for number in range(steps):
        figures[f"count_{number}"] = customers[f"time_{number}"].count()
        if number:
            figures[f"median_{number}"] = customers[f"time_{number}"].median().cast("float64")
            figures[f"step_median_{number}"] = customers[f"step_time_{number}"].median().cast("float64")
    return figures


def _moments(events: ir.Table, funnel: Funnel, at: int) -> ir.Table:
    """One row for each customer and moment: which steps happen there, and for each gap whether it is cut there."""
    happens = [selected(events, step, at) for step in funnel.steps]
    happens[0] &= timely(events.time, funnel.entered, at)
    flags: dict[str, ir.BooleanValue] = {f"is_{number}": flag for number, flag in enumerate(happens)}
    for gap in range(len(funnel.steps) - 1):
        for index, excluded in enumerate(funnel.excluded(gap)):
            cut = selected(events, excluded, at)
            flags[f"cut_{gap}"] = cut if not index else flags[f"cut_{gap}"] | cut
    relevant = ibis.literal(True)
    if not funnel.strict:
        relevant = ibis.or_(*flags.values())
    flagged = (
        events.select("customer_id", "time", **flags).filter(relevant)
        if funnel.strict
        else (events.filter(relevant).select("customer_id", "time", **flags))
    )
    moments = flagged.group_by("customer_id", "time").aggregate(**{name: flagged[name].any() for name in flags})
    start = ibis.struct({"start": moments.time, "now": moments.time})
    return moments.mutate(path_0=ibis.ifelse(moments.is_0, start, ibis.null(_PATH)))


def _longer(path: ir.Table, funnel: Funnel, number: int) -> ir.Table:
    """``path`` with ``path_<number>``: at the moments of this step the best path that ends there, otherwise null."""
    column = f"path_{number - 1}"
    if funnel.strict:
        known = path.mutate(best=path[column])
    else:
        keys = ["customer_id"]
        if f"cut_{number - 1}" in path.columns:
            # What is cut at a moment lies between what was before it and what comes after it; a step at that very
            # moment is neither, so the count of cuts includes the moment itself where paths begin anew.
            cuts = path[f"cut_{number - 1}"].cast("int64").sum()
            path = path.mutate(cuts=cuts.over(_until_now("customer_id")))
            keys.append("cuts")
        known = path.mutate(best=path[column].max().over(_until_now(*keys)))
    # Null at the first moment; a moment at which the paths were cut has none until a step happens at it or later.
    before = known.best.lag().over(ibis.window(group_by="customer_id", order_by="time"))
    known = known.mutate(before=before)
    fits = known[f"is_{number}"] & known.before.notnull()
    if funnel.window is not None:
        fits &= known.time - known.before["start"] <= funnel.window
    longer = ibis.struct({"start": known.before["start"], "now": known.time})
    made = known.mutate(
        **{
            f"path_{number}": ibis.ifelse(fits, longer, ibis.null(_PATH)),
            f"from_{number}": ibis.ifelse(fits, known.before["now"], ibis.null("int64")),
        }
    )
    return made.drop("best", "before", *(["cuts"] if "cuts" in made.columns else []))


def _until_now(*keys: str) -> object:
    return ibis.window(group_by=list(keys), order_by="time", preceding=None, following=0)


def _end(path: ir.Table, number: int) -> ir.StructScalar:
    """The earliest moment at which a path of this length ends, with its beginning and the step before."""
    own = path[f"path_{number}"]
    before = path[f"from_{number}"] if number else path.time
    end = ibis.struct({"moment": path.time, "start": own["start"], "before": before})
    return end.min(where=own.notnull())
