"""Transfers: no point is lost, made or made to last longer on the way, against a model that has single points."""

import asyncio
from collections import defaultdict
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.common.errors import Refusal
from services.loyalty.adapters.clubs import StoredClubs
from services.loyalty.adapters.documents import entry_body, member_body, read_entry, read_member
from services.loyalty.adapters.erasures import PERSONAL
from services.loyalty.adapters.store import StoredEntries
from services.loyalty.domain.books import Books, OrderCounts
from services.loyalty.domain.check import Audit
from services.loyalty.domain.earning_rule import PeriodLimit
from services.loyalty.domain.entry import Entry, EntryKind
from services.loyalty.domain.operations import ExpirePoints
from services.loyalty.domain.orders import ApplyOrderEvents
from services.loyalty.domain.program import RefundPolicy
from services.loyalty.domain.spending_policy import SetSpendingPolicy, SpendingPolicy, policy_ref
from services.loyalty.domain.transfer import TRANSFERS, TransferPoints
from services.loyalty.domain.zones import Period
from tests.loyalty.conftest import House
from tests.loyalty.making import (
    DAY,
    NOW,
    TENANT,
    burning,
    earning,
    offering,
    opening,
    order,
    redeeming,
    refunding,
    request,
)

PEOPLE = ("ann", "bob", "eve")
PERSON = st.sampled_from(PEOPLE)
FREELY = SpendingPolicy("club", transfers_allowed=True)


def transferring(id: str, points: int, sender: str = "ann", receiver: str = "bob") -> TransferPoints:
    return TransferPoints(
        program_id="club", sender_id=sender, receiver_id=receiver, points=points, reason="", request_id=id
    )


class TransferMachine(RuleBasedStateMachine):
    """Points, one by one, by when they expire; a debt takes what comes first."""

    @initialize()
    def begin(self) -> None:
        self.books, self.now = Books(order_counts=OrderCounts()), NOW
        self.count = self.transferred = 0
        opening(refund_policy=RefundPolicy.ALLOW_NEGATIVE).apply(self.books, NOW)
        self.books.put_record(policy_ref("club"), FREELY)
        self.points: dict[str, list[int]] = defaultdict(list)
        self.debts: dict[str, int] = defaultdict(int)
        for person in PEOPLE:
            self.earn(person, 3, 0)

    @rule(person=PERSON, points=st.integers(1, 20), days_ago=st.integers(0, 400))
    def earn(self, person: str, points: int, days_ago: int) -> None:
        time = self.now - days_ago * DAY
        earning(self._id(), points, person, event_time=time).apply(self.books, self.now)
        self._gain(person, [self.books.programs["club"].expire_time(time)] * points)

    @rule(sender=PERSON, receiver=PERSON, points=st.integers(1, 15))
    def transfer(self, sender: str, receiver: str, points: int) -> None:
        told = transferring(self._id(), points, sender, receiver)
        valid = sorted(each for each in self.points[sender] if each > self.now)
        if sender == receiver or len(valid) < points:
            before = dict(self.books.members), len(self.books.entered), dict(self.books.records)
            with pytest.raises(Refusal):
                told.apply(self.books, self.now)
            assert before == (dict(self.books.members), len(self.books.entered), dict(self.books.records))
            return
        done = told.apply(self.books, self.now)
        for each in valid[:points]:
            self.points[sender].remove(each)
        self._gain(receiver, valid[:points])
        assert done.sender_balance == self._balance(sender)
        assert done.receiver_balance == self._balance(receiver)
        self.transferred += points

    @rule(person=PERSON, amount=st.integers(100, 3000), spent=st.integers(0, 10))
    def order_and_return(self, person: str, amount: int, spent: int) -> None:
        """An order that earns, of which something is spent, and that goes back: a debt may be what is left."""
        order_id = self._id()
        ApplyOrderEvents([order(order_id, amount, person, time=self.now)]).apply(self.books, self.now)
        expiry = self.books.programs["club"].expire_time(self.now)
        self._gain(person, [expiry] * (amount // 100))
        for each in sorted(each for each in self.points[person] if each > self.now)[:spent]:
            self.points[person].remove(each)
            burning(self._id(), 1, person).apply(self.books, self.now)
        self.points[person] = [each for each in self.points[person] if each > self.now]
        refunding(self._id(), order_id).apply(self.books, self.now)
        for _ in range(amount // 100):
            kept = self.points[person]
            if kept:
                kept.remove(expiry if expiry in kept else min(kept))
            else:
                self.debts[person] += 1

    @rule(days=st.integers(1, 200))
    def time_passes(self, days: int) -> None:
        self.now += days * DAY
        ExpirePoints(program_id="club", member_ids=PEOPLE, as_of=None, more_due=False).apply(self.books, self.now)
        for person in PEOPLE:
            self.points[person] = [each for each in self.points[person] if each > self.now]

    @invariant()
    def members_are_what_the_model_says_and_the_check_finds_nothing(self) -> None:
        if not hasattr(self, "books"):
            return
        audit, entries = Audit(), defaultdict[str, list[Entry]](list)
        for entry in self.books.entered:
            entries[entry.member_id].append(read_entry(entry.id, entry_body(entry)))
        club = self.books.programs["club"]
        for person in PEOPLE:
            member = self.books.members["club", person]
            assert sorted(self.points[person]) == [lot.expire_time for lot in member.lots for _ in range(lot.points)]
            assert member.balance == self._balance(person)
            audit.check_member(read_member(member_body(member, club)), club, entries[person])
        audit.check_transfers()
        assert audit.violations == []
        received = sum(self.books.members["club", person].received for person in PEOPLE)
        assert received == self.transferred == sum(self.books.members["club", person].sent for person in PEOPLE)

    def _gain(self, person: str, points: list[int]) -> None:
        paid = min(self.debts[person], len(points))
        self.debts[person] -= paid
        self.points[person] += points[paid:]

    def _balance(self, person: str) -> int:
        return len(self.points[person]) - self.debts[person]

    def _id(self) -> str:
        self.count += 1
        return f"r{self.count}"


TransferMachine.TestCase.settings = settings(max_examples=30, stateful_step_count=25, deadline=None)
TestTransfersAgainstModel = TransferMachine.TestCase


async def allow(house: House, **changed: Any) -> SpendingPolicy:
    policy = SpendingPolicy("club", **{"transfers_allowed": True, **changed})
    return await house.ledger.post(request("policy", str(changed)), SetSpendingPolicy(policy=policy))


async def refusal(house: House, operation: Any) -> str:
    with pytest.raises(Refusal) as refused:
        await house.ledger.post(request("refused"), operation)
    return refused.value.reason


async def test_both_statements_tell_a_transfer_and_it_is_made_once(house: House) -> None:
    await allow(house)
    await house.ledger.post(request("e1"), earning("e1", 9))
    await house.ledger.post(request("e2"), earning("e2", 1, "bob"))
    done = await house.ledger.post(request("t"), transferring("t", 4))
    assert await house.ledger.post(request("t"), transferring("t", 4)) == done
    ann, bob = await house.member("ann"), await house.member("bob")
    assert (ann.balance, ann.sent, bob.balance, bob.received, bob.earned) == (5, 4, 5, 4, 1)
    assert ann.lots[0].expire_time == bob.lots[0].expire_time
    sent, _ = await StoredClubs(house.store).transfers(TENANT, "club", "ann", received=False, limit=9, after="")
    received, _ = await StoredClubs(house.store).transfers(TENANT, "club", "bob", received=True, limit=9, after="")
    assert sent == received == [done.transfer]
    assert (await house.audit()).violations == []


async def test_parallel_transfers_never_send_more_than_there_is_or_than_the_day_allows(house: House) -> None:
    await allow(house, sent=(PeriodLimit(Period.DAY, 30, 4), PeriodLimit(Period.YEAR, 60)))
    await house.ledger.post(request("e1"), earning("e1", 100))
    await house.ledger.post(request("e2"), earning("e2", 1, "bob"))
    asked = [house.ledger.post(request(f"t{n}"), transferring(f"t{n}", 9)) for n in range(20)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(not isinstance(each, Refusal) for each in answers) == 3
    house.clock.micros += DAY
    asked = [house.ledger.post(request(f"u{n}"), transferring(f"u{n}", 1)) for n in range(20)]
    answers = await asyncio.gather(*asked, return_exceptions=True)
    assert sum(not isinstance(each, Refusal) for each in answers) == 4
    house.clock.micros += DAY
    assert await refusal(house, transferring("v", 30)) == "SPENDING_LIMIT_REACHED"
    assert (await house.member("bob")).balance == 1 + 3 * 9 + 4
    assert (await house.audit()).violations == []


async def test_a_receiver_has_limits_too(house: House) -> None:
    await allow(house, received=(PeriodLimit(Period.LIFETIME, 5),))
    for person in PEOPLE:
        await house.ledger.post(request(person), earning(person, 10, person))
    await house.ledger.post(request("t1"), transferring("t1", 3))
    assert await refusal(house, transferring("t2", 3, "eve")) == "SPENDING_LIMIT_REACHED"
    await house.ledger.post(request("t3"), transferring("t3", 2, "eve"))


async def test_burns_and_rewards_count_towards_one_limit_of_spending(house: House) -> None:
    await allow(house, spent=(PeriodLimit(Period.DAY, 10),))
    await house.ledger.post(request("e"), earning("e", 100))
    await house.ledger.post(request("r"), offering("mug", 6))
    await house.ledger.post(request("b"), burning("b", 5))
    assert await refusal(house, redeeming("x", "mug")) == "SPENDING_LIMIT_REACHED"
    await house.ledger.post(request("b2"), burning("b2", 5))
    assert await refusal(house, burning("x", 1)) == "SPENDING_LIMIT_REACHED"
    house.clock.micros += DAY
    await house.ledger.post(request("x"), redeeming("x", "mug"))
    assert [entry.kind for entry in await _entries(house)][-1] is EntryKind.REDEMPTION


async def _entries(house: House) -> list[Entry]:
    return await StoredEntries(house.store).of_member(TENANT, await house.member("ann"))


def test_both_sides_of_a_transfer_are_forgotten() -> None:
    fields = {each.field for each in PERSONAL if each.collection.name == TRANSFERS.name}
    assert fields == {"sender_id", "receiver_id"}
