"""Segments: named rules over customers that may refer to each other."""

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass

from services.common.errors import Conflict, FailedPrecondition, NotFound
from services.common.rules import (
    ListCondition,
    MembersCondition,
    PatternFault,
    Rule,
    RuleInvalid,
    RuleUnsupported,
    ScoreCondition,
    SegmentCondition,
    nodes,
    validate,
)
from services.segmentation.domain.customer_list import CustomerListNotFound
from services.segmentation.domain.supported import refuse_unsupported

MEMBERS_CONDITIONS_MAX = 20
"""How often one segment asks about members: an explanation looks at the members of each."""


class SegmentNotFound(NotFound):
    """No segment of this tenant has the id. Metadata ``segment_id``."""

    def __init__(self, segment_id: str) -> None:
        super().__init__(f"there is no segment {segment_id}", segment_id=segment_id)


class SegmentInUse(FailedPrecondition):
    """Another segment's rule names the segment. Metadata ``used_by`` names one."""


class SegmentChanged(Conflict):
    """The segment is not at the version that was to be replaced. Metadata ``version`` is the one it is at."""


@dataclass(frozen=True, slots=True)
class Segment:
    """A named rule; times are microseconds."""

    segment_id: str
    name: str
    description: str
    rule: Rule
    version: int
    create_time: int
    update_time: int


def references(rule: Rule) -> Iterator[tuple[str, str]]:
    """The segments that ``rule`` names, each with the path of the node."""
    for node in nodes(rule):
        if isinstance(node.rule, SegmentCondition):
            yield node.path, node.rule.segment_id


def check(
    rule: Rule,
    segment_id: str,
    others: Mapping[str, Rule],
    pattern_fault: PatternFault,
    lists: Container[str] = (),
    scores: Container[str] = (),
) -> None:
    """Refuse a rule that ``segment_id`` cannot have beside ``others`` (the tenant's segments by id), ``lists`` and the
    ``scores`` of clusters and lookalikes.

    In this order: ``RuleInvalid``, ``RuleUnsupported``, ``CustomerListNotFound``, ``SegmentNotFound``, and
    ``RuleInvalid`` for a cycle.
    """
    validate(rule, pattern_fault)
    for node in nodes(rule):
        refuse_unsupported(node, scores)
        if isinstance(node.rule, ListCondition) and node.rule.list_id not in lists:
            raise CustomerListNotFound(node.rule.list_id)
    for path, named in references(rule):
        if named != segment_id and named not in others:
            raise SegmentNotFound(named)
        if segment_id in reachable(named, others) | {named}:
            raise RuleInvalid(path, f"segment {named} depends on this one: segments cannot form a cycle")
    _check_members(rule, segment_id, others)


def _check_members(rule: Rule, segment_id: str, others: Mapping[str, Rule]) -> None:
    """Refuse that members are asked about the members of their groups by way of a segment, or too often."""
    rules = {**others, segment_id: rule}
    asking = {key for key, each in rules.items() if asks_members(each)}
    own = [node for node in nodes(rule) if isinstance(node.rule, MembersCondition)]
    if len(own) > MEMBERS_CONDITIONS_MAX:
        path = own[MEMBERS_CONDITIONS_MAX].path
        raise RuleUnsupported(path, f"a segment asks about members at most {MEMBERS_CONDITIONS_MAX} times")
    for path, named in _asked_of_members(rule):
        if asking & {named, *reachable(named, rules)}:
            raise RuleInvalid(path, f"segment {named} asks about members: members are not asked about members")
    indirect = {key for key in others if segment_id in reachable(key, rules)}
    for other, each in others.items():
        for _, named in _asked_of_members(each):
            if named in {segment_id, *indirect} and asking & {segment_id, *reachable(segment_id, rules)}:
                problem = f"segment {other} asks members about this one: members are not asked about members"
                raise RuleInvalid(next(nodes(rule)).path, problem)


def asks_members(rule: Rule) -> bool:
    """Whether it depends on what others are and do who are in a group with the customer."""
    return any(isinstance(node.rule, MembersCondition) for node in nodes(rule))


def _asked_of_members(rule: Rule) -> Iterator[tuple[str, str]]:
    """The segments that members are asked about, each with its path."""
    for node in nodes(rule):
        if isinstance(node.rule, MembersCondition) and node.rule.rule is not None:
            yield from ((f"{node.path}.rule.{path}", named) for path, named in references(node.rule.rule))


def reachable(segment_id: str, rules: Mapping[str, Rule]) -> set[str]:
    """The segments on which ``segment_id`` depends, however indirectly."""
    found: set[str] = set()
    waiting = [segment_id]
    while waiting:
        rule = rules.get(waiting.pop())
        new = {named for _, named in references(rule)} - found if rule is not None else set()
        found |= new
        waiting.extend(new)
    return found


def dependants(segment_id: str, rules: Mapping[str, Rule]) -> set[str]:
    """The segments that depend on ``segment_id``, however indirectly."""
    return {other for other in rules if segment_id in reachable(other, rules)}


def users(segment_id: str, rules: Mapping[str, Rule]) -> list[str]:
    """The segments whose own rule names ``segment_id``."""
    return sorted(other for other, rule in rules.items() if any(named == segment_id for _, named in references(rule)))


def grouped(rules: Mapping[str, Rule]) -> set[str]:
    """The segments that depend on what others do who are in a group with the customer."""
    own = {key for key, rule in rules.items() if asks_members(rule)}
    return own.union(*(dependants(segment_id, rules) for segment_id in own))


def scored(rules: Mapping[str, Rule]) -> set[str]:
    """The segments that depend on scores, which what other customers do can change."""
    own = {key for key, rule in rules.items() if any(isinstance(node.rule, ScoreCondition) for node in nodes(rule))}
    return own.union(*(dependants(segment_id, rules) for segment_id in own))


def users_of_list(list_id: str, rules: Mapping[str, Rule]) -> list[str]:
    """The segments whose own rule names the list."""
    wanted = ListCondition(list_id)
    return sorted(other for other, rule in rules.items() if any(node.rule == wanted for node in nodes(rule)))
