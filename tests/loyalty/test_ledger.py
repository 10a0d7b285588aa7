"""The writer on a real SQLite file: many at once, several writers, duplicates, and nothing lost or doubled."""

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from services.common.errors import Refusal, RequestIdReused, Unavailable
from services.common.store.sqlite import SqliteStore
from services.loyalty.adapters.documents import COLLECTIONS
from services.loyalty.adapters.ledger import StoredLedger
from services.loyalty.adapters.store import StoredEntries
from services.loyalty.domain.entry import Entry
from services.loyalty.domain.errors import LedgerBusy
from services.loyalty.domain.operations import Operation
from tests.loyalty.breaking import BreakingStore
from tests.loyalty.conftest import House, SetClock
from tests.loyalty.making import TENANT, burning, earning, offering, opening, redeeming, request


async def _together(ledgers: Sequence[StoredLedger], operations: Sequence[tuple[str, Operation[Any]]]) -> Counter[str]:
    """Post all at once, spread over the ledgers; how many were applied, and refused for which reason."""
    posts = [ledgers[i % len(ledgers)].post(request(name), told) for i, (name, told) in enumerate(operations)]
    outcomes = await asyncio.gather(*posts, return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException) and not isinstance(outcome, Refusal):
            raise outcome
    return Counter(outcome.reason if isinstance(outcome, Refusal) else "applied" for outcome in outcomes)


async def test_a_thousand_earns_and_burns_at_once_on_one_member_are_all_applied_once(house: House) -> None:
    await house.ledger.post(request("start"), earning("start", 1000))
    earns = [(f"e{n}", earning(f"e{n}", 3)) for n in range(500)]
    burns = [(f"b{n}", burning(f"b{n}", 2)) for n in range(500)]
    mixed = [operation for pair in zip(earns, burns, strict=True) for operation in pair]
    assert await _together([house.ledger], mixed) == {"applied": 1000}
    member = await house.member("ann")
    assert (member.balance, member.earned, member.spent, member.entry_count) == (1500, 2500, 1000, 1001)
    assert (await house.audit()).violations == []


async def test_no_interleaving_spends_more_than_there_is(house: House) -> None:
    await house.ledger.post(request("start"), earning("start", 100))
    burns = [(f"b{n}", burning(f"b{n}", 1)) for n in range(300)]
    assert await _together([house.ledger], burns) == {"applied": 100, "INSUFFICIENT_POINTS": 200}
    assert (await house.member("ann")).balance == 0
    assert (await house.audit()).violations == []


async def test_a_reward_is_never_oversold(house: House) -> None:
    await house.ledger.post(request("mug"), offering("mug", 10, stock=25))
    people = [f"p{n}" for n in range(80)]
    await _together([house.ledger], [(f"e{who}", earning(f"e{who}", 10, who)) for who in people])
    redemptions = [(f"r{who}", redeeming(f"r{who}", "mug", who)) for who in people]
    assert await _together([house.ledger], redemptions) == {"applied": 25, "OUT_OF_STOCK": 55}
    audit = await house.audit()
    assert audit.violations == []
    assert audit.redemptions == {("club", "mug"): 25}


async def test_two_writers_on_one_file_share_a_hot_member_and_a_reward(house: House, store_file: Path) -> None:
    other_store = await SqliteStore.open(store_file, COLLECTIONS)
    ledgers = [house.ledger, StoredLedger(other_store, house.clock)]
    await house.ledger.post(request("mug"), offering("mug", 5, stock=20))
    await house.ledger.post(request("start"), earning("start", 50))
    operations: list[tuple[str, Operation[Any]]] = [(f"e{n}", earning(f"e{n}", 3)) for n in range(100)]
    operations += [(f"b{n}", burning(f"b{n}", 2)) for n in range(50)]
    operations += [(f"r{n}", redeeming(f"r{n}", "mug", f"p{n}")) for n in range(40)]
    await _together(ledgers, [(f"s{n}", earning(f"s{n}", 5, f"p{n}")) for n in range(40)])
    outcomes = await _together(ledgers, operations)
    assert outcomes == {"applied": 170, "OUT_OF_STOCK": 20}
    assert (await house.member("ann")).balance == 50 + 300 - 100
    assert (await house.audit()).violations == []
    await ledgers[1].close()
    await other_store.close()


async def test_two_writers_never_oversell_to_different_members(house: House, store_file: Path) -> None:
    other_store = await SqliteStore.open(store_file, COLLECTIONS)
    other = StoredLedger(other_store, house.clock)
    await house.ledger.post(request("mug"), offering("mug", 5, stock=25))
    await _together([house.ledger], [(f"s{n}", earning(f"s{n}", 5, f"p{n}")) for n in range(60)])
    outcomes: Counter[str] = Counter()
    for n in range(0, 60, 2):  # a pair at a time: each writer's commit is small, so they meet at the reward alone
        pair = [(f"r{m}", redeeming(f"r{m}", "mug", f"p{m}")) for m in (n, n + 1)]
        outcomes += await _together([house.ledger, other], pair)
    assert outcomes == {"applied": 25, "OUT_OF_STOCK": 35}
    assert (await house.audit()).violations == []
    await other.close()
    await other_store.close()


async def test_the_same_request_is_applied_once_however_often_and_wherever_it_comes(
    house: House, store_file: Path
) -> None:
    other_store = await SqliteStore.open(store_file, COLLECTIONS)
    other = StoredLedger(other_store, SetClock(house.clock.micros + 1))
    posts = [ledger.post(request("once"), earning("once", 7)) for ledger in (house.ledger, other) for _ in range(20)]
    entries = await asyncio.gather(*posts)
    assert len(set(entries)) == 1
    house.clock.micros += 10**9
    assert await house.ledger.post(request("once"), earning("once", 7)) == entries[0]
    assert (await house.member("ann")).balance == 7
    await other.close()
    await other_store.close()


async def test_a_request_id_with_other_content_is_refused_even_in_the_same_moment(house: House) -> None:
    first = house.ledger.post(request("id", "one"), earning("id", 7))
    second = house.ledger.post(request("id", "two"), earning("id", 8))
    outcomes = await asyncio.gather(first, second, return_exceptions=True)
    assert isinstance(outcomes[0], Entry)
    assert isinstance(outcomes[1], RequestIdReused)
    assert (await house.member("ann")).balance == 7


async def test_a_refused_request_can_be_sent_again(house: House) -> None:
    await house.ledger.post(request("e1"), earning("e1", 5))
    with pytest.raises(Refusal, match="8 points are needed and 5 are available"):
        await house.ledger.post(request("b1"), burning("b1", 8))
    await house.ledger.post(request("e2"), earning("e2", 5))
    assert (await house.ledger.post(request("b1"), burning("b1", 8))).balance == 2


async def test_every_answer_is_replayed_as_it_was(house: House) -> None:
    operations: list[tuple[str, Operation[Any]]] = [
        ("p", opening("other")),
        ("w", offering("mug", 5, stock=3)),
        ("e", earning("e", 50)),
        ("b", burning("b", 5)),
        ("r", redeeming("r", "mug")),
    ]
    first = [await house.ledger.post(request(name), told) for name, told in operations]
    again = [await house.ledger.post(request(name), told) for name, told in operations]
    assert first == again
    assert (await house.audit()).violations == []


async def test_tenants_have_ledgers_of_their_own(house: House) -> None:
    await house.ledger.post(request("open", tenant="other"), opening("club"))
    mine = house.ledger.post(request("same"), earning("same", 5))
    theirs = house.ledger.post(request("same", "else", tenant="other"), earning("same", 9))
    assert [entry.balance for entry in await asyncio.gather(mine, theirs)] == [5, 9]
    assert (await house.member("ann")).balance == 5
    assert await StoredEntries(house.store).count("other") == 1


async def test_past_its_limit_the_queue_refuses(house: House) -> None:
    ledger = StoredLedger(house.store, house.clock, queue_max=10)
    outcomes = await _together([ledger], [(f"e{n}", earning(f"e{n}", 1)) for n in range(30)])
    assert outcomes["applied"] == 10
    assert outcomes[LedgerBusy("").reason] == 20
    assert (await house.member("ann")).balance == 10


async def test_a_caller_that_goes_away_disturbs_nobody(house: House) -> None:
    posts = [asyncio.ensure_future(house.ledger.post(request(f"e{n}"), earning(f"e{n}", 1))) for n in range(30)]
    await asyncio.sleep(0)
    for post in posts[1::2]:
        post.cancel()
    outcomes = await asyncio.gather(*posts, return_exceptions=True)
    applied = [outcome for outcome in outcomes if isinstance(outcome, Entry)]
    assert len(applied) == 15
    # What was cancelled before it was taken up has no effect, or all of it.
    member = await house.member("ann")
    assert member.balance == member.entry_count >= 15
    assert (await house.audit()).violations == []


@pytest.mark.parametrize("failure", ["before", "after"])
async def test_what_a_failed_commit_left_open_is_settled_by_sending_it_again(house: House, failure: str) -> None:
    broken = BreakingStore(house.store)
    ledger = StoredLedger(broken, house.clock)
    broken.failures = [failure]
    with pytest.raises(Unavailable):
        await ledger.post(request("e"), earning("e", 5))
    assert (await ledger.post(request("e"), earning("e", 5))).balance == 5
    assert (await house.member("ann")).balance == 5
    assert (await house.audit()).violations == []


async def test_a_group_whose_commit_fails_is_carried_out_one_by_one(house: House) -> None:
    broken = BreakingStore(house.store)
    ledger = StoredLedger(broken, house.clock)
    await ledger.post(request("first"), earning("first", 1))
    broken.failures = ["", "after", ""]
    assert await _together([ledger], [(f"e{n}", earning(f"e{n}", 2)) for n in range(20)]) == {"applied": 20}
    assert (await house.member("ann")).balance == 41
    assert (await house.audit()).violations == []


async def test_closing_finishes_what_was_accepted(house: House) -> None:
    posts = [asyncio.ensure_future(house.ledger.post(request(f"e{n}"), earning(f"e{n}", 1))) for n in range(40)]
    await asyncio.sleep(0)
    await house.ledger.close()
    assert all(post.done() for post in posts)
    assert [entry async for entry in _entries(house)] == [post.result() for post in posts][::-1]


async def _entries(house: House) -> Any:
    page, _ = await StoredEntries(house.store).page(TENANT, "club", "ann", 100, "")
    for entry in page:
        yield entry
