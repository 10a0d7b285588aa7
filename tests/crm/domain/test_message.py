"""Messages: recorded before they are sent, ended once."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.crm.domain.message import ATTEMPTS_MAX, DETAIL_LENGTH_MAX, MessageState, queue

NOW = datetime(2026, 3, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


@given(st.tuples(st.text(), st.text()), st.tuples(st.text(), st.text()))
def test_the_id_follows_from_campaign_and_customer(one: tuple[str, str], other: tuple[str, str]) -> None:
    same = queue(*one, NOW).message_id == queue(*other, NOW + MINUTE).message_id
    assert same == (one == other)


def test_each_deferral_waits_twice_as_long_until_the_last() -> None:
    message = queue("c", "u", NOW)
    waits = []
    while message.state is MessageState.QUEUED:
        message = message.deferred("a@example.com", "451 later", NOW, MINUTE)
        waits.append((message.due_time - NOW) / MINUTE)
    assert waits[:-1] == [1, 2, 4, 8, 16]
    assert (message.attempt_count, message.reason, message.state) == (
        ATTEMPTS_MAX,
        "SMTP_DEFERRED",
        MessageState.FAILED,
    )
    assert message.detail == "451 later"


def test_a_message_that_has_ended_does_not_end_again() -> None:
    sent = queue("c", "u", NOW).sent("a@example.com", NOW)
    with pytest.raises(AssertionError):
        sent.skipped("NO_ADDRESS", "", NOW)


def test_the_words_of_a_server_are_kept_up_to_a_limit() -> None:
    refused = queue("c", "u", NOW).refused("a@example.com", "550 " + "x" * 5000, NOW)
    assert len(refused.detail) == DETAIL_LENGTH_MAX
    assert refused.attempt_count == 1
