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
    event, told = GOOD, []
    for changed, _ in reversed(FAULTS):
        event = replace(event, **changed)  # type: ignore[arg-type]
        told.append((fault(event, NOW) or ("",))[0])
    assert told == [reason for _, reason in reversed(FAULTS)]


@pytest.mark.parametrize(
    "changed", [{"message_id": "m" * 257}, {"user_id": "u" * 513}, {"user_id": "\0"}, {"event_time": -1}]
)
def test_beyond_a_limit_is_refused(changed: dict[str, object]) -> None:
    assert fault(replace(GOOD, **changed), NOW) is not None  # type: ignore[arg-type]
