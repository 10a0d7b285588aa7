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
    GroupTraitCondition,
    ListCondition,
    MembersCondition,
    Not,
    Operator,
    Quantifier,
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
    member: str = ""
    """Of a condition on members who decided, and of what is asked of them whose finding it is."""


def explanation(rule: Rule, findings: Mapping[str, Finding], members: Mapping[str, str]) -> list[NodeExplanation]:
    """Every node with its finding and the member whom it is about, which are known by path. What was asked of nobody
    is left out."""
    return [
        NodeExplanation(node.path, findings[node.path], *_test(node.rule), members.get(node.path, ""))
        for node in nodes(rule)
        if node.path in findings
    ]


def decisive(condition: MembersCondition, fulfilled: Mapping[str, bool]) -> str:
    """The member who decides: the first by id who fulfils what is asked, or with ALL who does not; where nobody does,
    the first of those who were looked at. Empty where there are none."""
    wanted = condition.quantifier is not Quantifier.ALL
    return min((who for who, truth in fulfilled.items() if truth is wanted), default=min(fulfilled, default=""))


def _test(rule: Rule) -> tuple[Operator | None, Sequence[Value]]:
    match rule:
        case AllOf() | AnyOf() | Not():
            return None, ()
        case Comparison() | EventCondition() | ScoreCondition() | MembersCondition():
            return rule.operator, rule.values
        case GroupTraitCondition(_, trait):
            return trait.operator, trait.values
        case BucketCondition(_, start, end):
            return Operator.BETWEEN, (float(start), float(end - 1))
        case SegmentCondition() | SequenceCondition() | ListCondition() | ConsentCondition():
            return Operator.IS_TRUE, ()
        case _:
            raise AssertionError(f"{rule} was refused when it was saved")
