"""Shared accounts: whoever joins, leaves, earns and spends, no point is lost and none is spent by who may not."""

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.common.errors import Refusal
from services.loyalty.adapters.clubs import StoredClubs
from services.loyalty.adapters.documents import entry_body, member_body, read_entry, read_member
from services.loyalty.adapters.store import StoredOrderFeed
from services.loyalty.domain.achievement_operations import CreateAchievement
from services.loyalty.domain.achievement_refunds import OrderUndone
from services.loyalty.domain.books import Books, OrderCounts
from services.loyalty.domain.check import Audit
from services.loyalty.domain.entry import AccountRole, Block, Entry
from services.loyalty.domain.erasure import Erasure
from services.loyalty.domain.operations import ExpirePoints
from services.loyalty.domain.orders import ApplyOrderEvents, Told
from services.loyalty.domain.shared_account import (
    AccountsLeft,
    JoinAccount,
    LeaveAccount,
    OpenAccount,
    SetAccountRole,
    SharedAccount,
    account_ref,
)
from services.loyalty.domain.spending_policy import SetSpendingPolicy, SpendingPolicy
from services.loyalty.domain.transfer import TransferPoints
from tests.loyalty.conftest import House
from tests.loyalty.making import (
    NOW,
    RETURN_WINDOW,
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
from tests.loyalty.test_achievements import ORDERED, achievement
from tests.loyalty.test_achievements import Event as Happening
from tests.loyalty.test_blocking import block

PEOPLE = ("ann", "bob", "eve", "dan")
PERSON = st.sampled_from(PEOPLE)
ROLE = st.sampled_from(list(AccountRole))
HOME = "account/home"


def joining(id: str, customer_id: str, role: AccountRole = AccountRole.EARNER, *, bring: bool = False) -> JoinAccount:
    return JoinAccount(
        program_id="club",
        account_id="home",
        customer_id=customer_id,
        role=role,
        bring_points=bring,
        request_id=id,
    )


def leaving(id: str, customer_id: str) -> LeaveAccount:
    return LeaveAccount(program_id="club", account_id="home", customer_id=customer_id, request_id=id)


def open_home(owner_id: str = "ann", users_max: int = 3) -> OpenAccount:
    return OpenAccount(program_id="club", account_id="home", name="Home", users_max=users_max, owner_id=owner_id)


def role_of(customer_id: str, role: AccountRole) -> SetAccountRole:
    return SetAccountRole(program_id="club", account_id="home", customer_id=customer_id, role=role)


def sending(id: str, points: int, sender: str, receiver: str) -> TransferPoints:
    return TransferPoints(
        program_id="club", sender_id=sender, receiver_id=receiver, points=points, reason="", request_id=id
    )


class HouseholdMachine(RuleBasedStateMachine):
    """Who uses the account and what each pocket has, in plain dictionaries."""

    @initialize()
    def begin(self) -> None:
        self.books, self.count = Books(order_counts=OrderCounts()), 0
        opening().apply(self.books, NOW)
        SetSpendingPolicy(policy=SpendingPolicy("club", transfers_allowed=True)).apply(self.books, NOW)
        self.pockets: dict[str, int] = defaultdict(int)
        for person in PEOPLE:
            self.earn(person, 5)
        open_home().apply(self.books, NOW)
        self.roles = {"ann": AccountRole.OWNER}
        self.closed = False

    @rule(person=PERSON, points=st.integers(1, 20))
    def earn(self, person: str, points: int) -> None:
        told = order(self._id(), points * 100, person)
        ApplyOrderEvents([told]).apply(self.books, NOW)
        self.pockets[self._pocket(person)] += points

    @rule(person=PERSON, points=st.integers(1, 15))
    def burn(self, person: str, points: int) -> None:
        pocket = self._pocket(person)
        may = pocket == person or self.roles[person] is not AccountRole.EARNER
        if self._try(burning(self._id(), points, person), may and self.pockets[pocket] >= points):
            self.pockets[pocket] -= points

    @rule(sender=PERSON, receiver=PERSON, points=st.integers(1, 15))
    def transfer(self, sender: str, receiver: str, points: int) -> None:
        giving, getting = self._pocket(sender), self._pocket(receiver)
        if giving == getting == HOME:
            giving = sender
        may = giving == sender or self.roles[sender] is AccountRole.OWNER
        holds = sender != receiver and may and self.pockets[giving] >= points
        if self._try(sending(self._id(), points, sender, receiver), holds):
            self.pockets[giving] -= points
            self.pockets[getting] += points

    @rule(person=PERSON, role=ROLE, bring=st.booleans())
    def join(self, person: str, role: AccountRole, bring: bool) -> None:
        role = AccountRole.SPENDER if role is AccountRole.OWNER else role
        holds = not self.closed and person not in self.roles and len(self.roles) < 3
        if self._try(joining(self._id(), person, role, bring=bring), holds):
            self.roles[person] = role
            if bring:
                self.pockets[HOME] += self.pockets.pop(person)

    @rule(person=PERSON)
    def leave(self, person: str) -> None:
        role = self.roles.get(person)
        if self._try(leaving(self._id(), person), role and (role is not AccountRole.OWNER or len(self.roles) == 1)):
            del self.roles[person]
            self.closed = not self.roles
            if self.closed:
                self.pockets[person] += self.pockets.pop(HOME, 0)

    @rule(person=PERSON, role=ROLE)
    def set_role(self, person: str, role: AccountRole) -> None:
        before = self.roles.get(person)
        holds = before and (before is not AccountRole.OWNER or role is AccountRole.OWNER)
        if self._try(role_of(person, role), holds):
            if role is AccountRole.OWNER:
                self.roles = {
                    each: AccountRole.SPENDER if kept is AccountRole.OWNER else kept
                    for each, kept in self.roles.items()
                }
            self.roles[person] = role

    @rule(person=PERSON)
    def forget(self, person: str) -> None:
        """The person leaves; what the account has stays in it, and the next user owns it."""
        if person in self.roles and len(self.roles) > 1:
            ApplyOrderEvents([AccountsLeft(Erasure("e", (person,), "nobody"))]).apply(self.books, NOW)
            if self.roles.pop(person) is AccountRole.OWNER:
                self.roles[self._account().users[0].customer_id] = AccountRole.OWNER
            assert person not in {step.customer_id for step in self._account().history}

    @invariant()
    def no_point_is_lost_and_the_check_finds_nothing(self) -> None:
        if not hasattr(self, "roles"):
            return
        assert {user.customer_id: AccountRole(user.role) for user in self._account().users} == self.roles
        assert list(self.roles.values()).count(AccountRole.OWNER) == (not self.closed)
        audit, entries = Audit(), defaultdict[str, list[Entry]](list)
        for entry in self.books.entered:
            entries[entry.member_id].append(read_entry(entry.id, entry_body(entry)))
        club = self.books.programs["club"]
        for (_, member_id), member in self.books.members.items():
            assert member.balance == self.pockets[member_id], member_id
            assert bool(member.account_id) == (member_id in self.roles)
            audit.check_member(read_member(member_body(member, club)), club, entries[member_id])
        audit.check_transfers()
        assert audit.violations == []

    def _pocket(self, person: str) -> str:
        return HOME if person in getattr(self, "roles", {}) else person

    def _account(self) -> SharedAccount:
        account = self.books.record(account_ref("club", "home"))
        assert account is not None
        return account

    def _try(self, told: Any, holds: object) -> bool:
        if holds:
            told.apply(self.books, NOW)
            return True
        before = dict(self.books.members), len(self.books.entered), dict(self.books.records)
        with pytest.raises(Refusal):
            told.apply(self.books, NOW)
        assert before == (dict(self.books.members), len(self.books.entered), dict(self.books.records))
        return False

    def _id(self) -> str:
        self.count += 1
        return f"r{self.count}"


HouseholdMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestHousehold = HouseholdMachine.TestCase


async def tell(house: House, *told: Told) -> None:
    after = await StoredOrderFeed(house.store).cursor()
    cursor = f"c{int(after[1:]) + 1}" if after else "c1"
    await house.ledger.apply_order_events({TENANT: ApplyOrderEvents(told)}, after, cursor)


async def refusal(house: House, operation: Any) -> str:
    with pytest.raises(Refusal) as refused:
        await house.ledger.post(request("refused"), operation)
    return refused.value.reason


async def household(house: House) -> None:
    await house.ledger.post(request("open"), open_home())
    await house.ledger.post(request("bob"), joining("bob", "bob"))
    await house.ledger.post(request("eve"), joining("eve", "eve", AccountRole.SPENDER))


async def test_everyones_orders_earn_into_the_account_and_refunds_reach_it(house: House) -> None:
    await house.ledger.post(request("own"), earning("own", 3, "bob"))
    await household(house)
    await tell(house, order("o1", 1000), order("o2", 500, "bob"), order("o3", 200, "eve"))
    home = await house.member(HOME)
    assert (home.balance, home.orders, (await house.member("bob")).balance) == (17, 3, 3)
    await house.ledger.post(request("leave"), leaving("leave", "bob"))
    await house.ledger.post(request("back"), refunding("back", "o2"))
    assert ((await house.member(HOME)).balance, (await house.member("bob")).balance) == (12, 3)
    await house.ledger.post(request("offer"), offering("mug", 5))
    await house.ledger.post(request("mug"), redeeming("mug", "mug", "eve"))
    done, _ = await StoredClubs(house.store).account_activity(TENANT, "club", HOME, 10, "")
    assert sorted((each.customer_id, each.points) for each in done) == [("ann", 10), ("bob", 5), ("eve", 2), ("eve", 5)]
    assert (await house.audit()).violations == []


async def test_a_role_says_who_spends_and_who_transfers(house: House) -> None:
    policy = SpendingPolicy("club", transfers_allowed=True)
    await house.ledger.post(request("policy"), SetSpendingPolicy(policy=policy))
    await house.ledger.post(request("dan"), earning("dan", 1, "dan"))
    await household(house)
    await house.ledger.post(request("e"), earning("e", 20, "bob"))
    assert await refusal(house, burning("x", 1, "bob")) == "ACCOUNT_ROLE_INSUFFICIENT"
    assert await refusal(house, sending("x", 1, "eve", "dan")) == "ACCOUNT_ROLE_INSUFFICIENT"
    await house.ledger.post(request("b"), burning("b", 5, "eve"))
    await house.ledger.post(request("t"), sending("t", 5, "ann", "dan"))
    assert ((await house.member(HOME)).balance, (await house.member("dan")).balance) == (10, 6)
    await block(house, "block", Block.SPENDING, HOME)
    assert await refusal(house, burning("x", 1, "eve")) == "MEMBER_BLOCKED"
    assert (await house.audit()).violations == []


async def test_what_is_not_in_order_is_refused(house: House) -> None:
    await household(house)
    assert await refusal(house, open_home("dan")) == "ACCOUNT_EXISTS"
    assert await refusal(house, joining("x", "bob")) == "ALREADY_SHARES"
    assert await refusal(house, joining("x", "dan")) == "ACCOUNT_FULL"
    assert await refusal(house, leaving("x", "ann")) == "OWNER_REQUIRED"
    assert await refusal(house, leaving("x", "dan")) == "ACCOUNT_NOT_FOUND"
    assert await refusal(house, role_of("ann", AccountRole.EARNER)) == "OWNER_REQUIRED"
    for person in ("bob", "eve", "ann"):
        await house.ledger.post(request(f"l-{person}"), leaving(f"l-{person}", person))
    assert await refusal(house, joining("x", "dan")) == "ACCOUNT_CLOSED"
    assert (await house.audit()).violations == []


async def test_the_last_user_waits_until_everything_is_settled_and_takes_it_all(house: House) -> None:
    await house.ledger.post(request("stars"), opening("stars", pending=RETURN_WINDOW))
    opened = OpenAccount(program_id="stars", account_id="home", name="", users_max=2, owner_id="ann")
    await house.ledger.post(request("o"), opened)
    await tell(house, order("o1", 1000))
    last = LeaveAccount(program_id="stars", account_id="home", customer_id="ann", request_id="l")
    assert await refusal(house, last) == "ACCOUNT_NOT_SETTLED"
    await house.ledger.post(request("void"), refunding("void", "o1", 400, "stars"))
    house.clock.micros += 30 * 24 * 3600 * 1_000_000
    tick = ExpirePoints(program_id="stars", member_ids=[HOME], as_of=None, more_due=False)
    await house.ledger.post(request("tick"), tick)
    left = await house.ledger.post(request("l"), last)
    assert (left.users, left.close_time) == ((), house.clock.micros)
    assert ((await house.member("ann", "stars")).balance, (await house.member(HOME, "stars")).balance) == (6, 0)
    assert (await house.audit()).violations == []


async def test_an_achievement_of_a_user_is_paid_to_the_account_and_taken_back_from_it(house: House) -> None:
    told = achievement("once", achievement_id="first")
    await house.ledger.post(request("c"), CreateAchievement(achievement=told))
    await household(house)
    await tell(house, order("o1", 1000, "bob"), Happening("o1", ORDERED, 0, 10.0).told())
    assert (await house.member(HOME)).balance == 20
    await house.ledger.post(request("l"), leaving("l", "bob"))
    await tell(house, OrderUndone("o1", whole=True))
    assert (await house.member(HOME)).balance == 10
    assert (await house.audit()).violations == []
