"""Conditions: rules of ``tessera.common.v1.Rule`` evaluated over facts that are at hand: a cart or one of its
lines, a visit.

What needs events, scores, lists or consents is another service's to evaluate: a segment brings it here.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from services.common.clock import to_micros
from services.common.rules import (
    POSITIVE,
    AllOf,
    AnyOf,
    BucketCondition,
    Comparison,
    Instant,
    Not,
    Operator,
    Rule,
    RuleUnsupported,
    SegmentCondition,
    Span,
    bucket,
    nodes,
    validate,
)


class Condition:
    """A rule as part of something that is kept; equal if the rules are."""

    __slots__ = ("rule",)

    def __init__(self, rule: Rule) -> None:
        self.rule = rule

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Condition) and self.rule == other.rule

    def __hash__(self) -> int:
        return hash(self.rule)

    def __repr__(self) -> str:
        return f"Condition({self.rule!r})"


@dataclass(frozen=True, slots=True)
class Facts:
    """What a condition is evaluated over: nested fields, the subject's id and segments, and the moment."""

    fields: Mapping[str, Any]
    subject_id: str = ""
    segment_ids: frozenset[str] = field(default_factory=frozenset)
    now: int = 0


def check_condition(condition: Condition | None, place: str) -> None:
    """``RuleInvalid`` or ``RuleUnsupported`` at the first node that is wrong, or that cannot be evaluated here."""
    if condition is None:
        return
    validate(condition.rule, lambda pattern: "patterns are not evaluated here")
    for node in nodes(condition.rule):
        if not isinstance(node.rule, (AllOf, AnyOf, Not, Comparison, SegmentCondition, BucketCondition)):
            raise RuleUnsupported(
                f"{place}.{node.path}", "only fields, segments and buckets are known here; make a segment of it"
            )


def holds(condition: Condition | None, facts: Facts) -> bool:
    """Whether the condition is true of the facts; no condition is."""
    return condition is None or _holds(condition.rule, facts)


def _holds(rule: Rule, facts: Facts) -> bool:
    match rule:
        case AllOf(rules):
            return all(_holds(part, facts) for part in rules)
        case AnyOf(rules):
            return any(_holds(part, facts) for part in rules)
        case Not(part):
            return not _holds(part, facts)
        case SegmentCondition(segment_id):
            return segment_id in facts.segment_ids
        case BucketCondition(salt, start, end):
            return start <= bucket(salt, facts.subject_id) < end
        case Comparison():
            return _compare(rule, facts)
    return False


def _compare(comparison: Comparison, facts: Facts) -> bool:
    positive = POSITIVE.get(comparison.operator)
    if positive is not None:
        return not _compare(Comparison(comparison.field, positive, comparison.values), facts)
    found = [value for value in _read(facts.fields, comparison.field.split(".")) if value is not None]
    if comparison.operator is Operator.EXISTS:
        return bool(found)
    test = _TESTS[comparison.operator]
    return any(test(value, comparison.values, facts.now) for value in found)


def _read(value: Any, path: list[str]) -> Iterator[Any]:
    """Every value at the path: a list on the way, or at its end, means each of its elements."""
    if isinstance(value, (list, tuple)):
        for element in value:
            yield from _read(element, path)
    elif not path:
        yield value
    elif isinstance(value, Mapping) and path[0] in value:
        yield from _read(value[path[0]], path[1:])


def _alike(value: Any, wanted: Any) -> bool:
    if isinstance(value, bool) or isinstance(wanted, bool):
        return isinstance(value, bool) and isinstance(wanted, bool)
    if isinstance(wanted, float):
        return isinstance(value, (int, float))
    return isinstance(value, str) and isinstance(wanted, str)


def _ordered(value: Any, wanted: Any, compare: Callable[[Any, Any], bool]) -> bool:
    if isinstance(wanted, Instant):
        instant = _instant(value)
        return instant is not None and compare(instant, wanted.micros)
    return _alike(value, wanted) and compare(value, wanted)


def _instant(value: Any) -> int | None:
    """A time among JSON values: RFC 3339 with an offset, in microseconds."""
    if not isinstance(value, str):
        return None
    try:
        time = datetime.fromisoformat(value)
    except ValueError:
        return None
    return to_micros(time) if time.tzinfo else None


def _in_span(value: Any, span: Any, now: int, inside: Callable[[int, int], bool]) -> bool:
    instant = _instant(value)
    return instant is not None and isinstance(span, Span) and inside(instant - now, span.micros)


_Test = Callable[[Any, tuple[Any, ...], int], bool]
_TESTS: dict[Operator, _Test] = {
    Operator.EQUALS: lambda value, wanted, _: _ordered(value, wanted[0], lambda a, b: bool(a == b)),
    Operator.ANY_OF: lambda value, wanted, _: any(_ordered(value, each, lambda a, b: bool(a == b)) for each in wanted),
    Operator.LESS_THAN: lambda value, wanted, _: _ordered(value, wanted[0], lambda a, b: bool(a < b)),
    Operator.AT_MOST: lambda value, wanted, _: _ordered(value, wanted[0], lambda a, b: bool(a <= b)),
    Operator.GREATER_THAN: lambda value, wanted, _: _ordered(value, wanted[0], lambda a, b: bool(a > b)),
    Operator.AT_LEAST: lambda value, wanted, _: _ordered(value, wanted[0], lambda a, b: bool(a >= b)),
    Operator.BETWEEN: lambda value, wanted, _: (
        _ordered(value, wanted[0], lambda a, b: bool(a >= b)) and _ordered(value, wanted[1], lambda a, b: bool(a <= b))
    ),
    Operator.CONTAINS: lambda value, wanted, _: (
        _alike(value, wanted[0]) and (wanted[0] in value if isinstance(value, str) else bool(value == wanted[0]))
    ),
    Operator.STARTS_WITH: lambda value, wanted, _: isinstance(value, str) and value.startswith(wanted[0]),
    Operator.ENDS_WITH: lambda value, wanted, _: isinstance(value, str) and value.endswith(wanted[0]),
    Operator.IS_TRUE: lambda value, wanted, _: value is True,
    Operator.IS_FALSE: lambda value, wanted, _: value is False,
    Operator.BEFORE: lambda value, wanted, _: _ordered(value, wanted[0], lambda a, b: bool(a < b)),
    Operator.AFTER: lambda value, wanted, _: _ordered(value, wanted[0], lambda a, b: bool(a > b)),
    Operator.WITHIN_LAST: lambda value, wanted, now: _in_span(value, wanted[0], now, lambda at, s: -s < at <= 0),
    Operator.WITHIN_NEXT: lambda value, wanted, now: _in_span(value, wanted[0], now, lambda at, s: 0 <= at < s),
    Operator.BEFORE_LAST: lambda value, wanted, now: _in_span(value, wanted[0], now, lambda at, s: at <= -s),
    Operator.AFTER_NEXT: lambda value, wanted, now: _in_span(value, wanted[0], now, lambda at, s: at >= s),
}
