"""Segments about households: what one member does moves the others, and so do joining, leaving, time and erasure."""

import json
from typing import Any

import pytest
from tessera.profiles.v1 import profiles_service_pb2 as profiles

from services.common.errors import InvalidArgument
from services.common.rules import (
    Aggregate,
    AllOf,
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
from services.common.rules.text import parse
from services.segmentation.adapters.group_tables import GROUP_MEMBERS
from services.segmentation.domain.segment import check
from services.segmentation.handlers.evaluation import Evaluation
from services.segmentation.handlers.explain_membership import explain_membership
from services.segmentation.handlers.preview_segment import preview_segment
from tests.segmentation.conftest import TENANT, House, SetClock, recorded
from tests.segmentation.histories import DAY, NOW
from tests.segmentation.test_evaluation import at_work, create, told
from tests.segmentation.test_merges import erased, merged, unmerged
from tests.segmentation.test_moments import pass_to

ORDERED = EventCondition(
    "Order Completed", Aggregate.COUNT, Operator.AT_LEAST, (1.0,), window=TimeWindow(within=7 * DAY)
)
OTHERS_ORDERED = MembersCondition("household", Quantifier.ANY, ORDERED, others_only=True)
THREE = MembersCondition("household", Quantifier.COUNT, None, False, Operator.AT_LEAST, (3.0,))


def joined(who: str, group: str = "home", time: int = NOW - DAY, *, origin: str = "", member: bool = True) -> Any:
    change = profiles.Change(tenant_id=TENANT)
    told = change.group_membership_changed
    told.group_id, told.customer_id, told.origin_customer_id, told.member = group, who, origin or who, member
    told.change_time.FromMicroseconds(time)
    return change


def said(group: str = "home", time: int = NOW - DAY, **traits: object) -> profiles.Change:
    change = profiles.Change(tenant_id=TENANT)
    told = change.group_traits_changed
    told.group_id, told.traits_json = group, json.dumps(traits)
    told.change_time.FromMicroseconds(time)
    return change


def seen(*people: str, time: int = NOW - 30 * DAY) -> list[profiles.Change]:
    return [recorded(who, time, {}, f"{who} was seen", name="Viewed") for who in people]


async def family(house: House, *people: str) -> None:
    await house.feed(*seen(*people), said(type="household", city="Rome"), *(joined(who) for who in people))


async def test_what_one_member_buys_moves_the_others_until_the_window_ends(house: House) -> None:
    await create(house, "others", OTHERS_ORDERED)
    async with at_work(house):
        await family(house, "ann", "bob")
        await house.feed(*seen("eve"))
    async with at_work(house):
        await house.order("bob", NOW - DAY, 60)
    assert await house.members("others") == ["ann"]
    await pass_to(house, NOW + 6 * DAY - 1)
    assert await house.members("others") == ["ann"]
    await pass_to(house, NOW + 6 * DAY)
    assert await house.members("others") == [], "the window of bob's order ended"
    assert await told(house) == [("ann", "others", "in"), ("ann", "others", "out")]


async def test_who_joins_and_who_leaves_moves_the_others(house: House) -> None:
    await create(house, "others", OTHERS_ORDERED)
    await create(house, "three", THREE)
    async with at_work(house):
        await family(house, "ann", "bob")
        await house.feed(*seen("cem"))
        await house.order("cem", NOW - DAY, 60)
    assert (await house.members("others"), await house.members("three")) == ([], [])
    async with at_work(house):
        await house.feed(joined("cem"))
    assert await house.members("others") == ["ann", "bob"]
    assert await house.members("three") == ["ann", "bob", "cem"]
    async with at_work(house):
        await house.feed(joined("cem", time=NOW, member=False))
    assert (await house.members("others"), await house.members("three")) == ([], [])


async def test_a_membership_and_a_trait_of_later_hold_from_their_time_on(house: House) -> None:
    await create(house, "three", THREE)
    await create(house, "in Lyon", GroupTraitCondition("household", Comparison("city", Operator.EQUALS, ("Lyon",))))
    async with at_work(house):
        await family(house, "ann", "bob")
        await house.feed(*seen("cem"), joined("cem", time=NOW + DAY), said(time=NOW + 2 * DAY, city="Lyon"))
    assert await house.members("three") == []
    await pass_to(house, NOW + DAY)
    assert (await house.members("three"), await house.members("in Lyon")) == (["ann", "bob", "cem"], [])
    await pass_to(house, NOW + 2 * DAY)
    assert await house.members("in Lyon") == ["ann", "bob", "cem"]


async def test_what_is_said_of_a_household_moves_its_members(house: House) -> None:
    moved = GroupTraitCondition("household", Comparison("moved", Operator.WITHIN_LAST, (parse_span(),)))
    await create(house, "in Lyon", GroupTraitCondition("household", Comparison("city", Operator.EQUALS, ("Lyon",))))
    await create(house, "moved lately", moved)
    async with at_work(house):
        await family(house, "ann", "bob")
        await house.feed(*seen("eve"))
    async with at_work(house):
        await house.feed(said(time=NOW, city="Lyon", moved="2025-10-08T00:00:00Z"))
    assert await house.members("in Lyon") == await house.members("moved lately") == ["ann", "bob"]
    async with at_work(house):
        await house.feed(said(time=NOW - 1, city="Nice"))
    assert await house.members("in Lyon") == ["ann", "bob"], "that was before"
    await pass_to(house, NOW + 30 * DAY)
    assert await house.members("moved lately") == []
    async with at_work(house):
        await house.feed(said(time=NOW + 1, type="account"))
    assert await house.members("in Lyon") == [], "it is no household any more"


def parse_span() -> Any:
    rule = parse('x.withinLast(duration("10d"))')
    assert isinstance(rule, Comparison)
    return rule.values[0]


async def test_merging_two_members_makes_the_household_smaller_until_it_is_taken_back(house: House) -> None:
    await create(house, "three", THREE)
    async with at_work(house):
        await family(house, "ann", "bob", "cem")
    assert await house.members("three") == ["ann", "bob", "cem"]
    async with at_work(house):
        await house.feed(merged("bob", "cem"))
    assert await house.members("three") == []
    async with at_work(house):
        await house.feed(joined("bob", origin="cem", time=NOW))
        await house.feed(unmerged("bob", "cem"))
    assert await house.members("three") == ["ann", "bob", "cem"]


async def test_of_who_is_erased_no_membership_is_left_and_the_others_are_evaluated(house: House) -> None:
    await create(house, "others", OTHERS_ORDERED)
    async with at_work(house):
        await family(house, "ann", "bob")
        await house.order("bob", NOW - DAY, 60)
    assert await house.members("others") == ["ann"]
    async with at_work(house):
        await house.feed(joined("bob", "club"), erased("bob"))
    assert await house.members("others") == []
    (request,) = await house.acknowledge()
    assert {each.kind: each.count for each in request.removed}["group_membership_copy"] == 1
    assert await house.analytics.fellows(TENANT, {"bob"}) == {"bob"}
    assert await house.analytics.fellows(TENANT, {"ann"}) == {"ann"}


async def test_a_batch_that_comes_again_and_the_feed_from_its_start_change_nothing(house: House) -> None:
    await create(house, "three", THREE)
    changes = [*seen("ann", "bob", "cem"), said(type="household"), *map(joined, ("ann", "bob", "cem"))]
    async with at_work(house):
        await house.feed(*changes, cursor="once")
        await house.feed(*changes, cursor="once")
        await house.feed(*changes, cursor="again")
    assert await house.members("three") == ["ann", "bob", "cem"]
    assert (await house.columnar.execute(house.columnar.table(GROUP_MEMBERS))).num_rows == 3


async def test_of_too_many_fellows_the_segments_are_evaluated_for_all(house: House, clock: SetClock) -> None:
    house.evaluation = Evaluation(house.segments, house.memberships, house.analytics, clock, fellows_max=2)
    again = await house.again()
    again.evaluation = house.evaluation
    await create(house, "three", THREE)
    await house.evaluation.tick()
    await family(house, "ann", "bob", "cem")
    house.evaluation.touch(TENANT, {"ann"})
    async with at_work(house):
        pass
    assert await house.members("three") == ["ann", "bob", "cem"]


async def explained(house: House, who: str, rule: Rule) -> list[tuple[str, bool, str, list[Any]]]:
    found = await explain_membership(house.segments, house.analytics, house.clock, TENANT, who, rule, None)
    return [(it.path, it.finding.fulfilled, it.member, list(it.finding.found)) for it in found.nodes]


async def test_an_explanation_names_the_member_who_decided(house: House) -> None:
    async with at_work(house):
        await family(house, "ann", "bob", "cem")
        await house.feed(*seen("eve"))
        await house.order("bob", NOW - DAY, 60)
        await house.order("bob", NOW, 60)
    asked = MembersCondition("household", Quantifier.ANY, Not(ORDERED), others_only=True)
    assert await explained(house, "ann", Not(OTHERS_ORDERED)) == [
        ("not", False, "", []),
        ("not.members", True, "bob", [1.0]),
        ("not.members.rule.event", True, "bob", [2.0]),
    ]
    assert await explained(house, "ann", asked) == [
        ("members", True, "cem", [1.0]),
        ("members.rule.not", True, "cem", []),
        ("members.rule.not.event", False, "cem", [0.0]),
    ]
    everybody = MembersCondition("household", Quantifier.ALL, ORDERED)
    assert (await explained(house, "bob", everybody))[0] == ("members", False, "ann", [1.0])
    assert await explained(house, "eve", OTHERS_ORDERED) == [("members", False, "", [0.0])]
    city = GroupTraitCondition("household", Comparison("city", Operator.EQUALS, ("Lyon",)))
    assert await explained(house, "ann", city) == [("group", False, "", ["Rome"])]
    assert await explained(house, "eve", city) == [("group", False, "", [])]
    async with at_work(house):
        await house.feed(said("second", type="household", city="Lyon"), joined("ann", "second"))
    ((_, fulfilled, _, found),) = await explained(house, "ann", city)
    assert (fulfilled, sorted(found)) == (True, ["Lyon", "Rome"])


async def test_a_preview_counts_every_node_also_below_members(house: House) -> None:
    async with at_work(house):
        await family(house, "ann", "bob", "cem")
        await house.order("bob", NOW - DAY, 60)
    preview = await preview_segment(
        house.segments, house.analytics, house.clock, TENANT, Not(OTHERS_ORDERED), sample_size=9, at=None
    )
    assert preview.nodes == [("not", 1), ("not.members", 2), ("not.members.rule.event", 1)]
    assert (preview.size, preview.sample) == (1, ["bob"])


@pytest.mark.parametrize(
    ("segment_id", "rule", "path"),
    [
        ("new", MembersCondition("", Quantifier.ANY, Not(SegmentCondition("b"))), "members.rule.not.segment"),
        ("new", MembersCondition("", Quantifier.ANY, SegmentCondition("a")), "members.rule.segment"),
        ("c", THREE, "members"),
        ("c", Not(SegmentCondition("a")), "not"),
    ],
)
def test_members_are_not_asked_about_members_by_way_of_a_segment(segment_id: str, rule: Rule, path: str) -> None:
    plain = Comparison("city", Operator.EXISTS)
    others: dict[str, Rule] = {
        "a": THREE,
        "b": SegmentCondition("a"),
        "c": plain,
        "d": MembersCondition("", Quantifier.NONE, SegmentCondition("e")),
        "e": SegmentCondition("c"),
    }
    with pytest.raises(InvalidArgument, match="members are not asked about members") as refused:
        check(rule, segment_id, others, lambda pattern: None)
    assert refused.value.metadata["path"] == path
    check(Not(SegmentCondition("b")), "new", others, lambda pattern: None)


def test_a_segment_asks_about_members_twenty_times_at_most() -> None:
    check(AllOf((THREE,) * 20), "new", {}, lambda pattern: None)
    with pytest.raises(InvalidArgument, match="at most 20 times") as refused:
        check(AllOf((THREE,) * 21), "new", {}, lambda pattern: None)
    assert refused.value.metadata["path"] == "all_of.rules[20].members"
