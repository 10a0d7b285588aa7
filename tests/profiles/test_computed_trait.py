"""Computed traits are what the raw events come to: in any order of arrival, at any time, over any merges."""

from collections import Counter
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.common.errors import InvalidArgument
from services.common.rules import Comparison, Instant, Operator
from services.profiles.domain.computed_trait import (
    ENTRIES_MAX,
    WINDOW_MIN,
    Computed,
    ComputedTrait,
    Status,
    Value,
    check,
    tell_changes,
    value_of,
    values_of,
)
from services.profiles.domain.figures import Kind

MINUTE = 60_000_000
CHEAP = Comparison("price", Operator.LESS_THAN, (5.0,))
Event = tuple[str, int, dict[str, Any]]
"""An origin, a time and properties."""


def trait(kind: Kind, window: int = 0, where: tuple[Comparison, ...] = ()) -> ComputedTrait:
    path = "" if kind is Kind.EVENT_COUNTER else "price"
    return ComputedTrait("t", kind, "Bought", path, where, window, status=Status.ACTIVE)


def recomputed(trait: ComputedTrait, events: list[Event], now: int) -> Any:
    """The value from the raw events, the plain way."""
    counted = sorted(
        (time, event["price"])
        for _, time, event in events
        if (not trait.window or now - trait.window < time <= now) and (not trait.where or event["price"] < 5)
    )
    if not counted:
        return None
    prices = [price for _, price in counted]
    counts = Counter(prices)
    figures = {
        Kind.EVENT_COUNTER: len(prices),
        Kind.SUM: float(sum(map(Fraction, prices))),
        Kind.AVERAGE: round(float(sum(map(Fraction, prices)) / len(prices)), 9),
        Kind.MINIMUM: min(prices),
        Kind.MAXIMUM: max(prices),
        Kind.MOST_FREQUENT: min(counts, key=lambda price: (-counts[price], str(price))),
        Kind.FIRST: min((time, str(price), price) for time, price in counted)[2],
        Kind.LAST: max((time, str(price), price) for time, price in counted)[2],
        Kind.UNIQUE_LIST: sorted(counts, key=str),
        Kind.UNIQUE_LIST_COUNT: len(counts),
    }
    return figures[trait.kind]


EVENTS = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.integers(0, 12).map(lambda minute: minute * MINUTE),
        st.fixed_dictionaries({"price": st.sampled_from([1, 2, 3, 7, 12, 0.25, 2.5])}),
    ),
    max_size=25,
)


@settings(max_examples=300)
@given(
    st.sampled_from(Kind),
    st.sampled_from([0, MINUTE, 5 * MINUTE]),
    st.sampled_from([(), (CHEAP,)]),
    EVENTS,
    st.lists(st.integers(0, 18), min_size=1, max_size=4, unique=True).map(sorted),
    st.randoms(use_true_random=False),
)
def test_a_value_is_what_the_raw_events_come_to(
    kind: Kind, window: int, where: tuple[Comparison, ...], events: list[Event], nows: list[int], random: Any
) -> None:
    """Each event comes at one of the moments, in no order; between them time passes and customers are merged."""
    computed_trait = trait(kind, window, where)
    traits = {"t": computed_trait}
    parts = {name: Computed(name) for name in "abc"}
    arrivals = [(random.choice(nows), event) for event in events]
    for now in nows:
        arriving = [event for arrival, event in arrivals if arrival == now]
        random.shuffle(arriving)
        for origin, time, properties in arriving:
            parts[origin].observe([computed_trait], time, properties)
        for part in parts.values():
            part.settle(traits, now * MINUTE)
        for family in ("a", "ab", "abc", "cb"):
            known = [event for arrival, event in arrivals if arrival <= now and event[0] in family]
            states = [parts[name].states[computed_trait.key] for name in family if parts[name].states]
            assert value_of(computed_trait, states, now * MINUTE) == recomputed(computed_trait, known, now * MINUTE)


@given(EVENTS, st.sampled_from([MINUTE, 5 * MINUTE]), st.integers(0, 12))
def test_nothing_changes_before_it_is_due(events: list[Event], window: int, now: int) -> None:
    counter = trait(Kind.EVENT_COUNTER, window)
    traits, part = {"t": counter}, Computed("a")
    for _, time, properties in events:
        part.observe([counter], time, properties)
    part.settle(traits, now * MINUTE)
    due = part.due(traits, now * MINUTE)
    before = values_of(traits, [part], now * MINUTE)
    until = due if due is not None else 10**15
    assert due is None or due > now * MINUTE
    assert values_of(traits, [part], until - 1) == before


def test_what_is_told_is_what_has_changed_and_later_each_time() -> None:
    top = Computed(
        "a", values={"gone": Value(1, 50), "same": Value("x", 50), "other": Value(1, 50), "type": Value(1, 5)}
    )
    told = tell_changes(top, {"same": "x", "other": 2, "new": [1], "type": True}, 50)
    assert told == [("gone", None), ("new", [1]), ("other", 2), ("type", True)]
    assert {name: value.change_time for name, value in top.values.items()} == {
        "same": 50,
        "other": 51,
        "new": 50,
        "type": 50,
    }
    assert tell_changes(top, {"same": "x", "other": 2, "new": [1], "type": True}, 60) == []


def test_a_customer_shows_a_trait_once_all_history_is_in_it() -> None:
    filling = ComputedTrait("t", Kind.EVENT_COUNTER, "Bought")
    one, other = Computed("a"), Computed("b")
    for part in (one, other):
        part.observe([filling], 1, {})
    one.states[filling.key].whole = True
    assert values_of({"t": filling}, [one], 5) == {"t": 1}
    assert values_of({"t": filling}, [one, other], 5) == {}


def test_lists_count_each_element_and_other_types_are_no_values() -> None:
    unique = ComputedTrait("t", Kind.UNIQUE_LIST, "Bought", "products.category", status=Status.ACTIVE)
    part = Computed("a")
    part.observe([unique], 1, {"products": [{"category": "b"}, {"category": "a"}, {"category": None}, {}, 7]})
    part.observe([unique], 2, {"products": {"category": 1.0}})
    part.observe([unique], 3, {"products": [{"category": {"a": 1}}, {"category": True}, {"category": "x" * 513}]})
    assert values_of({"t": unique}, [part], 5) == {"t": ["a", "b", 1, True]}
    total = ComputedTrait("t", Kind.SUM, "Bought", "products.price", status=Status.ACTIVE)
    part = Computed("a")
    part.observe([total], 1, {"products": [{"price": 0.1}, {"price": 0.2}, {"price": "7"}, {"price": True}]})
    assert values_of({"t": total}, [part], 5) == {"t": 0.3}


def test_the_newest_events_of_a_window_count() -> None:
    counter = trait(Kind.EVENT_COUNTER, 10 * MINUTE)
    part = Computed("a")
    for time in range(ENTRIES_MAX + 10, 0, -1):
        part.observe([counter], time, {"price": time})
    states = [part.states[counter.key]]
    assert value_of(counter, states, MINUTE) == ENTRIES_MAX
    assert value_of(counter, [*states, *states], MINUTE) == ENTRIES_MAX


@pytest.mark.parametrize(
    "wrong",
    [
        ComputedTrait("t", Kind.SUM, "Bought"),
        ComputedTrait("t", Kind.EVENT_COUNTER, "Bought", "price"),
        ComputedTrait("t", Kind.SUM, "Bought", "a..b"),
        ComputedTrait("t", Kind.SUM, "Bought", "price", window=WINDOW_MIN - 1),
        ComputedTrait("t", Kind.SUM, "Bought", "price", where=(CHEAP,) * 11),
        ComputedTrait("t", Kind.SUM, "Bought", "price", where=(Comparison("a", Operator.EQUALS),)),
        ComputedTrait("t", Kind.SUM, "Bought", "price", where=(Comparison("a", Operator.MATCHES, ("(a+)+$",)),)),
        ComputedTrait("t", Kind.SUM, "Bought", "price", where=(Comparison("a", Operator.AFTER, (Instant(1),)),)),
    ],
)
def test_a_definition_that_cannot_be_computed_is_refused(wrong: ComputedTrait) -> None:
    with pytest.raises(InvalidArgument):
        check(wrong)
