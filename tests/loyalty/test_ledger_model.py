"""The ledger against a model so simple that it cannot be wrong: a bag in which every single point is an object."""

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.common.errors import Refusal
from services.loyalty.adapters.documents import entry_body, member_body, read_entry, read_member
from services.loyalty.domain.books import Books, OrderCounts
from services.loyalty.domain.check import Audit
from services.loyalty.domain.entry import Account, Entry
from services.loyalty.domain.operations import ExpirePoints, Operation
from services.loyalty.domain.orders import ApplyOrderEvents
from services.loyalty.domain.program import Program, Qualification
from tests.loyalty.making import DAY, NOW, burning, earning, offering, opening, order, redeeming

PROGRAMS = (
    opening("club", qualification=Qualification.ROLLING_YEAR_POINTS, points_per_100_minor=3),
    opening("shop", qualification=Qualification.ROLLING_YEAR_SPEND, validity_months=1),
    opening("euro", currency="EUR", validity_months=0),
)
IDS = st.sampled_from([told.program_id for told in PROGRAMS])
PEOPLE = st.sampled_from(["ann", "bob"])
POINTS = st.integers(1, 40)


@dataclass
class Purse:
    """A member as the model sees one: the expiry time of every point, and what has gone."""

    points: list[int] = field(default_factory=list)
    spent: int = 0
    expired: int = 0
    spend_minor: int = 0


class LedgerMachine(RuleBasedStateMachine):
    """Does the same to both and compares."""

    @initialize()
    def open(self) -> None:
        self.now = NOW
        self.books = Books(order_counts=OrderCounts())
        self.purses: dict[tuple[str, str], Purse] = {}
        self.orders: set[tuple[str, str]] = set()
        self.redeemed: dict[str, int] = defaultdict(int)
        self.requests = 0
        for told in PROGRAMS:
            told.apply(self.books, NOW)
            offering("mug", 15, stock=3, program_id=told.program_id).apply(self.books, NOW)

    @rule(days=st.integers(0, 200), micros=st.integers(0, DAY))
    def time_passes(self, days: int, micros: int) -> None:
        self.now += days * DAY + micros

    @rule(program_id=IDS, person=PEOPLE, points=POINTS, days_ago=st.integers(0, 800))
    def earn(self, program_id: str, person: str, points: int, days_ago: int) -> None:
        time = self.now - days_ago * DAY
        told = earning(self._request(), points, person, program_id=program_id, event_time=time)
        told.apply(self.books, self.now)
        self._gain(self.books.programs[program_id], person, points, time)

    @rule(program_id=IDS, person=PEOPLE, points=POINTS)
    def burn(self, program_id: str, person: str, points: int) -> None:
        purse = self.purses.get((program_id, person))
        told = burning(self._request(), points, person, program_id=program_id)
        if purse is None or len(self._valid(purse)) < points:
            self._refused(told, "MEMBER_NOT_FOUND" if purse is None else "INSUFFICIENT_POINTS")
            return
        told.apply(self.books, self.now)
        self._spend(purse, points)

    @rule(program_id=IDS, person=PEOPLE)
    def redeem(self, program_id: str, person: str) -> None:
        purse = self.purses.get((program_id, person))
        told = redeeming(self._request(), "mug", person, program_id)
        if purse is None:
            self._refused(told, "MEMBER_NOT_FOUND")
        elif self.redeemed[program_id] == 3:
            self._refused(told, "OUT_OF_STOCK")
        elif len(self._valid(purse)) < 15:
            self._refused(told, "INSUFFICIENT_POINTS")
        else:
            told.apply(self.books, self.now)
            self._spend(purse, 15)
            self.redeemed[program_id] += 1

    @rule(
        orders=st.lists(
            st.tuples(st.integers(1, 30), PEOPLE, st.sampled_from(["USD", "EUR"]), st.integers(0, 2000)), max_size=6
        ),
        days_ago=st.integers(0, 800),
    )
    def feed(self, orders: list[tuple[int, str, str, int]], days_ago: int) -> None:
        time = self.now - days_ago * DAY
        batch = [order(str(number), amount, person, currency, time) for number, person, currency, amount in orders]
        ApplyOrderEvents(batch).apply(self.books, self.now)
        for program in self.books.programs.values():
            for made in batch:
                points = made.amount_minor * program.points_per_100_minor // 100
                if made.currency == program.currency and points and (program.id, made.order_id) not in self.orders:
                    self.orders.add((program.id, made.order_id))
                    self._gain(program, made.member_id, points, time, made.amount_minor)

    @rule(program_id=IDS)
    def expire(self, program_id: str) -> None:
        told = ExpirePoints(program_id=program_id, member_ids=["ann", "bob"], as_of=None, more_due=False)
        expired = told.apply(self.books, self.now)
        points = 0
        for (owner, _), purse in self.purses.items():
            if owner == program_id:
                left = self._valid(purse)
                points += len(purse.points) - len(left)
                purse.expired += len(purse.points) - len(left)
                purse.points = left
        assert expired.points == points

    @invariant()
    def members_are_what_the_model_says(self) -> None:
        if not hasattr(self, "books"):
            return
        assert set(self.books.members) == set(self.purses)
        for pair, purse in self.purses.items():
            member = self.books.members[pair]
            assert sorted(purse.points) == [lot.expire_time for lot in member.lots for _ in range(lot.points)]
            assert (member.balance, member.spent, member.expired) == (len(purse.points), purse.spent, purse.expired)
            assert member.earned == len(purse.points) + purse.spent + purse.expired
            assert member.available(self.now) == len(self._valid(purse))
            assert member.spend_minor == purse.spend_minor

    @invariant()
    def the_check_finds_nothing_and_accounts_sum_to_zero(self) -> None:
        if not hasattr(self, "books"):
            return
        audit = Audit()
        by_member: dict[tuple[str, str], list[Entry]] = defaultdict(list)
        for entry in self.books.entered:
            by_member[(entry.program_id, entry.member_id)].append(read_entry(entry.id, entry_body(entry)))
        for pair, member in self.books.members.items():
            audit.check_member(read_member(member_body(member)), self.books.programs[pair[0]], by_member[pair])
        for reward in self.books.rewards.values():
            audit.check_stock(reward, reward)
        audit.check_count(len(self.books.entered))
        assert audit.violations == []
        for accounts in audit.balances.values():
            assert sum(accounts.values()) == 0
            assert accounts[Account.ISSUANCE] <= 0
        assert len({entry.id for entry in self.books.entered}) == len(self.books.entered)

    def _request(self) -> str:
        self.requests += 1
        return f"r{self.requests}"

    def _gain(self, program: Program, person: str, points: int, time: int, amount_minor: int = 0) -> None:
        purse = self.purses.setdefault((program.id, person), Purse())
        purse.points += [program.expire_time(time)] * points
        purse.spend_minor += amount_minor

    def _valid(self, purse: Purse) -> list[int]:
        return [expire_time for expire_time in purse.points if expire_time > self.now]

    def _spend(self, purse: Purse, points: int) -> None:
        gone = sorted(self._valid(purse))[:points]
        for expire_time in gone:
            purse.points.remove(expire_time)
        purse.spent += points

    def _refused(self, told: Operation[Any], reason: str) -> None:
        before = dict(self.books.members), dict(self.books.rewards), len(self.books.entered)
        with pytest.raises(Refusal) as refused:
            told.apply(self.books, self.now)
        assert refused.value.reason == reason
        assert before == (dict(self.books.members), dict(self.books.rewards), len(self.books.entered))


LedgerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLedgerAgainstModel = LedgerMachine.TestCase
