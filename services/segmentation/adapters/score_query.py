"""Scores of customers as columns: RFM computed from the orders of all, and what was predicted or found before."""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import ibis
import ibis.expr.types as ir

from services.common.flat.comparisons import Moment
from services.segmentation.domain.rfm import DAY_MICROS, group_of
from services.segmentation.domain.scores import (
    CATEGORY_PLACE,
    CATEGORY_PREFERENCE,
    CLUSTER,
    GROUPS,
    LOOKALIKE,
    PREDICTIONS,
    PROPENSITY,
    PROPENSITY_PERCENTILE,
    RFM,
    RFM_GROUP,
    UPLIFT,
    UPLIFT_GROUP,
    UPLIFT_PERCENTILE,
)


@dataclass(frozen=True, slots=True)
class Found:
    """What was found out about one tenant's customers beside their history."""

    predictions: ir.Table
    propensities: ir.Table
    preferences: ir.Table
    uplifts: ir.Table
    clustered: ir.Table
    resembling: ir.Table


def with_scores(
    figures: ir.Table, rfm: Callable[[], ir.Table], found: Found, wanted: Collection[str], at: Moment
) -> ir.Table:
    """``figures`` with a column for each score, null where a customer has none. ``rfm`` makes those of RFM; clusters
    and lookalikes are those of the assignment, whatever the moment."""
    if any(name in RFM or name == RFM_GROUP for name in wanted):
        figures = figures.left_join(_grouped(rfm(), RFM_GROUP in wanted), "customer_id")
    if predicted := sorted(name for name in wanted if name in PREDICTIONS):
        figures = figures.left_join(_predicted(found.predictions, predicted, at), "customer_id")
    for name in sorted(wanted):
        if name.startswith(CLUSTER):
            rows = found.clustered.filter(found.clustered.clustering_id == name.removeprefix(CLUSTER))
            figures = figures.left_join(rows.select("customer_id", **{name: rows.cluster}), "customer_id")
        if name.startswith(LOOKALIKE):
            rows = found.resembling.filter(found.resembling.lookalike_id == name.removeprefix(LOOKALIKE))
            figures = figures.left_join(rows.select("customer_id", **{name: rows.place + 1}), "customer_id")
        for family, rows, of, column in _said(found):
            if name.startswith(family):
                rows = rows.filter(rows[of] == name.removeprefix(family), rows.time <= at)
                figures = figures.left_join(rows.select("customer_id", **{name: rows[column]}), "customer_id")
    return figures


def _said(found: Found) -> Sequence[tuple[str, ir.Table, str, str]]:
    """The families of scores that models of forecasting say: where they are, of what, and in which column."""
    return (
        (PROPENSITY, found.propensities, "model_id", "probability"),
        (PROPENSITY_PERCENTILE, found.propensities, "model_id", "percentile"),
        (CATEGORY_PREFERENCE, found.preferences, "category", "probability"),
        (CATEGORY_PLACE, found.preferences, "category", "place"),
        (UPLIFT, found.uplifts, "model_id", "uplift"),
        (UPLIFT_PERCENTILE, found.uplifts, "model_id", "percentile"),
        (UPLIFT_GROUP, found.uplifts, "model_id", "answer"),
    )


def _grouped(table: ir.Table, grouped: bool) -> ir.Table:
    return table.mutate(**{RFM_GROUP: _group(table)}) if grouped else table


def _group(table: ir.Table) -> ir.StringValue:
    pair = table["rfm.recency_score"] * 10 + table["rfm.frequency_score"]
    pairs = [(recency, frequency) for recency in range(1, 6) for frequency in range(1, 6)]
    return ibis.cases(*((pair == 10 * one + other, GROUPS[group_of(one, other)]) for one, other in pairs))


def _predicted(predictions: ir.Table, wanted: Collection[str], at: Moment) -> ir.Table:
    known = predictions.filter(predictions.time <= at)
    days = (known.next_order_time - at) / DAY_MICROS
    columns = {name: days if name == PREDICTIONS[-1] else known[name.partition(".")[2]] for name in wanted}
    return known.select("customer_id", **columns)
