"""What makes an event unacceptable, in the order that the contract states."""

from dataclasses import replace

import pytest

from services.profiles.domain.event import FUTURE_MICROS_MAX, Incoming, fault

NOW = 1_000_000_000
GOOD = Incoming("m", 2, "Product Viewed", "u", "", NOW, "{}")
FAULTS = [
    ({"message_id": ""}, "MESSAGE_ID_MISSING"),
    ({"user_id": "", "anonymous_id": ""}, "IDENTITY_MISSING"),
    ({"type": 9}, "EVENT_TYPE_INVALID"),
    ({"name": ""}, "NAME_MISSING"),
    ({"type": 5}, "GROUP_ID_MISSING"),
    ({"type": 6}, "PREVIOUS_ID_MISSING"),
    ({"json": "x" * 40_000}, "EVENT_TOO_LARGE"),
    ({"event_time": NOW + FUTURE_MICROS_MAX + 1}, "EVENT_TIME_INVALID"),
]


def test_a_good_event_has_no_fault() -> None:
    assert fault(GOOD, NOW) is None


@pytest.mark.parametrize(("changed", "reason"), FAULTS)
def test_each_fault_has_its_reason(changed: dict[str, object], reason: str) -> None:
    found = fault(replace(GOOD, **changed), NOW)  # type: ignore[arg-type]
    assert found is not None
    assert found[0] == reason


def test_the_first_of_several_faults_is_told() -> None:
    apart = [each for each in FAULTS if each[1] not in ("GROUP_ID_MISSING", "PREVIOUS_ID_MISSING")]  # types exclude
    event, told = GOOD, []
    for changed, _ in reversed(apart):
        event = replace(event, **changed)  # type: ignore[arg-type]
        told.append((fault(event, NOW) or ("",))[0])
    assert told == [reason for _, reason in reversed(apart)]


@pytest.mark.parametrize(
    "changed", [{"message_id": "m" * 257}, {"user_id": "u" * 513}, {"user_id": "\0"}, {"event_time": -1}]
)
def test_beyond_a_limit_is_refused(changed: dict[str, object]) -> None:
    assert fault(replace(GOOD, **changed), NOW) is not None  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("changed", "reason"),
    [
        ({"type": 5, "group_id": "g" * 513}, "GROUP_ID_MISSING"),
        ({"type": 6, "previous_id": "a\0"}, "PREVIOUS_ID_MISSING"),
        ({"type": 6, "user_id": "", "anonymous_id": "a", "previous_id": "b"}, "IDENTITY_MISSING"),
        ({"json": "x" * 20_000, "context": "x" * 20_000}, "EVENT_TOO_LARGE"),
    ],
)
def test_what_relates_people_and_what_surrounds_events_is_judged_too(changed: dict[str, object], reason: str) -> None:
    assert (fault(replace(GOOD, **changed), NOW) or ("",))[0] == reason  # type: ignore[arg-type]


@pytest.mark.parametrize("skew", [-(10**12), -1, 0, 1, 10**12])
def test_a_clock_that_is_wrong_is_set_right(skew: int) -> None:
    event = replace(GOOD, event_time=NOW - 60 + skew, sent_time=NOW - 5 + skew)
    assert event.happened(NOW) == NOW - 55
    assert fault(event, NOW) is None


def test_without_the_time_of_sending_a_time_is_taken_at_its_word() -> None:
    assert replace(GOOD, event_time=7).happened(NOW) == 7
    assert replace(GOOD, event_time=0, sent_time=7).happened(NOW) == NOW
    assert replace(GOOD, event_time=0, receive_time=9).happened(NOW) == 9
