"""Why a customer fulfils a rule: the truth of every node as the reference has it, and what was found."""

from dataclasses import replace

import pytest

from services.common.rules import Aggregate, AllOf, BucketCondition, Comparison, Not, Operator, Rule, bucket, nodes
from services.segmentation.adapters.analytics import ColumnarAnalytics
from services.segmentation.adapters.tables import Observed
from services.segmentation.domain.explanation import Finding, explanation
from tests.segmentation import reference
from tests.segmentation.histories import CUSTOMERS, DAY, NOW
from tests.segmentation.test_expressions import HISTORY, RULES, bought

FOUND: dict[str, tuple[Rule, list[object]]] = {
    "count": (bought(Aggregate.COUNT, Operator.AT_LEAST, 3.0), [2.0]),
    "count of none": (replace(bought(Aggregate.COUNT, Operator.EQUALS, 0.0), event="Viewed"), [0.0]),
    "sum": (bought(Aggregate.SUM, Operator.AT_LEAST, 500.0, property="total"), [100.0]),
    "average": (bought(Aggregate.AVERAGE, Operator.AT_LEAST, 500.0, property="total"), [50.0]),
    "average of none": (bought(Aggregate.AVERAGE, Operator.AT_LEAST, 500.0, property="missing"), []),
    "last": (bought(Aggregate.LAST, Operator.EQUALS, "s1", property="store"), ["s2"]),
    "first": (bought(Aggregate.FIRST, Operator.EQUALS, "A", property="products.category"), ["A", "B"]),
    "distinct": (bought(Aggregate.DISTINCT_COUNT, Operator.EQUALS, 2.0, property="store"), [2.0]),
    "trait": (Comparison("city", Operator.EQUALS, ("Rome",)), ["Graz"]),
    "truth": (Comparison("vip", Operator.IS_FALSE), [True]),
    "list": (Comparison("tags", Operator.CONTAINS, ("z",)), ["a", "b"]),
    "within": (Comparison("nested.city", Operator.EXISTS), ["Oslo"]),
    "forgotten": (Comparison("age", Operator.EXISTS), []),
    "bucket": (BucketCondition("salt", 0, 1), [float(bucket("salt", "c1"))]),
}


async def test_what_was_found_is_told_on_both_engines(engine: ColumnarAnalytics) -> None:
    await engine.append([replace(event, tenant="found") for event in HISTORY], "found")
    asked = {name: rule for name, (rule, _) in FOUND.items()}
    findings = await engine.explained("found", "c1", asked, RULES, NOW)
    assert findings is not None
    assert {name: list(findings[name].found) for name in asked} == {name: found for name, (_, found) in FOUND.items()}


@pytest.mark.parametrize("at", [NOW, NOW - 5 * DAY])
async def test_the_truth_of_every_rule_is_that_of_the_reference(engine: ColumnarAnalytics, at: int) -> None:
    tenant = f"truth {at}"
    await engine.append([replace(event, tenant=tenant) for event in HISTORY], tenant)
    for customer in CUSTOMERS:
        findings = await engine.explained(tenant, customer, RULES, RULES, at)
        expected = {name for name in RULES if customer in reference.members(RULES, name, HISTORY, at)}
        assert {name for name, it in (findings or {}).items() if it.fulfilled} == expected


async def test_a_customer_of_another_tenant_or_of_later_is_not_there(engine: ColumnarAnalytics) -> None:
    later = Observed("here", "c1", "m1", 2, "Viewed", NOW + 1, {})
    await engine.append([later, replace(later, tenant="there", time=NOW)], "cursor")
    assert await engine.explained("here", "c1", RULES, RULES, NOW) is None
    assert await engine.explained("here", "c2", RULES, RULES, NOW + 1) is None


def test_leaves_tell_what_they_were_compared_with_and_groups_do_not() -> None:
    rule = AllOf((Not(BucketCondition("", 10, 20)), Comparison("city", Operator.ANY_OF, ("Rome", "Graz"))))
    told = explanation(rule, {node.path: Finding(True) for node in nodes(rule)}, {})
    assert [(it.path, it.operator, tuple(it.expected)) for it in told] == [
        ("all_of", None, ()),
        ("all_of.rules[0].not", None, ()),
        ("all_of.rules[0].not.bucket", Operator.BETWEEN, (10.0, 19.0)),
        ("all_of.rules[1].field", Operator.ANY_OF, ("Rome", "Graz")),
    ]
