"""Merges among everything else that moves points: transfers, other expiry, achievements and their revocation.

There is no twin here, as transfers mix the points of several people; what must hold is what the check recomputes from
entries, that no point appears or vanishes, and that an account is the sum of its parts.
"""

from collections import defaultdict

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from services.common.errors import Refusal
from services.loyalty.adapters.documents import entry_body, member_body, read_entry, read_member
from services.loyalty.domain.achievement_events import Happened
from services.loyalty.domain.achievement_operations import CreateAchievement
from services.loyalty.domain.achievement_progress import completed, progress_ref
from services.loyalty.domain.achievement_refunds import OrderUndone
from services.loyalty.domain.books import Books, OrderCounts
from services.loyalty.domain.check import Audit
from services.loyalty.domain.entry import Account, Entry
from services.loyalty.domain.expiry import ChangeExpiry
from services.loyalty.domain.merges import MergeTold, UnmergeTold
from services.loyalty.domain.operations import ExpirePoints
from services.loyalty.domain.orders import ApplyOrderEvents, Told
from services.loyalty.domain.program import NEVER, RefundPolicy
from services.loyalty.domain.spending_policy import SetSpendingPolicy, SpendingPolicy
from services.loyalty.domain.transfer import TransferPoints
from tests.loyalty.making import DAY, NOW, burning, earning, opening, order, told_refund
from tests.loyalty.test_achievements import ORDERED, achievement, step

PEOPLE = ("ann", "bob", "cid")
WHO = st.sampled_from(PEOPLE)
TASK = achievement("rolling_days", step(2), length=60)


class BusyMachine(RuleBasedStateMachine):
    """People who are merged and parted while they do everything that members can."""

    @initialize(policy=st.sampled_from(list(RefundPolicy)))
    def open(self, policy: RefundPolicy) -> None:
        self.now, self.numbers = NOW, 0
        self.books = Books(order_counts=OrderCounts())
        opening(refund_policy=policy).apply(self.books, NOW)
        CreateAchievement(achievement=TASK).apply(self.books, NOW)
        allowed = SpendingPolicy("club", transfers_allowed=True)
        SetSpendingPolicy(policy=allowed).apply(self.books, NOW)
        self.into: dict[str, str] = {}
        self.orders: dict[str, str] = {}

    @rule(days=st.integers(0, 200))
    def time_passes(self, days: int) -> None:
        self.now += days * DAY

    @rule(who=WHO, points=st.integers(1, 50))
    def earn(self, who: str, points: int) -> None:
        earning(self._number(), points, who).apply(self.books, self.now)

    @rule(who=WHO, amount=st.integers(100, 3000))
    def buy(self, who: str, amount: int) -> None:
        order_id, now = self._number(), self._who(who)
        self.orders[order_id] = who
        made = order(order_id, amount, now, time=self.now)
        happened = Happened(order_id, ORDERED, now, self.now, dict, order_id, who, "USD", amount)
        self._tell(made, happened)

    @rule(data=st.data(), share=st.sampled_from([0.3, 1.0]))
    def refund(self, data: st.DataObject, share: float) -> None:
        if self.orders:
            order_id = data.draw(st.sampled_from(sorted(self.orders)))
            whole = share == 1.0
            told = told_refund(order_id, *([] if whole else [share]), time=self.now)
            self._tell(told, OrderUndone(order_id, whole=whole, currency="USD", amounts=() if whole else (share,)))

    @rule(sender=WHO, receiver=WHO, points=st.integers(1, 40))
    def transfer(self, sender: str, receiver: str, points: int) -> None:
        told = TransferPoints(
            program_id="club",
            sender_id=sender,
            receiver_id=receiver,
            points=points,
            reason="",
            request_id=self._number(),
        )
        self._try(told)

    @rule(who=WHO, points=st.integers(1, 40))
    def burn(self, who: str, points: int) -> None:
        self._try(burning(self._number(), points, who))

    @rule(who=WHO, days=st.integers(1, 400))
    def extend(self, who: str, days: int) -> None:
        told = ChangeExpiry(
            program_id="club",
            member_id=who,
            expire_time=self.now + days * DAY,
            extend_days=0,
            until=NEVER,
            reason="",
            request_id=self._number(),
        )
        self._try(told)

    @rule()
    def expire(self) -> None:
        clock = ExpirePoints(program_id="club", member_ids=PEOPLE, as_of=None, more_due=False)
        clock.apply(self.books, self.now)

    @rule(who=WHO, into=WHO)
    def merge(self, who: str, into: str) -> None:
        if who not in self.into and into not in self.into and who != into:
            self._tell(MergeTold(self._number(), into, who))
            self.into[who] = into

    @rule(who=WHO)
    def unmerge(self, who: str) -> None:
        if who in self.into:
            survivor = self._who(who)
            origins = tuple(each for each in PEOPLE if who in self._way(each))
            del self.into[who]
            self._tell(UnmergeTold(self._number(), survivor, who, origins))

    @invariant()
    def the_check_finds_nothing_and_no_point_is_lost(self) -> None:
        if not hasattr(self, "books"):
            return
        by_member: dict[str, list[Entry]] = defaultdict(list)
        for entry in self.books.entered:
            by_member[entry.member_id].append(read_entry(entry.id, entry_body(entry)))
        audit, program = Audit(), self.books.programs["club"]
        for (_, member_id), member in self.books.members.items():
            others = [each for found in by_member.values() for each in found if each.member_id != member_id]
            kept = read_member(member_body(member, program))
            audit.check_member(kept, program, by_member[member_id], others)
        assert audit.violations == []
        accounts = audit.balances.get("club", dict.fromkeys(Account, 0))
        assert sum(accounts.values()) == accounts[Account.MERGED] == accounts[Account.TRANSFER] == 0
        assert accounts[Account.MEMBER] == sum(member.balance for member in self.books.members.values())
        assert len({entry.id for entry in self.books.entered}) == len(self.books.entered)

    @invariant()
    def nobody_who_was_merged_has_points_or_progress_of_their_own(self) -> None:
        if not hasattr(self, "books"):
            return
        for who in PEOPLE:
            member = self.books.members.get(("club", who))
            progress = self.books.record(progress_ref("club", "it", who))
            if who in self.into:
                assert progress is None
                assert member is None or (member.balance, member.lots) == (0, ())
            elif progress:
                assert progress.completed_count == sum(not each.revoke_time for each in progress.completions)
                assert progress.completed_count >= 0
                assert completed(TASK, progress) is not None

    def teardown(self) -> None:
        if hasattr(self, "books"):
            while self.into:
                self.unmerge(sorted(self.into)[0])
                self.the_check_finds_nothing_and_no_point_is_lost()
            for member in self.books.members.values():
                assert {part.origin_id for part in member.parts} <= {member.id}

    def _try(self, told: TransferPoints | ChangeExpiry | object) -> None:
        try:
            told.apply(self.books, self.now)  # type: ignore[union-attr]
        except Refusal:
            return

    def _tell(self, *told: Told) -> None:
        ApplyOrderEvents(told).apply(self.books, self.now)

    def _way(self, who: str) -> list[str]:
        way = [who]
        while way[-1] in self.into:
            way.append(self.into[way[-1]])
        return way

    def _who(self, who: str) -> str:
        return self._way(who)[-1]

    def _number(self) -> str:
        self.numbers += 1
        return f"n{self.numbers}"


TestBusyMerges = BusyMachine.TestCase
TestBusyMerges.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
