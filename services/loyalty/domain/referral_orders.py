"""What orders do to referrals, and what the clock does: friends qualify, returns cancel, both sides are rewarded."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import blake2b
from typing import Any

from services.loyalty.domain.account_activity import note_activity
from services.loyalty.domain.books import Books, Needs, together
from services.loyalty.domain.entry import EntryKind, request_entry_id
from services.loyalty.domain.errors import BalanceLimitReached, MemberBlocked
from services.loyalty.domain.member import Cause, earn
from services.loyalty.domain.people import names_needs, names_of
from services.loyalty.domain.program import Program
from services.loyalty.domain.records import Ref
from services.loyalty.domain.referral import (
    BOOK,
    COUNTS,
    REFERRED_ORDERS,
    TIMES_MAX,
    Referral,
    ReferralBook,
    ReferralCampaign,
    ReferralState,
    ReferredOrder,
    advocate_ref,
    put,
    referral_ref,
)


@dataclass(frozen=True, slots=True)
class FriendOrdered:
    """An order that a feed told: the first of an attributed friend that is large enough qualifies."""

    order_id: str
    friend_id: str
    currency: str
    amount_minor: int

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        """What must be loaded before."""
        return Needs(records=(BOOK,), then=self._referrals)

    def _referrals(self, books: Books) -> Needs:
        book = books.record(BOOK)
        if not book:
            return Needs()
        counts: list[Ref[Any]] = [Ref(COUNTS, each.campaign_id) for each in book.campaigns]
        counts.append(Ref(REFERRED_ORDERS, self.order_id))
        campaign_ids = [each.campaign_id for each in book.campaigns]
        people = names_needs(
            (self.friend_id,),
            lambda books, names: [
                referral_ref(campaign_id, each) for campaign_id in campaign_ids for each in {self.friend_id, *names}
            ],
        )
        return together([Needs(records=counts), people])

    def _friend(self, books: Books) -> str:
        """The name under which the person was brought; their own, where they were not."""
        book = books.record(BOOK) or ReferralBook()
        for name in (self.friend_id, *names_of(books, self.friend_id)):
            found = (books.record(referral_ref(each.campaign_id, name)) for each in book.campaigns)
            if any(each and each.state is ReferralState.ATTRIBUTED for each in found):
                return name
        return self.friend_id

    def apply(self, books: Books, now: int, counts: dict[str, int]) -> None:
        """Qualify what it qualifies."""
        qualified: list[str] = []
        friend_id = self._friend(books)
        for campaign in (books.record(BOOK) or ReferralBook()).campaigns:
            referral = books.record(referral_ref(campaign.campaign_id, friend_id))
            enough = self.currency == campaign.currency and self.amount_minor >= max(1, campaign.min_order_minor)
            if referral and referral.state is ReferralState.ATTRIBUTED and enough:
                ordered = replace(referral, order_id=self.order_id, order_minor=self.amount_minor)
                put(books, ordered, ReferralState.QUALIFIED, now, now + campaign.waiting_time)
                qualified.append(campaign.campaign_id)
        if qualified:
            order = ReferredOrder(friend_id, tuple(qualified), self.amount_minor)
            books.put_record(Ref(REFERRED_ORDERS, self.order_id), order)


@dataclass(frozen=True, slots=True)
class ReferralDue:
    """What the clock does to a referral: both sides are rewarded, or its time has run out."""

    known: Referral

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        known = self.known
        return Needs(records=(BOOK, *refs_of(known)), then=self._members)

    def _members(self, books: Books) -> Needs:
        book = books.record(BOOK) or ReferralBook()
        program_id = book.get(self.known.campaign_id).program_id
        campaign_id, sides = self.known.campaign_id, (self.known.advocate_id, self.known.friend_id)
        advocates = names_needs(
            (self.known.advocate_id,), lambda books, names: [advocate_ref(campaign_id, each) for each in names]
        )
        return together([Needs(members=[(program_id, each) for each in sides]), advocates])

    def apply(self, books: Books, now: int) -> Referral:
        referral = books.record(referral_ref(self.known.campaign_id, self.known.friend_id)) or self.known
        if referral.next_due_time is None or referral.next_due_time > now:
            return referral
        campaign = (books.record(BOOK) or ReferralBook()).get(referral.campaign_id)
        if referral.state is ReferralState.ATTRIBUTED:
            return put(books, referral, ReferralState.LAPSED, now, None)
        at = advocate_ref(campaign.campaign_id, referral.advocate_id)
        advocate = books.record(at)
        if advocate is None or _limited(campaign, _times(books, campaign, referral.advocate_id), now):
            return put(books, referral, ReferralState.LIMITED, now, None)
        program = books.program(campaign.program_id)
        for side, customer_id, points in (
            ("advocate", referral.advocate_id, campaign.advocate_points),
            ("friend", referral.friend_id, campaign.friend_points),
        ):
            _reward(books, program, referral, side, customer_id, points, now)
        books.put_record(at, replace(advocate, times=(*advocate.times, now)[-TIMES_MAX:]))
        return put(books, referral, ReferralState.REWARDED, now, None)


def refs_of(referral: Referral) -> list[Ref[Any]]:
    """A referral, its advocate and its campaign's counts."""
    return [
        referral_ref(referral.campaign_id, referral.friend_id),
        advocate_ref(referral.campaign_id, referral.advocate_id),
        Ref(COUNTS, referral.campaign_id),
    ]


def _times(books: Books, campaign: ReferralCampaign, advocate_id: str) -> list[int]:
    """When a person was rewarded, under all of their names."""
    names = {advocate_id, *names_of(books, advocate_id)}
    found = [books.record(advocate_ref(campaign.campaign_id, each)) for each in names]
    return [time for each in found if each for time in each.times]


def _limited(campaign: ReferralCampaign, times: list[int], now: int) -> bool:
    recent = sum(time > now - campaign.period for time in times)
    in_all = campaign.advocate_limit and len(times) >= campaign.advocate_limit
    return bool(in_all or (campaign.period_limit and recent >= campaign.period_limit))


def _reward(
    books: Books, program: Program, referral: Referral, side: str, customer_id: str, points: int, now: int
) -> None:
    """Points for one side, once: the entry's id is that of the referral."""
    # Hashed: the advocate's entry is not to tell who the friend was.
    digest = blake2b(f"{referral.id}/{side}".encode(), digest_size=16).hexdigest()
    request_id = f"referral/{digest}"
    if not points:
        return
    cause = Cause(
        request_entry_id(request_id), EntryKind.GRANT, now, now, request_id=request_id, reason=f"referral: {side}"
    )
    try:
        entry = books.enter(*earn(books.earner(program.id, customer_id), program, points, cause))
        note_activity(books, entry, customer_id)
    except (BalanceLimitReached, MemberBlocked):
        return  # they cannot hold more, or may not; the other side is not to suffer from it


@dataclass(frozen=True, slots=True)
class ReferredOrderRefunded:
    """A refund, or a cancellation, that a feed told: what falls below what a campaign needs is cancelled.

    ``amounts_minor`` is in the currency of the order, ``None`` all of it. What was rewarded already stays: the waiting
    time is there for returns.
    """

    order_id: str
    amount_minor: int | None

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        """What must be loaded before."""
        return Needs(records=(BOOK, Ref(REFERRED_ORDERS, self.order_id)), then=self._referrals)

    def _referrals(self, books: Books) -> Needs:
        order = books.record(Ref(REFERRED_ORDERS, self.order_id))
        if order is None:
            return Needs()
        counts = [Ref(COUNTS, campaign_id) for campaign_id in order.campaign_ids]
        refs = [referral_ref(campaign_id, order.friend_id) for campaign_id in order.campaign_ids]
        return Needs(records=[*counts, *refs])

    def apply(self, books: Books, now: int, counts: dict[str, int]) -> None:
        """Cancel what does not qualify any more."""
        order = books.record(Ref(REFERRED_ORDERS, self.order_id))
        if order is None:
            return
        left = 0 if self.amount_minor is None else max(0, order.left_minor - self.amount_minor)
        books.put_record(Ref(REFERRED_ORDERS, self.order_id), replace(order, left_minor=left))
        book = books.record(BOOK) or ReferralBook()
        for campaign_id in order.campaign_ids:
            referral = books.record(referral_ref(campaign_id, order.friend_id))
            enough = left >= max(1, book.get(campaign_id).min_order_minor)
            if referral and referral.state is ReferralState.QUALIFIED and not enough:
                put(books, referral, ReferralState.CANCELLED, now, None)
