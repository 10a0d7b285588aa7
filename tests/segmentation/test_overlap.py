"""What segments share, and which depend on one."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.rules import Comparison, Not, Operator, SegmentCondition
from services.segmentation.domain.overlap import overlap
from services.segmentation.domain.segment import SegmentNotFound
from services.segmentation.handlers.get_segment_overlap import get_segment_overlap
from services.segmentation.handlers.list_dependents import list_dependents
from tests.segmentation.conftest import TENANT, House
from tests.segmentation.test_evaluation import at_work, create


@given(st.dictionaries(st.sampled_from("abcde"), st.sets(st.integers(0, 12).map(str)), min_size=1))
def test_every_figure_is_that_of_the_sets(members: dict[str, set[str]]) -> None:
    found = overlap(members)
    assert found.sizes == {key: len(value) for key, value in members.items()}
    assert len(found.pairs) == len(members) * (len(members) - 1) // 2
    for pair in found.pairs:
        one, other = members[pair.one], members[pair.other]
        assert (pair.both, pair.either) == (len(one & other), len(one | other))
        assert pair.jaccard == (len(one & other) / len(one | other) if one | other else 0)
    assert found.in_all == len(set.intersection(*members.values()))
    assert found.in_any == len(set.union(*members.values()))


async def test_the_stored_members_are_compared(house: House) -> None:
    await create(house, "rome", Comparison("city", Operator.EQUALS, ("Rome",)))
    await create(house, "old", Comparison("age", Operator.AT_LEAST, (50.0,)))
    async with at_work(house):
        for number in range(6):
            city, age = "Rome" if number % 2 else "Bonn", 10 * (number + 1)
            await house.identify(f"customer {number}", house.clock.micros - 1, city=city, age=age)
    found = await get_segment_overlap(house.segments, house.memberships, TENANT, ["rome", "old", "rome"])
    assert (found.sizes, found.in_all, found.in_any) == ({"rome": 3, "old": 2}, 1, 4)
    with pytest.raises(SegmentNotFound, match="no segment other"):
        await get_segment_overlap(house.segments, house.memberships, TENANT, ["rome", "other"])


async def test_dependents_are_listed_however_indirect_in_pages(house: House) -> None:
    await create(house, "c", Comparison("city", Operator.EXISTS))
    await create(house, "b", Not(SegmentCondition("c")))
    await create(house, "a", Not(SegmentCondition("b")))
    await create(house, "d", SegmentCondition("c"))
    assert await list_dependents(house.segments, TENANT, "c", 2, "") == ([("a", False), ("b", True)], "b")
    assert await list_dependents(house.segments, TENANT, "c", 2, "b") == ([("d", True)], "")
    assert await list_dependents(house.segments, TENANT, "a", 2, "") == ([], "")
    with pytest.raises(SegmentNotFound):
        await list_dependents(house.segments, TENANT, "no", 2, "")
