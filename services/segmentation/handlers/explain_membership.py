"""Explain why one customer fulfils a rule or does not."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.common.clock import Clock, to_micros
from services.common.rules import Rule, nodes
from services.segmentation.domain.explanation import CustomerNotFound, NodeExplanation, explanation
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
    parts = {node.path: node.rule for node in nodes(rule)}
    findings = await analytics.explained(tenant, customer_id, parts, others, moment)
    if findings is None:
        raise CustomerNotFound(customer_id)
    return Explanation(explanation(rule, findings), moment)
