"""Check a rule against the tenant's segments without storing anything."""

from services.common.rules import Rule
from services.segmentation.domain.segment import check
from services.segmentation.ports import Analytics, Segments


async def check_rule(segments: Segments, analytics: Analytics, tenant: str, rule: Rule) -> Rule:
    """The rule; ``RuleInvalid``, ``RuleUnsupported``, ``SegmentNotFound``."""
    check(rule, "", (await segments.catalogue(tenant)).rules, analytics.pattern_fault)
    return rule
