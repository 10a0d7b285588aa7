"""Ways of customers as Ibis expressions: each event has a place among those of its customer, and a path is the places
that follow the first one."""

import asyncio
from collections.abc import Mapping
from itertools import pairwise

import ibis
import ibis.expr.types as ir

from services.common.columnar import Columnar
from services.common.flat.comparisons import timely
from services.common.rules import Rule, SegmentCondition
from services.segmentation.adapters.breakdowns import selected
from services.segmentation.adapters.expressions import History, evaluation
from services.segmentation.adapters.tenant_history import tenant_history
from services.segmentation.domain.path import LINKS_MAX, Link, Path, Paths, PathsResult


class ColumnarPaths:
    """The port ``PathFinder`` over the analytical engine."""

    def __init__(self, columnar: Columnar) -> None:
        self._columnar = columnar

    async def paths(
        self, tenant: str, question: Paths, segment_id: str, segments: Mapping[str, Rule], at: int
    ) -> PathsResult:
        history = tenant_history(self._columnar, tenant)
        taken = taken_paths(history, question, segment_id, segments, at)
        names = _names(question)
        counted = taken.group_by(names).aggregate(customers=taken.count())
        commonest = counted.order_by(ibis.desc("customers"), *names).limit(question.paths)
        queries = (taken.aggregate(customers=taken.count()), commonest, _links(taken, question))
        whole, paths, links = await asyncio.gather(*(self._columnar.execute(query) for query in queries))
        return PathsResult(
            whole["customers"][0].as_py(),
            [
                Path([row[name] for name in names if row[name] is not None], row["customers"])
                for row in paths.to_pylist()
            ],
            [Link(**row) for row in links.to_pylist()],
        )


def _names(question: Paths) -> list[str]:
    return [f"n{step}" for step in range(question.steps + 1)]


def taken_paths(history: History, question: Paths, segment_id: str, segments: Mapping[str, Rule], at: int) -> ir.Table:
    """One row for each customer with a path: the names of its events (``n0``, ``n1`` …), null after its end."""
    seen = history.events.filter(history.events.time <= at)
    began = selected(seen, question.start, at) & timely(seen.time, question.entered, at)
    follows = seen.name.isin(question.events) if question.events else ibis.literal(True)
    told = seen.filter(began | follows).select(
        "customer_id", "name", "time", "message_id", starts=(began | ibis.literal(False)).fill_null(False)
    )
    if segment_id:
        inside = evaluation(history, {"inside": SegmentCondition(segment_id)}, segments, at)
        told = told.semi_join(inside.filter(inside.inside), "customer_id")
    return _by_customer(_placed(told, question), question)


def _placed(told: ir.Table, question: Paths) -> ir.Table:
    """Each event that may be in a path, with its ``step``, and the ``breaks`` between it and the start."""
    keys = [told.time, told.message_id]
    order = [ibis.desc(key) for key in keys] if question.backwards else keys
    window = ibis.window(group_by=told.customer_id, order_by=order)
    before = told.time.lag().over(window)
    passed = (before - told.time) if question.backwards else (told.time - before)
    broken = (passed > question.gap).fill_null(False) if question.gap is not None else ibis.literal(False)
    numbered = told.mutate(place=ibis.row_number().over(window), broken=broken.cast("int64"))
    first = numbered.filter(numbered.starts).group_by("customer_id").aggregate(start=lambda rows: rows.place.min())
    within = numbered.join(first, "customer_id")
    within = within.filter(within.place >= within.start, within.place <= within.start + question.steps)
    within = within.mutate(step=within.place - within.start)
    counted = within.mutate(own=ibis.ifelse(within.step > 0, within.broken, 0))
    return counted.mutate(
        breaks=counted.own.sum().over(ibis.cumulative_window(group_by="customer_id", order_by="step"))
    )


def _by_customer(placed: ir.Table, question: Paths) -> ir.Table:
    path = placed.filter(placed.breaks == 0)
    return path.group_by("customer_id").aggregate(
        **{name: path.name.max(where=path.step == step) for step, name in enumerate(_names(question))}
    )


def _links(taken: ir.Table, question: Paths) -> ir.Table:
    """From which event to which, by step."""
    names = _names(question)
    parts = []
    for step, (source, target) in enumerate(pairwise(names)):
        known = taken.filter(taken[target].notnull())
        pairs = known.select(step=ibis.literal(step, "int64"), source=known[source], target=known[target])
        parts.append(pairs.group_by(["step", "source", "target"]).aggregate(customers=lambda rows: rows.count()))
    links = ibis.union(parts[0], *parts[1:]) if len(parts) > 1 else parts[0]
    commonest = links.order_by(ibis.desc("customers"), "step", "source", "target").limit(LINKS_MAX)
    return commonest.order_by("step", ibis.desc("customers"), "source", "target")
