"""Shared accounts of customers who are merged, and parted again: the survivor takes the place of whom they were."""

from collections.abc import Sequence
from dataclasses import replace

from services.loyalty.domain.books import Books, Needs
from services.loyalty.domain.entry import AccountRole
from services.loyalty.domain.member import Member
from services.loyalty.domain.program import Program
from services.loyalty.domain.records import Ref
from services.loyalty.domain.shared_account import (
    PREFIX,
    AccountChange,
    AccountUser,
    MergedUser,
    SharedAccount,
    account_ref,
    enter_use,
)

_RANKS = (AccountRole.EARNER.value, AccountRole.SPENDER.value, AccountRole.OWNER.value)


def accounts_needs(program_ids: Sequence[str], customer_ids: Sequence[str]) -> Needs:
    """The shared accounts that these people use."""

    def then(books: Books) -> Needs:
        names = {(each, name) for each in program_ids for name in customer_ids}
        names |= {(program_id, books.account_id(program_id, name)) for program_id, name in names}
        found = [each for pair in names if (each := books.members.get(pair)) and each.account_id]
        # What is in them too: what is told next may earn there.
        return Needs(
            members=[(each.program_id, each.account_id) for each in found], records=[_ref_of(each) for each in found]
        )

    return Needs(then=then)


def merge_account(books: Books, program: Program, merged: Member, survivor_id: str, now: int) -> None:
    """The survivor uses the account that the merged one did, with the greater of their roles. One who uses another
    account goes on with that; the merged one's place is kept as it is.
    """
    account = _open(books, merged)
    user = _user(account, merged.id) if account else None
    survivor = books.member_or_new(program.id, survivor_id)
    if account is None or user is None or survivor.account_id not in ("", account.member_id):
        return
    own = _user(account, survivor.id)
    role = max(user.role, own.role if own else user.role, key=_RANKS.index)
    stands = AccountUser(survivor.id, role, own.join_time if own else user.join_time)
    others = tuple(each for each in account.users if each.customer_id not in (user.customer_id, survivor.id))
    kept = MergedUser(user.customer_id, user.role, user.join_time, survivor.id, own.role if own else "")
    changed = replace(account, users=(*others, stands), merged=(*account.merged, kept))
    changed = changed.stepped(now, user, AccountChange.LEFT)
    changed = changed.stepped(now, stands, AccountChange.ROLE_CHANGED if own else AccountChange.JOINED)
    _use(books, program, survivor, changed, role, now)
    books.put_record(account_ref(program.id, account.account_id), changed)


def part_account(books: Books, program: Program, restored_id: str, holder_id: str, now: int) -> None:
    """The restored one has the place that was theirs, and who stood in for them has the one of before."""
    restored = books.members.get((program.id, restored_id))
    if restored is None or not restored.account_id:
        return None
    account = _open(books, restored)
    if account is None:
        return enter_use(books, program, replace(restored, account_id="", account_role=""), restored.account_id, now)
    kept = next((each for each in account.merged if each.customer_id == restored_id), None)
    if kept is None:
        return None
    holder, stands = books.member_or_new(program.id, holder_id), _user(account, holder_id)
    others = [each for each in account.users if each.customer_id != holder_id]
    changed = replace(account, merged=tuple(each for each in account.merged if each is not kept))
    if stands and kept.survivor_role:
        others.append(stands._replace(role=kept.survivor_role))
        changed = changed.stepped(now, others[-1], AccountChange.ROLE_CHANGED)
        _use(books, program, holder, changed, kept.survivor_role, now)
    elif stands:
        changed = changed.stepped(now, stands, AccountChange.LEFT)
        _use(books, program, holder, changed, "", now)
    owned = any(each.role == AccountRole.OWNER.value for each in others)
    role = AccountRole.SPENDER.value if owned and kept.role == AccountRole.OWNER.value else kept.role
    role = role if owned else AccountRole.OWNER.value
    back = AccountUser(restored_id, role, kept.join_time)
    changed = replace(changed, users=(*others, back)).stepped(now, back, AccountChange.JOINED)
    books.put_record(account_ref(program.id, account.account_id), changed)
    books.put_member(replace(books.members[program.id, restored_id], account_role=role))
    return None


def _use(books: Books, program: Program, member: Member, account: SharedAccount, role: str, now: int) -> None:
    """Let the member use the account in a role, or (empty) no longer: an entry where that begins or ends."""
    account_id = account.member_id if role else ""
    after = replace(member, account_id=account_id, account_role=role)
    if member.account_id != account_id:
        enter_use(books, program, after, account.member_id, now)
    elif member.account_role != role:
        books.put_member(after)


def _open(books: Books, member: Member) -> SharedAccount | None:
    """The account that the member uses, or did before they were merged, unless it is closed."""
    account = books.record(_ref_of(member)) if member.account_id else None
    return account if account and not account.close_time else None


def _ref_of(member: Member) -> Ref[SharedAccount]:
    return account_ref(member.program_id, member.account_id.removeprefix(PREFIX))


def _user(account: SharedAccount, customer_id: str) -> AccountUser | None:
    return next((each for each in account.users if each.customer_id == customer_id), None)
