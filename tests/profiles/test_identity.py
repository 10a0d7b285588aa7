"""No event merges two customers, whatever the order; an alias joins names where that loses nobody, and says so."""

from collections.abc import Sequence
from itertools import count

from hypothesis import given
from hypothesis import strategies as st

from services.profiles.domain.customer import Customer
from services.profiles.domain.event import EventType, Observation
from services.profiles.domain.identity import Directory

NAMES = st.sampled_from(["", "a", "b", "c", "d"])
NUMBERS = count()


def event(user: str = "", anonymous: str = "", previous: str = "") -> Observation:
    kind = EventType.ALIAS if previous else EventType.TRACK
    return Observation(f"m{next(NUMBERS)}", kind, "n", user, anonymous, 1, "", {}, None, previous_id=previous)


EVENTS = st.one_of(
    st.builds(event, NAMES.filter(bool), NAMES),
    st.builds(event, NAMES, NAMES.filter(bool)),
    st.builds(event, NAMES.filter(bool), NAMES, NAMES.filter(bool)),
)


class Shop:
    """A directory that events reach one by one, and what it knows after each."""

    def __init__(self) -> None:
        numbers = count()
        self.customers: dict[str, Customer] = {}
        self.directory = Directory({}, self.customers, lambda: f"c{next(numbers)}")

    def see(self, *events: Observation) -> list[Customer]:
        return [self.directory.resolve(each) for each in events]

    def owner(self, kind: str, value: str) -> str | None:
        return self.directory.learnt.get((kind, value))


@given(st.lists(EVENTS, max_size=30))
def test_an_identifier_never_changes_its_customer(events: Sequence[Observation]) -> None:
    shop = Shop()
    before: dict[tuple[str, str], str] = {}
    for each in events:
        customer = shop.directory.resolve(each)
        assert before.items() <= shop.directory.learnt.items()
        before = dict(shop.directory.learnt)
        if each.user_id:
            assert customer.customer_id == before["user_id", each.user_id]
        joined = {before.get(name, customer.customer_id) for name in each.previous} == {customer.customer_id}
        assert (each.message_id in shop.directory.unjoined) != (joined or not each.previous)
    assert all(("user_id", each.user_id) in before for each in events if each.user_id)


@given(st.lists(EVENTS, max_size=30))
def test_only_an_alias_gives_a_customer_a_second_user_id(events: Sequence[Observation]) -> None:
    shop = Shop()
    for each in events:
        customer = shop.directory.resolve(each)
        user_ids = {value for kind, value in customer.identifiers if kind == "user_id"}
        assert len(user_ids) <= 1 or any(other.previous_id and other.user_id in user_ids for other in events)


def test_an_alias_of_an_unknown_name_adds_it() -> None:
    shop = Shop()
    known, aliased, later = shop.see(event("ann"), event("ann", previous="device"), event(anonymous="device"))
    assert known is aliased is later
    assert not shop.directory.unjoined


def test_an_alias_of_two_unknown_names_makes_one_customer() -> None:
    shop = Shop()
    aliased, user, device = shop.see(event("ann", previous="device"), event("ann"), event(anonymous="device"))
    assert aliased is user is device


def test_an_anonymous_visitor_becomes_the_new_user_with_their_history() -> None:
    shop = Shop()
    visitor, aliased = shop.see(event(anonymous="device"), event("ann", previous="device"))
    assert visitor is aliased


def test_a_user_can_be_given_a_new_user_id() -> None:
    shop = Shop()
    old, new = shop.see(event("ann@example.com"), event("7", previous="ann@example.com"))
    assert old is new
    assert not shop.directory.unjoined


def test_two_users_stay_two() -> None:
    shop = Shop()
    ann, bob, aliased = shop.see(event("ann"), event("bob"), alias := event("bob", previous="ann"))
    assert ann is not bob
    assert aliased is bob
    assert shop.directory.unjoined == {alias.message_id}


def test_a_device_of_somebody_else_is_not_taken_from_them() -> None:
    shop = Shop()
    ann, bob = shop.see(event("ann", "tablet"), alias := event("bob", previous="tablet"))
    assert ann is not bob
    assert shop.owner("anonymous_id", "tablet") == ann.customer_id
    assert shop.directory.unjoined == {alias.message_id}


def test_a_visitor_with_a_history_and_a_known_user_stay_two() -> None:
    shop = Shop()
    visitor, ann, aliased = shop.see(event(anonymous="d"), event("ann"), alias := event("ann", previous="d"))
    assert aliased is ann is not visitor
    assert shop.directory.unjoined == {alias.message_id}
