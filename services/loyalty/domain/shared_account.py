"""Shared accounts: several customers earn into one account, and those may spend from it whose role says so.

The account is a member of its own. Who uses it keeps the account of their own, which rests meanwhile; its points are
theirs, and can be transferred into the shared one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

from services.common.errors import AlreadyExists, FailedPrecondition, NotFound
from services.loyalty.domain.books import Books, Key, Needs
from services.loyalty.domain.entry import ACCOUNT_PREFIX, UNMOVED, AccountRole, EntryKind, account_entry_id
from services.loyalty.domain.erasure import Erasure
from services.loyalty.domain.member import Cause, Member, entered
from services.loyalty.domain.program import Program
from services.loyalty.domain.records import Kind, Ref
from services.loyalty.domain.transfer import move

PREFIX = ACCOUNT_PREFIX
STEPS_MAX = 500
"""Joinings, leavings and changes of roles that are kept with an account; the statements have all of the first two."""


class AccountExists(AlreadyExists):
    """The id of the new account is taken in its programme."""


class AccountNotFound(NotFound):
    """There is no such shared account, or the customer uses none."""


class AccountClosed(FailedPrecondition):
    """The last user has left the account."""


class AccountFull(FailedPrecondition):
    """The account has as many users as it may. Metadata says how many."""


class AlreadyShares(FailedPrecondition):
    """The customer uses a shared account of the programme. Metadata says which."""


class OwnerRequired(FailedPrecondition):
    """The owner cannot leave, or become another user, before somebody else is the owner."""


class AccountNotSettled(FailedPrecondition):
    """Points of the account wait still, or it owes some, so its last user cannot take what is there."""


class AccountChange(Enum):
    """What became of a user."""

    JOINED = "joined"
    LEFT = "left"
    ROLE_CHANGED = "role_changed"


class AccountUser(NamedTuple):
    """Who uses an account, as what, and since when."""

    customer_id: str
    role: str
    join_time: int


class AccountStep(NamedTuple):
    """What became of a user, when, and which role they had after it, or before they left."""

    time: int
    customer_id: str
    change: str
    role: str


class MergedUser(NamedTuple):
    """A user who was merged, and who stands in for them, with the role that they had of their own; empty: none."""

    customer_id: str
    role: str
    join_time: int
    survivor_id: str
    survivor_role: str


@dataclass(frozen=True, slots=True)
class SharedAccount:
    """A shared account. ``history`` is newest last."""

    program_id: str
    account_id: str
    name: str
    users_max: int
    users: tuple[AccountUser, ...] = ()
    history: tuple[AccountStep, ...] = ()
    create_time: int = 0
    close_time: int = 0
    merged: tuple[MergedUser, ...] = ()

    @property
    def member_id(self) -> str:
        """The account as a member."""
        return PREFIX + self.account_id

    def user(self, customer_id: str) -> AccountUser:
        """Who uses it, or ``AccountNotFound``."""
        found = next((each for each in self.users if each.customer_id == customer_id), None)
        if found is None:
            raise AccountNotFound(f"{customer_id} does not use {self.account_id}", customer_id=customer_id)
        return found

    def stepped(self, now: int, user: AccountUser, change: AccountChange) -> "SharedAccount":
        """With one more step in its history."""
        step = AccountStep(now, user.customer_id, change.value, user.role)
        return replace(self, history=(*self.history, step)[-STEPS_MAX:])


SHARED_ACCOUNTS = Kind("shared_accounts", SharedAccount)


def account_ref(program_id: str, account_id: str) -> Ref[SharedAccount]:
    """Where an account is kept."""
    return Ref(SHARED_ACCOUNTS, f"{program_id}/{account_id}")


def found_account(books: Books, program_id: str, account_id: str) -> SharedAccount:
    """The account, or ``AccountNotFound``."""
    account = books.record(account_ref(program_id, account_id))
    if account is None:
        raise AccountNotFound(f"there is no shared account {account_id}", account_id=account_id)
    return account


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAccount:
    """Opens a shared account for its owner."""

    program_id: str
    account_id: str
    name: str
    users_max: int
    owner_id: str

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        members = [(self.program_id, self.owner_id), (self.program_id, PREFIX + self.account_id)]
        return Needs(members=members, records=(account_ref(self.program_id, self.account_id),))

    def apply(self, books: Books, now: int) -> SharedAccount:
        program = books.program(self.program_id)
        if books.record(account_ref(program.id, self.account_id)):
            raise AccountExists(f"there is an account {self.account_id} already", account_id=self.account_id)
        account = SharedAccount(program.id, self.account_id, self.name, self.users_max, create_time=now)
        pocket = books.member_or_new(program.id, account.member_id)
        _check_free(books, program, self.owner_id)
        books.put_member(replace(pocket, enroll_time=now))
        return _join(books, program, account, books.account_id(program.id, self.owner_id), AccountRole.OWNER, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinAccount:
    """Lets a customer use an account from now on; ``bring_points``: with what they can spend."""

    program_id: str
    account_id: str
    customer_id: str
    role: AccountRole
    bring_points: bool
    request_id: str

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return _needs(self.program_id, self.account_id, self.customer_id)

    def apply(self, books: Books, now: int) -> SharedAccount:
        program = books.program(self.program_id)
        account = found_account(books, program.id, self.account_id)
        if account.close_time:
            raise AccountClosed(f"{account.account_id} is closed", account_id=account.account_id)
        own = _check_free(books, program, self.customer_id)
        pocket = books.earner(program.id, account.member_id)
        if len(account.users) >= account.users_max:
            raise AccountFull(f"an account may have {account.users_max} users", users_max=account.users_max)
        brought = own.available(now) if self.bring_points else 0
        if brought:
            books.spender(program.id, self.customer_id)
            move(books, program, own, pocket, brought, self.request_id, "shared account", now)
        return _join(books, program, account, books.account_id(program.id, self.customer_id), self.role, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaveAccount:
    """Ends a customer's use of an account; the last to leave takes what is there and closes it."""

    program_id: str
    account_id: str
    customer_id: str
    request_id: str

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return _needs(self.program_id, self.account_id, self.customer_id)

    def apply(self, books: Books, now: int) -> SharedAccount:
        program = books.program(self.program_id)
        account = found_account(books, program.id, self.account_id)
        user = account.user(books.account_id(program.id, self.customer_id))
        last = len(account.users) == 1
        if user.role == AccountRole.OWNER.value and not last:
            raise OwnerRequired("make somebody else the owner before", account_id=account.account_id)
        if last:
            _take_all(books, program, account, user.customer_id, self.request_id, now)
        return _leave(books, program, account, user, now)


@dataclass(frozen=True, slots=True, kw_only=True)
class SetAccountRole:
    """Changes what a user may do; a new owner takes the place of the old one, who may spend from then on."""

    program_id: str
    account_id: str
    customer_id: str
    role: AccountRole

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        needs = _needs(self.program_id, self.account_id, self.customer_id)
        return replace(needs, then=self._users)

    def _users(self, books: Books) -> Needs:
        account = books.record(account_ref(self.program_id, self.account_id))
        return Needs(members=[(self.program_id, each.customer_id) for each in account.users] if account else ())

    def apply(self, books: Books, now: int) -> SharedAccount:
        program = books.program(self.program_id)
        account = found_account(books, program.id, self.account_id)
        user = account.user(books.account_id(program.id, self.customer_id))
        if user.role == AccountRole.OWNER.value and self.role is not AccountRole.OWNER:
            raise OwnerRequired("make somebody else the owner instead", account_id=account.account_id)
        owner = next(each for each in account.users if each.role == AccountRole.OWNER.value)
        roles = {user.customer_id: self.role}
        if self.role is AccountRole.OWNER and owner is not user:
            roles[owner.customer_id] = AccountRole.SPENDER
        return _with_roles(books, account, roles, now)


@dataclass(frozen=True, slots=True)
class AccountsLeft:
    """A person who is to be forgotten leaves every account; it goes on, and has the next user as its owner."""

    erasure: Erasure

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        """What must be loaded before."""
        return Needs(members=self._members(programs), then=self._accounts)

    def _members(self, programs: Mapping[str, Program]) -> list[Key]:
        return [(program_id, customer_id) for program_id in programs for customer_id in self.erasure.customer_ids]

    def _accounts(self, books: Books) -> Needs:
        found = [books.members.get(pair) for pair in self._members(books.programs)]
        refs = [
            account_ref(each.program_id, each.account_id.removeprefix(PREFIX))
            for each in found
            if each and each.account_id
        ]
        return Needs(records=refs, then=self._users if refs else None)

    def _users(self, books: Books) -> Needs:
        found = [books.members.get(pair) for pair in self._members(books.programs)]
        accounts = [
            books.record(account_ref(each.program_id, each.account_id.removeprefix(PREFIX)))
            for each in found
            if each and each.account_id
        ]
        return Needs(members=[(each.program_id, user.customer_id) for each in accounts if each for user in each.users])

    def apply(self, books: Books, now: int, counts: dict[str, int]) -> None:
        """Leave, and be nobody in what the accounts tell of their past."""
        for pair in self._members(books.programs):
            member = books.members.get(pair)
            if member is None or not member.account_id:
                continue
            program = books.program(member.program_id)
            left = found_account(books, program.id, member.account_id.removeprefix(PREFIX))
            user = next((each for each in left.users if each.customer_id == member.id), None)
            if user:  # who was merged uses it no more: another stands in for them
                left = _leave(books, program, left, user, now)
            if user and left.users and user.role == AccountRole.OWNER.value:
                left = _with_roles(books, left, {left.users[0].customer_id: AccountRole.OWNER}, now)
            pseudonym = self.erasure.pseudonym_of(member.id)
            history = tuple(
                step._replace(customer_id=pseudonym) if step.customer_id == member.id else step for step in left.history
            )
            merged = tuple(each for each in left.merged if member.id not in (each.customer_id, each.survivor_id))
            books.put_record(account_ref(program.id, left.account_id), replace(left, history=history, merged=merged))


def _needs(program_id: str, account_id: str, customer_id: str) -> Needs:
    members = [(program_id, customer_id), (program_id, PREFIX + account_id)]
    return Needs(members=members, records=(account_ref(program_id, account_id),))


def _check_free(books: Books, program: Program, customer_id: str) -> Member:
    """The customer's own account, enrolled if need be; ``AlreadyShares`` if they use another one."""
    own = books.member_or_new(program.id, customer_id)
    if own.account_id:
        raise AlreadyShares(f"{customer_id} uses {own.account_id}", account_id=own.account_id.removeprefix(PREFIX))
    return own


def _join(
    books: Books, program: Program, account: SharedAccount, customer_id: str, role: AccountRole, now: int
) -> SharedAccount:
    own = books.member_or_new(program.id, customer_id)
    used = replace(own, account_id=account.member_id, account_role=role.value)
    enter_use(books, program, used, account.member_id, now)
    user = AccountUser(customer_id, role.value, now)
    joined = replace(account, users=(*account.users, user)).stepped(now, user, AccountChange.JOINED)
    books.put_record(account_ref(program.id, account.account_id), joined)
    return joined


def _leave(books: Books, program: Program, account: SharedAccount, user: AccountUser, now: int) -> SharedAccount:
    own = books.member(program.id, user.customer_id)
    enter_use(books, program, replace(own, account_id="", account_role=""), account.member_id, now)
    users = tuple(each for each in account.users if each is not user)
    left = replace(account, users=users, close_time=0 if users else now).stepped(now, user, AccountChange.LEFT)
    books.put_record(account_ref(program.id, account.account_id), left)
    return left


def enter_use(books: Books, program: Program, member: Member, account_id: str, now: int) -> None:
    """The statement of who joins or leaves the account says so."""
    kind = EntryKind.ACCOUNT_JOIN if member.account_id else EntryKind.ACCOUNT_LEAVE
    entry_id = account_entry_id(program.id, member.id, member.entry_count + 1)
    cause = Cause(entry_id, kind, now, now, account_id=account_id)
    enrolled = replace(member, entry_count=member.entry_count + 1, enroll_time=member.enroll_time or now)
    books.enter(*entered(enrolled, program, 0, (), cause, UNMOVED))


def _take_all(
    books: Books, program: Program, account: SharedAccount, customer_id: str, request_id: str, now: int
) -> None:
    pocket = books.member(program.id, account.member_id)
    if pocket.pending or pocket.balance < 0:
        raise AccountNotSettled("points of the account wait, or are owed", account_id=account.account_id)
    if points := pocket.available(now):
        own = books.member(program.id, customer_id)
        move(books, program, pocket, own, points, request_id, "shared account", now)


def _with_roles(books: Books, account: SharedAccount, roles: Mapping[str, AccountRole], now: int) -> SharedAccount:
    changed = account
    for customer_id, role in roles.items():
        user = account.user(customer_id)._replace(role=role.value)
        users = tuple(user if each.customer_id == customer_id else each for each in changed.users)
        changed = replace(changed, users=users).stepped(now, user, AccountChange.ROLE_CHANGED)
        books.put_member(replace(books.member(account.program_id, customer_id), account_role=role.value))
    books.put_record(account_ref(account.program_id, account.account_id), changed)
    return changed
