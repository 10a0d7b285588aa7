"""Who fulfils which rule, asked by rule and by customer."""

from collections.abc import Set

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.segmentation.domain.matched import Members, by_customer

ASKED = ("c1", "c2", "ç3", "c4")
truths = st.lists(st.booleans(), min_size=len(ASKED), max_size=len(ASKED))


@given(st.lists(truths, max_size=19), st.lists(st.sets(st.sampled_from([*ASKED, "other"])), max_size=3))
def test_by_customer_says_what_the_rules_say(kept: list[list[bool]], scanned: list[set[str]]) -> None:
    asked = np.array(ASKED, object)
    matched: dict[str, Set[str]] = {f"k{number}": Members(asked, np.array(each)) for number, each in enumerate(kept)}
    matched |= {f"s{number}": each for number, each in enumerate(scanned)}
    people = [*ASKED[:3], "nobody"]
    assert by_customer(matched, people) == {who: {key for key in matched if who in matched[key]} for who in people}


@given(truths)
def test_members_are_a_set(chosen: list[bool]) -> None:
    members: Set[str] = Members(np.array(ASKED, object), np.array(chosen))
    expected = {who for who, truth in zip(ASKED, chosen, strict=True) if truth}
    assert (members, len(members)) == (expected, len(expected))
    assert members & {"c1"} == expected & {"c1"}
    assert {"c1"} ^ members == expected ^ {"c1"}
