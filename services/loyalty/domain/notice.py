"""Notices: what customers, or journeys, should hear of loyalty.

Most follow from entries and are kept nowhere else. What no entry tells is a record of its own, in the commit that made
it true and in the same feed.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum

from services.loyalty.domain.books import Books, Needs
from services.loyalty.domain.days import DAY_MICROS, HOUR_MICROS
from services.loyalty.domain.entry import Account, Entry, EntryKind, TierChange
from services.loyalty.domain.member import Member
from services.loyalty.domain.program import Program
from services.loyalty.domain.records import Kind, Ref


class NoticeKind(Enum):
    """What a notice is about."""

    BALANCE_CHANGED = "balance_changed"
    POINTS_EXPIRING = "points_expiring"
    TIER_CHANGED = "tier_changed"
    TIER_EXPIRING = "tier_expiring"
    REWARD_REDEEMED = "reward_redeemed"
    REWARD_FULFILLED = "reward_fulfilled"
    REWARD_RETURNED = "reward_returned"
    COUPON_REDEEMED = "coupon_redeemed"
    COUPON_ROLLED_BACK = "coupon_rolled_back"
    OFFER_USED = "offer_used"
    OFFER_ROLLED_BACK = "offer_rolled_back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice:
    """Something that happened to a customer. Which fields are set says the kind; points that went are below zero."""

    kind: NoticeKind
    customer_id: str
    time: int
    notice_id: str = ""
    program_id: str = ""
    entry_id: str = ""
    points: int = 0
    balance: int = 0
    pending: int = 0
    expire_time: int = 0
    lead_days: int = 0
    tier_id: str = ""
    previous_tier_id: str = ""
    tier_change: str = ""
    reward_id: str = ""
    redemption_id: str = ""
    order_id: str = ""
    code: str = ""
    campaign_id: str = ""
    offer_id: str = ""
    discount_minor: int = 0
    currency: str = ""


NOTICES = Kind("notices", Notice)


def note(books: Books, notice: Notice, turn: int = 0) -> None:
    """Keep a notice of what is true from now on. ``turn`` counts how often the same was true before."""
    subject = (notice.order_id, notice.code, notice.offer_id, notice.redemption_id)
    ref = _ref(notice.kind, *subject, str(turn))
    books.put_record(ref, replace(notice, notice_id=ref.id))


def _ref(kind: NoticeKind, *parts: str) -> Ref[Notice]:
    # Parts of it come from outside: a key is not for essays.
    digest = hashlib.sha256("\0".join(parts).encode(errors="surrogatepass")).hexdigest()
    return Ref(NOTICES, f"{kind.value}/{digest[:40]}")


def notices_of(entry: Entry) -> Iterator[Notice]:
    """What an entry has to tell its member."""
    told = Notice(
        kind=NoticeKind.BALANCE_CHANGED,
        customer_id=entry.member_id,
        time=entry.record_time,
        program_id=entry.program_id,
        entry_id=entry.id,
        balance=entry.balance,
        pending=entry.pending,
    )

    def about(kind: NoticeKind, **more: str | int) -> Notice:
        return replace(told, kind=kind, notice_id=f"{kind.value}/{entry.id}", **more)  # type: ignore[arg-type]

    accounts = {entry.debit, entry.credit}
    if entry.points and len(accounts) == 2 and accounts & {Account.MEMBER, Account.PENDING}:
        change = ((entry.credit is Account.MEMBER) - (entry.debit is Account.MEMBER)) * entry.points
        yield about(NoticeKind.BALANCE_CHANGED, points=change)
    if entry.tier_change == TierChange.EXPIRING.value:
        yield about(NoticeKind.TIER_EXPIRING, tier_id=entry.tier_id, tier_change=entry.tier_change)
    elif entry.tier_change:
        before, change_of = entry.previous_tier_id, entry.tier_change
        yield about(NoticeKind.TIER_CHANGED, tier_id=entry.tier_id, previous_tier_id=before, tier_change=change_of)
    if entry.kind is EntryKind.REDEMPTION:
        yield about(NoticeKind.REWARD_REDEEMED, reward_id=entry.reward_id, points=entry.points)
    if entry.kind is EntryKind.RESTORE and entry.reward_id:
        yield about(NoticeKind.REWARD_RETURNED, reward_id=entry.reward_id, points=entry.points)


@dataclass(frozen=True, slots=True)
class ExpiryNotices:
    """How many days before points of a programme expire that is told."""

    program_id: str
    lead_days: tuple[int, ...] = ()


@dataclass(frozen=True, slots=True)
class Sweep:
    """How far members were looked through in an hour; ``done``: all of them."""

    program_id: str
    hour: int
    after: str = ""
    done: bool = False


EXPIRY_NOTICES = Kind("expiry_notices", ExpiryNotices)
SWEEPS = Kind("expiry_sweeps", Sweep)


def hour_of(now: int) -> int:
    """The hour in which an instant lies."""
    return now // HOUR_MICROS


def due_notices(member: Member, lead_days: Iterable[int], now: int) -> list[Notice]:
    """What is to be told of the member's lots: of each the shortest lead time that has come."""
    leads = sorted(lead_days)
    found: list[Notice] = []
    for lot in member.lots:
        if lot.expire_time <= now:
            continue
        lead = next((days for days in leads if lot.expire_time - now <= days * DAY_MICROS), None)
        if lead is None:
            break  # those after it expire later
        found.append(
            Notice(
                kind=NoticeKind.POINTS_EXPIRING,
                notice_id=_expiring_ref(member, lot.expire_time, lead).id,
                customer_id=member.id,
                time=now,
                program_id=member.program_id,
                points=lot.points,
                balance=member.balance,
                expire_time=lot.expire_time,
                lead_days=lead,
            )
        )
    return found


def _expiring_ref(member: Member, expire_time: int, lead_days: int) -> Ref[Notice]:
    parts = (member.program_id, member.id, str(expire_time), str(lead_days))
    return _ref(NoticeKind.POINTS_EXPIRING, *parts)


@dataclass(frozen=True, slots=True, kw_only=True)
class AnnounceExpiring:
    """Tells these members which of their points expire soon, each once, and keeps how far the sweep has come."""

    program_id: str
    member_ids: Sequence[str]
    lead_days: Sequence[int]
    sweep: Sweep

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs(
            members=[(self.program_id, member_id) for member_id in self.member_ids],
            records=(Ref(SWEEPS, self.program_id),),
            then=self._told,
        )

    def _told(self, books: Books) -> Needs:
        members = [books.members.get((self.program_id, member_id)) for member_id in self.member_ids]
        return Needs(
            records=[
                _expiring_ref(member, lot.expire_time, days)
                for member in members
                if member
                for lot in member.lots
                for days in self.lead_days
            ]
        )

    def apply(self, books: Books, now: int) -> int:
        count = 0
        for member_id in self.member_ids:
            member = books.members.get((self.program_id, member_id))
            for notice in due_notices(member, self.lead_days, now) if member else ():
                ref = Ref(NOTICES, notice.notice_id)
                if books.record(ref) is None:
                    books.put_record(ref, notice)
                    count += 1
        books.put_record(Ref(SWEEPS, self.program_id), self.sweep)
        return count


@dataclass(frozen=True, slots=True, kw_only=True)
class SetExpiryNotices:
    """Says how long before points expire that is told."""

    notices: ExpiryNotices

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs(records=(Ref(EXPIRY_NOTICES, self.notices.program_id), Ref(SWEEPS, self.notices.program_id)))

    def apply(self, books: Books, now: int) -> ExpiryNotices:
        program = books.program(self.notices.program_id)
        told = replace(self.notices, lead_days=tuple(sorted(set(self.notices.lead_days))))
        books.put_record(Ref(EXPIRY_NOTICES, program.id), told)
        books.drop_record(Ref(SWEEPS, program.id))  # look at everybody again
        return told


@dataclass(frozen=True, slots=True)
class ForgetNotices:
    """Drops notices; how many there were."""

    notice_ids: Sequence[str]

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs(records=[Ref(NOTICES, notice_id) for notice_id in self.notice_ids])

    def apply(self, books: Books, now: int) -> int:
        count = 0
        for notice_id in self.notice_ids:
            count += books.record(Ref(NOTICES, notice_id)) is not None
            books.drop_record(Ref(NOTICES, notice_id))
        return count
