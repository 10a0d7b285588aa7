"""A member added up from nothing but entries: each invariant that an entry, or their sum, does not keep is named."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain

from services.loyalty.domain.entry import (
    ACCOUNTS,
    MERGE_KINDS,
    MERGED_HERE,
    RECEIVED,
    RESTORED,
    STANDING_KINDS,
    TAKING_BACK_KINDS,
    UNMOVED,
    Account,
    Entry,
    EntryKind,
    Lot,
    account_entry_id,
    event_entry_id,
    expiry_entry_id,
    merge_entry_id,
    order_entry_id,
    received_entry_id,
    refund_entry_id,
    request_entry_id,
    restored_entry_id,
    revoked_entry_id,
    settled_entry_id,
    tier_entry_id,
    validity_entry_id,
)
from services.loyalty.domain.member import Member, recent
from services.loyalty.domain.merge_check import Came, Fault, OrderFacts, part_faults
from services.loyalty.domain.program import Program, RefundPolicy


@dataclass(slots=True)
class Recount:
    """Sums over one member's entries, in their sequence."""

    program: Program
    moved: dict[tuple[Account, Account], int] = field(default_factory=lambda: defaultdict(int))
    balance: int = 0
    pending: dict[str, int] = field(default_factory=dict)
    lots: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    orders: dict[str, OrderFacts] = field(default_factory=dict)
    days: dict[str, int] = field(default_factory=dict)
    """On which day what an entry earned was earned, by the entry's id."""
    qualified: dict[str, list[tuple[int, int]]] = field(default_factory=lambda: defaultdict(list))
    """By whose names it came under; empty for the member's own."""
    spend_minor: int = 0
    block: str = ""
    order_count: int = 0
    came: Came = field(default_factory=Came)
    """What merges brought and took."""
    account_id: str = ""

    def faults(self, member: Member, entries: Sequence[Entry]) -> Iterator[Fault]:
        """What does not hold."""
        if [entry.sequence for entry in entries] != list(range(1, member.entry_count + 1)):
            yield "SEQUENCE_BROKEN", f"{len(entries)} entries where {member.entry_count} are counted, or a gap in them"
        for entry in entries:
            yield from self._add_merge(entry) if entry.kind in MERGE_KINDS else self._add(entry)
        yield from self._compare(member)
        yield from part_faults(member)

    def learn(self, family: Iterable[Entry]) -> None:
        """Orders that came with merges, from the entries of those who were, or are, one with the member."""
        for entry in family:
            if entry.kind in (EntryKind.ORDER, EntryKind.GRANT, EntryKind.EVENT):
                self.days[entry.id] = self.program.day_of(entry.event_time)
                self.came.origins[entry.id] = entry.origin_id or entry.member_id
            if entry.kind is EntryKind.ORDER:
                shares = {share.rule_id: share.points for share in entry.shares}
                self.came.orders[entry.order_id] = OrderFacts(entry.points, entry.order_amount_minor, shares=shares)
            elif entry.kind is EntryKind.REFUND:
                self.came.refunds[entry.order_id, entry.refund_number] = entry

    def _add_merge(self, entry: Entry) -> Iterator[Fault]:
        yield from _form_faults(entry)
        debt = max(0, -self.balance)
        self.moved[entry.debit, entry.credit] += entry.points
        self.balance += entry.points * ((entry.credit is Account.MEMBER) - (entry.debit is Account.MEMBER))
        yield from self._lot_faults(entry, abs(max(0, -self.balance) - debt))
        if Account.PENDING in (entry.debit, entry.credit):
            self.came.move_pending(self.pending)
            self.days |= {lot.entry_id: self.program.day_of(lot.event_time) for lot in self.came.waiting()}
        elif entry.debit is not entry.credit:
            self.came.add(entry, self.qualified)
            came, went = (sum(part.balance for part in parts) for parts in (entry.came, entry.went))
            signed = entry.points if entry.credit is Account.MEMBER else -entry.points
            if came - went != signed:
                yield "MERGE_DIFFERS", f"entry {entry.id}: its parts are not the points that it moves"
        yield from self._running_faults(entry)

    def _running_faults(self, entry: Entry) -> Iterator[Fault]:
        for found, expected in ((entry.balance, self.balance), (entry.pending, sum(self.pending.values()))):
            if found != expected:
                yield "RUNNING_BALANCE_DIFFERS", _differ(f"entry {entry.id}", found, expected)

    def _order(self, order_id: str) -> OrderFacts | None:
        """An order as far as refunds have gone, with those that another member bore."""
        order = self.orders.get(order_id) or self.came.orders.get(order_id)
        while order and (refund := self.came.refunds.get((order_id, order.refunds + 1))):
            order.refunds, order.refunded_minor = order.refunds + 1, order.refunded_minor + refund.order_amount_minor
            for share in refund.shares:
                order.shares[share.rule_id] = order.shares.get(share.rule_id, 0) - share.points
        return order

    def _add(self, entry: Entry) -> Iterator[Fault]:
        yield from _form_faults(entry)
        if entry.kind in (EntryKind.BLOCK, EntryKind.UNBLOCK):
            self.block = entry.block
        if entry.kind in (EntryKind.ACCOUNT_JOIN, EntryKind.ACCOUNT_LEAVE):
            self.account_id = entry.account_id if entry.kind is EntryKind.ACCOUNT_JOIN else ""
        debt = max(0, -self.balance)
        self.moved[entry.debit, entry.credit] += entry.points
        self.balance += entry.points * ((entry.credit is Account.MEMBER) - (entry.debit is Account.MEMBER))
        yield from self._lot_faults(entry, abs(max(0, -self.balance) - debt))
        yield from self._pending_faults(entry)
        if entry.kind is EntryKind.REFUND:
            yield from self._refund_faults(entry)
        yield from self._share_faults(entry)
        self._qualify(entry)
        yield from self._running_faults(entry)

    def _lot_faults(self, entry: Entry, debt: int) -> Iterator[Fault]:
        in_lots = sum(lot.points for lot in entry.lots)
        concerns_member = Account.MEMBER in (entry.debit, entry.credit)
        taken, gained = _lots_of(entry)
        if entry.gained_lots and in_lots != sum(lot.points for lot in entry.gained_lots):
            yield "ENTRY_LOTS_DIFFER", f"entry {entry.id}: its lots are not as many points as what became of them"
        if in_lots != (entry.points - debt if concerns_member else 0) or any(lot.points <= 0 for lot in entry.lots):
            yield (
                "ENTRY_LOTS_DIFFER",
                f"entry {entry.id}: its lots and {debt} of debt are not its {entry.points} points",
            )
        may_owe = entry.kind in TAKING_BACK_KINDS and self.program.refund_policy is RefundPolicy.ALLOW_NEGATIVE
        if entry.debit is Account.MEMBER and debt and not may_owe and entry.kind not in MERGE_KINDS:
            yield "DEBT_INVALID", f"entry {entry.id} takes {debt} points that the member does not have"
        for lot in gained:
            self.lots[lot.expire_time] += lot.points
        for lot in taken:
            self.lots[lot.expire_time] -= lot.points
            if self.lots[lot.expire_time] < 0:
                lacking = -self.lots[lot.expire_time]
                yield "LOT_NEGATIVE", f"entry {entry.id} takes {lacking} points more than its lot has"

    def _pending_faults(self, entry: Entry) -> Iterator[Fault]:
        if entry.credit is Account.PENDING:
            self.pending[entry.id] = entry.points
        if entry.debit is not Account.PENDING:
            return
        refunded = entry.kind is EntryKind.REFUND
        source = order_entry_id(entry.program_id, entry.order_id) if refunded else entry.source_entry_id
        waiting = self.pending.pop(source, 0)
        if entry.points > waiting or (not refunded and entry.points != waiting):
            yield "SOURCE_INVALID", f"entry {entry.id} ends {entry.points} pending points where {waiting} wait"
        if entry.points < waiting:
            self.pending[source] = waiting - entry.points

    def _refund_faults(self, entry: Entry) -> Iterator[Fault]:
        order = self._order(entry.order_id)
        if order is None:
            yield "REFUND_DIFFERS", f"entry {entry.id} refunds an order that earned nothing"
            return
        before = order.points * order.refunded_minor // order.amount_minor
        order.refunded_minor += entry.order_amount_minor
        order.refunds += 1
        due = order.points * order.refunded_minor // order.amount_minor - before
        in_order = entry.refund_number == order.refunds and entry.order_amount_minor > 0
        if not in_order or order.refunded_minor > order.amount_minor or entry.points + entry.uncollected != due:
            found = f"{entry.points} taken and {entry.uncollected} not, of {entry.order_amount_minor} refunded"
            yield "REFUND_DIFFERS", f"entry {entry.id}: {found}, but the order comes to {due}"

    def _share_faults(self, entry: Entry) -> Iterator[Fault]:
        """What rules gave comes to the points, and refunds take no more of a rule's part than there is."""
        shares = {share.rule_id: share.points for share in entry.shares}
        if not shares:
            return
        whole = entry.points + entry.uncollected
        if sum(shares.values()) != whole or len(shares) != len(entry.shares) or min(shares.values()) < 1:
            yield "SHARES_DIFFER", f"entry {entry.id}: its shares {shares} are not {whole} points"
        order = self.orders.get(entry.order_id) or self.came.orders.get(entry.order_id)
        if entry.kind is EntryKind.REFUND and order:
            for rule_id, points in shares.items():
                order.shares[rule_id] = order.shares.get(rule_id, 0) - points
            if min(order.shares.values()) < 0:
                yield "SHARES_DIFFER", f"entry {entry.id} takes more from a rule's part of the order than is left"

    def _qualify(self, entry: Entry) -> None:
        """What counts towards tiers: an order's money as it comes and goes, points while they are spendable."""
        day, money, points, orders = self.program.day_of(entry.event_time), 0, 0, 0
        match entry.kind:
            case EntryKind.ORDER | EntryKind.GRANT | EntryKind.EVENT:
                self.days[entry.id] = day
                money, points = entry.order_amount_minor, entry.points if entry.credit is Account.MEMBER else 0
                if entry.kind is EntryKind.ORDER:
                    shares = {share.rule_id: share.points for share in entry.shares}
                    orders = 1
                    self.orders[entry.order_id] = OrderFacts(entry.points, entry.order_amount_minor, shares=shares)
            case EntryKind.POST:
                day, points = self.days.get(entry.source_entry_id, day), entry.points
            case EntryKind.REVOKE:
                day, points = self.days.get(entry.source_entry_id, day), -entry.points
            case EntryKind.REFUND:
                day = self.days.get(order_entry_id(entry.program_id, entry.order_id), day)
                money, points = -entry.order_amount_minor, -entry.points if entry.debit is Account.MEMBER else 0
                order = self.orders.get(entry.order_id) or self.came.orders.get(entry.order_id)
                orders = -int(order is not None and order.refunded_minor == order.amount_minor)
        self.spend_minor += money
        self.order_count += orders
        if amount := self.program.counted(points, money, orders):
            self.qualified[self._origin(entry)].append((day, amount))

    def _origin(self, entry: Entry) -> str:
        """Under whose names it came: those of the order, or of what was pending; the member's own if those are gone."""
        if entry.kind not in (EntryKind.POST, *TAKING_BACK_KINDS):
            self.came.origins[entry.id] = entry.origin_id
            return entry.origin_id
        refunded = entry.kind is EntryKind.REFUND
        source = order_entry_id(entry.program_id, entry.order_id) if refunded else entry.source_entry_id
        origin_id = self.came.origins.get(source, "")
        return origin_id if origin_id in self.qualified else ""

    def _compare(self, member: Member) -> Iterator[Fault]:
        kept = {lot.expire_time: lot.points for lot in member.lots}
        into = {
            account: sum(points for (_, credit), points in self.moved.items() if credit is account)
            for account in Account
        }
        sums, restored = self.came.sums, self.moved[RESTORED]
        compared = (
            ("BALANCE_DIFFERS", member.balance, self.balance),
            ("EARNED_DIFFERS", member.earned, into[Account.MEMBER] - self._not_earned() + sums["earned"]),
            ("SPENT_DIFFERS", member.spent, into[Account.SPENT] - restored + sums["spent"]),
            ("EXPIRED_DIFFERS", member.expired, self.moved[Account.MEMBER, Account.EXPIRED] + sums["expired"]),
            ("REFUNDED_DIFFERS", member.refunded, self.moved[Account.MEMBER, Account.ISSUANCE] + sums["refunded"]),
            ("SENT_DIFFERS", member.sent, into[Account.TRANSFER] + sums["sent"]),
            ("RECEIVED_DIFFERS", member.received, self.moved[RECEIVED] + sums["received"]),
            ("SPEND_DIFFERS", member.spend_minor, self.spend_minor + sums["spend_minor"]),
            ("ORDERS_DIFFER", member.orders, self.order_count + sums["orders"]),
            ("BLOCK_DIFFERS", member.block, self.block),
            ("ACCOUNT_DIFFERS", member.account_id, self.account_id),
            ("LOTS_DIFFER", kept, {expire_time: points for expire_time, points in self.lots.items() if points}),
            ("LOTS_DIFFER", len(member.lots), len(kept)),
            ("LOTS_DIFFER", sum(kept.values()), max(0, member.balance)),
            ("PENDING_DIFFERS", {lot.entry_id: lot.points for lot in member.pending}, self.pending),
            ("PENDING_DIFFERS", len(member.pending), len(self.pending)),
            ("QUALIFYING_DIFFERS", self._counting(member.qualified), self._rolling_year()),
        )
        for invariant, found, expected in compared:
            if found != expected:
                yield invariant, _differ("member", found, expected)

    def _not_earned(self) -> int:
        """What came into the member's account and was earned before, or by another."""
        return sum(self.moved[accounts] for accounts in (RESTORED, RECEIVED, UNMOVED, MERGED_HERE))

    def _counting(self, days: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
        """Days, without those that come to nothing where merges brought and took some."""
        return tuple(day for day in days if day[1] or not self.came.merged)

    def _rolling_year(self) -> tuple[tuple[int, int], ...]:
        if not self.program.keeps_days:
            return ()
        # Of every origin what its own newest day has not outdated, together.
        months = self.program.kept_months
        days = chain.from_iterable(recent(days, months) for days in self.qualified.values())
        return self._counting(recent(days, months))


def _lots_of(entry: Entry) -> tuple[Sequence[Lot], Sequence[Lot]]:
    """What an entry takes from the member's lots, and what it adds to them."""
    if entry.kind is EntryKind.VALIDITY or entry.gained_lots:
        return entry.lots, entry.gained_lots
    return ((), entry.lots) if entry.credit is Account.MEMBER else (entry.lots, ())


def _form_faults(entry: Entry) -> Iterator[Fault]:
    lowest = 0 if entry.kind in (*TAKING_BACK_KINDS, *STANDING_KINDS, *MERGE_KINDS) else 1
    highest = 0 if entry.kind in STANDING_KINDS else entry.points
    if entry.points > highest or (entry.debit, entry.credit) not in ACCOUNTS[entry.kind] or entry.points < lowest:
        yield "ACCOUNTS_INVALID", f"entry {entry.id}: {entry.points} from {entry.debit.value} to {entry.credit.value}"
    if entry.id != own_id(entry):
        yield "ENTRY_ID_INVALID", f"entry {entry.id} could be entered twice: its id should be {own_id(entry)}"


def own_id(entry: Entry) -> str:
    """The id that an entry must have for its cause to be entered once."""
    match entry.kind:
        case EntryKind.ORDER:
            return order_entry_id(entry.program_id, entry.order_id)
        case EntryKind.REFUND:
            return refund_entry_id(entry.program_id, entry.order_id, entry.refund_number)
        case EntryKind.RESTORE:
            return restored_entry_id(entry.source_entry_id)
        case EntryKind.REVOKE:
            return revoked_entry_id(entry.source_entry_id)
        case EntryKind.TRANSFER_IN:
            return received_entry_id(entry.source_entry_id)
        case EntryKind.POST | EntryKind.VOID:
            return settled_entry_id(entry.source_entry_id)
        case EntryKind.MERGE | EntryKind.UNMERGE:
            return merge_entry_id(entry.program_id, entry.member_id, entry.sequence)
        case EntryKind.TIER:
            return tier_entry_id(entry.program_id, entry.member_id, entry.sequence)
        case EntryKind.ACCOUNT_JOIN | EntryKind.ACCOUNT_LEAVE:
            return account_entry_id(entry.program_id, entry.member_id, entry.sequence)
        case EntryKind.VALIDITY if not entry.request_id:
            return validity_entry_id(entry.program_id, entry.member_id, entry.sequence)
        case EntryKind.EVENT:
            return event_entry_id(entry.program_id, entry.event_id)
        case EntryKind.EXPIRY if entry.debit is Account.PENDING:
            return settled_entry_id(entry.source_entry_id)
        case EntryKind.EXPIRY:
            return expiry_entry_id(entry.program_id, entry.member_id, entry.sequence)
    return request_entry_id(entry.request_id)


def _differ(what: str, found: object, expected: object) -> str:
    return f"{what}: {found}, but the entries come to {expected}"
