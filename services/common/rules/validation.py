"""What makes a rule invalid, whoever evaluates it; the first fault in the rule's order is told with its path."""

import math
from collections.abc import Callable, Sequence

from services.common.errors import InvalidArgument
from services.common.rules.bucket import BUCKETS
from services.common.rules.model import (
    Aggregate,
    AllOf,
    AnyOf,
    BucketCondition,
    Comparison,
    ConsentCondition,
    EventCondition,
    GroupTraitCondition,
    Instant,
    ListCondition,
    MembersCondition,
    Operator,
    Quantifier,
    Rule,
    ScoreCondition,
    SegmentCondition,
    SequenceCondition,
    Span,
    StepField,
    TimeWindow,
    Value,
    nodes,
)

NODES_MAX = 1000
DEPTH_MAX = 32
PATTERN_LENGTH_MAX = 1000

KIND_LENGTH_MAX = 200
_KIND = f"the kind of a group has at most {KIND_LENGTH_MAX} characters"
_CALENDAR = "the time must lie in the years 1 to 9999"
_FIRST, _LAST = -62_135_596_800_000_000, 253_402_300_799_999_999

PatternFault = Callable[[str], str | None]
"""What is wrong with an RE2 pattern, or ``None``. Whoever evaluates patterns knows."""


class RuleInvalid(InvalidArgument):
    """A rule that breaks the language. Metadata ``path`` says where, ``problem`` what is wrong."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"the rule is wrong at {path or 'its root'}: {problem}", path=path, problem=problem)


class RuleUnsupported(InvalidArgument):
    """A valid rule with a node that this service does not evaluate. Metadata ``path`` says where."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path} cannot be used here: {problem}", path=path, problem=problem)


_Types = tuple[type, ...]
_ANY_SCALAR: _Types = (str, float, bool, Instant)
_ORDERED: _Types = (str, float, Instant)
_NUMERIC = frozenset(
    {
        Operator.EQUALS,
        Operator.NOT_EQUALS,
        Operator.LESS_THAN,
        Operator.AT_MOST,
        Operator.GREATER_THAN,
        Operator.AT_LEAST,
        Operator.BETWEEN,
        Operator.ANY_OF,
        Operator.NOT_ANY_OF,
    }
)
_EQUALITY = frozenset({Operator.EQUALS, Operator.NOT_EQUALS, Operator.ANY_OF, Operator.NOT_ANY_OF})
_TYPES: dict[Operator, _Types] = {
    **dict.fromkeys(_EQUALITY, _ANY_SCALAR),
    **dict.fromkeys((Operator.LESS_THAN, Operator.AT_MOST, Operator.GREATER_THAN, Operator.AT_LEAST), _ORDERED),
    Operator.BETWEEN: _ORDERED,
    **dict.fromkeys((Operator.CONTAINS, Operator.NOT_CONTAINS), (str, float, bool)),
    **dict.fromkeys((Operator.STARTS_WITH, Operator.ENDS_WITH, Operator.MATCHES), (str,)),
    **dict.fromkeys((Operator.BEFORE, Operator.AFTER), (Instant,)),
    **dict.fromkeys((Operator.WITHIN_LAST, Operator.WITHIN_NEXT, Operator.BEFORE_LAST, Operator.AFTER_NEXT), (Span,)),
}
_WITHOUT_VALUE = frozenset({Operator.EXISTS, Operator.NOT_EXISTS, Operator.IS_TRUE, Operator.IS_FALSE})
_NAMES = {
    str: "text",
    float: "a number",
    bool: "a truth value",
    Instant: "a time",
    Span: "a duration",
    StepField: "a step's field",
}


def validate(rule: Rule, pattern_fault: PatternFault) -> None:
    """``RuleInvalid`` at the first node that breaks the language."""
    for count, node in enumerate(nodes(rule), 1):
        if count > NODES_MAX:
            raise RuleInvalid(node.path, f"a rule has at most {NODES_MAX:,} nodes")
        if node.depth > DEPTH_MAX:
            raise RuleInvalid(node.path, f"rules are nested at most {DEPTH_MAX} deep")
        _Check(node.path, pattern_fault).node(node.rule)


class _Check:
    """The checks of one node."""

    def __init__(self, path: str, pattern_fault: PatternFault) -> None:
        self._path, self._pattern_fault = path, pattern_fault

    def node(self, rule: Rule) -> None:
        match rule:
            case AllOf(rules) | AnyOf(rules):
                self._need(bool(rules), "rules", "at least one part is needed")
            case Comparison():
                self._comparison(rule, "", 0)
            case EventCondition():
                self._event(rule)
            case SequenceCondition():
                self._sequence(rule)
            case SegmentCondition(segment_id):
                self._need(bool(segment_id), "segment_id", "a segment is needed")
            case ConsentCondition(purpose):
                self._need(bool(purpose), "purpose", "a purpose is needed")
            case ScoreCondition(score, operator, values):
                self._need(bool(score), "score", "a score is needed, for example rfm.recency_score")
                self._scored(operator, values)
            case BucketCondition(_, start, end):
                self._need(0 <= start < end <= BUCKETS, "from", f"0 <= from < to <= {BUCKETS:,} is needed")
            case ListCondition(list_id):
                self._need(bool(list_id), "list_id", "a list is needed")
            case MembersCondition():
                self._members(rule)
            case GroupTraitCondition(kind, trait):
                self._need(len(kind) <= KIND_LENGTH_MAX, "kind", _KIND)
                self._comparison(trait, "trait.", 0)

    def _need(self, holds: bool, place: str, problem: str) -> None:
        if not holds:
            raise RuleInvalid(f"{self._path}.{place}", problem)

    def _comparison(self, comparison: Comparison, place: str, steps: int) -> None:
        named = bool(comparison.field) and all(comparison.field.split("."))
        self._need(named, f"{place}field", "a path is needed, parts with dots between")
        self._values(comparison.operator, comparison.values, place, steps)

    def _values(self, operator: Operator, values: Sequence[Value], place: str, steps: int) -> None:
        self._arity(operator, values, place)
        for index, value in enumerate(values):
            at = f"{place}values[{index}]"
            if isinstance(value, StepField):
                self._need(0 <= value.step < steps, at, "a step's field names an earlier step of the same sequence")
                self._need(bool(value.field), at, "a step's field names a property")
                continue
            types = _TYPES[operator]
            wanted = " or ".join(_NAMES[kind] for kind in types)
            self._need(type(value) in types, at, f"{operator.name} needs {wanted}, not {_NAMES[type(value)]}")
            self._need(not isinstance(value, float) or math.isfinite(value), at, "the number must be finite")
            self._need(not isinstance(value, Span) or value.micros >= 0, at, "the duration must not be negative")
            self._need(not isinstance(value, Instant) or _in_calendar(value.micros), at, _CALENDAR)
            if operator is Operator.MATCHES:
                self._pattern(str(value), at)
        self._need(len({type(value) for value in values}) <= 1, f"{place}values", "all values must be of one type")

    def _arity(self, operator: Operator, values: Sequence[Value], place: str) -> None:
        if operator in _WITHOUT_VALUE:
            self._need(not values, f"{place}values", f"{operator.name} takes no value")
        elif operator in (Operator.ANY_OF, Operator.NOT_ANY_OF):
            self._need(bool(values), f"{place}values", f"{operator.name} takes at least one value")
        else:
            count = 2 if operator is Operator.BETWEEN else 1
            self._need(len(values) == count, f"{place}values", f"{operator.name} takes {count}, not {len(values)}")

    def _pattern(self, pattern: str, place: str) -> None:
        self._need(len(pattern) <= PATTERN_LENGTH_MAX, place, f"patterns have at most {PATTERN_LENGTH_MAX} characters")
        fault = self._pattern_fault(pattern)
        self._need(fault is None, place, f"the pattern is not RE2: {fault}")

    def _numeric(self, operator: Operator, values: Sequence[Value]) -> None:
        self._need(operator in _NUMERIC, "operator", f"{operator.name} does not compare numbers")
        self._values(operator, values, "", 0)
        for index, value in enumerate(values):
            self._need(type(value) is float, f"values[{index}]", "the figure is a number")

    def _scored(self, operator: Operator, values: Sequence[Value]) -> None:
        """Most scores are numbers; some have names, of which one can only say that they are equal."""
        named = all(type(value) is str for value in values) and operator in _EQUALITY
        if values and named:
            self._values(operator, values, "", 0)
        else:
            self._numeric(operator, values)

    def _event(self, condition: EventCondition) -> None:
        self._need(bool(condition.event), "event", "the event's name is needed")
        self._where(condition.where, "", 0)
        self._window(condition.window)
        counts = condition.aggregate is Aggregate.COUNT
        self._need(counts != bool(condition.property), "property", "COUNT takes none, every other aggregate takes one")
        if condition.aggregate in (Aggregate.FIRST, Aggregate.LAST):
            self._values(condition.operator, condition.values, "", 0)
        else:
            self._numeric(condition.operator, condition.values)

    def _members(self, condition: MembersCondition) -> None:
        self._need(len(condition.kind) <= KIND_LENGTH_MAX, "kind", _KIND)
        counts, asked = condition.quantifier is Quantifier.COUNT, condition.rule
        self._need(counts or asked is not None, "rule", "what is asked of each member is needed, except by COUNT")
        if asked is not None:
            nested = next((node for node in nodes(asked) if isinstance(node.rule, MembersCondition)), None)
            self._need(nested is None, f"rule.{nested.path if nested else ''}", "members are not asked about members")
        if counts and condition.operator is not None:
            self._numeric(condition.operator, condition.values)
        else:
            self._need(condition.operator is None and not counts, "operator", "COUNT takes one, the others take none")
            self._need(not condition.values, "values", "only COUNT is compared with something")

    def _where(self, where: Sequence[Comparison], place: str, steps: int) -> None:
        for index, comparison in enumerate(where):
            self._comparison(comparison, f"{place}where[{index}].", steps)

    def _window(self, window: TimeWindow) -> None:
        for name, span in (("within", window.within), ("before", window.before)):
            self._need(span is None or span >= 0, f"window.{name}", "the duration must not be negative")
        if window.within is not None and window.before is not None:
            self._need(window.within > window.before, "window.within", "must be longer than before")
        for name, time in (("start_time", window.start), ("end_time", window.end)):
            self._need(time is None or _in_calendar(time), f"window.{name}", _CALENDAR)
        if window.start is not None and window.end is not None:
            self._need(window.start < window.end, "window.end_time", "must be later than start_time")

    def _sequence(self, sequence: SequenceCondition) -> None:
        self._need(len(sequence.steps) >= 2, "steps", "at least two steps are needed")
        self._window(sequence.window)
        for index, step in enumerate(sequence.steps):
            place = f"steps[{index}]."
            self._need(bool(step.event), f"{place}event", "the event's name is needed")
            self._need(index > 0 or not step.negated, f"{place}negated", "the first step must happen")
            self._need(index > 0 or step.within is None, f"{place}within", "the first step has none before it")
            self._need(step.within is None or step.within > 0, f"{place}within", "the duration must be positive")
            self._where(step.where, place, index)


def _in_calendar(micros: int) -> bool:
    return _FIRST <= micros <= _LAST
