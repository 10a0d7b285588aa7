"""Rules as text: each form becomes the other, and what is wrong is told with its line and column."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

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
    ScoreCondition,
    SegmentCondition,
    SequenceCondition,
    SequenceStep,
    Span,
    StepField,
    TimeWindow,
)
from services.common.rules.text import RuleTextInvalid, parse, write
from tests.segmentation import histories
from tests.segmentation.histories import DAY, NOW, comparisons, event_conditions, sequences

names = st.text(min_size=1, max_size=20).filter(lambda text: all(c < "\ud800" or c > "\udfff" for c in text))
paths = st.lists(
    st.sampled_from(["city", "in", "true", "first name", "ü", "_x1", '"', "9", "events"]), min_size=1, max_size=3
)
fields = st.builds(lambda test, path: Comparison(".".join(path), *test), histories.tests(), paths)
micros = st.integers(-(10**12), 4 * 10**15)
windows = st.builds(TimeWindow, *[st.none() | st.integers(0, 10**13)] * 2, *[st.none() | micros] * 2)
scores = st.builds(
    ScoreCondition, names, st.just(Operator.AT_LEAST), st.tuples(st.floats(allow_nan=False, allow_infinity=False))
)
leaves: st.SearchStrategy[Rule] = st.one_of(
    comparisons(),
    fields,
    event_conditions(),
    sequences(),
    scores,
    st.builds(SegmentCondition, names),
    st.builds(ListCondition, names),
    st.builds(ConsentCondition, names, st.just("") | names, st.booleans()),
    st.builds(BucketCondition, names, st.integers(0, 9_999), st.integers(1, 10_000)),
    st.builds(
        EventCondition, names, st.just(Aggregate.COUNT), st.just(Operator.EQUALS), st.just((0.0,)), window=windows
    ),
    st.builds(Comparison, st.just("born"), st.just(Operator.AFTER), st.tuples(st.builds(Instant, micros))),
    st.builds(Comparison, st.just("born"), st.just(Operator.BEFORE_LAST), st.tuples(st.builds(Span, micros))),
    st.builds(GroupTraitCondition, st.just("") | names, fields),
    st.builds(
        MembersCondition,
        st.just("") | names,
        st.just(Quantifier.COUNT),
        others_only=st.booleans(),
        operator=st.sampled_from([Operator.AT_LEAST, Operator.ANY_OF, Operator.NOT_ANY_OF]),
        values=st.just((2.0,)),
    ),
)
rules = st.recursive(
    leaves,
    lambda rule: st.one_of(
        st.lists(rule, min_size=1, max_size=4).map(lambda parts: AllOf(tuple(parts))),
        st.lists(rule, min_size=1, max_size=4).map(lambda parts: AnyOf(tuple(parts))),
        rule.map(Not),
        st.builds(
            MembersCondition,
            st.just("") | names,
            st.sampled_from([Quantifier.ANY, Quantifier.ALL, Quantifier.NONE]),
            rule,
            st.booleans(),
        ),
    ),
    max_leaves=8,
)


@settings(max_examples=300, deadline=None)
@given(rules)
def test_the_text_of_a_rule_becomes_the_rule_again(rule: Rule) -> None:
    assert parse(write(rule)) == rule


RICH = EventCondition(
    "Order Completed",
    Aggregate.SUM,
    Operator.AT_LEAST,
    (100.0,),
    "total",
    (Comparison("products.category", Operator.EQUALS, ("Shoes",)), Comparison("total", Operator.GREATER_THAN, (5.5,))),
    TimeWindow(within=30 * DAY),
)
WRITTEN: dict[str, Rule] = {
    'city == "Rome" && !list("staff")': AllOf(
        (Comparison("city", Operator.EQUALS, ("Rome",)), Not(ListCondition("staff")))
    ),
    'city in ["Rome", "Oslo"] || age.between(30, 50)': AnyOf(
        (Comparison("city", Operator.ANY_OF, ("Rome", "Oslo")), Comparison("age", Operator.BETWEEN, (30.0, 50.0)))
    ),
    'events("Order Completed").where(products.category == "Shoes" && total > 5.5).within(duration("30d")).sum(total)'
    " >= 100": RICH,
    'sequence(step("Viewed"), step("Added").where(product == earlier(0, product)).within(duration("1h30m")), '
    'never("Bought").within(duration("5d"))).within(duration("90d"))': SequenceCondition(
        (
            SequenceStep("Viewed"),
            SequenceStep("Added", (Comparison("product", Operator.EQUALS, (StepField(0, "product"),)),), DAY // 16),
            SequenceStep("Bought", (), 5 * DAY, negated=True),
        ),
        TimeWindow(within=90 * DAY),
    ),
    'score("rfm.recency_score") >= 4': ScoreCondition("rfm.recency_score", Operator.AT_LEAST, (4.0,)),
    'consent("marketing", "email")': ConsentCondition("marketing", "email", True),
    'bucket("half", 0, 5000)': BucketCondition("half", 0, 5000),
    'born.after(timestamp("2025-10-09T08:53:20Z"))': Comparison("born", Operator.AFTER, (Instant(NOW),)),
    "has(address.city) && vip.isTrue()": AllOf(
        (Comparison("address.city", Operator.EXISTS), Comparison("vip", Operator.IS_TRUE))
    ),
    'field("first name") != "Ann"': Comparison("first name", Operator.NOT_EQUALS, ("Ann",)),
    'members("household").any(city == "Rome" && segment("s")) && !others().none(vip.isTrue())': AllOf(
        (
            MembersCondition(
                "household",
                Quantifier.ANY,
                AllOf((Comparison("city", Operator.EQUALS, ("Rome",)), SegmentCondition("s"))),
            ),
            Not(MembersCondition("", Quantifier.NONE, Comparison("vip", Operator.IS_TRUE), others_only=True)),
        )
    ),
    'members("household").count() >= 3 || others("account").count(has(email)).between(1, 2)': AnyOf(
        (
            MembersCondition("household", Quantifier.COUNT, operator=Operator.AT_LEAST, values=(3.0,)),
            MembersCondition(
                "account", Quantifier.COUNT, Comparison("email", Operator.EXISTS), True, Operator.BETWEEN, (1.0, 2.0)
            ),
        )
    ),
    'members("household").all(events("Order Completed").count() == 0)': MembersCondition(
        "household", Quantifier.ALL, EventCondition("Order Completed", Aggregate.COUNT, Operator.EQUALS, (0.0,))
    ),
    'group("firm").city == "Lyon" && has(group().address.zip)': AllOf(
        (
            GroupTraitCondition("firm", Comparison("city", Operator.EQUALS, ("Lyon",))),
            GroupTraitCondition("", Comparison("address.zip", Operator.EXISTS)),
        )
    ),
    'group("firm").field("first name") in ["A"]': GroupTraitCondition(
        "firm", Comparison("first name", Operator.ANY_OF, ("A",))
    ),
}


@pytest.mark.parametrize("text", WRITTEN)
def test_rules_are_written_as_people_write_them(text: str) -> None:
    assert parse(text) == WRITTEN[text]
    assert write(WRITTEN[text]) == text


def test_spaces_comments_quotes_and_parentheses_are_free() -> None:
    text = """
      // those who came back
      ( (city == 'Rome') )   &&
      tags.contains('it\\'s \\u00fc \\x41\\n',)
    """
    assert parse(text) == AllOf(
        (Comparison("city", Operator.EQUALS, ("Rome",)), Comparison("tags", Operator.CONTAINS, ("it's ü A\n",)))
    )


def test_a_long_rule_has_a_line_for_each_part() -> None:
    rule = AnyOf(tuple(RICH for _ in range(3)))
    assert [line.strip()[:10] for line in write(rule).splitlines()] == ['events("Or', "|| events(", "|| events("]


WRONG = {
    'city == "Rome" &&': (1, 18, "ends too soon", "a name"),
    'city = "Rome"': (1, 6, "'=' cannot", "a comparison"),
    'city ==\n  == "Rome"': (2, 3, "'==' cannot", "a text"),
    'city == "Rome': (1, 9, "cannot stand here", "a text"),
    "vip": (1, 1, "vip is no condition", "isTrue"),
    "true": (1, 1, "True is no condition", ""),
    'city.like("x")': (1, 6, "like(…) is no condition", ""),
    'city == duration("fortnight")': (1, 18, "'fortnight' cannot be read", "30d"),
    'city == timestamp("2025-01-01")': (1, 19, "cannot be read", "RFC 3339"),
    'events("a") >= 1': (1, 1, "a figure over the events is needed", ".count"),
    'events("a").where(x == 1).where(y == 1).count() > 1': (1, 27, "where is given twice", ""),
    'events("a").where(x == 1 || y == 1).count() > 1': (1, 19, "only comparisons", ""),
    'events("a").within(5).count() > 1': (1, 20, "within needs another value", "duration"),
    'events("a").count(total) > 1': (1, 13, "count takes 0 arguments, not 1", ""),
    'sequence(step("a"), events("b"))': (1, 21, "events(…) is no step", "step"),
    'segment("a", "b")': (1, 1, "segment takes 1 argument, not 2", ""),
    'bucket("a", 0.5, 1)': (1, 13, "0.5 cannot stand here", "a whole number"),
    'city in "Rome"': (1, 9, "`in` needs a list", "["),
    '!city == "Rome"': (1, 2, "this cannot be compared", "a trait"),
    'city == "\\q"': (1, 9, "escape that is not known", ""),
    'city == "\\ud800"': (1, 9, "no character", ""),
    "": (1, 1, "ends too soon", ""),
    'members("a").size() > 1': (1, 14, "size is not known of members", ".count"),
    'members("a") > 1': (1, 1, "members(…) cannot be compared", "a trait"),
    'members("a").any() ': (1, 14, "any(…) is no condition", ""),
    'members("a", "b").any(x == 1)': (1, 1, "members takes 1 argument, not 2", ""),
    'group("a") == "x"': (1, 1, "group(…) cannot be compared", "a trait"),
    'events("a").sum(group("b").c) > 1': (1, 17, "group(…) cannot be compared", "a trait"),
    'events("a").where(group("b").c == 1).count() > 1': (1, 19, "only comparisons", ""),
}


@pytest.mark.parametrize("text", WRONG)
def test_what_is_wrong_is_told_with_its_place(text: str) -> None:
    line, column, problem, expected = WRONG[text]
    with pytest.raises(RuleTextInvalid) as fault:
        parse(text)
    metadata = fault.value.metadata
    assert (metadata["line"], metadata["column"]) == (str(line), str(column)), fault.value
    assert problem in metadata["problem"]
    assert expected in metadata.get("expected", "")


@pytest.mark.parametrize("text", ["(" * 5000 + 'a == "b"' + ")" * 5000, "!" * 5000 + 'segment("a")', "a" * 300_000])
def test_no_text_exhausts_the_parser(text: str) -> None:
    with suppress(RuleTextInvalid):
        assert parse(text) == Comparison("a", Operator.EQUALS, ("b",))


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet='ab.()[],!&|=<>"\\ 0-\n', max_size=30))
def test_any_text_is_a_rule_or_is_refused(text: str) -> None:
    try:
        rule = parse(text)
    except RuleTextInvalid:
        return
    assert parse(write(rule)) == rule
