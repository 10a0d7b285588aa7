"""Properties of events in expressions: which events a goal counts, and what is known of the properties of a name."""

from collections.abc import Mapping, Sequence
from functools import reduce
from operator import and_
from typing import Any

import ibis
import ibis.expr.types as ir

from services.common.flat.comparisons import holds
from services.common.flat.paths import values_at
from services.forecasting.domain.event_properties import Described
from services.forecasting.domain.propensity import Goal


def fulfilling(events: ir.Table, goal: Goal) -> ir.BooleanValue:
    """Whether the row of an event that has its properties fulfils the goal's conditions; never null."""
    known = (events.described == 1).fill_null(False)
    # No comparison that a goal may make looks at a moment.
    return reduce(and_, (holds(events, it, 0) for it in goal.where), known)


def summed(events: ir.Table, goal: Goal) -> ir.FloatingValue:
    """What the numbers at the goal's property come to, by row."""
    return values_at(events.numbers, goal.sum_property).sums().coalesce(0.0)


def removed(events: ir.Table) -> ir.Table:
    """Of whom properties were known, and were removed with the person."""
    return events.filter(events.described == 0).select("customer_id").distinct()


def described(events: ir.Table, paths: Sequence[str]) -> ir.Table:
    """One row with what is known of ``paths`` of these events."""
    rows = events.filter(events.opens_event == 1)
    figures: dict[str, ir.Value] = {
        "events": (rows.described == 1).fill_null(False).cast("int64").sum(),
        "unknown_until": rows.time.max(where=rows.described.isnull()),
    }
    for number, path in enumerate(paths):
        for name in ("present", "left_out"):
            figures[f"{name}_{number}"] = rows[name].contains(path).fill_null(False).cast("int64").sum()
    return rows.aggregate(**figures)


def read_described(row: Mapping[str, Any], paths: Sequence[str]) -> Described:
    """The row of ``described``."""
    present, left_out = (
        {path: row[f"{name}_{number}"] or 0 for number, path in enumerate(paths)} for name in ("present", "left_out")
    )
    return Described(row["events"] or 0, row["unknown_until"], present, left_out)


def property_names(events: ir.Table, limit: int) -> ir.Table:
    """The paths of most of these events."""
    paths = events.select(path=events.present.unnest())
    found = paths.group_by("path").aggregate(count=paths.count())
    return found.order_by(ibis.desc("count"), "path").limit(limit).select("path")
