"""Explain why one customer fulfils a rule or does not."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from services.common.clock import Clock, to_micros
from services.common.rules import MembersCondition, Rule, nodes
from services.segmentation.domain.explanation import (
    CustomerNotFound,
    Finding,
    NodeExplanation,
    decisive,
    explanation,
)
from services.segmentation.domain.segment import SegmentNotFound, check
from services.segmentation.ports import Analytics, Segments


@dataclass(frozen=True, slots=True)
class Explanation:
    """The nodes of a rule at a moment, the whole rule first."""

    nodes: Sequence[NodeExplanation]
    at: int


async def explain_membership(
    segments: Segments,
    analytics: Analytics,
    clock: Clock,
    tenant: str,
    customer_id: str,
    subject: Rule | str,
    at: int | None,
) -> Explanation:
    """Of a rule, or of the segment with an id; ``SegmentNotFound``, ``CustomerNotFound``, and what ``preview_segment``
    raises of a rule."""
    catalogue = await segments.catalogue(tenant)
    others = catalogue.rules
    if not isinstance(subject, str):
        check(subject, "", others, analytics.pattern_fault, catalogue.lists, catalogue.scores)
        rule = subject
    elif subject in others:
        rule = others[subject]
    else:
        raise SegmentNotFound(subject)
    moment = to_micros(clock()) if at is None else at
    return Explanation(await _explained(analytics, tenant, customer_id, rule, others, moment), moment)


async def _explained(
    analytics: Analytics, tenant: str, customer_id: str, rule: Rule, others: Mapping[str, Rule], at: int
) -> list[NodeExplanation]:
    """What is asked of members is explained of the one who decides."""
    deciding: dict[str, str] = {}
    subjects: dict[str, dict[str, Rule]] = {customer_id: {}}
    members: dict[str, str] = {}
    for node in nodes(rule):
        above = next((path for path in deciding if node.path.startswith(f"{path}.rule.")), None)
        subject = customer_id if above is None else deciding[above]
        if isinstance(node.rule, MembersCondition):
            looked_at = await analytics.looked_at(tenant, customer_id, node.rule, others, at)
            deciding[node.path] = members[node.path] = decisive(node.rule, looked_at)
        elif above is not None:
            members[node.path] = subject
        if subject:  # nobody is, where there are no members
            subjects.setdefault(subject, {})[node.path] = node.rule
    findings: dict[str, Finding] = {}
    for subject, parts in subjects.items():
        found = await analytics.explained(tenant, subject, parts, others, at)
        if found is None:
            raise CustomerNotFound(subject)
        findings |= found
    return explanation(rule, findings, members)
