"""Rules as values: hashable, comparable, without a wire format. Times and spans are integers, microseconds.

Names and numbers are those of ``tessera/common/v1/rule.proto``, which says what everything means.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from typing import TypeAlias


class Operator(IntEnum):
    """How a field is compared."""

    EQUALS = 1
    NOT_EQUALS = 2
    LESS_THAN = 3
    AT_MOST = 4
    GREATER_THAN = 5
    AT_LEAST = 6
    BETWEEN = 7
    ANY_OF = 8
    NOT_ANY_OF = 9
    CONTAINS = 10
    NOT_CONTAINS = 11
    STARTS_WITH = 12
    ENDS_WITH = 13
    EXISTS = 14
    NOT_EXISTS = 15
    IS_TRUE = 16
    IS_FALSE = 17
    BEFORE = 18
    AFTER = 19
    WITHIN_LAST = 20
    WITHIN_NEXT = 21
    BEFORE_LAST = 22
    AFTER_NEXT = 23
    MATCHES = 24


POSITIVE = {
    Operator.NOT_EQUALS: Operator.EQUALS,
    Operator.NOT_ANY_OF: Operator.ANY_OF,
    Operator.NOT_CONTAINS: Operator.CONTAINS,
    Operator.NOT_EXISTS: Operator.EXISTS,
}
"""The operators that are true where a field is missing, each the exact negation of its positive."""


class Aggregate(IntEnum):
    """A figure over events."""

    COUNT = 1
    SUM = 2
    AVERAGE = 3
    MINIMUM = 4
    MAXIMUM = 5
    FIRST = 6
    LAST = 7
    DISTINCT_COUNT = 8


class Quantifier(IntEnum):
    """How many of some members it takes."""

    ANY = 1
    ALL = 2
    NONE = 3
    COUNT = 4


@dataclass(frozen=True, slots=True)
class Instant:
    """A moment."""

    micros: int


@dataclass(frozen=True, slots=True)
class Span:
    """A length of time, counted from the moment of evaluation."""

    micros: int


@dataclass(frozen=True, slots=True)
class StepField:
    """A field of an earlier step of the same sequence."""

    step: int
    field: str


Value: TypeAlias = str | float | bool | Instant | Span | StepField


def _floats(values: tuple[Value, ...]) -> tuple[Value, ...]:
    """Numbers as floats, as on the wire: an ``int`` is one too to whoever writes a rule."""
    return tuple(float(value) if type(value) is int else value for value in values)


@dataclass(frozen=True, slots=True)
class Comparison:
    """``field operator values``."""

    field: str
    operator: Operator
    values: tuple[Value, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", _floats(self.values))


@dataclass(frozen=True, slots=True)
class TimeWindow:
    """When an event must have happened; ``None`` leaves an end open."""

    within: int | None = None
    before: int | None = None
    start: int | None = None
    end: int | None = None


ALL_TIME = TimeWindow()


@dataclass(frozen=True, slots=True)
class EventCondition:
    """A figure over the events of one name, compared."""

    event: str
    aggregate: Aggregate
    operator: Operator
    values: tuple[Value, ...]
    property: str = ""
    where: tuple[Comparison, ...] = ()
    window: TimeWindow = ALL_TIME

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", _floats(self.values))


@dataclass(frozen=True, slots=True)
class SequenceStep:
    """One step of a sequence."""

    event: str
    where: tuple[Comparison, ...] = ()
    within: int | None = None
    negated: bool = False


@dataclass(frozen=True, slots=True)
class SequenceCondition:
    """Events in strict order of time."""

    steps: tuple[SequenceStep, ...]
    window: TimeWindow = ALL_TIME


@dataclass(frozen=True, slots=True)
class SegmentCondition:
    """Membership of another segment."""

    segment_id: str


@dataclass(frozen=True, slots=True)
class ConsentCondition:
    """Consent at the moment of evaluation."""

    purpose: str
    channel: str
    granted: bool


@dataclass(frozen=True, slots=True)
class ScoreCondition:
    """A figure that a service predicted or scored for the subject."""

    score: str
    operator: Operator
    values: tuple[Value, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", _floats(self.values))


@dataclass(frozen=True, slots=True)
class BucketCondition:
    """A stable part of all subjects: those whose bucket lies in [start, end)."""

    salt: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class ListCondition:
    """Membership of a list that was uploaded."""

    list_id: str


@dataclass(frozen=True, slots=True)
class MembersCondition:
    """What holds of the members of the subject's groups of a kind (empty: any); only COUNT has operator and values."""

    kind: str
    quantifier: Quantifier
    rule: "Rule | None" = None
    others_only: bool = False
    operator: Operator | None = None
    values: tuple[Value, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", _floats(self.values))


@dataclass(frozen=True, slots=True)
class GroupTraitCondition:
    """A trait of one of the subject's groups of a kind (empty: any), compared."""

    kind: str
    trait: Comparison


@dataclass(frozen=True, slots=True)
class AllOf:
    """True if every part is."""

    rules: tuple["Rule", ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """True if some part is."""

    rules: tuple["Rule", ...]


@dataclass(frozen=True, slots=True)
class Not:
    """True if the rule is false."""

    rule: "Rule"


Rule: TypeAlias = (
    AllOf
    | AnyOf
    | Not
    | Comparison
    | EventCondition
    | SequenceCondition
    | SegmentCondition
    | ConsentCondition
    | ScoreCondition
    | BucketCondition
    | ListCondition
    | MembersCondition
    | GroupTraitCondition
)

MEMBERS: dict[type, str] = {
    AllOf: "all_of",
    AnyOf: "any_of",
    Not: "not",
    Comparison: "field",
    EventCondition: "event",
    SequenceCondition: "sequence",
    SegmentCondition: "segment",
    ConsentCondition: "consent",
    ScoreCondition: "score",
    BucketCondition: "bucket",
    ListCondition: "list",
    MembersCondition: "members",
    GroupTraitCondition: "group",
}
"""The member of ``Rule.node`` that holds each kind: what paths are made of."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node of a rule: where it is, for example ``all_of.rules[1].event``, and how deep (1: the rule itself)."""

    path: str
    depth: int
    rule: Rule


def nodes(rule: Rule) -> Iterator[Node]:
    """Every node, each before its parts, in order. Iterative: a deep rule exhausts no stack."""
    waiting = [Node(MEMBERS[type(rule)], 1, rule)]
    while waiting:
        node = waiting.pop()
        yield node
        parts = [
            Node(f"{node.path}{place}.{MEMBERS[type(part)]}", node.depth + 1, part) for place, part in _parts(node)
        ]
        waiting.extend(reversed(parts))


def _parts(node: Node) -> list[tuple[str, Rule]]:
    match node.rule:
        case AllOf(rules) | AnyOf(rules):
            return [(f".rules[{index}]", part) for index, part in enumerate(rules)]
        case Not(rule):
            return [("", rule)]
        case MembersCondition(rule=asked) if asked is not None:
            return [(".rule", asked)]
        case _:
            return []
