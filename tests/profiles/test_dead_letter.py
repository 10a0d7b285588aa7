"""A dead letter is the whole event where that is small, and always the same one for the same event."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from services.profiles.domain.dead_letter import TEXT_LENGTH_MAX, TIME_MAX, TIME_MIN, bury
from services.profiles.domain.event import JSON_BYTES_MAX, Incoming, Rejection

EVENTS = st.builds(
    Incoming,
    message_id=st.text(),
    type=st.integers(-(2**31), 2**31 - 1),
    name=st.text(),
    user_id=st.text(),
    anonymous_id=st.text(),
    event_time=st.integers(-(2**80), 2**80),
    json=st.text(),
)


def wrong(reason: str) -> Rejection:
    return Rejection(0, "m", reason, "m", "products[0].price")


@given(EVENTS)
def test_what_is_kept_is_bounded_and_whole_unless_it_says_otherwise(event: Incoming) -> None:
    letter = bury(event, wrong("JSON_INVALID"), 7)
    assert TIME_MIN <= letter.event.event_time <= TIME_MAX
    assert letter.truncated == (letter.event != event)
    assert letter.path == "products[0].price"


@given(EVENTS, EVENTS)
def test_the_same_event_has_the_same_id_and_another_event_another(one: Incoming, other: Incoming) -> None:
    ids = [bury(each, wrong(reason), now).dead_letter_id for each, reason, now in ((one, "A", 1), (other, "B", 2))]
    assert (ids[0] == ids[1]) == (one == other)


def test_of_a_long_event_the_beginning_is_kept() -> None:
    event = Incoming("m", 2, "n" * 5000, "u" * 5000, "", 1, "x" * 100_000)
    letter = bury(event, wrong("EVENT_TOO_LARGE"), 7)
    assert letter.truncated
    assert (len(letter.event.json), len(letter.event.name)) == (JSON_BYTES_MAX, TEXT_LENGTH_MAX)
    assert letter.dead_letter_id != bury(replace(event, json="x" * 100_001), wrong("EVENT_TOO_LARGE"), 7).dead_letter_id
