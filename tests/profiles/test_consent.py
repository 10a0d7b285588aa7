"""What holds of a consent follows from what was said, whatever the order in which it arrives."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.profiles.domain.consent import (
    CONSENTS_MAX,
    Consents,
    ConsentState,
    Statement,
    TooManyConsents,
    answer,
    categories,
    holding,
)

GRANTED, DENIED, WITHDRAWN, EXPIRED = ConsentState


def said(state: ConsentState, time: int, channel: str = "", expire_time: int = 0, origin: str = "c1") -> Statement:
    return Statement(f"s{time}", origin, "marketing", channel, state, time, time, expire_time)


def consents(*statements: Statement, origin: str = "c1") -> Consents:
    heard = Consents(origin)
    for statement in statements:
        heard.hear(statement)
    return heard


statements = st.lists(
    st.builds(
        lambda state, time, life: said(state, time, expire_time=time + life if state is GRANTED and life else 0),
        st.sampled_from([GRANTED, DENIED, WITHDRAWN]),
        st.integers(1, 30),
        st.sampled_from([0, 0, 5]),
    ),
    min_size=1,
    max_size=8,
)


@given(statements, st.randoms(use_true_random=False), st.integers(1, 60))
def test_the_newest_statement_holds_in_whatever_order_they_arrive(
    given_statements: list[Statement], random: object, now: int
) -> None:
    shuffled = list(given_statements)
    random.shuffle(shuffled)  # type: ignore[attr-defined]  # Hypothesis gives a random.Random
    (held,) = consents(*shuffled).entries.values()
    newest = max(statement.time for statement in given_statements)
    last = [statement for statement in given_statements if statement.time == newest]
    refused = [statement for statement in last if statement.state is not GRANTED]
    if refused:
        assert held.state(now) in {statement.state for statement in refused}
    else:
        assert held.state(now) in {EXPIRED if 0 < statement.expire_time <= now else GRANTED for statement in last}


@given(statements)
def test_followers_hear_of_changes_in_the_order_in_which_they_hold(given_statements: list[Statement]) -> None:
    heard, told = Consents("c1"), []
    for statement in given_statements:
        if heard.hear(statement):
            told.append(heard.entries["marketing", ""].told_time)
        told += [each.told_time for each in heard.expire(statement.time)]
    assert told == sorted(set(told)), "of two changes the one that was told later has the later time"


def test_a_consent_that_ran_out_is_told_once_and_a_new_one_starts_again() -> None:
    heard = consents(said(GRANTED, 1, expire_time=10))
    assert heard.next_expiry == 10
    assert heard.expire(9) == []
    (over,) = heard.expire(12)
    assert (over.state(12), over.told_time) == (EXPIRED, 10)
    assert heard.expire(12) == []
    assert heard.hear(said(GRANTED, 5, expire_time=20)), "it was said before that, and reaches further"
    assert heard.entries["marketing", ""].state(12) is GRANTED
    assert heard.next_expiry == 20


def test_saying_the_same_again_confirms_and_changes_nothing() -> None:
    heard = consents(said(GRANTED, 1))
    assert not heard.hear(said(GRANTED, 9))
    assert heard.entries["marketing", ""].told_time == 1
    assert not heard.hear(said(WITHDRAWN, 5)), "it was granted again after that"
    assert heard.hear(said(WITHDRAWN, 10))


def test_a_later_refusal_of_all_channels_lifts_a_grant_for_one() -> None:
    heard = holding([consents(said(GRANTED, 1, "email"), said(WITHDRAWN, 2))], 5)
    assert answer(heard, "marketing", "email", 5) is heard["marketing", ""]
    assert answer(heard, "marketing", "sms", 5) is heard["marketing", ""]


def test_a_grant_for_all_channels_does_not_lift_a_refusal_for_one() -> None:
    heard = holding([consents(said(WITHDRAWN, 1, "email"), said(GRANTED, 2))], 5)
    assert answer(heard, "marketing", "email", 5) is heard["marketing", "email"]
    assert answer(heard, "marketing", "sms", 5) is heard["marketing", ""]
    assert answer(heard, "research", "sms", 5) is None


def test_of_several_origins_the_newest_statement_holds_and_without_one_of_them_what_the_rest_said() -> None:
    one = consents(said(GRANTED, 1), origin="c1")
    other = consents(said(WITHDRAWN, 2, origin="c2"), origin="c2")
    assert holding([one, other], 5)["marketing", ""].state(5) is WITHDRAWN
    assert holding([one], 5)["marketing", ""].state(5) is GRANTED
    same_instant = consents(replace(said(GRANTED, 2), customer_id="c3"), origin="c3")
    assert holding([other, same_instant], 5)["marketing", ""].state(5) is WITHDRAWN


def test_there_is_a_limit_to_purposes() -> None:
    heard = Consents("c1")
    for number in range(CONSENTS_MAX):
        heard.hear(replace(said(GRANTED, 1), purpose=f"p{number}"))
    with pytest.raises(TooManyConsents):
        heard.hear(said(GRANTED, 1))


@pytest.mark.parametrize(
    ("context", "found"),
    [
        ({"consent": {"categoryPreferences": {"Ads": True, "Analytics": False}}}, {"Ads": True, "Analytics": False}),
        ({"consent": {"categoryPreferences": {"Advertising": "yes", "": True, "x" * 65: True, "a\0": False}}}, {}),
        ({"consent": {"categoryPreferences": ["Advertising"]}}, {}),
        ({"consent": True}, {}),
        ({}, {}),
    ],
)  # fmt: skip
def test_segments_convention_is_read_and_what_is_none_is_left_out(
    context: dict[str, object], found: dict[str, bool]
) -> None:
    assert categories(context) == found
