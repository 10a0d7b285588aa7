"""The rule language: faults are found with their paths, and the wire form says the same."""

from collections import Counter
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tessera.common.v1 import rule_pb2 as pb

from services.common.rules import (
    Aggregate,
    AllOf,
    AnyOf,
    BucketCondition,
    Comparison,
    ConsentCondition,
    EventCondition,
    GroupTraitCondition,
    Instant,
    ListCondition,
    MembersCondition,
    Not,
    Operator,
    Quantifier,
    Rule,
    RuleInvalid,
    ScoreCondition,
    SegmentCondition,
    SequenceCondition,
    SequenceStep,
    Span,
    StepField,
    TimeWindow,
    bucket,
    nodes,
    validate,
    wire,
)
from services.common.rules.bucket import fnv1a

CITY = Comparison("city", Operator.EQUALS, ("Rome",))

texts = st.text(min_size=1, max_size=5)
micros = st.integers(0, 4_000_000_000_000_000)
values = st.one_of(
    texts,
    st.floats(allow_nan=False),
    st.booleans(),
    micros.map(Instant),
    st.integers(-(10**12), 10**12).map(Span),
    st.builds(StepField, st.integers(0, 3), texts),
)
operators = st.sampled_from(Operator)
many = st.lists(values, max_size=3).map(tuple)
comparisons = st.builds(Comparison, texts, operators, many)
wheres = st.lists(comparisons, max_size=2).map(tuple)
windows = st.builds(TimeWindow, st.none() | micros, st.none() | micros, st.none() | micros, st.none() | micros)
leaves: st.SearchStrategy[Rule] = st.one_of(
    comparisons,
    st.builds(EventCondition, texts, st.sampled_from(Aggregate), operators, many, st.text(), wheres, windows),
    st.builds(
        SequenceCondition,
        st.lists(st.builds(SequenceStep, texts, wheres, st.none() | micros, st.booleans()), max_size=3).map(tuple),
        windows,
    ),
    st.builds(SegmentCondition, texts),
    st.builds(ConsentCondition, texts, st.text(), st.booleans()),
    st.builds(ScoreCondition, texts, operators, many),
    st.builds(BucketCondition, st.text(), st.integers(0, 9_999), st.integers(1, 10_000)),
    st.builds(ListCondition, texts),
    st.builds(GroupTraitCondition, st.text(), comparisons),
    st.builds(MembersCondition, st.text(), st.just(Quantifier.COUNT), st.none(), st.booleans(), operators, many),
)
rules = st.recursive(
    leaves,
    lambda rule: st.one_of(
        st.lists(rule, max_size=3).map(lambda parts: AllOf(tuple(parts))),
        st.lists(rule, max_size=3).map(lambda parts: AnyOf(tuple(parts))),
        rule.map(Not),
        st.builds(MembersCondition, st.text(), st.sampled_from(Quantifier), rule, st.booleans(), operators, many),
    ),
)


@settings(deadline=None)
@given(rules)
def test_a_rule_survives_the_wire(rule: Rule) -> None:
    assert wire.read(pb.Rule.FromString(wire.write(rule).SerializeToString())) == rule


def event(**changed: Any) -> EventCondition:
    fields = {"event": "Viewed", "aggregate": Aggregate.COUNT, "operator": Operator.AT_LEAST, "values": (1.0,)}
    return EventCondition(**{**fields, **changed})


def steps(*given: SequenceStep) -> SequenceCondition:
    return SequenceCondition(given)


def deep(levels: int) -> Rule:
    rule: Rule = CITY
    for _ in range(levels):
        rule = Not(rule)
    return rule


FAULTS: list[tuple[Rule, str, str]] = [
    (AllOf(()), "all_of.rules", "at least one part"),
    (AnyOf((CITY, Not(AnyOf(())))), "any_of.rules[1].not.any_of.rules", "at least one part"),
    (Comparison("", Operator.EXISTS), "field.field", "a path is needed"),
    (Comparison("a..b", Operator.EXISTS), "field.field", "a path is needed"),
    (Comparison("a", Operator.EXISTS, ("x",)), "field.values", "takes no value"),
    (Comparison("a", Operator.EQUALS), "field.values", "takes 1, not 0"),
    (Comparison("a", Operator.BETWEEN, (1.0,)), "field.values", "takes 2, not 1"),
    (Comparison("a", Operator.ANY_OF), "field.values", "at least one value"),
    (Comparison("a", Operator.ANY_OF, (1.0, "x")), "field.values", "of one type"),
    (Comparison("a", Operator.STARTS_WITH, (1.0,)), "field.values[0]", "needs text, not a number"),
    (Comparison("a", Operator.BEFORE, ("x",)), "field.values[0]", "needs a time, not text"),
    (Comparison("a", Operator.WITHIN_LAST, (Span(-1),)), "field.values[0]", "not be negative"),
    (Comparison("a", Operator.EQUALS, (float("nan"),)), "field.values[0]", "finite"),
    (Comparison("a", Operator.EQUALS, (StepField(0, "x"),)), "field.values[0]", "earlier step"),
    (Comparison("a", Operator.MATCHES, ("(",)), "field.values[0]", "not RE2: unbalanced"),
    (event(event=""), "event.event", "name is needed"),
    (event(property="total"), "event.property", "COUNT takes none"),
    (event(aggregate=Aggregate.SUM), "event.property", "every other aggregate takes one"),
    (event(operator=Operator.CONTAINS), "event.operator", "does not compare numbers"),
    (event(values=("x",)), "event.values[0]", "the figure is a number"),
    (event(where=(CITY, Comparison("a", Operator.EQUALS))), "event.where[1].values", "takes 1"),
    (event(window=TimeWindow(within=-1)), "event.window.within", "not be negative"),
    (event(window=TimeWindow(within=5, before=5)), "event.window.within", "longer than before"),
    (event(window=TimeWindow(start=5, end=5)), "event.window.end_time", "later than start_time"),
    (steps(SequenceStep("a")), "sequence.steps", "two steps"),
    (steps(SequenceStep("a", negated=True), SequenceStep("b")), "sequence.steps[0].negated", "must happen"),
    (steps(SequenceStep("a", within=1), SequenceStep("b")), "sequence.steps[0].within", "none before it"),
    (steps(SequenceStep("a"), SequenceStep("")), "sequence.steps[1].event", "name is needed"),
    (
        steps(SequenceStep("a"), SequenceStep("b", (Comparison("x", Operator.EQUALS, (StepField(1, "x"),)),))),
        "sequence.steps[1].where[0].values[0]",
        "earlier step",
    ),
    (SegmentCondition(""), "segment.segment_id", "a segment is needed"),
    (ConsentCondition("", "email", True), "consent.purpose", "a purpose"),
    (ScoreCondition("", Operator.AT_LEAST, (1.0,)), "score.score", "a score"),
    (BucketCondition("s", 5, 5), "bucket.from", "from < to"),
    (BucketCondition("s", 0, 10_001), "bucket.from", "from < to"),
    (ListCondition(""), "list.list_id", "a list is needed"),
    (MembersCondition("household", Quantifier.ANY), "members.rule", "what is asked of each member"),
    (MembersCondition("k" * 201, Quantifier.ANY, CITY), "members.kind", "at most 200"),
    (MembersCondition("", Quantifier.ANY, ListCondition("")), "members.rule.list.list_id", "a list is needed"),
    (MembersCondition("", Quantifier.NONE, CITY, operator=Operator.EQUALS), "members.operator", "COUNT takes one"),
    (MembersCondition("", Quantifier.ALL, CITY, values=(1.0,)), "members.values", "only COUNT"),
    (MembersCondition("", Quantifier.COUNT, CITY), "members.operator", "COUNT takes one"),
    (MembersCondition("", Quantifier.COUNT, None, False, Operator.CONTAINS, ("a",)), "members.operator", "numbers"),
    (MembersCondition("", Quantifier.COUNT, None, False, Operator.AT_LEAST, ("a",)), "members.values[0]", "a number"),
    (
        MembersCondition("", Quantifier.ANY, Not(AllOf((CITY, MembersCondition("", Quantifier.ANY, CITY))))),
        "members.rule.not.all_of.rules[1].members",
        "not asked about members",
    ),
    (GroupTraitCondition("k" * 201, CITY), "group.kind", "at most 200"),
    (GroupTraitCondition("", Comparison("", Operator.EXISTS)), "group.trait.field", "a path is needed"),
    (GroupTraitCondition("", Comparison("a", Operator.EQUALS)), "group.trait.values", "takes 1, not 0"),
    (deep(32), "not" + ".not" * 31 + ".field", "nested at most 32 deep"),
    (AllOf((CITY,) * 1000), "all_of.rules[999].field", "at most 1,000 nodes"),
]


@pytest.mark.parametrize(("rule", "path", "problem"), FAULTS, ids=[f"{path}: {problem}" for _, path, problem in FAULTS])
def test_a_fault_is_told_with_its_path(rule: Rule, path: str, problem: str) -> None:
    with pytest.raises(RuleInvalid, match=problem) as fault:
        validate(rule, lambda pattern: "unbalanced parenthesis" if "(" in pattern else None)
    assert fault.value.metadata["path"] == path
    assert fault.value.reason == "RULE_INVALID"


@pytest.mark.parametrize("rule", [deep(31), AllOf((CITY,) * 999), event(), event(window=TimeWindow(2, 1, 1, 2))])
def test_a_rule_at_its_limits_is_valid(rule: Rule) -> None:
    validate(rule, lambda pattern: None)


@pytest.mark.parametrize(
    ("message", "path"),
    [
        (pb.Rule(), ""),
        (pb.Rule(all_of=pb.AllOf(rules=[wire.write(CITY), pb.Rule()])), "all_of.rules[1]"),
        (pb.Rule(field=pb.Comparison(field="a")), "field.operator"),
        (pb.Rule(field=pb.Comparison(field="a", operator=pb.OPERATOR_EQUALS, values=[pb.Value()])), "field.values[0]"),
        (pb.Rule(event=pb.EventCondition(event="a", operator=pb.OPERATOR_EQUALS)), "event.aggregate"),
        (pb.Rule(members=pb.MembersCondition(rule=wire.write(CITY))), "members.quantifier"),
        (
            pb.Rule(members=pb.MembersCondition(quantifier=pb.QUANTIFIER_ANY, rule=pb.Rule(event=pb.EventCondition()))),
            "members.rule.event.aggregate",
        ),
        (pb.Rule(members=pb.MembersCondition(quantifier=pb.QUANTIFIER_COUNT)), "members.operator"),
        (pb.Rule(group=pb.GroupTraitCondition()), "group.trait.operator"),
    ],
)
def test_what_a_message_leaves_out_is_told_with_its_path(message: pb.Rule, path: str) -> None:
    with pytest.raises(RuleInvalid) as fault:
        wire.read(message)
    assert fault.value.metadata["path"] == path


def test_a_message_that_is_nested_too_deep_is_refused_before_it_is_read() -> None:
    with pytest.raises(RuleInvalid, match="nested at most 32 deep"):
        wire.read(wire.write(deep(40)))


def test_nodes_come_before_their_parts_in_order() -> None:
    rule = AllOf((AnyOf((CITY, Not(event()))), CITY))
    assert [node.path for node in nodes(rule)] == [
        "all_of",
        "all_of.rules[0].any_of",
        "all_of.rules[0].any_of.rules[0].field",
        "all_of.rules[0].any_of.rules[1].not",
        "all_of.rules[0].any_of.rules[1].not.event",
        "all_of.rules[1].field",
    ]


def test_buckets_are_stable_even_and_of_each_salt_their_own() -> None:
    ids = [f"{number:032x}" for number in range(20_000)]
    tenths = Counter(bucket("a", name) // 1000 for name in ids)
    assert set(tenths) == set(range(10))
    assert all(1_800 < count < 2_200 for count in tenths.values())
    both = sum(bucket("a", name) < 5_000 and bucket("b", name) < 5_000 for name in ids)
    assert 4_700 < both < 5_300
    assert (bucket("a", "x"), bucket("b", "x"), bucket("", "ü")) == (6778, 6090, 961), "they never move"


def test_the_hash_is_the_published_one() -> None:
    assert (fnv1a(b""), fnv1a(b"a"), fnv1a(b"foobar")) == (0x811C9DC5, 0xE40C292C, 0xBF9CF968)
