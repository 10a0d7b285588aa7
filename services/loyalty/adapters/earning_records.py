"""The records of earning: their collections, and what their operations answer."""

from services.common.store import Collection, Index
from services.loyalty.domain.customer import CUSTOMERS, SEGMENTS
from services.loyalty.domain.earning_operations import EarnedByRules, Limits
from services.loyalty.domain.earning_rule import MEMBER_USAGE, PROGRAM_USAGE, RULE_BOOKS, RULE_VERSIONS, EarningRule
from services.loyalty.domain.running_check import RUNNING_CHECKS

EARNING_RECORDS = {
    collection.name: collection
    for collection in (
        Collection(RULE_BOOKS.name),
        Collection(RULE_VERSIONS.name, (Index(("program_id", "rule_id", "version")),)),
        Collection(PROGRAM_USAGE.name),
        Collection(MEMBER_USAGE.name),
        Collection(CUSTOMERS.name, (Index(("birthday",)),)),
        Collection(SEGMENTS.name),
        Collection(RUNNING_CHECKS.name),
    )
}
EARNING_ANSWERS: dict[str, type] = {
    "earning_rule": EarningRule,
    "earning_limits": Limits,
    "earned_by_rules": EarnedByRules,
}
