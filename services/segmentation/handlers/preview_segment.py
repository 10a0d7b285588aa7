"""Evaluate a rule without storing anything."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.common.clock import Clock, to_micros
from services.common.rules import Rule, nodes
from services.segmentation.domain.segment import check
from services.segmentation.ports import Analytics, Segments


@dataclass(frozen=True, slots=True)
class Preview:
    """Who would be in a segment; ``nodes`` are paths with counts, the whole rule first."""

    size: int
    customer_count: int
    sample: Sequence[str]
    nodes: Sequence[tuple[str, int]]


async def preview_segment(
    segments: Segments, analytics: Analytics, clock: Clock, tenant: str, rule: Rule, sample_size: int, at: int | None
) -> Preview:
    """The figures at ``at`` (now, if ``None``); ``RuleInvalid``, ``RuleUnsupported``, ``SegmentNotFound``."""
    catalogue = await segments.catalogue(tenant)
    others = catalogue.rules
    check(rule, "", others, analytics.pattern_fault, catalogue.lists, catalogue.scores)
    parts = {node.path: node.rule for node in nodes(rule)}
    moment = to_micros(clock()) if at is None else at
    sizes = await analytics.sizes(tenant, parts, others, moment, sample_size)
    counts = list(sizes.counts.items())
    return Preview(counts[0][1], sizes.customer_count, sizes.sample, counts)
