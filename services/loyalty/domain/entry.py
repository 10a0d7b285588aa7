"""An entry: one movement of points from one account to another, immutable."""

import hashlib
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

ID_LENGTH_MAX = 200
# Programmes share the space of ids with these: no programme's id begins with an underscore.
_REQUEST = "_request"
_SETTLED = "_settled"
_RESTORED = "_restored"
_RECEIVED = "_received"
_REVOKED = "_revoked"


class Account(Enum):
    """The accounts of a programme; MEMBER and PENDING are one each for each member."""

    ISSUANCE = "issuance"
    MEMBER = "member"
    SPENT = "spent"
    EXPIRED = "expired"
    PENDING = "pending"
    TRANSFER = "transfer"
    MERGED = "merged"


class TierChange(Enum):
    """What became of a member's tier."""

    JOINED = "joined"
    UPGRADED = "upgraded"
    DOWNGRADED = "downgraded"
    LEFT = "left"
    PROLONGED = "prolonged"
    EXPIRING = "expiring"


class Block(Enum):
    """What a member is blocked from."""

    NOTHING = ""
    SPENDING = "spending"
    EVERYTHING = "everything"


ACCOUNT_PREFIX = "account/"
"""Of the ids of shared accounts as members: no customer's id begins like this."""


class AccountRole(Enum):
    """What a user of a shared account may do with it."""

    OWNER = "owner"
    SPENDER = "spender"
    EARNER = "earner"


class EntryKind(Enum):
    """Why points move."""

    ORDER = "order"
    GRANT = "grant"
    BURN = "burn"
    REDEMPTION = "redemption"
    EXPIRY = "expiry"
    POST = "post"
    VOID = "void"
    REFUND = "refund"
    EVENT = "event"
    RESTORE = "restore"
    TIER = "tier"
    VALIDITY = "validity"
    BLOCK = "block"
    UNBLOCK = "unblock"
    TRANSFER_OUT = "transfer_out"
    TRANSFER_IN = "transfer_in"
    REVOKE = "revoke"
    MERGE = "merge"
    UNMERGE = "unmerge"
    ACCOUNT_JOIN = "account_join"
    ACCOUNT_LEAVE = "account_leave"


Accounts = tuple[Account, Account]
"""The account that gives (debit) and the one that receives (credit)."""

EARNED: Accounts = (Account.ISSUANCE, Account.MEMBER)
HELD: Accounts = (Account.ISSUANCE, Account.PENDING)
SPENT: Accounts = (Account.MEMBER, Account.SPENT)
LAPSED: Accounts = (Account.MEMBER, Account.EXPIRED)
LAPSED_PENDING: Accounts = (Account.PENDING, Account.EXPIRED)
POSTED: Accounts = (Account.PENDING, Account.MEMBER)
RETURNED: Accounts = (Account.MEMBER, Account.ISSUANCE)
UNMOVED: Accounts = (Account.MEMBER, Account.MEMBER)
RETURNED_PENDING: Accounts = (Account.PENDING, Account.ISSUANCE)
RESTORED: Accounts = (Account.SPENT, Account.MEMBER)
SENT: Accounts = (Account.MEMBER, Account.TRANSFER)
RECEIVED: Accounts = (Account.TRANSFER, Account.MEMBER)

MERGED_AWAY: Accounts = (Account.MEMBER, Account.MERGED)
MERGED_HERE: Accounts = (Account.MERGED, Account.MEMBER)
MERGED_AWAY_PENDING: Accounts = (Account.PENDING, Account.MERGED)
MERGED_HERE_PENDING: Accounts = (Account.MERGED, Account.PENDING)
_MERGES = (MERGED_AWAY, MERGED_HERE, MERGED_AWAY_PENDING, MERGED_HERE_PENDING, UNMOVED)

ACCOUNTS: dict[EntryKind, tuple[Accounts, ...]] = {
    EntryKind.ORDER: (EARNED, HELD),
    EntryKind.GRANT: (EARNED, HELD),
    EntryKind.EVENT: (EARNED, HELD),
    EntryKind.BURN: (SPENT,),
    EntryKind.REDEMPTION: (SPENT,),
    EntryKind.EXPIRY: (LAPSED, LAPSED_PENDING),
    EntryKind.POST: (POSTED,),
    EntryKind.TIER: (UNMOVED,),
    EntryKind.VALIDITY: (UNMOVED,),
    EntryKind.BLOCK: (UNMOVED,),
    EntryKind.UNBLOCK: (UNMOVED,),
    EntryKind.TRANSFER_OUT: (SENT,),
    EntryKind.TRANSFER_IN: (RECEIVED,),
    EntryKind.REVOKE: (RETURNED,),
    EntryKind.ACCOUNT_JOIN: (UNMOVED,),
    EntryKind.ACCOUNT_LEAVE: (UNMOVED,),
    EntryKind.VOID: (RETURNED_PENDING,),
    EntryKind.REFUND: (RETURNED, RETURNED_PENDING),
    EntryKind.RESTORE: (RESTORED,),
    EntryKind.MERGE: _MERGES,
    EntryKind.UNMERGE: _MERGES,
}
"""For each kind between which accounts it moves points."""
TAKING_BACK_KINDS = (EntryKind.REFUND, EntryKind.REVOKE)
"""The kinds that take back what was given, as far as the programme's policy allows: perhaps nothing."""
STANDING_KINDS = (
    EntryKind.TIER,
    EntryKind.BLOCK,
    EntryKind.UNBLOCK,
    EntryKind.ACCOUNT_JOIN,
    EntryKind.ACCOUNT_LEAVE,
)
"""The kinds that say what a member's standing became, and move nothing."""


MERGE_KINDS = (EntryKind.MERGE, EntryKind.UNMERGE)
"""The kinds that move parts of accounts from one member to another, by way of MERGED."""


class Lot(NamedTuple):
    """Points of one member that expire at the same time."""

    expire_time: int
    points: int


class PendingLot(NamedTuple):
    """Points of one member that one entry made pending. ``due_time`` is when the clock acts on them."""

    due_time: int
    points: int
    entry_id: str
    event_time: int
    order_id: str


class Share(NamedTuple):
    """What one version of an earning rule gave of an entry's points, or what of it came back in a refund."""

    rule_id: str
    rule_version: int
    points: int


class OriginLot(NamedTuple):
    """Points of one part of an account, of one expiry."""

    origin_id: str
    expire_time: int
    points: int


@dataclass(frozen=True, slots=True)
class Part:
    """What of an account came under one customer's names. ``lots`` come to the balance, unless that is below zero."""

    origin_id: str
    balance: int = 0
    earned: int = 0
    spent: int = 0
    expired: int = 0
    refunded: int = 0
    spend_minor: int = 0
    orders: int = 0
    sent: int = 0
    received: int = 0
    enroll_time: int = 0
    lots: tuple[Lot, ...] = ()
    pending: tuple[PendingLot, ...] = ()
    qualified: tuple[tuple[int, int], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One movement. ``sequence`` counts a member's entries from 1; ``balance`` is the member's after it.

    ``lots`` are those of MEMBER. What they lack of ``points`` is debt: paid by what MEMBER receives, owed after a
    refund that takes more than there is.
    """

    id: str
    program_id: str
    member_id: str
    sequence: int
    kind: EntryKind
    debit: Account
    credit: Account
    points: int
    lots: tuple[Lot, ...]
    balance: int
    event_time: int
    record_time: int
    tier_id: str
    previous_tier_id: str
    order_id: str = ""
    order_amount_minor: int = 0
    reward_id: str = ""
    request_id: str = ""
    reason: str = ""
    pending: int = 0
    source_entry_id: str = ""
    uncollected: int = 0
    refund_number: int = 0
    event_id: str = ""
    tier_change: str = ""
    """What became of the tier, by ``TierChange``; empty: nothing."""
    shares: tuple[Share, ...] = ()
    """By rule, together the points (of a refund: with what could not be collected); none where only the rate gave."""
    gained_lots: tuple[Lot, ...] = ()
    """What ``lots`` became, where their expiry changed."""
    block: str = ""
    """From what the member was blocked, by ``Block``."""
    origin_id: str = ""
    """Under whose names it came, where that is not the member."""
    by_origin: tuple[OriginLot, ...] = ()
    """Whose points were spent or expired, where the account has parts."""
    partner_id: str = ""
    """The other member of a merge; ``event_id`` is the merge."""
    came: tuple[Part, ...] = ()
    went: tuple[Part, ...] = ()
    account_id: str = ""
    """The shared account, as a member, that the member joined or left."""

    @property
    def debt(self) -> int:
        """How many of the points paid a debt, or became one."""
        if Account.MEMBER not in (self.debit, self.credit):
            return 0
        return self.points - sum(lot.points for lot in self.lots)


def order_entry_id(program_id: str, order_id: str) -> str:
    """The id of what an order earns in a programme: the order cannot be entered twice."""
    return _bounded(f"{program_id}/order/{order_id}")


def event_entry_id(program_id: str, event_id: str) -> str:
    """The id of what an event earns in a programme: the event cannot be entered twice."""
    return _bounded(f"{program_id}/event/{event_id}")


def request_entry_id(request_id: str) -> str:
    """The id of what a request enters: the request cannot be carried out twice."""
    return _bounded(f"{_REQUEST}/{request_id}")


def expiry_entry_id(program_id: str, member_id: str, sequence: int) -> str:
    """The id of an expiry: a member's entries are numbered, so the same one cannot be entered twice."""
    return _bounded(f"{program_id}/expiry/{member_id}/{sequence}")


def tier_entry_id(program_id: str, member_id: str, sequence: int) -> str:
    """The id of a change of tier by the clock: a member's entries are numbered, so it cannot be entered twice."""
    return _bounded(f"{program_id}/tier/{member_id}/{sequence}")


def validity_entry_id(program_id: str, member_id: str, sequence: int) -> str:
    """The id of an extension by activity: a member's entries are numbered, so it cannot be entered twice."""
    return _bounded(f"{program_id}/validity/{member_id}/{sequence}")


def merge_entry_id(program_id: str, member_id: str, sequence: int) -> str:
    """The id of a side of a merge or unmerge: a member's entries are numbered, so it cannot be entered twice."""
    return _bounded(f"{program_id}/merge/{member_id}/{sequence}")


def account_entry_id(program_id: str, member_id: str, sequence: int) -> str:
    """The id of joining or leaving a shared account: a member's entries are numbered, so it cannot be entered twice."""
    return _bounded(f"{program_id}/account/{member_id}/{sequence}")


def settled_entry_id(source_entry_id: str) -> str:
    """The id of what ends pending points: they are posted, voided or expired, and only once."""
    return _bounded(f"{_SETTLED}/{source_entry_id}")


def restored_entry_id(source_entry_id: str) -> str:
    """The id of what gives spent points back: they come back once."""
    return _bounded(f"{_RESTORED}/{source_entry_id}")


def revoked_entry_id(source_entry_id: str) -> str:
    """The id of what takes a reward back: it goes back once."""
    return _bounded(f"{_REVOKED}/{source_entry_id}")


def received_entry_id(source_entry_id: str) -> str:
    """The id of what another member receives by an entry: it arrives once."""
    return _bounded(f"{_RECEIVED}/{source_entry_id}")


def refund_entry_id(program_id: str, order_id: str, number: int) -> str:
    """The id of an order's refund: an order's refunds are numbered, so the same one cannot be entered twice."""
    return _bounded(f"{program_id}/refund/{order_id}/{number}")


def refunded_order_id(program_id: str, order_id: str) -> str:
    """The id under which it is kept what has been refunded of an order."""
    return _bounded(f"{program_id}/{order_id}")


def _bounded(id: str) -> str:
    # Parts of it come from outside: a key is not for essays, and not every character may be in one.
    if len(id) <= ID_LENGTH_MAX and id.isprintable():
        return id
    return f"{id.split('/', 1)[0]}/sha256/{hashlib.sha256(id.encode(errors='surrogatepass')).hexdigest()}"
