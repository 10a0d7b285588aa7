"""Which group customers and events are in, as columns: told apart by trait, by property, by segment.

A label is four columns that are never null, so that groups can be compared and ordered alike by every engine:
``kind``, and the value as ``text``, ``number`` or ``flag``.
"""

from collections.abc import Callable, Mapping
from functools import reduce
from typing import Any

import ibis
import ibis.expr.types as ir

from services.common.flat.comparisons import holds
from services.common.rules import Rule, SegmentCondition
from services.segmentation.adapters.expressions import History, evaluation
from services.segmentation.adapters.picks import pick
from services.segmentation.domain.selection import (
    BySegments,
    ByTrait,
    EventFilter,
    Flag,
    InSegment,
    Label,
    Missing,
    Others,
)
from services.segmentation.domain.timing import trait_names

MISSING, TEXT, NUMBER, FLAG, SEGMENT, OTHERS = range(6)
LABEL = ("kind", "text", "number", "flag")
_VALUE = "struct<text: string, number: float64, flag: boolean>"
_latest, _earliest = pick("max_by", _VALUE), pick("min_by", _VALUE)


def selected(events: ir.Table, wanted: EventFilter, at: int) -> ir.BooleanValue:
    """Whether an event is one of those that a filter is about; never null."""
    named: ir.BooleanValue = events.name == wanted.event if wanted.event else ibis.literal(True)
    return reduce(lambda one, other: one & holds(events, other, at), wanted.where, named)


def of_customers(history: History, by: ByTrait | BySegments, segments: Mapping[str, Rule], at: int) -> ir.Table:
    """``customer_id`` and the label of each customer that has one, of segments each that the customer is in."""
    if isinstance(by, BySegments):
        return _segments_of(history, by, segments, at)
    told = history.traits.filter(history.traits.time <= at)
    order = ibis.struct({"time": told.time, "tie": told.tie})
    names = {f"v{number}": name for number, name in enumerate(trait_names(by.trait))}
    known = told.group_by("customer_id").aggregate(
        **{
            column: _latest(_first_value(told, by.trait), order, where=told.name == name)
            for column, name in names.items()
        }
    )
    parts = {part: ibis.coalesce(*(known[column][part] for column in names)) for part in LABEL[1:]}
    labelled = known.select("customer_id", **_label(parts))
    return labelled.filter(labelled.kind != MISSING)


def of_first_events(events: ir.Table, property: str) -> ir.Table:
    """``customer_id`` and the label of a property of each customer's earliest event among ``events``."""
    order = ibis.struct({"time": events.time, "tie": events.message_id})
    found = events.group_by("customer_id").aggregate(value=_earliest(_first_value(events, property), order))
    return found.select("customer_id", **_label({part: found.value[part] for part in LABEL[1:]}))


def of_events(events: ir.Table, property: str) -> ir.Table:
    """``events`` with the label of a property."""
    return events.mutate(**_label(dict(_parts(events, property))))


def with_label(customers: ir.Table, labels: ir.Table, by: object) -> ir.Table:
    """``customers`` with their labels; whoever is in no segment is left out, whoever lacks a value is in a group."""
    if isinstance(by, BySegments):
        return customers.join(labels, "customer_id")
    joined = customers.left_join(labels.rename(known_id="customer_id"), customers.customer_id == labels.customer_id)
    filled = {
        "kind": joined.kind.fill_null(MISSING),
        "text": joined.text.fill_null(""),
        "number": joined.number.fill_null(0.0),
        "flag": joined.flag.fill_null(False),
    }
    return joined.mutate(**filled).drop("known_id")


def unlabelled(rows: ir.Table) -> ir.Table:
    """``rows``, all in one group."""
    return rows.mutate(
        kind=ibis.literal(MISSING, "int64"), text=ibis.literal(""), number=ibis.literal(0.0), flag=ibis.literal(False)
    )


def limited(labelled: ir.Table, value_count_max: int, count: Callable[[ir.Table], ir.IntegerScalar]) -> ir.Table:
    """``labelled`` with all labels beyond the ``value_count_max`` with the highest counts made one."""
    counted = labelled.mutate(_size=count(labelled).over(ibis.window(group_by=list(LABEL))))
    order = [ibis.desc("_size"), *LABEL]
    placed = counted.mutate(_place=ibis.dense_rank().over(order_by=order))
    kept = placed._place < value_count_max
    lumped = {
        "kind": ibis.ifelse(kept, placed.kind, OTHERS),
        "text": ibis.ifelse(kept, placed.text, ""),
        "number": ibis.ifelse(kept, placed.number, 0.0),
        "flag": ibis.ifelse(kept, placed.flag, False),
    }
    return placed.mutate(**lumped).drop("_size", "_place")


def label(row: Mapping[str, Any]) -> Label:
    """The label of a row of an answer."""
    match row["kind"]:
        case 1 | 4 as kind:
            text: str = row["text"]
            return text if kind == TEXT else InSegment(text)
        case 2:
            return float(row["number"])
        case 3:
            return Flag(row["flag"])
        case 5:
            return Others()
        case _:
            return Missing()


def _segments_of(history: History, by: BySegments, segments: Mapping[str, Rule], at: int) -> ir.Table:
    asked: dict[str, Rule] = {f"r{number}": SegmentCondition(each) for number, each in enumerate(by.segment_ids)}
    found = evaluation(history, asked, segments, at)
    named = zip(asked, by.segment_ids, strict=True)
    ids = ibis.array([ibis.ifelse(found[column], ibis.literal(each), ibis.null("string")) for column, each in named])
    each = found.select("customer_id", text=ids.unnest())
    return each.filter(each.text.notnull()).mutate(
        kind=ibis.literal(SEGMENT, "int64"), number=ibis.literal(0.0), flag=ibis.literal(False)
    )


def _parts(row: ir.Table, path: str) -> list[tuple[str, ir.Value]]:
    maps = (("text", "texts"), ("number", "numbers"), ("flag", "flags"))
    return [(part, row[name].get(path)[0]) for part, name in maps]


def _first_value(row: ir.Table, path: str) -> ir.StructValue:
    return ibis.struct(dict(_parts(row, path)))


def _label(parts: Mapping[str, ir.Value]) -> dict[str, ir.Value]:
    """The first of the values that is there: a text, a number, a truth value."""
    text, number, flag = (parts[part] for part in LABEL[1:])
    kind = ibis.cases((text.notnull(), TEXT), (number.notnull(), NUMBER), (flag.notnull(), FLAG), else_=MISSING).cast(
        "int64"
    )
    return {
        "kind": kind,
        "text": text.fill_null(""),
        "number": ibis.ifelse(text.isnull(), number, 0.0).fill_null(0.0),
        "flag": ibis.ifelse(text.isnull() & number.isnull(), flag, False).fill_null(False),
    }
