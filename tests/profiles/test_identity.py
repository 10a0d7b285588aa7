"""No event merges two people, whatever the order; an anonymous visitor's history moves to who they turn out to be."""

from collections.abc import Sequence
from itertools import count

import pytest
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
        """The origin that has the name."""
        return self.directory.learnt.get((kind, value))

    def has(self, kind: str, value: str) -> str:
        """The customer who is left of it."""
        return self.directory.touched[self.directory.learnt[kind, value]].surviving_id

    def unjoined(self) -> set[str]:
        """The aliases that left two people two."""
        return {message_id for message_id, reason in self.directory.notices if reason == "ALIAS_NOT_JOINED"}

    def user_ids(self) -> dict[str, set[str]]:
        """The user ids of each surviving customer."""
        found: dict[str, set[str]] = {}
        for kind, value in self.directory.learnt:
            if kind == "user_id":
                found.setdefault(self.has(kind, value), set()).add(value)
        return found


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
        joined = {shop.has(*name) for name in each.previous if name in before} <= {customer.surviving_id}
        assert (each.message_id in shop.unjoined()) != (joined or not each.previous)
    assert all(("user_id", each.user_id) in before for each in events if each.user_id)


@given(st.lists(EVENTS, max_size=30))
def test_only_an_alias_to_a_new_user_id_gives_a_customer_a_second_one(events: Sequence[Observation]) -> None:
    shop = Shop()
    for each in events:
        new = ("user_id", each.user_id) not in shop.directory.learnt
        before = shop.user_ids()
        shop.directory.resolve(each)
        for customer_id, user_ids in shop.user_ids().items():
            more = user_ids - before.get(customer_id, set())
            assert len(user_ids) <= 1 or not more or (each.previous_id and new and more == {each.user_id})


@given(st.lists(EVENTS, max_size=30))
def test_two_people_are_never_merged_by_an_event(events: Sequence[Observation]) -> None:
    shop = Shop()
    for each in events:
        before = shop.user_ids()
        shop.directory.resolve(each)
        for user_ids in shop.user_ids().values():
            assert sum(1 for known in before.values() if known & user_ids) <= 1


def test_an_alias_of_an_unknown_name_adds_it() -> None:
    shop = Shop()
    known, aliased, later = shop.see(event("ann"), event("ann", previous="device"), event(anonymous="device"))
    assert known is aliased is later
    assert not shop.directory.notices


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
    assert not shop.directory.notices


def test_two_users_stay_two() -> None:
    shop = Shop()
    ann, bob, aliased = shop.see(event("ann"), event("bob"), alias := event("bob", previous="ann"))
    assert ann is not bob
    assert aliased is bob
    assert shop.unjoined() == {alias.message_id}


def test_a_device_of_somebody_else_is_not_taken_from_them() -> None:
    shop = Shop()
    ann, bob = shop.see(event("ann", "tablet"), alias := event("bob", previous="tablet"))
    assert ann is not bob
    assert shop.owner("anonymous_id", "tablet") == ann.customer_id
    assert shop.unjoined() == {alias.message_id}


@pytest.mark.parametrize("meeting", [event("ann", "d"), event("ann", previous="d")])
def test_a_visitors_history_moves_to_the_known_person_who_signs_in(meeting: Observation) -> None:
    shop = Shop()
    visitor, ann, signed_in = shop.see(event(anonymous="d"), event("ann"), meeting)
    assert signed_in is ann is not visitor
    assert visitor.surviving_id == ann.customer_id
    (joining,) = shop.directory.joinings
    assert (joining.customer_id, joining.merged_id) == (ann.customer_id, visitor.customer_id)
    assert joining.rule == ("alias" if meeting.previous_id else "signed_in")
    assert not shop.directory.notices


def test_a_visitor_who_became_known_is_not_taken_by_the_next_who_signs_in() -> None:
    shop = Shop()
    _, ann, _, bob, late = shop.see(
        event(anonymous="d"), event("ann"), event("ann", "d"), event("bob", "d"), event(anonymous="d")
    )
    assert bob.surviving_id != ann.surviving_id == late.surviving_id
    assert len(shop.directory.joinings) == 1
