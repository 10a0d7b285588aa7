"""Check a rule against the tenant's segments without storing anything."""

from services.common.rules import Rule
from services.segmentation.domain.segment import check
from services.segmentation.ports import Analytics, Segments


async def check_rule(segments: Segments, analytics: Analytics, tenant: str, rule: Rule) -> Rule:
    """The rule; ``RuleInvalid``, ``RuleUnsupported``, ``SegmentNotFound``."""
    catalogue = await segments.catalogue(tenant)
    check(rule, "", catalogue.rules, analytics.pattern_fault, catalogue.lists)
    return rule
