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
from services.loyalty.domain.pending_points import PostPending, VoidPending
from services.loyalty.domain.program import PendingRelease, PendingRule, Program, Qualification, RefundPolicy
from services.loyalty.domain.standing import standing
from tests.loyalty.making import (
    DAY,
    NOW,
    burning,
    earning,
    offering,
    opening,
    order,
    posting,
    redeeming,
    refunding,
    told_refund,
    voiding,
)

PROGRAMS = (
    opening("club", qualification=Qualification.ROLLING_YEAR_POINTS, points_per_100_minor=3),
    opening("shop", qualification=Qualification.ROLLING_YEAR_SPEND, validity_months=1),
    opening("euro", currency="EUR", validity_months=0, refund_policy=RefundPolicy.ONLY_PENDING),
    opening(
        "window",
        qualification=Qualification.ROLLING_YEAR_POINTS,
        points_per_100_minor=7,
        pending=PendingRule(PendingRelease.AFTER_DURATION, 14 * DAY),
        refund_policy=RefundPolicy.ALLOW_NEGATIVE,
    ),
    opening(
        "action",
        currency="EUR",
        validity_months=2,
        points_per_100_minor=2,
        pending=PendingRule(PendingRelease.ON_ACTION, 60 * DAY),
        qualification=Qualification.LIFETIME_SPEND,
    ),
)
IDS = st.sampled_from([told.program_id for told in PROGRAMS])
PEOPLE = st.sampled_from(["ann", "bob"])
POINTS = st.integers(1, 40)


@dataclass
class Purse:
    """A member as the model sees one: the expiry time of every point, and what has gone."""

    points: list[int] = field(default_factory=list)
    debt: int = 0
    spent: int = 0
    expired: int = 0
    refunded: int = 0
    spend_minor: int = 0


@dataclass
class Wait:
    """What one cause made pending, as the model sees it."""

    person: str
    points: int
    due: int


@dataclass
class Sale:
    """An order that earned, as the model sees it."""

    person: str
    points: int
    amount_minor: int
    refunded_minor: int = 0
    spendable: bool = False
    expire_time: int = 0


class LedgerMachine(RuleBasedStateMachine):
    """Does the same to both and compares."""

    @initialize()
    def open(self) -> None:
        self.now = NOW
        self.books = Books(order_counts=OrderCounts())
        self.purses: dict[tuple[str, str], Purse] = {}
        self.orders: dict[tuple[str, str], Sale] = {}
        self.waits: dict[tuple[str, str], Wait] = {}
        self.early: dict[tuple[str, str], list[int]] = defaultdict(list)
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
        self._gain(program_id, person, points, self.books.programs[program_id].expire_time(time))

    @rule(program_id=IDS, person=PEOPLE, points=POINTS, days_ago=st.integers(0, 30))
    def earn_pending(self, program_id: str, person: str, points: int, days_ago: int) -> None:
        time = self.now - days_ago * DAY
        told = earning(self._request(), points, person, program_id=program_id, event_time=time, pending=True)
        entry = told.apply(self.books, self.now)
        self._give(self.books.programs[program_id], entry.id, person, points, time)

    @rule(program_id=IDS, number=st.integers(1, 8))
    def post(self, program_id: str, number: int) -> None:
        self._end(program_id, str(number), posting(self._request(), str(number), program_id=program_id))

    @rule(program_id=IDS, number=st.integers(1, 8))
    def void(self, program_id: str, number: int) -> None:
        self._end(program_id, str(number), voiding(self._request(), str(number), program_id=program_id))

    @rule(program_id=IDS, number=st.integers(1, 8), amount=st.one_of(st.none(), st.integers(1, 2500)))
    def refund(self, program_id: str, number: int, amount: int | None) -> None:
        told = refunding(self._request(), str(number), amount, program_id)
        sale = self.orders.get((program_id, str(number)))
        if sale is None:
            self._refused(told, "ORDER_NOT_FOUND")
            return
        left = sale.amount_minor - sale.refunded_minor
        if not left or (amount or 0) > left:
            self._refused(told, "REFUND_EXCEEDS_ORDER")
            return
        told.apply(self.books, self.now)
        self._take_back(program_id, str(number), amount or left)

    @rule(number=st.integers(1, 8), amount=st.integers(0, 2500), currency=st.sampled_from(["USD", "EUR", ""]))
    def feed_refund(self, number: int, amount: int, currency: str) -> None:
        told = told_refund(str(number), *([amount / 100] if amount else []), currency=currency)
        ApplyOrderEvents([told]).apply(self.books, self.now)
        for program in self.books.programs.values():
            if currency in ("", program.currency):
                self._hear_refund(program.id, str(number), amount)

    @rule(program_id=IDS, person=PEOPLE, points=POINTS)
    def burn(self, program_id: str, person: str, points: int) -> None:
        told = burning(self._request(), points, person, program_id=program_id)
        purse = self.purses.get((program_id, person))
        if purse is None or self._spendable(program_id, person) < points:
            self._refused(told, "MEMBER_NOT_FOUND" if purse is None else "INSUFFICIENT_POINTS")
            return
        told.apply(self.books, self.now)
        self._settle(program_id, person)
        self._spend(purse, points)

    @rule(program_id=IDS, person=PEOPLE)
    def redeem(self, program_id: str, person: str) -> None:
        purse = self.purses.get((program_id, person))
        told = redeeming(self._request(), "mug", person, program_id)
        if purse is None:
            self._refused(told, "MEMBER_NOT_FOUND")
        elif self.redeemed[program_id] == 3:
            self._refused(told, "OUT_OF_STOCK")
        elif self._spendable(program_id, person) < 15:
            self._refused(told, "INSUFFICIENT_POINTS")
        else:
            told.apply(self.books, self.now)
            self._settle(program_id, person)
            self._spend(purse, 15)
            self.redeemed[program_id] += 1

    @rule(
        orders=st.lists(
            st.tuples(st.integers(1, 8), PEOPLE, st.sampled_from(["USD", "EUR"]), st.integers(0, 2000)), max_size=6
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
                key = (program.id, made.order_id)
                if made.currency == program.currency and points and key not in self.orders:
                    self.orders[key] = Sale(made.member_id, points, made.amount_minor)
                    self._give(program, f"{program.id}/order/{made.order_id}", made.member_id, points, time)
                    self.purses[program.id, made.member_id].spend_minor += made.amount_minor
                    for amount in self.early.pop(key, []):
                        self._hear_refund(program.id, made.order_id, amount)

    @rule(program_id=IDS)
    def expire(self, program_id: str) -> None:
        told = ExpirePoints(program_id=program_id, member_ids=["ann", "bob"], as_of=None, more_due=False)
        expired = told.apply(self.books, self.now)
        points = posted = 0
        for owner, person in self.purses:
            if owner == program_id:
                lapsed, became = self._settle(owner, person)
                points, posted = points + lapsed + self._lapse(owner, person), posted + became
        assert (expired.points, expired.posted_points) == (points, posted)

    @invariant()
    def members_are_what_the_model_says(self) -> None:
        if not hasattr(self, "books"):
            return
        assert set(self.books.members) == set(self.purses)
        for pair, purse in self.purses.items():
            member = self.books.members[pair]
            assert sorted(purse.points) == [lot.expire_time for lot in member.lots for _ in range(lot.points)]
            assert (member.spent, member.expired, member.refunded) == (purse.spent, purse.expired, purse.refunded)
            assert member.balance == len(purse.points) - purse.debt
            assert not (purse.points and purse.debt)
            assert member.earned == member.balance + purse.spent + purse.expired + purse.refunded
            assert member.available(self.now) == len(self._valid(purse))
            assert member.spend_minor == purse.spend_minor
            waiting = [wait for (owner, _), wait in self.waits.items() if (owner, wait.person) == pair]
            assert sorted((lot.due_time, lot.points) for lot in member.pending) == sorted(
                (wait.due, wait.points) for wait in waiting
            )
            found = standing(member, self.books.programs[pair[0]], self.now)
            assert found.available == self._spendable(*pair)

    @invariant()
    def the_check_finds_nothing_and_accounts_sum_to_zero(self) -> None:
        if not hasattr(self, "books"):
            return
        audit = Audit()
        by_member: dict[tuple[str, str], list[Entry]] = defaultdict(list)
        for entry in self.books.entered:
            by_member[(entry.program_id, entry.member_id)].append(read_entry(entry.id, entry_body(entry)))
        for pair, member in self.books.members.items():
            audit.check_member(
                read_member(member_body(member, self.books.programs[pair[0]])),
                self.books.programs[pair[0]],
                by_member[pair],
            )
        for reward in self.books.rewards.values():
            audit.check_stock(reward, reward)
        for key in {**self.books.refunds, **audit.refunds}:
            audit.check_refunds(key, self.books.refunds.get(key), self.books.refunds.get(key))
        audit.check_count(len(self.books.entered))
        assert audit.violations == []
        for accounts in audit.balances.values():
            assert sum(accounts.values()) == 0
            assert accounts[Account.ISSUANCE] <= 0
        assert len({entry.id for entry in self.books.entered}) == len(self.books.entered)

    def _request(self) -> str:
        self.requests += 1
        return f"r{self.requests}"

    def _give(self, program: Program, cause: str, person: str, points: int, time: int) -> None:
        """Points that wait if the programme makes them."""
        self.purses.setdefault((program.id, person), Purse())
        match program.pending.release:
            case PendingRelease.ON_ACTION:
                self.waits[program.id, cause] = Wait(person, points, self.now + 60 * DAY)
            case PendingRelease.AFTER_DURATION if time + 14 * DAY > self.now:
                self.waits[program.id, cause] = Wait(person, points, time + 14 * DAY)
            case PendingRelease.AFTER_DURATION:
                self._become(program, cause, person, points, time + 14 * DAY)
            case PendingRelease.IMMEDIATE:
                self._become(program, cause, person, points, time)

    def _become(self, program: Program, cause: str, person: str, points: int, time: int) -> None:
        """Points that are spendable from a time on."""
        expire_time = program.expire_time(time)
        self._gain(program.id, person, points, expire_time)
        for (owner, order_id), sale in self.orders.items():
            if cause == f"{owner}/order/{order_id}":
                sale.spendable, sale.expire_time = True, expire_time

    def _gain(self, program_id: str, person: str, points: int, expire_time: int) -> None:
        purse = self.purses.setdefault((program_id, person), Purse())
        paid = min(points, purse.debt)
        purse.debt -= paid
        purse.points += [expire_time] * (points - paid)

    def _settle(self, program_id: str, person: str) -> tuple[int, int]:
        """What the clock does to what waits: how many points expired, and how many became spendable."""
        program = self.books.programs[program_id]
        expired = posted = 0
        for (owner, cause), wait in sorted(self.waits.items(), key=lambda item: item[1].due):
            if (owner, wait.person) == (program_id, person) and wait.due <= self.now:
                del self.waits[owner, cause]
                if program.pending.release is PendingRelease.AFTER_DURATION:
                    self._become(program, cause, person, wait.points, wait.due)
                    posted += wait.points
                else:
                    expired += wait.points
        return expired, posted

    def _lapse(self, program_id: str, person: str) -> int:
        purse = self.purses[program_id, person]
        left = self._valid(purse)
        gone = len(purse.points) - len(left)
        purse.expired, purse.points = purse.expired + gone, left
        return gone

    def _spendable(self, program_id: str, person: str) -> int:
        """What can be spent once the clock has done what it has to."""
        purse = self.purses[program_id, person]
        program = self.books.programs[program_id]
        due = [
            program.expire_time(wait.due)
            for (owner, _), wait in sorted(self.waits.items(), key=lambda item: item[1].due)
            if (owner, wait.person) == (program_id, person) and wait.due <= self.now
            for _ in range(wait.points)
        ]
        if program.pending.release is not PendingRelease.AFTER_DURATION:
            due = []
        return len(self._valid(purse)) + sum(1 for expire_time in due[purse.debt :] if expire_time > self.now)

    def _end(self, program_id: str, order_id: str, told: PostPending | VoidPending) -> None:
        key = (program_id, f"{program_id}/order/{order_id}")
        wait = self.waits.get(key)
        if wait is None or wait.due <= self.now:
            self._refused(told, "PENDING_NOT_FOUND")
            return
        told.apply(self.books, self.now)
        self._settle(program_id, wait.person)
        del self.waits[key]
        if isinstance(told, PostPending):
            self._become(self.books.programs[program_id], key[1], wait.person, wait.points, self.now)

    def _hear_refund(self, program_id: str, order_id: str, amount: int) -> None:
        sale = self.orders.get((program_id, order_id))
        if sale is None:
            self.early[program_id, order_id].append(amount)
        elif left := sale.amount_minor - sale.refunded_minor:
            self._take_back(program_id, order_id, min(amount or left, left))

    def _take_back(self, program_id: str, order_id: str, amount: int) -> None:
        sale = self.orders[program_id, order_id]
        purse = self.purses[program_id, sale.person]
        self._settle(program_id, sale.person)
        self._lapse(program_id, sale.person)
        before = sale.points * sale.refunded_minor // sale.amount_minor
        sale.refunded_minor += amount
        purse.spend_minor -= amount
        due = sale.points * sale.refunded_minor // sale.amount_minor - before
        key = (program_id, f"{program_id}/order/{order_id}")
        if wait := self.waits.get(key):
            wait.points -= due
            if not wait.points:
                del self.waits[key]
            return
        policy = self.books.programs[program_id].refund_policy
        if not sale.spendable or policy is RefundPolicy.ONLY_PENDING:
            return
        points = due if policy is RefundPolicy.ALLOW_NEGATIVE else min(due, len(purse.points))
        for _ in range(points):
            if not purse.points:
                purse.debt += 1
            else:
                purse.points.remove(sale.expire_time if sale.expire_time in purse.points else min(purse.points))
        purse.refunded += points

    def _valid(self, purse: Purse) -> list[int]:
        return [expire_time for expire_time in purse.points if expire_time > self.now]

    def _spend(self, purse: Purse, points: int) -> None:
        gone = sorted(self._valid(purse))[:points]
        for expire_time in gone:
            purse.points.remove(expire_time)
        purse.spent += points

    def _refused(self, told: Operation[Any], reason: str) -> None:
        before = self._kept()
        with pytest.raises(Refusal) as refused:
            told.apply(self.books, self.now)
        assert refused.value.reason == reason
        assert before == self._kept()

    def _kept(self) -> tuple[object, ...]:
        books = self.books
        return dict(books.members), dict(books.rewards), dict(books.refunds), len(books.entered)


LedgerMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestLedgerAgainstModel = LedgerMachine.TestCase
