"""The check: recomputes a member from nothing but entries and names every invariant that does not hold.

Written apart from the code that makes entries, on purpose: it shares no arithmetic with it.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from services.loyalty.domain.days import day_of
from services.loyalty.domain.entry import (
    ACCOUNTS,
    Account,
    Entry,
    EntryKind,
    expiry_entry_id,
    order_entry_id,
    request_entry_id,
)
from services.loyalty.domain.member import Member, rolling_year
from services.loyalty.domain.program import Program
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

    def check_member(self, member: Member, program: Program, entries: Sequence[Entry]) -> None:
        """Add up the member's entries, by sequence, and compare."""
        accounts = self.balances.setdefault(program.id, dict.fromkeys(Account, 0))
        for entry in entries:
            accounts[entry.debit] -= entry.points
            accounts[entry.credit] += entry.points
            if entry.kind is EntryKind.REDEMPTION:
                self.redemptions[(program.id, entry.reward_id)] += 1
        self.members += 1
        self.entries += len(entries)
        for invariant, message in _faults(member, program, entries):
            self.report(Violation(program.id, member.id, invariant, message))

    def check_stock(self, before: Reward, after: Reward) -> None:
        """Compare redemptions with a reward as it was before and after they were read."""
        counted = self.redemptions[(before.program_id, before.id)]
        oversold = after.stock is not None and after.redeemed > after.stock
        if oversold or not before.redeemed <= counted <= after.redeemed:
            found = f"reward {before.id}: {counted} redemptions, {after.redeemed} taken from a stock of {after.stock}"
            self.report(Violation(before.program_id, "", "STOCK_DIFFERS", found))

    def check_count(self, entry_count: int) -> None:
        """Compare with the number of entries that was there before members were read."""
        if entry_count > self.entries:
            orphans = entry_count - self.entries
            self.report(Violation("", "", "ENTRIES_ORPHANED", f"{orphans} entries belong to no member's sequence"))

    def report(self, violation: Violation) -> None:
        """Keep a violation, up to a limit."""
        if len(self.violations) < VIOLATIONS_MAX:
            self.violations.append(violation)


def _faults(member: Member, program: Program, entries: Sequence[Entry]) -> Iterator[tuple[str, str]]:
    yield from _sequence_faults(member, entries)
    totals = dict.fromkeys(Account, 0)
    lots: dict[int, int] = defaultdict(int)
    spend = 0
    for entry in entries:
        yield from _entry_faults(entry)
        gained = entry.credit is Account.MEMBER
        totals[Account.MEMBER] += entry.points if gained else -entry.points
        totals[entry.debit if gained else entry.credit] += entry.points
        spend += entry.order_amount_minor
        if entry.balance != totals[Account.MEMBER]:
            yield "RUNNING_BALANCE_DIFFERS", _differ(f"entry {entry.id}", entry.balance, totals[Account.MEMBER])
        yield from _lot_faults(entry, lots, gained=gained)
    kept = {lot.expire_time: lot.points for lot in member.lots}
    added_up = {expire_time: points for expire_time, points in lots.items() if points}
    qualified = _qualified(program, entries)
    compared = (
        ("BALANCE_DIFFERS", member.balance, totals[Account.MEMBER]),
        ("EARNED_DIFFERS", member.earned, totals[Account.ISSUANCE]),
        ("SPENT_DIFFERS", member.spent, totals[Account.SPENT]),
        ("EXPIRED_DIFFERS", member.expired, totals[Account.EXPIRED]),
        ("SPEND_DIFFERS", member.spend_minor, spend),
        ("LOTS_DIFFER", kept, added_up),
        ("LOTS_DIFFER", len(member.lots), len(kept)),
        ("LOTS_DIFFER", sum(kept.values()), member.balance),
        ("QUALIFYING_DIFFERS", member.qualified, qualified),
    )
    for invariant, found, expected in compared:
        if found != expected:
            yield invariant, _differ("member", found, expected)


def _sequence_faults(member: Member, entries: Sequence[Entry]) -> Iterator[tuple[str, str]]:
    if [entry.sequence for entry in entries] != list(range(1, member.entry_count + 1)):
        yield "SEQUENCE_BROKEN", f"{len(entries)} entries where {member.entry_count} are counted, or a gap in them"


def _entry_faults(entry: Entry) -> Iterator[tuple[str, str]]:
    if (entry.debit, entry.credit) != ACCOUNTS[entry.kind] or entry.points <= 0:
        yield "ACCOUNTS_INVALID", f"entry {entry.id}: {entry.points} from {entry.debit.value} to {entry.credit.value}"
    if sum(lot.points for lot in entry.lots) != entry.points or any(lot.points <= 0 for lot in entry.lots):
        yield "ENTRY_LOTS_DIFFER", f"entry {entry.id}: its lots are not its {entry.points} points"
    if entry.id != _own_id(entry):
        yield "ENTRY_ID_INVALID", f"entry {entry.id} could be entered twice: its id should be {_own_id(entry)}"


def _lot_faults(entry: Entry, lots: dict[int, int], *, gained: bool) -> Iterator[tuple[str, str]]:
    for lot in entry.lots:
        lots[lot.expire_time] += lot.points if gained else -lot.points
        if lots[lot.expire_time] < 0:
            yield "LOT_NEGATIVE", f"entry {entry.id} takes {-lots[lot.expire_time]} points more than its lot has"


def _qualified(program: Program, entries: Sequence[Entry]) -> tuple[tuple[int, int], ...]:
    if not program.qualification.rolling:
        return ()
    earned = [entry for entry in entries if entry.credit is Account.MEMBER]
    if program.qualification.by_spend:
        return rolling_year(
            (day_of(entry.event_time), entry.order_amount_minor) for entry in earned if entry.order_amount_minor
        )
    return rolling_year((day_of(entry.event_time), entry.points) for entry in earned)


def _own_id(entry: Entry) -> str:
    if entry.kind is EntryKind.ORDER:
        return order_entry_id(entry.program_id, entry.order_id)
    if entry.kind is EntryKind.EXPIRY:
        return expiry_entry_id(entry.program_id, entry.member_id, entry.sequence)
    return request_entry_id(entry.request_id)


def _differ(what: str, found: object, expected: object) -> str:
    return f"{what}: {found}, but the entries come to {expected}"
