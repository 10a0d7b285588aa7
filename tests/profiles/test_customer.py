"""A customer learns the same from the same events, in whatever order they arrive."""

from copy import deepcopy

from hypothesis import given
from hypothesis import strategies as st

from services.profiles.domain.customer import GROUPS_MAX, Customer
from services.profiles.domain.event import EventType, Observation
from services.profiles.domain.order import Order

TRAITS = st.dictionaries(
    st.sampled_from(["city", "age", "vip"]), st.one_of(st.none(), st.integers(0, 3), st.text(max_size=2))
)
ORDERS = st.builds(Order, st.just("o"), st.sampled_from(["USD", "EUR"]), st.integers(0, 10_000))


def observation(time: int, traits: dict[str, object] | None = None, order: Order | None = None) -> Observation:
    kind = EventType.TRACK if traits is None else EventType.IDENTIFY
    return Observation("m", kind, "n", "u", "", time, "", dict(traits or {}), order)


def joining(time: int, traits: dict[str, object], group: str) -> Observation:
    return Observation("m", EventType.GROUP, "Group", "u", "", time, "", dict(traits), None, group_id=group)


OBSERVATIONS = st.one_of(
    st.builds(lambda time, traits: observation(time, traits), st.integers(1, 50), TRAITS),
    st.builds(lambda time, order: observation(time, order=order), st.integers(1, 50), ORDERS),
    st.builds(
        lambda time, traits, group: joining(time, traits, group), st.integers(1, 50), TRAITS, st.sampled_from("gh")
    ),
)


def learn(observations: list[Observation]) -> Customer:
    customer = Customer("c")
    for each in observations:
        customer.observe(each)
    return customer


@given(st.lists(OBSERVATIONS, max_size=12), st.randoms())
def test_the_order_of_arrival_does_not_matter(observations: list[Observation], random: object) -> None:
    shuffled = deepcopy(observations)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    assert learn(shuffled) == learn(observations)


@given(st.lists(OBSERVATIONS, max_size=12))
def test_figures_equal_a_recount_of_the_events(observations: list[Observation]) -> None:
    figures = learn(observations).lifetime
    orders = [each.order for each in observations if each.order is not None]
    assert figures.event_count == len(observations)
    assert figures.order_count == len(orders)
    assert sum(figures.spend_minor.values()) == sum(order.total_minor for order in orders)


def test_the_newest_trait_by_event_time_wins() -> None:
    customer = learn([observation(20, {"city": "Lyon"}), observation(10, {"city": "Paris"})])
    assert customer.traits["city"].value == "Lyon"


def test_an_identifier_is_kept_once() -> None:
    customer = Customer("c")
    customer.know_as(("user_id", "7"))
    customer.know_as(("user_id", "7"))
    assert customer.identifiers == [("user_id", "7")]


def test_traits_of_groups_are_kept_apart_and_the_newest_wins() -> None:
    customer = learn([joining(20, {"city": "Lyon"}, "g"), joining(10, {"city": "Paris"}, "g"), joining(5, {}, "h")])
    assert {name: group.event_time for name, group in customer.groups.items()} == {"g": 20, "h": 5}
    assert customer.groups["g"].traits["city"].value == "Lyon"
    assert customer.traits == {}


def test_of_too_many_groups_the_newest_stay() -> None:
    customer = learn([joining(1 + number, {}, f"g{number}") for number in range(GROUPS_MAX + 5)])
    assert set(customer.groups) == {f"g{number}" for number in range(5, GROUPS_MAX + 5)}
