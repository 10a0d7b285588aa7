"""Why a customer fulfils a rule or does not: the truth of every node, and what was found at its leaves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from services.common.errors import InvalidArgument, NotFound
from services.common.rules import (
    AllOf,
    AnyOf,
    BucketCondition,
    Comparison,
    ConsentCondition,
    EventCondition,
    ListCondition,
    Not,
    Operator,
    Rule,
    ScoreCondition,
    SegmentCondition,
    SequenceCondition,
    Value,
    nodes,
)

Scalar: TypeAlias = str | float | bool


class CustomerNotFound(NotFound):
    """The customer has no event up to the moment. Metadata ``customer_id``."""

    def __init__(self, customer_id: str) -> None:
        super().__init__(f"customer {customer_id} has no event up to this moment", customer_id=customer_id)


class SubjectMissing(InvalidArgument):
    """Neither a segment nor a rule was named."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Whether a rule is true of a customer, and what was found if it is a leaf."""

    fulfilled: bool
    found: Sequence[Scalar] = ()


@dataclass(frozen=True, slots=True)
class NodeExplanation:
    """One node; no operator where it has parts."""

    path: str
    finding: Finding
    operator: Operator | None
    expected: Sequence[Value]


def explanation(rule: Rule, findings: Mapping[str, Finding]) -> list[NodeExplanation]:
    """Every node with its finding, which is known by path."""
    return [NodeExplanation(node.path, findings[node.path], *_test(node.rule)) for node in nodes(rule)]


def _test(rule: Rule) -> tuple[Operator | None, Sequence[Value]]:
    match rule:
        case AllOf() | AnyOf() | Not():
            return None, ()
        case Comparison() | EventCondition() | ScoreCondition():
            return rule.operator, rule.values
        case BucketCondition(_, start, end):
            return Operator.BETWEEN, (float(start), float(end - 1))
        case SegmentCondition() | SequenceCondition() | ListCondition() | ConsentCondition():
            return Operator.IS_TRUE, ()
        case _:
            raise AssertionError(f"{rule} was refused when it was saved")
