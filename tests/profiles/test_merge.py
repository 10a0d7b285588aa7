"""A customer made of several is as if all their events had been one customer's, and merges go back in any order."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.profiles.domain.customer import Customer
from services.profiles.domain.event import Observation
from services.profiles.domain.merge import (
    ORIGINS_MAX,
    CustomerAlreadyMerged,
    SameCustomer,
    TooManyOrigins,
    attach,
    detach,
    whole,
)
from tests.profiles.test_customer import OBSERVATIONS

NAMES = "abcdef"


def shop(*names: str) -> dict[str, Customer]:
    return {name: Customer(name) for name in names}


def parts(customers: dict[str, Customer], name: str) -> Customer:
    top = customers[customers[name].surviving_id]
    return whole(top, [customers[origin] for origin in top.origins])


@given(st.lists(st.tuples(st.sampled_from("ab"), OBSERVATIONS), max_size=20))
def test_the_whole_is_what_one_customer_would_be(events: Sequence[tuple[str, Observation]]) -> None:
    customers, one = shop("a", "b"), Customer("a")
    for name, event in events:
        customers[name].observe(event)
        one.observe(event)
    attach(customers, customers["b"], customers["a"], "m")
    one.origins = ["b"]
    assert parts(customers, "b") == one


@given(st.data())
def test_after_any_merges_and_unmerges_a_customer_is_who_hangs_together(data: st.DataObject) -> None:
    customers = shop(*NAMES)
    edges: dict[str, str] = {}

    def top(name: str) -> str:
        return top(edges[name]) if name in edges else name

    for _ in range(data.draw(st.integers(0, 25))):
        merged, onto = data.draw(st.sampled_from(NAMES)), data.draw(st.sampled_from(NAMES))
        if merged in edges and data.draw(st.booleans()):
            went = detach(customers, customers[merged])
            del edges[merged]
            assert set(went) == {name for name in NAMES if top(name) == merged}
        elif merged not in edges and top(onto) != merged:
            attach(customers, customers[merged], customers[onto], "m")
            edges[merged] = onto
        for name in NAMES:
            assert customers[name].surviving_id == top(name)
            together = {other for other in NAMES if top(other) == name} - {name}
            assert set(customers[name].origins) == together
            assert customers[name].parent == edges.get(name, "")
    for name in data.draw(st.permutations(sorted(edges))):
        detach(customers, customers[name])
    assert customers == shop(*NAMES)


def test_a_customer_is_not_merged_into_itself_or_twice() -> None:
    customers = shop("a", "b", "c")
    with pytest.raises(SameCustomer):
        attach(customers, customers["a"], customers["a"], "m")
    attach(customers, customers["b"], customers["a"], "m")
    with pytest.raises(SameCustomer):
        attach(customers, customers["a"], customers["b"], "m")
    with pytest.raises(CustomerAlreadyMerged) as refused:
        attach(customers, customers["b"], customers["c"], "m")
    assert refused.value.metadata["surviving_customer_id"] == "a"


def test_a_customer_is_made_of_so_many_and_no_more() -> None:
    customers = shop("top", *(f"c{n}" for n in range(ORIGINS_MAX)))
    for n in range(ORIGINS_MAX - 1):
        attach(customers, customers[f"c{n}"], customers["top"], "m")
    with pytest.raises(TooManyOrigins):
        attach(customers, customers[f"c{ORIGINS_MAX - 1}"], customers["top"], "m")
    assert len(customers["top"].origins) == ORIGINS_MAX - 1
    assert customers[f"c{ORIGINS_MAX - 1}"].merged_into == ""
