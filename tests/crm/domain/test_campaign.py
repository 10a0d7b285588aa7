"""Campaigns: the states they go through, and counts that always add up."""

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.crm.domain.campaign import Campaign, CampaignState, CampaignStateInvalid, Channel, Counts, Sender
from services.crm.domain.message import MessageState

NOW = datetime(2026, 3, 1, tzinfo=UTC)
LATER = NOW + timedelta(days=1)
DRAFT = Campaign("c", "Sale", Channel.EMAIL, "s", "t", Sender("shop@example.com"), NOW)
STEPS: dict[str, Callable[[Campaign], Campaign]] = {
    "start": lambda it: it.started(3, NOW),
    "pause": lambda it: it.paused(),
    "cancel": lambda it: it.cancelled(NOW),
}
ALLOWED = {
    CampaignState.DRAFT: {"start": CampaignState.RUNNING, "cancel": CampaignState.CANCELLED},
    CampaignState.SCHEDULED: {"pause": CampaignState.PAUSED, "cancel": CampaignState.CANCELLED},
    CampaignState.RUNNING: {"pause": CampaignState.PAUSED, "cancel": CampaignState.CANCELLED},
    CampaignState.PAUSED: {"start": CampaignState.RUNNING, "cancel": CampaignState.CANCELLED},
    CampaignState.COMPLETED: {},
    CampaignState.CANCELLED: {},
    CampaignState.FAILED: {},
}
REACHED = {
    CampaignState.DRAFT: DRAFT,
    CampaignState.SCHEDULED: Campaign(
        "c", "Sale", Channel.EMAIL, "s", "t", Sender("shop@example.com"), NOW, not_before_time=LATER
    ).started(3, NOW),
    CampaignState.RUNNING: DRAFT.started(3, NOW),
    CampaignState.PAUSED: DRAFT.started(3, NOW).paused(),
    CampaignState.COMPLETED: DRAFT.started(3, NOW).completed(NOW),
    CampaignState.CANCELLED: DRAFT.cancelled(NOW),
    CampaignState.FAILED: DRAFT.started(3, NOW).failed("no such segment", NOW),
}


@pytest.mark.parametrize("state", CampaignState)
@pytest.mark.parametrize("step", STEPS)
def test_each_state_allows_what_it_allows_and_nothing_else(state: CampaignState, step: str) -> None:
    campaign = REACHED[state]
    assert campaign.state is state
    if step in ALLOWED[state]:
        assert STEPS[step](campaign).state is ALLOWED[state][step]
        return
    with pytest.raises(CampaignStateInvalid) as refused:
        STEPS[step](campaign)
    assert refused.value.metadata == {"state": state.name}


def test_what_was_paused_goes_on_with_the_template_and_the_start_it_had() -> None:
    resumed = DRAFT.started(3, NOW).paused().started(4, LATER)
    assert (resumed.template_revision, resumed.start_time) == (3, NOW)


def test_a_campaign_whose_time_has_passed_starts_at_once() -> None:
    scheduled = REACHED[CampaignState.SCHEDULED]
    assert scheduled.due_time(NOW) == LATER
    assert scheduled.paused().started(3, LATER).state is CampaignState.RUNNING


states = st.sampled_from(MessageState)


@given(st.lists(st.tuples(st.integers(0, 20), states), max_size=60))
def test_counts_are_how_many_messages_are_in_each_state(steps: list[tuple[int, MessageState]]) -> None:
    messages: dict[int, MessageState] = {}
    counts = Counts()
    for message, state in steps:
        counts = counts.after([(messages.get(message), state)])
        messages[message] = state
        there = Counter(messages.values())
        assert (counts.queued, counts.sent, counts.failed, counts.skipped, counts.held_back) == tuple(
            there[it] for it in MessageState
        )
        assert counts.audience == len(messages)
