"""The check: recomputes a member from nothing but entries and names every invariant that does not hold.

Written apart from the code that makes entries, on purpose: it shares no arithmetic with it.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field

from services.loyalty.domain.earning import BASE
from services.loyalty.domain.earning_rule import ProgramUsage, RuleBook
from services.loyalty.domain.entry import Account, Entry, EntryKind
from services.loyalty.domain.member import Member
from services.loyalty.domain.program import Program
from services.loyalty.domain.recount import Recount
from services.loyalty.domain.refund import RefundedOrder
from services.loyalty.domain.reward import Reward

VIOLATIONS_MAX = 1000


@dataclass(frozen=True, slots=True)
class Violation:
    """An invariant that does not hold."""

    program_id: str
    member_id: str
    invariant: str
    message: str


@dataclass(slots=True)
class Audit:
    """What has been added up so far, over all members that were checked."""

    members: int = 0
    entries: int = 0
    violations: list[Violation] = field(default_factory=list)
    balances: dict[str, dict[Account, int]] = field(default_factory=dict)
    redemptions: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    refunds: dict[tuple[str, str], int] = field(default_factory=lambda: defaultdict(int))
    """Money refunded, by programme and order."""
    given: dict[str, dict[str, tuple[int, int]]] = field(default_factory=lambda: defaultdict(dict))
    """What each rule gave, less what came back, and how many times, by programme."""

    def check_member(
        self, member: Member, program: Program, entries: Sequence[Entry], family: Sequence[Entry] = ()
    ) -> None:
        """Add up the member's entries, by sequence, and compare.

        ``family`` has the entries of those with whom the member was merged: orders that may be refunded here.
        """
        accounts = self.balances.setdefault(program.id, dict.fromkeys(Account, 0))
        for entry in entries:
            accounts[entry.debit] -= entry.points
            accounts[entry.credit] += entry.points
            if entry.kind is EntryKind.REDEMPTION:
                self.redemptions[(program.id, entry.reward_id)] += 1
            if entry.kind is EntryKind.RESTORE and entry.reward_id:
                self.redemptions[(program.id, entry.reward_id)] -= 1
            if entry.kind is EntryKind.REFUND:
                self.refunds[(program.id, entry.order_id)] += entry.order_amount_minor
            self._add_shares(program.id, entry)
        self.members += 1
        self.entries += len(entries)
        recount = Recount(program)
        recount.learn(family)
        for invariant, message in recount.faults(member, entries):
            self.report(Violation(program.id, member.id, invariant, message))

    def check_stock(self, before: Reward, after: Reward) -> None:
        """Compare redemptions with a reward as it was before and after they were read."""
        counted = self.redemptions[(before.program_id, before.id)]
        oversold = after.stock is not None and after.redeemed > after.stock
        if oversold or not before.redeemed <= counted <= after.redeemed:
            found = f"reward {before.id}: {counted} redemptions, {after.redeemed} taken from a stock of {after.stock}"
            self.report(Violation(before.program_id, "", "STOCK_DIFFERS", found))

    def check_refunds(self, key: tuple[str, str], before: RefundedOrder | None, after: RefundedOrder | None) -> None:
        """Compare refunds with what was kept of an order before and after they were read."""
        low, high = before.amount_minor if before else 0, after.amount_minor if after else 0
        if not low <= self.refunds.get(key, 0) <= high:
            found = f"order {key[1]}: refunds come to {self.refunds.get(key, 0)}, but {high} is kept as refunded"
            self.report(Violation(key[0], "", "REFUND_DIFFERS", found))

    def _add_shares(self, program_id: str, entry: Entry) -> None:
        back = entry.kind is EntryKind.REFUND
        rules = self.given[program_id]
        for share in entry.shares:
            if share.rule_id != BASE:
                points, count = rules.get(share.rule_id, (0, 0))
                rules[share.rule_id] = (points - share.points if back else points + share.points, count + (not back))

    def check_usage(self, book: RuleBook, before: ProgramUsage, after: ProgramUsage) -> None:
        """Compare what rules gave with their usage, where it was the same before and after entries were read."""
        given = self.given[book.program_id]
        if before.rules == after.rules and before.rules != given:
            found = f"rules gave {given}, but {before.rules} is kept as given"
            self.report(Violation(book.program_id, "", "USAGE_DIFFERS", found))

    def check_transfers(self) -> None:
        """What was sent was received: only where nothing was entered while members were read."""
        for program_id, accounts in self.balances.items():
            if accounts[Account.TRANSFER]:
                found = f"{accounts[Account.TRANSFER]} points were sent and not received"
                self.report(Violation(program_id, "", "TRANSFER_BROKEN", found))

    def check_count(self, entry_count: int) -> None:
        """Compare with the number of entries that was there before members were read."""
        if entry_count > self.entries:
            orphans = entry_count - self.entries
            self.report(Violation("", "", "ENTRIES_ORPHANED", f"{orphans} entries belong to no member's sequence"))

    def report(self, violation: Violation) -> None:
        """Keep a violation, up to a limit."""
        if len(self.violations) < VIOLATIONS_MAX:
            self.violations.append(violation)
