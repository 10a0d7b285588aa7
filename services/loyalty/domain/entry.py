"""An entry: one movement of points from one account to another, immutable."""

import hashlib
from dataclasses import dataclass
from enum import Enum
from typing import NamedTuple

ID_LENGTH_MAX = 200


class Account(Enum):
    """The accounts of a programme; MEMBER is one for each member."""

    ISSUANCE = "issuance"
    MEMBER = "member"
    SPENT = "spent"
    EXPIRED = "expired"


class EntryKind(Enum):
    """Why points move."""

    ORDER = "order"
    GRANT = "grant"
    BURN = "burn"
    REDEMPTION = "redemption"
    EXPIRY = "expiry"


ACCOUNTS = {
    EntryKind.ORDER: (Account.ISSUANCE, Account.MEMBER),
    EntryKind.GRANT: (Account.ISSUANCE, Account.MEMBER),
    EntryKind.BURN: (Account.MEMBER, Account.SPENT),
    EntryKind.REDEMPTION: (Account.MEMBER, Account.SPENT),
    EntryKind.EXPIRY: (Account.MEMBER, Account.EXPIRED),
}
"""For each kind the account that gives (debit) and the one that receives (credit)."""


class Lot(NamedTuple):
    """Points of one member that expire at the same time."""

    expire_time: int
    points: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One movement. ``sequence`` counts a member's entries from 1; ``balance`` is the member's after it."""

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


def order_entry_id(program_id: str, order_id: str) -> str:
    """The id of what an order earns in a programme: the order cannot be entered twice."""
    return _bounded(f"{program_id}/order/{order_id}")


def request_entry_id(request_id: str) -> str:
    """The id of what a request enters: the request cannot be carried out twice."""
    return _bounded(f"request/{request_id}")


def expiry_entry_id(program_id: str, member_id: str, sequence: int) -> str:
    """The id of an expiry: a member's entries are numbered, so the same one cannot be entered twice."""
    return _bounded(f"{program_id}/expiry/{member_id}/{sequence}")


def _bounded(id: str) -> str:
    # Parts of it come from outside: a key is not for essays, and not every character may be in one.
    if len(id) <= ID_LENGTH_MAX and id.isprintable():
        return id
    return f"{id.split('/', 1)[0]}/sha256/{hashlib.sha256(id.encode(errors='surrogatepass')).hexdigest()}"
