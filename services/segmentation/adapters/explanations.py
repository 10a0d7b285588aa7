"""What rules find at their leaves, as columns beside the truth of the rules: one expression for all of them."""

from collections.abc import Callable, Mapping
from typing import Any

import ibis
import ibis.expr.types as ir

from services.common.flat.comparisons import Moment
from services.common.flat.paths import values_at
from services.common.rules import (
    Aggregate,
    AllOf,
    AnyOf,
    BucketCondition,
    Comparison,
    EventCondition,
    GroupTraitCondition,
    MembersCondition,
    Not,
    Rule,
    ScoreCondition,
)
from services.segmentation.adapters import group_query
from services.segmentation.adapters.event_figures import counts
from services.segmentation.adapters.expressions import History, Leaves, bucket_of
from services.segmentation.adapters.picks import pick
from services.segmentation.domain.explanation import Finding, Scalar
from services.segmentation.domain.scores import named
from services.segmentation.domain.timing import trait_names

_KINDS = {"texts": "string", "numbers": "float64", "flags": "boolean", "elements": "string"}
_KNOWN = f"struct<{', '.join(f'{name}: array<{kind}>' for name, kind in _KINDS.items())}>"
_earliest, _latest = pick("min_by", _KNOWN), pick("max_by", _KNOWN)
_DECODED: dict[str, Callable[[str], Scalar]] = {"t": str, "n": float, "b": lambda text: text == "true"}


def explanation(history: History, rules: Mapping[str, Rule], segments: Mapping[str, Rule], at: Moment) -> ir.Table:
    """One row for each customer: for each rule whether it is true, and what was found if it is a leaf."""
    leaves = Leaves(rules.values(), segments)

    def beside(seen: ir.Table, told: ir.Table) -> tuple[dict[str, ir.Value], dict[str, ir.Value]]:
        picked, known = {}, {}
        for name, rule in rules.items():
            if isinstance(rule, EventCondition) and rule.aggregate in (Aggregate.FIRST, Aggregate.LAST):
                picked[f"{name}_found"] = _property(seen, rule, at)
            if isinstance(rule, Comparison):
                for number, trait in enumerate(trait_names(rule.field)):
                    known[f"{name}_found{number}"] = _trait(told, trait, rule.field)
        return picked, known

    figures = leaves.figures(history, at, beside)
    of_groups = {name: rule for name, rule in rules.items() if isinstance(rule, GroupTraitCondition)}
    if of_groups:
        figures = group_query.trait_values(figures, history.groups, of_groups, _trait, at)
    columns: dict[str, ir.Value] = {}
    for name, rule in rules.items():
        columns[name] = leaves.condition(figures, rule)
        columns.update(_found(figures, leaves, name, rule))
    return figures.select("customer_id", **columns)


def looked_at(
    history: History, condition: MembersCondition, segments: Mapping[str, Rule], customer_id: str, at: Moment
) -> ir.Table:
    """The members whom ``condition`` looks at for one customer, and of each whether what is asked is true."""
    leaves = Leaves([condition.rule] if condition.rule is not None else [], segments)
    figures = leaves.figures(history, at)
    return group_query.looked_at(figures, history.groups, condition, leaves.condition, customer_id, at)


def _property(events: ir.Table, condition: EventCondition, at: Moment) -> ir.Value:
    order = ibis.struct({"time": events.time, "tie": events.message_id})
    counted = counts(events, condition, at) & events.present.contains(condition.property)
    chosen = _earliest if condition.aggregate is Aggregate.FIRST else _latest
    return chosen(_known(events, condition.property), order, where=counted)


def _trait(traits: ir.Table, name: str, field: str) -> ir.Value:
    order = ibis.struct({"time": traits.time, "tie": traits.tie})
    return _latest(_known(traits, field), order, where=traits.name == name)


def _known(row: ir.Table, path: str) -> ir.Value:
    return ibis.struct({name: values_at(row[name], path) for name in _KINDS})


def _found(figures: ir.Table, leaves: Leaves, name: str, rule: Rule) -> dict[str, ir.Value]:
    match rule:
        case AllOf() | AnyOf() | Not():
            return {}
        case Comparison(field) | GroupTraitCondition(_, Comparison(field)):
            names = [f"{name}_found{number}" for number in range(len(trait_names(field)))]
            return {each: figures[each] for each in names}
        case EventCondition(aggregate=Aggregate.FIRST | Aggregate.LAST):
            return {f"{name}_found": figures[f"{name}_found"]}
        case EventCondition():
            return {f"{name}_found": leaves.figure(figures, rule).cast("float64")}
        case MembersCondition():
            return {f"{name}_found": leaves.member_count(figures, rule).cast("float64")}
        case BucketCondition(salt):
            return {f"{name}_found": bucket_of(salt, figures.customer_hash).cast("float64")}
        case ScoreCondition(score):
            return {f"{name}_found": figures[score] if named(score) else figures[score].cast("float64")}
        case _:
            return {f"{name}_found": leaves.condition(figures, rule)}


def finding(row: Mapping[str, Any], name: str) -> Finding:
    """What a row of an explanation says of the rule ``name``."""
    columns = [key for key in row if key.startswith(f"{name}_found")]
    return Finding(row[name], [value for column in columns for value in _values(row[column])])


def _values(found: Any) -> list[Scalar]:
    if found is None:
        return []
    if isinstance(found, list):  # of several groups
        return [value for each in found for value in _values(each)]
    if not isinstance(found, Mapping):
        return [found]
    listed = [_DECODED[text[0]](text[1:]) for text in found["elements"] or ()]
    return [*(found["texts"] or ()), *(found["numbers"] or ()), *(found["flags"] or ()), *listed]
