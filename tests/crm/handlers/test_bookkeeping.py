"""The book: counts are what the messages say, whoever else writes, and waiting entries share a commit."""

import asyncio
from collections import Counter
from datetime import UTC, datetime
from typing import Any, cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.common.errors import Conflict
from services.crm.domain.campaign import Campaign, Channel, Sender
from services.crm.domain.message import MessageState, queue
from services.crm.handlers.bookkeeping import Book
from services.crm.ports import Change, Versioned
from tests.crm.handlers.memory import Memory

NOW = datetime(2026, 3, 1, tzinfo=UTC)
CAMPAIGN = Campaign("c", "Sale", Channel.EMAIL, "s", "t", Sender("shop@example.com"), NOW).started(1, NOW)


def a_book(memory: Memory) -> Book:
    ports = cast(Any, memory)
    return Book(ports, ports, "acme", memory.campaign)


def sending(memory: Memory, customer_id: str) -> Change:
    before = memory.messages[queue("c", customer_id, NOW).message_id]
    return before, before.value.sent("a@example.com", NOW)


def check(memory: Memory) -> None:
    there = Counter(message.value.state for message in memory.messages.values())
    counts = memory.campaign.value.counts
    assert (counts.queued, counts.sent, counts.failed, counts.skipped, counts.held_back) == tuple(
        there[it] for it in MessageState
    )


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 3), st.booleans()), max_size=40))
def test_counts_are_what_the_messages_say_whoever_else_writes(steps: list[tuple[int, int, bool]]) -> None:
    memory = Memory(CAMPAIGN)
    books = [a_book(memory), a_book(memory)]

    def changes_to(customer: int, kind: int) -> list[Change]:
        fresh = queue("c", str(customer), NOW)
        before = memory.messages.get(fresh.message_id)
        if before is None or before.value.state is not MessageState.QUEUED:
            return [(None, fresh)] if before is None else []
        after = [
            before.value.sent("a@example.com", NOW),
            before.value.refused("a@example.com", "550", NOW),
            before.value.skipped("NO_ADDRESS", "", NOW),
            before.value.deferred("a@example.com", "451", NOW, NOW - NOW),
        ]
        return [(before, after[kind])]

    async def run() -> None:
        pending: list[asyncio.Task[None]] = []
        for index, (customer, kind, disturbed) in enumerate(steps):
            if disturbed:
                memory.disturb()
            changes = changes_to(customer, kind)
            pending.append(asyncio.create_task(books[index % 2].record(changes)))
            if index % 3 == 0:
                await asyncio.gather(*pending)
                check(memory)
        await asyncio.gather(*pending)
        check(memory)

    asyncio.run(run())


async def test_entries_that_wait_for_a_commit_share_the_next() -> None:
    memory = Memory(CAMPAIGN)
    book = a_book(memory)
    await asyncio.gather(*(book.record([(None, queue("c", str(number), NOW))]) for number in range(50)))
    assert sum(memory.commits) == 50
    assert len(memory.commits) <= 2
    check(memory)


async def test_what_another_process_has_recorded_is_not_recorded_again() -> None:
    memory = Memory(CAMPAIGN)
    book, other = a_book(memory), a_book(memory)
    await book.record([(None, queue("c", "u1", NOW)), (None, queue("c", "u2", NOW))])
    late = [sending(memory, "u1"), sending(memory, "u2")]
    await other.record([sending(memory, "u1")])
    await book.record(late)
    assert book.campaign.counts.sent == 2
    check(memory)


async def test_a_sent_message_ends_the_problem_that_held_it_up() -> None:
    memory = Memory(CAMPAIGN)
    book = a_book(memory)
    await book.record([(None, queue("c", "u1", NOW))])
    await book.record(edit=lambda it: it.failed("mail server away", NOW))
    assert memory.campaign.value.problem
    await book.record([sending(memory, "u1")])
    assert not memory.campaign.value.problem
    assert book.sent


async def test_a_campaign_that_never_rests_is_given_up_and_nobody_waits_for_ever() -> None:
    memory = Memory(CAMPAIGN)
    book = a_book(memory)

    class Restless(Memory):
        async def get(self, tenant: str, campaign_id: str) -> Versioned[Campaign] | None:
            found = memory.campaign
            memory.disturb()
            return found

    book._campaigns = cast(Any, Restless(CAMPAIGN))
    memory.disturb()
    outcomes = await asyncio.gather(*(book.record() for _ in range(3)), return_exceptions=True)
    assert all(isinstance(outcome, Conflict) for outcome in outcomes)
    with pytest.raises(Conflict):
        await book.record()
