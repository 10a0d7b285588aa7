"""What rules mean, computed slowly and plainly over raw events: the measure of the compiled expressions."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import ROUND_HALF_UP, Decimal
from itertools import product
from typing import Any

from services.common.clock import to_micros
from services.common.rules import (
    POSITIVE,
    Aggregate,
    AllOf,
    AnyOf,
    BucketCondition,
    Comparison,
    EventCondition,
    GroupTraitCondition,
    Instant,
    MembersCondition,
    Not,
    Operator,
    Quantifier,
    Rule,
    SegmentCondition,
    SequenceCondition,
    SequenceStep,
    Span,
    StepField,
    TimeWindow,
    bucket,
)
from services.segmentation.adapters.group_rows import Belonged, Described
from services.segmentation.adapters.tables import IDENTIFY, Observed


@dataclass(frozen=True)
class World:
    """Everybody's events, and what was said of groups and their members."""

    history: Sequence[Observed] = ()
    described: Sequence[Described] = ()
    belonged: Sequence[Belonged] = ()

    def groups(self, customer: str, kind: str, at: int) -> list[str]:
        """The groups of a kind that the customer is in."""
        told = {each.group_id for each in self.belonged}
        return [
            each
            for each in sorted(told)
            if customer in self.people(each, at) and kind in ("", self.traits(each, at).get("type"))
        ]

    def people(self, group_id: str, at: int) -> set[str]:
        """The members of a group who have done something."""
        said = [each for each in self.belonged if each.group_id == group_id and each.time <= at]
        last = {each.origin_id: each for each in sorted(said, key=lambda each: (each.time, each.member))}
        seen = {event.customer_id for event in self.history if event.time <= at}
        return {each.customer_id for each in last.values() if each.member} & seen

    def traits(self, group_id: str, at: int) -> dict[str, Any]:
        """The newest value of each trait of a group."""
        said = [each for each in self.described if each.group_id == group_id and each.time <= at]
        values = [(name, each.time, repr(value), value) for each in said for name, value in each.traits.items()]
        return {name: value for name, _, _, value in sorted(values, key=lambda value: value[:3])}


ALONE = World()


def look_up(content: Any, path: Sequence[str]) -> list[Any]:
    """The values at a path; a list on the way means each of its elements."""
    if not path:
        return [] if content is None else [content]
    if isinstance(content, list):
        return [found for element in content for found in look_up(element, path) if isinstance(element, dict)]
    if isinstance(content, dict):
        return look_up(content.get(path[0]), path[1:])
    return []


def members(
    rules: Mapping[str, Rule], name: str, history: Sequence[Observed], at: int, world: World = ALONE
) -> set[str]:
    """The customers seen up to ``at`` that fulfil the rule ``name``; rules may name each other."""
    seen = [event for event in history if event.time <= at]
    customers = {event.customer_id for event in seen}
    return {
        customer
        for customer in customers
        if fulfils(rules, rules[name], customer, [event for event in seen if event.customer_id == customer], at, world)
    }


def fulfils(
    rules: Mapping[str, Rule], rule: Rule, customer: str, events: Sequence[Observed], at: int, world: World = ALONE
) -> bool:
    match rule:
        case AllOf(parts):
            return all(fulfils(rules, part, customer, events, at, world) for part in parts)
        case AnyOf(parts):
            return any(fulfils(rules, part, customer, events, at, world) for part in parts)
        case Not(part):
            return not fulfils(rules, part, customer, events, at, world)
        case SegmentCondition(segment_id):
            return fulfils(rules, rules[segment_id], customer, events, at, world)
        case MembersCondition():
            return members_condition(rules, rule, customer, at, world)
        case GroupTraitCondition(kind, trait):
            positive = Comparison(trait.field, POSITIVE.get(trait.operator, trait.operator), trait.values)
            known = [world.traits(each, at) for each in world.groups(customer, kind, at)]
            found = any(compare(look_up(each, trait.field.split(".")), positive, at) for each in known)
            return found == (positive.operator is trait.operator)
        case BucketCondition(salt, start, end):
            return start <= bucket(salt, customer) < end
        case Comparison():
            return compare(look_up(traits(events), rule.field.split(".")), rule, at)
        case EventCondition():
            return event_condition(rule, events, at)
        case SequenceCondition():
            return sequence_condition(rule, events, at)
        case _:
            raise AssertionError(rule)


def members_condition(
    rules: Mapping[str, Rule], condition: MembersCondition, customer: str, at: int, world: World
) -> bool:
    groups = [
        [
            condition.rule is None
            or fulfils(
                rules,
                condition.rule,
                member,
                [event for event in world.history if event.customer_id == member and event.time <= at],
                at,
                world,
            )
            for member in world.people(each, at)
            if not (condition.others_only and member == customer)
        ]
        for each in world.groups(customer, condition.kind, at)
    ]
    everybody = [truth for group in groups for truth in group]
    match condition.quantifier:
        case Quantifier.ANY:
            return any(everybody)
        case Quantifier.ALL:
            return bool(everybody) and all(everybody)
        case Quantifier.NONE:
            return not any(everybody)
        case _:
            assert condition.operator is not None
            return ordered(max((sum(group) for group in groups), default=0), condition.operator, condition.values)


def traits(events: Sequence[Observed]) -> dict[str, Any]:
    """The newest value of each trait."""
    newest: dict[str, tuple[int, str, Any]] = {}
    for event in events:
        if event.type == IDENTIFY:
            for name, value in event.content.items():
                candidate = (event.time, repr(value), value)
                if name not in newest or candidate[:2] > newest[name][:2]:
                    newest[name] = candidate
    return {name: value for name, (_, _, value) in newest.items()}


def compare(values: Sequence[Any], comparison: Comparison, at: int) -> bool:
    operator = comparison.operator
    if operator in POSITIVE:
        return not compare(values, Comparison(comparison.field, POSITIVE[operator], comparison.values), at)
    return any(compare_one(value, operator, comparison.values, at) for value in values)


def compare_one(value: Any, operator: Operator, bounds: Sequence[Any], at: int) -> bool:
    if operator is Operator.EXISTS:
        return True
    if operator is Operator.CONTAINS and isinstance(value, list):
        return any(same_type(element, bounds[0]) and element == bounds[0] for element in value)
    if operator in (Operator.IS_TRUE, Operator.IS_FALSE):
        return value is (operator is Operator.IS_TRUE)
    if operator in (Operator.WITHIN_LAST, Operator.WITHIN_NEXT, Operator.BEFORE_LAST, Operator.AFTER_NEXT):
        return in_span(value, operator, bounds[0], at)
    if isinstance(bounds[0], Instant):
        instant = as_instant(value)
        return instant is not None and ordered(instant, operator, [bound.micros for bound in bounds])
    if not same_type(value, bounds[0]):
        return False
    match operator:
        case Operator.CONTAINS:
            return isinstance(value, str) and bounds[0] in value
        case Operator.STARTS_WITH:
            return bool(value.startswith(bounds[0]))
        case Operator.ENDS_WITH:
            return bool(value.endswith(bounds[0]))
        case Operator.MATCHES:
            return re.search(bounds[0], value) is not None
    return ordered(value, operator, bounds)


def same_type(value: Any, bound: Any) -> bool:
    if isinstance(value, bool) or isinstance(bound, bool):
        return isinstance(value, bool) and isinstance(bound, bool)
    if isinstance(bound, float):
        return isinstance(value, int | float)
    return isinstance(value, str) and isinstance(bound, str)


def ordered(value: Any, operator: Operator, bounds: Sequence[Any]) -> bool:
    match operator:
        case Operator.EQUALS | Operator.ANY_OF:
            return value in bounds
        case Operator.NOT_EQUALS | Operator.NOT_ANY_OF:
            return value not in bounds
        case Operator.LESS_THAN | Operator.BEFORE:
            return bool(value < bounds[0])
        case Operator.AT_MOST:
            return bool(value <= bounds[0])
        case Operator.GREATER_THAN | Operator.AFTER:
            return bool(value > bounds[0])
        case Operator.AT_LEAST:
            return bool(value >= bounds[0])
        case Operator.BETWEEN:
            return bool(bounds[0] <= value <= bounds[1])
    raise AssertionError(operator)


def as_instant(value: Any) -> int | None:
    if not isinstance(value, str) or not re.match(r"....-..-..", value):
        return None
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        return None
    return to_micros(time if time.tzinfo else time.replace(tzinfo=UTC))


def in_span(value: Any, operator: Operator, span: Span, at: int) -> bool:
    instant = as_instant(value)
    if instant is None:
        return False
    match operator:
        case Operator.WITHIN_LAST:
            return at - span.micros < instant <= at
        case Operator.WITHIN_NEXT:
            return at < instant <= at + span.micros
        case Operator.BEFORE_LAST:
            return instant <= at - span.micros
        case _:
            return instant > at + span.micros


def event_condition(condition: EventCondition, events: Sequence[Observed], at: int) -> bool:
    counted = [event for event in events if counts(condition, event, at)]
    path = condition.property.split(".")
    if condition.aggregate in (Aggregate.FIRST, Aggregate.LAST):
        having = [event for event in counted if look_up(event.content, path)]
        if not having:
            return False
        pick = min if condition.aggregate is Aggregate.FIRST else max
        chosen = pick(having, key=lambda event: (event.time, event.message_id))
        compared = Comparison(condition.property, condition.operator, condition.values)
        return compare(look_up(chosen.content, path), compared, at)
    values = [value for event in counted for value in look_up(event.content, path)] if condition.property else []
    figure = aggregate(condition, counted, values)
    return figure is not None and ordered(figure, condition.operator, condition.values)


def counts(condition: EventCondition, event: Observed, at: int) -> bool:
    return (
        event.type != IDENTIFY
        and event.name == condition.event
        and in_window(condition.window, event.time, at)
        and all(compare(look_up(event.content, where.field.split(".")), where, at) for where in condition.where)
    )


def sequence_condition(condition: SequenceCondition, events: Sequence[Observed], at: int) -> bool:
    """Every way of choosing an event for each step that must happen is tried."""
    happening = [number for number, step in enumerate(condition.steps) if not step.negated]
    return any(
        goes_through(condition, dict(zip(happening, chosen, strict=True)), events, at)
        for chosen in product([event for event in events if event.type != IDENTIFY], repeat=len(happening))
    )


def goes_through(
    condition: SequenceCondition, chosen: Mapping[int, Observed], events: Sequence[Observed], at: int
) -> bool:
    first, before = chosen[0], chosen[0]
    if not (in_window(condition.window, first.time, at) and is_step(condition.steps[0], first, {}, at)):
        return False
    for number, step in enumerate(condition.steps[1:], 1):
        if not step.negated:
            event = chosen[number]
            if event.time <= before.time or (step.within is not None and event.time - before.time > step.within):
                return False
            if not is_step(step, event, chosen, at):
                return False
            before = event
            continue
        after = next((event.time for other, event in chosen.items() if other > number), None)
        end = before.time + step.within if step.within is not None else None
        if after is None and end is not None and end > at:
            return False
        for event in events:
            between = before.time < event.time and (after is None or event.time < after)
            if between and (end is None or event.time <= end) and is_step(step, event, chosen, at):
                return False
    return True


def is_step(step: SequenceStep, event: Observed, chosen: Mapping[int, Observed], at: int) -> bool:
    return (
        event.type != IDENTIFY
        and event.name == step.event
        and all(holds_of(event, comparison, chosen, at) for comparison in step.where)
    )


def holds_of(event: Observed, comparison: Comparison, chosen: Mapping[int, Observed], at: int) -> bool:
    """With a reference: whether some value of the field and some value that is referred to compare so."""
    values = look_up(event.content, comparison.field.split("."))
    if not any(isinstance(bound, StepField) for bound in comparison.values):
        return compare(values, comparison, at)
    positive = POSITIVE.get(comparison.operator, comparison.operator)
    found = any(
        same_kind(value, bound) and ordered(value, positive, [bound])
        for value in values
        for reference in comparison.values
        if isinstance(reference, StepField)
        for bound in look_up(chosen[reference.step].content, reference.field.split("."))
        if not (isinstance(value, bool) and positive not in (Operator.EQUALS, Operator.ANY_OF))
    )
    return found if positive is comparison.operator else not found


def same_kind(value: Any, other: Any) -> bool:
    kinds = [
        bool if isinstance(each, bool) else float if isinstance(each, int | float) else str
        for each in (value, other)
        if isinstance(each, str | bool | int | float)
    ]
    return len(kinds) == 2 and kinds[0] is kinds[1]


def in_window(window: TimeWindow, time: int, at: int) -> bool:
    return (
        (window.within is None or time > at - window.within)
        and (window.before is None or time <= at - window.before)
        and (window.start is None or time >= window.start)
        and (window.end is None or time < window.end)
    )


def aggregate(condition: EventCondition, events: Sequence[Observed], values: Sequence[Any]) -> float | None:
    numbers = [float(value) for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    match condition.aggregate:
        case Aggregate.COUNT:
            return len(events)
        case Aggregate.SUM:
            return float(total(numbers))
        case Aggregate.DISTINCT_COUNT:
            scalars = {(type(value) is bool, value) for value in values if not isinstance(value, dict | list)}
            return len(scalars) or None
    if not numbers:
        return None
    match condition.aggregate:
        case Aggregate.AVERAGE:
            return float(total(numbers)) / len(numbers)
        case Aggregate.MINIMUM:
            return min(numbers)
        case _:
            return max(numbers)


def total(numbers: Sequence[float]) -> Decimal:
    return sum((Decimal(repr(number)).quantize(Decimal("0.000001"), ROUND_HALF_UP) for number in numbers), Decimal(0))
