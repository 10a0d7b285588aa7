"""Conditions on the members of groups mean what the reference evaluator says, on both engines, now and in the past."""

import asyncio
import itertools
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.common.rules import (
    Aggregate,
    AllOf,
    AnyOf,
    Comparison,
    EventCondition,
    GroupTraitCondition,
    MembersCondition,
    Not,
    Operator,
    Quantifier,
    Rule,
    SegmentCondition,
    TimeWindow,
)
from services.segmentation.adapters.analytics import ColumnarAnalytics
from services.segmentation.adapters.group_rows import Belonged, Described, group_rows
from services.segmentation.adapters.tables import TRACK, Observed, rows
from tests.segmentation import reference
from tests.segmentation.histories import CUSTOMERS, DAY, NOW, comparisons, event_conditions, histories

_tenants = (f"groups{number}" for number in itertools.count())
GROUPS, KINDS = ("home", "firm", "club"), ("household", "account")
kinds = st.sampled_from(("", *KINDS))
moments = st.sampled_from([NOW + step for step in (-30 * DAY, -28 * DAY, -7 * DAY, -7 * DAY + 1, -DAY, 0, 1, DAY)])
belonged = st.lists(
    st.builds(
        lambda who, group, time, member: Belonged("", who, who, group, time, member),
        st.sampled_from(CUSTOMERS),
        st.sampled_from(GROUPS),
        moments,
        st.sampled_from([True, True, True, False]),
    ),
    min_size=3,
    max_size=10,
)
described = st.lists(
    st.builds(
        lambda group, time, traits: Described("", group, time, traits),
        st.sampled_from(GROUPS),
        moments,
        st.fixed_dictionaries(
            {},
            optional={
                "type": st.sampled_from([*KINDS, *KINDS, None, 5, ["household"]]),
                "city": st.sampled_from(["Rome", "A", None]),
                "total": st.sampled_from([5, 100.0, True]),
                "nested": st.fixed_dictionaries({}, optional={"city": st.sampled_from(["Rome", None])}),
            },
        ),
    ),
    max_size=5,
)
traits_of_groups = st.builds(GroupTraitCondition, kinds, comparisons())
_plain: st.SearchStrategy[Rule] = st.one_of(event_conditions(), comparisons(), traits_of_groups)
asked: st.SearchStrategy[Rule] = st.one_of(
    _plain,
    _plain.map(Not),
    st.lists(_plain, min_size=2, max_size=2).map(lambda parts: AnyOf(tuple(parts))),
    st.just(SegmentCondition("plain")),
)
of_members = st.one_of(
    st.builds(
        MembersCondition,
        kinds,
        st.sampled_from([Quantifier.ANY, Quantifier.ALL, Quantifier.NONE]),
        asked,
        st.booleans(),
    ),
    st.builds(
        MembersCondition,
        kinds,
        st.just(Quantifier.COUNT),
        st.none() | asked,
        st.booleans(),
        st.sampled_from([Operator.AT_LEAST, Operator.EQUALS, Operator.LESS_THAN, Operator.NOT_EQUALS]),
        st.sampled_from([(0.0,), (1.0,), (2.0,)]),
    ),
)


async def stored(analytics: ColumnarAnalytics, world: reference.World) -> str:
    """The tenant to whom all of that happens."""
    tenant = next(_tenants)
    tables = rows([replace(event, tenant=tenant) for event in world.history])
    tables |= group_rows(
        [replace(each, tenant=tenant) for each in world.described],
        [replace(each, tenant=tenant) for each in world.belonged],
    )
    await analytics.apply(tables, (), "profiles", tenant)
    return tenant


async def assert_agreement(
    analytics: ColumnarAnalytics, world: reference.World, rules: dict[str, Rule], moment: int
) -> dict[str, set[str]]:
    tenant = await stored(analytics, world)
    expected = {name: reference.members(rules, name, world.history, moment, world) for name in rules}
    assert await analytics.matching(tenant, rules, rules, moment) == expected
    for touched in ({CUSTOMERS[0]}, set(CUSTOMERS[1:])):
        some = await analytics.matching(tenant, rules, rules, moment, touched)
        assert some == {name: found & touched for name, found in expected.items()}
    return expected


@settings(
    max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(
    history=histories(),
    described=described,
    belonged=belonged,
    plain=_plain,
    conditions=st.lists(of_members, min_size=2, max_size=4),
    traits=st.lists(traits_of_groups, min_size=1, max_size=2),
    at=st.sampled_from([NOW, NOW - DAY, NOW - 7 * DAY + 1]),
)
def test_conditions_on_members_agree_with_the_reference(
    analytics: ColumnarAnalytics,
    history: list[Observed],
    described: list[Described],
    belonged: list[Belonged],
    plain: Rule,
    conditions: list[Rule],
    traits: list[Rule],
    at: int,
) -> None:
    rules: dict[str, Rule] = {"plain": plain}
    rules |= {f"rule {number}": rule for number, rule in enumerate([*conditions, *traits])}
    rules["within"] = AllOf((Not(SegmentCondition("rule 0")), SegmentCondition("rule 1")))
    asyncio.run(assert_agreement(analytics, reference.World(history, described, belonged), rules, at))


def order(customer: str, number: int, ago: int, total: float = 5) -> Observed:
    return Observed(
        "", customer, f"m{number}", TRACK, "Order Completed", NOW - ago, {"currency": "EUR", "total": total}
    )


def joins(customer: str, group: str, ago: int, *, member: bool = True) -> Belonged:
    return Belonged("", customer, customer, group, NOW - ago, member)


WORLD = reference.World(
    [
        order("c1", 1, 3 * DAY),
        order("c2", 2, 40 * DAY, 80),
        order("ç3", 3, 50 * DAY),
        order("c4", 4, DAY),
        order("c1", 5, 60 * DAY),
    ],
    [
        Described("", "home", NOW - 30 * DAY, {"type": "household", "city": "Rome"}),
        Described("", "home", NOW - 2 * DAY, {"city": "Lyon"}),
        Described("", "firm", NOW - 30 * DAY, {"type": "account"}),
    ],
    [
        joins("c1", "home", 20 * DAY),
        joins("c2", "home", 20 * DAY),
        joins("ç3", "home", 20 * DAY),
        joins("ç3", "home", 5 * DAY, member=False),
        joins("ç3", "firm", 5 * DAY),
        joins("never seen", "home", 20 * DAY),
    ],
)
BOUGHT = EventCondition(
    "Order Completed", Aggregate.COUNT, Operator.AT_LEAST, (1.0,), window=TimeWindow(within=7 * DAY)
)


def every_condition() -> dict[str, Rule]:
    made: dict[str, Rule] = {}
    for others in (False, True):
        for quantifier in (Quantifier.ANY, Quantifier.ALL, Quantifier.NONE):
            made[f"{quantifier.name} {others}"] = MembersCondition("household", quantifier, BOUGHT, others)
        count = MembersCondition("household", Quantifier.COUNT, None, others, Operator.AT_LEAST, (2.0,))
        made[f"COUNT {others}"] = count
    made["any group"] = MembersCondition("", Quantifier.NONE, BOUGHT)
    made["in Lyon"] = GroupTraitCondition("household", Comparison("city", Operator.EQUALS, ("Lyon",)))
    made["not in Lyon"] = GroupTraitCondition("household", Comparison("city", Operator.NOT_EQUALS, ("Lyon",)))
    return made


async def test_members_and_groups_mean_the_same_on_both_engines(engine: ColumnarAnalytics) -> None:
    tenant = await stored(engine, WORLD)
    rules = {name: rule for name, rule in every_condition().items() if name in ("ANY True", "ALL False", "in Lyon")}
    rules["COUNT"] = MembersCondition("", Quantifier.COUNT, BOUGHT, False, Operator.EQUALS, (1.0,))
    found = await engine.matching(tenant, rules, rules, NOW)
    assert found == {name: reference.members(rules, name, WORLD.history, NOW, WORLD) for name in rules}
    assert found["ANY True"] == {"c2"}
    findings = await engine.explained(tenant, "c2", rules, rules, NOW)
    assert findings is not None
    assert {name: list(each.found) for name, each in findings.items()} == {
        "ANY True": [1.0],
        "ALL False": [1.0],
        "in Lyon": ["Lyon"],
        "COUNT": [1.0],
    }


async def test_each_quantifier_says_what_it_is_called(analytics: ColumnarAnalytics) -> None:
    assert await assert_agreement(analytics, WORLD, every_condition(), NOW) == {
        "ANY False": {"c1", "c2"},
        "ALL False": set(),
        "NONE False": {"ç3", "c4"},
        "COUNT False": {"c1", "c2"},
        "ANY True": {"c2"},
        "ALL True": {"c2"},
        "NONE True": {"c1", "ç3", "c4"},
        "COUNT True": set(),
        "any group": {"ç3", "c4"},
        "in Lyon": {"c1", "c2"},
        "not in Lyon": {"ç3", "c4"},
    }


async def test_of_the_past_the_members_and_the_group_are_those_of_then(analytics: ColumnarAnalytics) -> None:
    past = await assert_agreement(analytics, WORLD, every_condition(), NOW - 6 * DAY)
    assert past["COUNT True"] == {"c1", "c2", "ç3"}, "ç3 was still at home"
    assert past["in Lyon"] == set(), "home was still in Rome"


async def test_who_is_in_no_group_has_no_members_to_ask(analytics: ColumnarAnalytics) -> None:
    world = reference.World([order("c1", 1, DAY)])
    rules: dict[str, Rule] = {
        each.name: MembersCondition("household", each, BOUGHT)
        for each in (Quantifier.ANY, Quantifier.ALL, Quantifier.NONE)
    }
    rules["COUNT"] = MembersCondition("household", Quantifier.COUNT, None, False, Operator.EQUALS, (0.0,))
    found = await assert_agreement(analytics, world, rules, NOW)
    assert found == {"ANY": set(), "ALL": set(), "NONE": {"c1"}, "COUNT": {"c1"}}


def sizes_of(sizes: Sequence[int]) -> reference.World:
    """One group of each of these sizes."""
    people = [(f"p{group}.{number}", f"g{group}") for group, size in enumerate(sizes) for number in range(size)]
    return reference.World(
        [order(who, number, DAY) for number, (who, _) in enumerate(people)],
        [Described("", f"g{group}", NOW - DAY, {"type": "household"}) for group in range(len(sizes))],
        [joins(who, group, DAY) for who, group in people],
    )


async def test_of_several_groups_the_one_with_most_is_counted(analytics: ColumnarAnalytics) -> None:
    world = sizes_of([2, 3])
    world = replace(world, belonged=[*world.belonged, joins("p0.0", "g1", DAY)])
    rules: dict[str, Rule] = {
        "most": MembersCondition("household", Quantifier.COUNT, None, False, Operator.EQUALS, (4.0,)),
        "at most": MembersCondition("household", Quantifier.COUNT, None, False, Operator.AT_MOST, (2.0,)),
    }
    found = await assert_agreement(analytics, world, rules, NOW)
    assert found == {"most": {"p0.0", "p1.0", "p1.1", "p1.2"}, "at most": {"p0.1"}}
