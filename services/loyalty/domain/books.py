"""Books: the part of one tenant's ledger that a group of operations reads, and what they enter in it."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, TypeVar

from services.loyalty.domain.entry import AccountRole, Block, Entry
from services.loyalty.domain.errors import (
    AccountRoleInsufficient,
    MemberBlocked,
    MemberNotFound,
    ProgramNotFound,
    RewardNotFound,
    WalletNotRedeemable,
)
from services.loyalty.domain.member import Member
from services.loyalty.domain.merged import merged_ref
from services.loyalty.domain.parts import attributed, parts_of
from services.loyalty.domain.program import Program
from services.loyalty.domain.records import Ref
from services.loyalty.domain.refund import RefundedOrder
from services.loyalty.domain.reward import Reward

if TYPE_CHECKING:
    from services.loyalty.domain.erasure import Erasure

T = TypeVar("T")

MERGES_MAX = 1000
"""How many merges, each into the next, are followed."""

SPENDING_ROLES = (AccountRole.OWNER, AccountRole.SPENDER)
"""Who of the users of a shared account may spend from it."""

Key = tuple[str, str]
"""The programme's id, and the member's, the reward's or the order's."""


@dataclass(frozen=True, slots=True)
class OrderCounts:
    """What became of a tenant's orders and of their refunds, each counted once for each programme."""

    earned: int = 0
    other_currency: int = 0
    small: int = 0
    duplicate: int = 0
    invalid: int = 0
    refunds: int = 0
    waiting_refunds: int = 0
    empty_refunds: int = 0
    invalid_refunds: int = 0
    limited: int = 0
    earned_events: int = 0
    blocked: int = 0

    def plus(self, more: "OrderCounts") -> "OrderCounts":
        """These and ``more`` added up."""
        return OrderCounts(*(getattr(self, name) + getattr(more, name) for name in OrderCounts.__slots__))


@dataclass(frozen=True, slots=True)
class Needs:
    """What an operation must find in the books, besides the tenant's programmes."""

    members: Iterable[Key] = ()
    rewards: Iterable[Key] = ()
    entry_ids: Iterable[str] = ()
    entries: Iterable[str] = ()
    """Ids of entries that must be found whole, each with its member."""
    refunds: Iterable[Key] = ()
    order_counts: bool = False
    records: Iterable[Ref[Any]] = ()
    then: "Callable[[Books], Needs] | None" = None
    """What must be loaded besides, once the rest is."""


@dataclass(slots=True)
class Books:
    """What was loaded, overlaid by what the operations of a group have made of it so far.

    Members, rewards and programmes are immutable: an operation that is refused has changed nothing.
    """

    programs: dict[str, Program] = field(default_factory=dict)
    members: dict[Key, Member] = field(default_factory=dict)
    rewards: dict[Key, Reward] = field(default_factory=dict)
    entry_ids: set[str] = field(default_factory=set)
    """Those of the needed entry ids that are entered already."""
    entries: dict[str, Entry] = field(default_factory=dict)
    """Those that were needed whole, and what the group has entered, by id."""
    refunds: dict[Key, RefundedOrder] = field(default_factory=dict)
    order_counts: OrderCounts | None = None
    """Loaded where an operation needs them."""
    counted: bool = False
    entered: list[Entry] = field(default_factory=list)
    erasures: "list[Erasure]" = field(default_factory=list)
    """Whom to forget, once this is committed."""
    touched_programs: set[str] = field(default_factory=set)
    touched_members: set[Key] = field(default_factory=set)
    touched_rewards: set[Key] = field(default_factory=set)
    touched_refunds: set[Key] = field(default_factory=set)
    records: dict[Ref[Any], Any] = field(default_factory=dict)
    """Those of the needed records that exist."""
    touched_records: dict[Ref[Any], None] = field(default_factory=dict)
    """In the order in which they were first touched, which is that of notices in the feed."""

    def program(self, program_id: str) -> Program:
        """The programme, or ``ProgramNotFound``."""
        program = self.programs.get(program_id)
        if program is None:
            raise ProgramNotFound(f"there is no programme {program_id}", program_id=program_id)
        return program

    def reward(self, program_id: str, reward_id: str) -> Reward:
        """The reward, or ``RewardNotFound``."""
        reward = self.rewards.get((program_id, reward_id))
        if reward is None:
            raise RewardNotFound(f"there is no reward {reward_id} in programme {program_id}", reward_id=reward_id)
        return reward

    def member(self, program_id: str, member_id: str) -> Member:
        """The member, or ``MemberNotFound``."""
        member = self.found(program_id, member_id)
        if member is None:
            raise MemberNotFound(f"{member_id} has never earned in programme {program_id}", member_id=member_id)
        return member

    def spender(self, program_id: str, member_id: str, *roles: AccountRole) -> Member:
        """Whose points a member may spend: their own, or those of the shared account that they use as one of ``roles``.

        ``MemberNotFound``, ``WalletNotRedeemable``, ``MemberBlocked``, or ``AccountRoleInsufficient``.
        """
        member = self.member(program_id, member_id)
        if not self.program(program_id).redeemable:
            raise WalletNotRedeemable(f"what is in {program_id} cannot be spent", program_id=program_id)
        purse = self.purse(member)
        for each in (member, purse):
            if each.block:
                raise MemberBlocked(f"{each.id} is blocked from spending", member_id=each.id, block=each.block)
        if purse is not member and member.account_role not in [role.value for role in roles or SPENDING_ROLES]:
            raise AccountRoleInsufficient(
                f"{member_id} may not do this as {member.account_role} of the account", role=member.account_role
            )
        return purse

    def earner(self, program_id: str, member_id: str) -> Member:
        """Who earns what a member does, enrolled now if need be: they, or the shared account; ``MemberBlocked``."""
        member = self.member_or_new(program_id, member_id)
        purse = self.purse(member)
        for each in (member, purse):
            if each.block == Block.EVERYTHING.value:
                raise MemberBlocked(f"{each.id} is blocked from earning", member_id=each.id, block=each.block)
        return purse

    def purse(self, member: Member) -> Member:
        """Whose points a member's are: their own, or those of the shared account that they use."""
        return self.member(member.program_id, member.account_id) if member.account_id else member

    def member_or_new(self, program_id: str, member_id: str) -> Member:
        """The member, enrolled now if need be."""
        account_id = self.account_id(program_id, member_id)
        return self.members.get((program_id, account_id)) or Member(program_id, account_id)

    def found(self, program_id: str, member_id: str) -> Member | None:
        """The member, or the one whom they were merged into, if there is one."""
        return self.members.get((program_id, self.account_id(program_id, member_id)))

    def account_id(self, program_id: str, member_id: str) -> str:
        """Who has the member's account now: the one whom they were merged into, and so on."""
        for _ in range(MERGES_MAX):
            member = self.members.get((program_id, member_id))
            merged = None if member else self.records.get(merged_ref(member_id))
            into = member.merged_into if member else merged.into_id if merged else ""
            if not into:
                break
            member_id = into
        return member_id

    def owner(self, entry: Entry) -> Member:
        """Who has now what the entry was about."""
        found = self.found(entry.program_id, entry.origin_id) if entry.origin_id else None
        return found or self.member(entry.program_id, entry.member_id)

    def refunded(self, program_id: str, order_id: str) -> RefundedOrder:
        """What has been refunded of the order so far."""
        return self.refunds.get((program_id, order_id)) or RefundedOrder(program_id, order_id)

    def record(self, ref: Ref[T]) -> T | None:
        """The record, which the operation needed; ``None`` if there is none."""
        found: T | None = self.records.get(ref)
        return found

    def put_record(self, ref: Ref[T], record: T) -> None:
        """Keep a new or changed record."""
        self.records[ref] = record
        self.touched_records[ref] = None

    def drop_record(self, ref: Ref[Any]) -> None:
        """Keep a record no longer."""
        if self.records.pop(ref, None) is not None:
            self.touched_records[ref] = None

    def add_program(self, program: Program) -> None:
        """Keep a new programme."""
        self.programs[program.id] = program
        self.touched_programs.add(program.id)

    def put_reward(self, reward: Reward) -> None:
        """Keep a new or changed reward."""
        key = (reward.program_id, reward.id)
        self.rewards[key] = reward
        self.touched_rewards.add(key)

    def put_refunded(self, refunded: RefundedOrder) -> None:
        """Keep what has been refunded of an order."""
        key = (refunded.program_id, refunded.order_id)
        self.refunds[key] = refunded
        self.touched_refunds.add(key)

    def count_orders(self, outcome: OrderCounts) -> None:
        """Add to the tenant's counts."""
        assert self.order_counts is not None
        if outcome != OrderCounts():
            self.order_counts = self.order_counts.plus(outcome)
            self.counted = True

    def put_member(self, member: Member) -> None:
        """Keep a member who was changed without an entry: nothing that entries come to."""
        key = (member.program_id, member.id)
        self.members[key] = member
        self.touched_members.add(key)

    def enter(self, member: Member, entry: Entry) -> Entry:
        """Keep an entry and what it made of its member."""
        return self.enter_all(member, (entry,))

    def enter_all(self, member: Member, entries: Sequence[Entry]) -> Entry:
        """Keep some entries, at least one, and what they made of their member; the last one."""
        before = self.members.get((member.program_id, member.id))
        parts = before.parts if before else ()
        if parts or any(entry.origin_id for entry in entries):
            parts = parts or (parts_of(before) if before else ())
            program = self.programs[member.program_id]
            parts, entries = attributed(parts, member, program, entries, self.entries, self.refunds)
            member = replace(member, parts=parts)
        return self.put_entries(member, entries)

    def put_entries(self, member: Member, entries: Sequence[Entry]) -> Entry:
        """Keep some entries, at least one, and their member as it is; the last one."""
        key = (member.program_id, member.id)
        self.members[key] = member
        self.touched_members.add(key)
        for entry in entries:
            self.entry_ids.add(entry.id)
            self.entries[entry.id] = entry
            self.entered.append(entry)
        return entries[-1]


def together(needs: Sequence[Needs]) -> Needs:
    """What all of them need."""
    later = [need.then for need in needs if need.then]
    return Needs(
        members=dict.fromkeys(pair for need in needs for pair in need.members),
        rewards=[pair for need in needs for pair in need.rewards],
        entry_ids=[entry_id for need in needs for entry_id in need.entry_ids],
        entries=[entry_id for need in needs for entry_id in need.entries],
        refunds=[pair for need in needs for pair in need.refunds],
        order_counts=any(need.order_counts for need in needs),
        records=dict.fromkeys(ref for need in needs for ref in need.records),
        then=(lambda books: together([then(books) for then in later])) if later else None,
    )
