"""Merges and their undoing against a twin in which nobody is ever merged: once all is taken back, both are the same."""

from collections import defaultdict
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.loyalty.adapters.documents import entry_body, member_body, read_entry, read_member
from services.loyalty.domain.books import Books, OrderCounts
from services.loyalty.domain.check import Audit
from services.loyalty.domain.entry import Account, Entry
from services.loyalty.domain.member import Member, recent
from services.loyalty.domain.merges import MergeTold, UnmergeTold
from services.loyalty.domain.operations import ExpirePoints
from services.loyalty.domain.orders import ApplyOrderEvents, Told
from services.loyalty.domain.program import PendingRelease, PendingRule, Program, Qualification, RefundPolicy
from services.loyalty.domain.standing import standing
from tests.loyalty.making import DAY, NOW, burning, earning, opening, order, posting, told_refund

PEOPLE = ("ann", "bob", "cid", "dan")
PROGRAMS = (
    opening("club", qualification=Qualification.ROLLING_YEAR_POINTS, refund_policy=RefundPolicy.ALLOW_NEGATIVE),
    opening(
        "window",
        currency="USD",
        points_per_100_minor=3,
        qualification=Qualification.ROLLING_YEAR_SPEND,
        pending=PendingRule(PendingRelease.AFTER_DURATION, 14 * DAY),
        refund_policy=RefundPolicy.ALLOW_NEGATIVE,
    ),
)
IDS = st.sampled_from([told.program_id for told in PROGRAMS])
WHO = st.sampled_from(PEOPLE)


def _books() -> Books:
    books = Books(order_counts=OrderCounts())
    for told in PROGRAMS:
        told.apply(books, NOW)
    return books


class MergeMachine(RuleBasedStateMachine):
    """Tells the same to a ledger with merges and to one without."""

    @initialize()
    def open(self) -> None:
        self.now, self.numbers = NOW, 0
        self.books, self.twin = _books(), _books()
        self.into: dict[str, str] = {}
        self.origin: dict[str, str] = {}
        """Whom each order came from."""
        self.debts = False

    @rule(days=st.integers(0, 120))
    def time_passes(self, days: int) -> None:
        self.now += days * DAY

    @rule(program_id=IDS, who=WHO, points=st.integers(1, 50), days_ago=st.integers(0, 300))
    def earn(self, program_id: str, who: str, points: int, days_ago: int) -> None:
        time = self.now - days_ago * DAY
        told = earning(self._number(), points, who, program_id=program_id, event_time=time)
        for books in (self.books, self.twin):
            told.apply(books, self.now)

    @rule(who=WHO, amount=st.integers(100, 3000), days_ago=st.integers(0, 300), late=st.booleans())
    def buy(self, who: str, amount: int, days_ago: int, late: bool) -> None:
        """An order; on the feed it is the survivor's, and says whose names it came under."""
        order_id, time = self._number(), self.now - days_ago * DAY
        made = order(order_id, amount, who, time=time)
        self.origin[order_id] = who
        seen = made if late else replace(made, member_id=self._now(who), origin_id=who)
        self._tell(self.books, seen)
        self._tell(self.twin, made)

    @rule(data=st.data(), amount=st.integers(0, 2000))
    def refund(self, data: st.DataObject, amount: int) -> None:
        if self.origin:
            order_id = data.draw(st.sampled_from(sorted(self.origin)))
            told = told_refund(order_id, *([amount / 100] if amount else []), time=self.now)
            for books in (self.books, self.twin):
                self._tell(books, told)

    @rule(data=st.data())
    def post(self, data: st.DataObject) -> None:
        waiting = sorted(
            lot.order_id for member in self.books.members.values() for lot in member.pending if lot.due_time > self.now
        )
        if waiting:
            told = posting(self._number(), data.draw(st.sampled_from(waiting)), program_id="window")
            for books in (self.books, self.twin):
                told.apply(books, self.now)

    @rule(program_id=IDS, who=WHO, share=st.integers(1, 100))
    def burn(self, program_id: str, who: str, share: int) -> None:
        """Some of what there is, once the clock has done what it has to and nobody owes anything."""
        self.expire()
        account = self.books.found(program_id, who)
        points = account.available(self.now) * share // 100 if account else 0
        if not account or not points or any(part.balance < 0 for part in account.parts):
            return
        entry = burning(self._number(), points, who, program_id=program_id).apply(self.books, self.now)
        by_origin: dict[str, int] = defaultdict(int)
        for each in entry.by_origin:
            by_origin[each.origin_id] += each.points
        assert not account.parts or sum(by_origin.values()) == points
        for origin_id, some in (by_origin or {account.id: points}).items():
            burning(self._number(), some, origin_id, program_id=program_id).apply(self.twin, self.now)

    @rule()
    def expire(self) -> None:
        for books in (self.books, self.twin):
            for told in PROGRAMS:
                clock = ExpirePoints(program_id=told.program_id, member_ids=PEOPLE, as_of=None, more_due=False)
                clock.apply(books, self.now)

    @rule(who=WHO, into=WHO)
    def merge(self, who: str, into: str) -> None:
        if who in self.into or self._now(into) == who or into in self.into:
            return
        self._tell(self.books, MergeTold(self._number(), into, who))
        self.into[who] = into

    @rule(who=WHO)
    def unmerge(self, who: str) -> None:
        """Whoever was merged goes, with those who had been merged into them."""
        if who not in self.into:
            return
        survivor = self._now(who)
        origins = tuple(each for each in PEOPLE if who in self._way(each))
        del self.into[who]
        self._tell(self.books, UnmergeTold(self._number(), survivor, who, origins))

    @invariant()
    def the_check_finds_nothing_and_no_points_are_between_accounts(self) -> None:
        if not hasattr(self, "books"):
            return
        by_member: dict[tuple[str, str], list[Entry]] = defaultdict(list)
        for entry in self.books.entered:
            by_member[entry.program_id, entry.member_id].append(read_entry(entry.id, entry_body(entry)))
        audit = Audit()
        for (program_id, member_id), member in self.books.members.items():
            program = self.books.programs[program_id]
            family = [each for pair, found in by_member.items() if pair[0] == program_id for each in found]
            others = [each for each in family if each.member_id != member_id]
            kept = read_member(member_body(member, program))
            audit.check_member(kept, program, by_member[program_id, member_id], others)
        assert audit.violations == []
        for accounts in audit.balances.values():
            assert sum(accounts.values()) == accounts[Account.MERGED] == 0
        assert len({entry.id for entry in self.books.entered}) == len(self.books.entered)

    @invariant()
    def together_everybody_has_what_they_would_have_alone(self) -> None:
        if not hasattr(self, "books"):
            return
        for name in ("earned", "spent", "refunded", "spend_minor", "orders"):
            found = sum(getattr(member, name) for member in self.books.members.values())
            assert found == sum(getattr(member, name) for member in self.twin.members.values()), name

    def teardown(self) -> None:
        if not hasattr(self, "books"):
            return
        while self.into:
            self.unmerge(sorted(self.into)[0])
        self.expire()
        self.the_check_finds_nothing_and_no_points_are_between_accounts()
        for pair, alone in self.twin.members.items():
            program = self.twin.programs[pair[0]]
            found, expected = _what(self.books.members[pair], program, self.now), _what(alone, program, self.now)
            assert {name: (found[name], expected[name]) for name in found if found[name] != expected[name]} == {}, pair

    def _tell(self, books: Books, told: Told) -> None:
        ApplyOrderEvents([told]).apply(books, self.now)

    def _way(self, who: str) -> list[str]:
        way = [who]
        while way[-1] in self.into:
            way.append(self.into[way[-1]])
        return way

    def _now(self, who: str) -> str:
        return self._way(who)[-1]

    def _number(self) -> str:
        self.numbers += 1
        return f"n{self.numbers}"


def _what(member: Member, program: Program, now: int) -> dict[str, object]:
    names = ("balance", "earned", "spent", "expired", "refunded", "spend_minor", "orders", "lots", "pending")
    days = recent((day for day in member.qualified if day[1]), program.kept_months)
    return {
        **{name: getattr(member, name) for name in names},
        "qualified": days,
        "merged_into": member.merged_into,
        "tier": standing(member, program, now).tier,
    }


TestMerges = MergeMachine.TestCase
TestMerges.settings = settings(max_examples=40, stateful_step_count=40, deadline=None)
