"""What a segment was before: versions, what differs between two, and how it was calculated."""

import pytest
from hypothesis import given

from services.common.errors import Unavailable
from services.common.rules import AllOf, AnyOf, BucketCondition, Comparison, Not, Operator, Rule, nodes
from services.segmentation.domain.history import (
    CALCULATIONS_MAX,
    Calculation,
    SegmentVersionNotFound,
    differences,
    failed,
)
from services.segmentation.domain.segment import SegmentNotFound
from services.segmentation.handlers.compare_segment_versions import compare_segment_versions
from services.segmentation.handlers.delete_segment import delete_segment
from services.segmentation.handlers.list_segment_versions import list_segment_versions
from services.segmentation.ports import Request
from tests.segmentation.conftest import TENANT, House
from tests.segmentation.histories import NOW, rules
from tests.segmentation.test_evaluation import at_work, create, spent, update

ROME, BONN = Comparison("city", Operator.EQUALS, ("Rome",)), Comparison("city", Operator.EQUALS, ("Bonn",))
TENTH = BucketCondition("", 0, 1000)


def told(before: Rule, after: Rule) -> list[tuple[str, Rule | None, Rule | None]]:
    return [(it.path, it.before, it.after) for it in differences(before, after)]


def test_a_leaf_that_changed_is_told_with_both_values() -> None:
    assert told(AllOf((ROME, TENTH)), AllOf((BONN, TENTH))) == [("all_of.rules[0].field", ROME, BONN)]


def test_a_node_that_came_or_went_stands_for_its_parts() -> None:
    group = AnyOf((ROME, Not(TENTH)))
    assert told(AllOf((ROME, group)), AllOf((ROME, TENTH, BONN))) == [
        ("all_of.rules[1].any_of", group, None),
        ("all_of.rules[1].bucket", None, TENTH),
        ("all_of.rules[2].field", None, BONN),
    ]
    assert told(ROME, Not(ROME)) == [("field", ROME, None), ("not", None, Not(ROME))]


def test_a_calculation_of_more_than_half_a_minute_is_slow() -> None:
    assert [Calculation(NOW, 1, 1, 0, seconds * 1_000_000).slow for seconds in (0, 30, 31)] == [False, False, True]


@given(rules(5), rules(5))
def test_what_is_not_told_is_the_same_in_both(before: Rule, after: Rule) -> None:
    found = differences(before, after)
    assert (found == []) == (before == after)
    old, new = ({node.path: node.rule for node in nodes(rule)} for rule in (before, after))
    paths = [it.path for it in found]
    for path in old.keys() | new.keys():
        if not any(path == each or path.startswith(f"{each}.") for each in paths):
            assert type(old[path]) is type(new[path])
    for difference in found:
        assert (old.get(difference.path), new.get(difference.path)) == (difference.before, difference.after)


async def test_every_definition_is_kept_even_after_the_segment_is_gone(house: House) -> None:
    await create(house, "spent", spent(100))
    for amount in (50, 20):
        house.clock.micros += 1
        await update(house, "spent", spent(amount))
    await delete_segment(house.segments, house.destinations, house.evaluation, TENANT, Request("", ""), "spent")
    page, token = await list_segment_versions(house.segments, TENANT, "spent", 2, "")
    assert [(it.segment.version, it.segment.rule, it.segment.update_time) for it in page] == [
        (3, spent(20), NOW + 2),
        (2, spent(50), NOW + 1),
    ]
    rest, end = await list_segment_versions(house.segments, TENANT, "spent", 2, token)
    assert ([it.segment.name for it in rest], end) == (["spent"], "")
    found = await compare_segment_versions(house.segments, TENANT, "spent", 3, 1)
    assert [(it.path, it.before, it.after) for it in found.differences] == [("event", spent(20), spent(100))]
    with pytest.raises(SegmentVersionNotFound, match="no version 4"):
        await compare_segment_versions(house.segments, TENANT, "spent", 1, 4)
    with pytest.raises(SegmentNotFound):
        await list_segment_versions(house.segments, TENANT, "other", 2, "")


async def test_each_evaluation_for_all_customers_is_remembered(house: House) -> None:
    await create(house, "spent", spent(100))
    for customer, total in (("ann", 200), ("bob", 150), ("eve", 10)):
        await house.order(customer, house.clock.micros, total)
    async with at_work(house):
        pass
    house.clock.micros += 1
    async with at_work(house):
        await update(house, "spent", spent(180))
    made = await house.memberships.calculations(TENANT, "spent")
    assert [(it.time, it.size, it.entered, it.left, it.error) for it in (made[0], made[-1])] == [
        (NOW + 1, 1, 0, 1, ""),
        (NOW, 2, 2, 0, ""),
    ]
    assert all(it.duration > 0 for it in made)


async def test_an_evaluation_that_failed_is_remembered_and_takes_nothing_back(house: House) -> None:
    await create(house, "spent", spent(100))
    await house.order("ann", house.clock.micros, 200)
    await house.evaluation.refresh(TENANT)
    matching = house.analytics.matching

    async def failing(*arguments: object) -> object:
        raise Unavailable("the engine is not there")

    house.analytics.matching = failing  # type: ignore[method-assign,assignment]  # an engine that fails for a while
    house.clock.micros += 1
    with pytest.raises(Unavailable):
        await house.evaluation.refresh(TENANT)
    house.analytics.matching = matching  # type: ignore[method-assign]  # as before
    made = await house.memberships.calculations(TENANT, "spent")
    assert [(it.time, it.size, it.error) for it in made] == [(NOW + 1, 0, "the engine is not there"), (NOW, 1, "")]
    census = await house.memberships.census(TENANT, "spent")
    assert (census.member_count, census.refresh_time) == (1, NOW)


async def test_only_the_last_calculations_are_remembered(house: House) -> None:
    for time in range(CALCULATIONS_MAX + 5):
        await house.memberships.calculated(TENANT, {"spent": Calculation(time, 0, 0, 0, 1)})
    made = await house.memberships.calculations(TENANT, "spent")
    assert [it.time for it in made] == list(range(CALCULATIONS_MAX + 4, 4, -1))


def test_what_is_not_meant_for_callers_is_told_by_its_kind() -> None:
    assert failed(1, 2, OSError("/a/path")).error == "OSError"
