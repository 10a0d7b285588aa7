"""Merging members and taking merges back, as profiles tells: parts of accounts move, entries stay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from services.loyalty.domain.books import Books, Needs
from services.loyalty.domain.books import together as together_needs
from services.loyalty.domain.earning_rule import MEMBER_USAGE, MemberUsage
from services.loyalty.domain.entry import (
    MERGED_AWAY,
    MERGED_AWAY_PENDING,
    MERGED_HERE,
    MERGED_HERE_PENDING,
    UNMOVED,
    Accounts,
    Entry,
    EntryKind,
    Lot,
    Part,
    merge_entry_id,
)
from services.loyalty.domain.member import Cause, Member, entered, taken_lots
from services.loyalty.domain.merged import MergedCustomer, merged_ref
from services.loyalty.domain.merged_accounts import accounts_needs, merge_account, part_account
from services.loyalty.domain.merged_progress import merge_progress, part_progress, progress_needs
from services.loyalty.domain.parts import composed, parts_of, together
from services.loyalty.domain.people import joined_names, names_needs, names_ref, parted_names, root_of
from services.loyalty.domain.program import Program
from services.loyalty.domain.records import Ref


@dataclass(frozen=True, slots=True)
class MergeTold:
    """Two customers are one: in every programme the one's account becomes part of the other's."""

    merge_id: str
    customer_id: str
    merged_customer_id: str

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        """What must be loaded before."""
        return _needs(programs, (self.customer_id, self.merged_customer_id))

    def apply(self, books: Books, now: int, counts: dict[str, int]) -> None:
        """Move the accounts, and remember where they went."""
        merged_id = self.merged_customer_id
        if self._circular(books):
            return
        for program in books.programs.values():
            merged = books.members.get((program.id, merged_id))
            if merged is None or merged.merged_into:
                continue
            survivor = books.member_or_new(program.id, self.customer_id)
            parts = parts_of(merged)
            left = replace(composed(merged, (), program), merged_into=self.customer_id)
            grown = composed(survivor, together((*parts_of(survivor), *parts), program), program)
            _enter(books, program, EntryKind.MERGE, self.merge_id, (merged, left), (survivor, grown), parts, now)
            _add_usage(books, program.id, merged_id, survivor.id, 1)
            merge_account(books, program, merged, survivor.id, now)
        books.put_record(merged_ref(merged_id), MergedCustomer(merged_id, self.customer_id))
        joined_names(books, merged_id, self.customer_id)
        merge_progress(books, self.merge_id, merged_id, self.customer_id, now)

    def _circular(self, books: Books) -> bool:
        """Whether the survivor is part of the merged one already: what is told late is true no more."""
        accounts = [books.account_id(program_id, self.customer_id) for program_id in books.programs]
        return self.merged_customer_id in (self.customer_id, *accounts)


@dataclass(frozen=True, slots=True)
class UnmergeTold:
    """A merge was taken back: what came under these origins, and is left, goes back to whom it came from."""

    merge_id: str
    customer_id: str
    restored_customer_id: str
    origin_customer_ids: tuple[str, ...]

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        """What must be loaded before."""
        return _needs(programs, (self.customer_id, self.restored_customer_id, *self.origin_customer_ids))

    def apply(self, books: Books, now: int, counts: dict[str, int]) -> None:
        """Move the parts back, and forget where the account went."""
        restored_id, origins = self.restored_customer_id, {self.restored_customer_id, *self.origin_customer_ids}
        holder_id = root_of(books, self.customer_id)
        for program in books.programs.values():
            holder = books.found(program.id, self.customer_id)
            restored = books.members.get((program.id, restored_id))
            held = parts_of(holder) if holder and holder.id != restored_id else ()
            leaving = tuple(part for part in held if part.origin_id in origins)
            if not leaving and not (restored and restored.merged_into):
                continue
            before = restored or Member(program.id, restored_id)
            grown = composed(replace(before, merged_into=""), together((*parts_of(before), *leaving), program), program)
            if holder is None or not leaving:
                holder = before  # it had nothing: only the restored one says that it is itself again
            stayed = composed(holder, tuple(part for part in held if part not in leaving), program)
            _enter(books, program, EntryKind.UNMERGE, self.merge_id, (holder, stayed), (before, grown), leaving, now)
            _add_usage(books, program.id, restored_id, holder.id, -1)
            part_account(books, program, restored_id, holder.id, now)
        for origin_id in origins:
            self._point(books, origin_id)
        parted_names(books, holder_id, restored_id, origins)
        part_progress(books, self.merge_id, self.customer_id, restored_id, origins, now)

    def _point(self, books: Books, origin_id: str) -> None:
        """Let what is told of an origin go where its account is now."""
        if origin_id == self.restored_customer_id:
            books.drop_record(merged_ref(origin_id))
        elif books.record(merged_ref(origin_id)):
            books.put_record(merged_ref(origin_id), MergedCustomer(origin_id, self.restored_customer_id))


def _needs(programs: Mapping[str, Program], customer_ids: Sequence[str]) -> Needs:
    accounts = Needs(
        members=[(program_id, customer_id) for program_id in programs for customer_id in customer_ids],
        records=[merged_ref(customer_id) for customer_id in customer_ids],
        then=lambda books: Needs(
            records=[
                Ref(MEMBER_USAGE, f"{program_id}/{each}")
                for program_id in programs
                for customer_id in customer_ids
                for each in {customer_id, books.account_id(program_id, customer_id)}
            ]
        ),
    )
    progress = Needs(then=lambda books: progress_needs(list(programs), customer_ids))
    names = names_needs(customer_ids, lambda books, names: map(names_ref, names))
    return together_needs([accounts, progress, names, accounts_needs(list(programs), customer_ids)])


def _enter(
    books: Books,
    program: Program,
    kind: EntryKind,
    merge_id: str,
    giving: tuple[Member, Member],
    getting: tuple[Member, Member],
    parts: tuple[Part, ...],
    now: int,
) -> None:
    """The entries of both sides, each as it was and as it is."""
    cause = Cause("", kind, now, now, event_id=merge_id)
    (gives, left), (gets, grown) = giving, getting
    if gives.id != gets.id:
        _side(books, program, gives, left, replace(cause, partner_id=gets.id, went=parts))
    _side(books, program, gets, grown, replace(cause, partner_id=gives.id, came=parts))


def _side(books: Books, program: Program, before: Member, after: Member, cause: Cause) -> None:
    """One side's entries: lots that change places, then the balance with what came or went, then pending points."""
    member, entries = before, []
    taken, gained, moved = _lot_changes(before.lots, after.lots)
    if taken:
        points = sum(lot.points for lot in taken)
        said = replace(cause, came=(), went=(), gained_lots=gained)
        member, entry = _entered(member, program, points, taken, said, UNMOVED)
        entries.append(entry)
    points = after.balance - before.balance
    here = points > 0 or (points == 0 and bool(cause.came))
    member = replace(after, pending=before.pending, entry_count=member.entry_count)
    member, entry = _entered(member, program, abs(points), moved, cause, MERGED_HERE if here else MERGED_AWAY)
    entries.append(entry)
    if pending := after.pending_points - before.pending_points:
        accounts = MERGED_HERE_PENDING if pending > 0 else MERGED_AWAY_PENDING
        member = replace(member, pending=after.pending)
        member, entry = _entered(member, program, abs(pending), (), replace(cause, came=(), went=()), accounts)
        entries.append(entry)
    books.put_entries(member, entries)


def _entered(
    member: Member, program: Program, points: int, lots: tuple[Lot, ...], cause: Cause, accounts: Accounts
) -> tuple[Member, Entry]:
    member = replace(member, entry_count=member.entry_count + 1)
    entry_id = merge_entry_id(program.id, member.id, member.entry_count)
    return entered(member, program, points, lots, replace(cause, entry_id=entry_id), accounts)


def _lot_changes(
    before: tuple[Lot, ...], after: tuple[Lot, ...]
) -> tuple[tuple[Lot, ...], tuple[Lot, ...], tuple[Lot, ...]]:
    """Lots that become as many points of other lots, what they become, and what is left to come or to go."""
    less, more = _without(before, after), _without(after, before)
    same = min(sum(lot.points for lot in less), sum(lot.points for lot in more))
    (taken, gone), (gained, come) = taken_lots(less, same), taken_lots(more, same)
    return taken, gained, come or gone


def _without(lots: tuple[Lot, ...], others: tuple[Lot, ...]) -> tuple[Lot, ...]:
    there = dict(others)
    left = (Lot(lot.expire_time, lot.points - there.get(lot.expire_time, 0)) for lot in lots)
    return tuple(lot for lot in left if lot.points > 0)


def _add_usage(books: Books, program_id: str, customer_id: str, account_id: str, sign: int) -> None:
    """What the customer had in periods with a limit counts with the account, or (-1) no longer does."""
    of_customer = books.record(Ref(MEMBER_USAGE, f"{program_id}/{customer_id}"))
    if of_customer is None or account_id == customer_id:
        return
    at = Ref(MEMBER_USAGE, f"{program_id}/{account_id}")
    usage = books.record(at) or MemberUsage(program_id, account_id)
    periods = dict(usage.periods)
    for key, (points, count) in of_customer.periods.items():
        had = periods.get(key, (0, 0))
        periods[key] = max(0, had[0] + sign * points), max(0, had[1] + sign * count)
    books.put_record(at, replace(usage, periods=periods, ends={**of_customer.ends, **usage.ends}))
