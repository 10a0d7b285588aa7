"""What a segment's rule may be beside the others."""

import pytest

from services.common.rules import (
    AllOf,
    BucketCondition,
    Comparison,
    ListCondition,
    Not,
    Operator,
    Rule,
    RuleInvalid,
    ScoreCondition,
    SegmentCondition,
)
from services.segmentation.domain.customer_list import CustomerListNotFound
from services.segmentation.domain.segment import SegmentNotFound, check, dependants, reachable, scored, users

ANY = BucketCondition("", 0, 10_000)
CHAIN: dict[str, Rule] = {"a": Not(SegmentCondition("b")), "b": AllOf((ANY, SegmentCondition("c"))), "c": ANY}


def checked(rule: Rule, segment_id: str = "new") -> None:
    check(rule, segment_id, CHAIN, lambda pattern: None)


def test_segments_may_name_each_other() -> None:
    checked(AllOf((SegmentCondition("a"), SegmentCondition("c"))))
    checked(SegmentCondition("c"), "b")


@pytest.mark.parametrize(("segment_id", "named"), [("c", "a"), ("c", "b"), ("b", "a"), ("a", "a")])
def test_a_cycle_is_refused_with_the_path_that_closes_it(segment_id: str, named: str) -> None:
    with pytest.raises(RuleInvalid, match="cannot form a cycle") as cycle:
        checked(AllOf((ANY, Not(SegmentCondition(named)))), segment_id)
    assert cycle.value.metadata["path"] == "all_of.rules[1].not.segment"


def test_a_segment_that_does_not_exist_cannot_be_named() -> None:
    with pytest.raises(SegmentNotFound, match="no segment other"):
        checked(SegmentCondition("other"))


def test_a_list_that_does_not_exist_cannot_be_named() -> None:
    with pytest.raises(CustomerListNotFound, match="no list vips"):
        checked(AllOf((ANY, ListCondition("vips"))))
    check(ListCondition("vips"), "", {}, lambda pattern: None, {"vips"})


def test_a_score_that_does_not_exist_is_refused_with_those_that_do() -> None:
    checked(ScoreCondition("rfm.cell", Operator.EQUALS, (555.0,)))
    with pytest.raises(RuleInvalid, match=r"no score is called rfm.recency; there are rfm.recency_days, ") as refused:
        checked(Not(ScoreCondition("rfm.recency", Operator.AT_LEAST, (3.0,))))
    assert refused.value.metadata["path"] == "not.score.score"


def test_segments_that_name_one_with_a_score_depend_on_scores_too() -> None:
    champions = ScoreCondition("rfm.cell", Operator.EQUALS, (555.0,))
    rules: dict[str, Rule] = {"a": SegmentCondition("b"), "b": Not(champions), "c": SegmentCondition("d"), "d": ANY}
    assert scored(rules) == {"a", "b"}
    assert scored({"d": ANY}) == set()


def test_an_invalid_rule_is_told_before_an_unsupported_one() -> None:
    with pytest.raises(RuleInvalid):
        checked(AllOf((ListCondition("vips"), Comparison("", Operator.EXISTS))))


def test_dependencies_are_followed_however_indirect() -> None:
    assert reachable("a", CHAIN) == {"b", "c"}
    assert dependants("c", CHAIN) == {"a", "b"}
    assert users("c", CHAIN) == ["b"]
