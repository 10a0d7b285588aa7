"""Redemptions of rewards: reserved with the points set aside, fulfilled, cancelled, expired or rolled back."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from typing import Any

from services.common.errors import FailedPrecondition, NotFound
from services.common.rules.condition import Facts, holds
from services.loyalty.domain.books import Books, Needs
from services.loyalty.domain.cart import Shopper
from services.loyalty.domain.coupon import COUPONS, CouponPoolEmpty
from services.loyalty.domain.coupon_operations import take_code
from services.loyalty.domain.entry import Entry, EntryKind, request_entry_id
from services.loyalty.domain.member import Cause
from services.loyalty.domain.notice import Notice, NoticeKind, note
from services.loyalty.domain.people import names_needs, names_of
from services.loyalty.domain.program import Program
from services.loyalty.domain.records import Kind, Ref
from services.loyalty.domain.reward import Reward
from services.loyalty.domain.shopper import known_of, segments_of, shopper_needs
from services.loyalty.domain.spending import give_back_points, spend
from services.loyalty.domain.spending_policy import policy_ref
from services.loyalty.domain.spending_policy import usage_ref as spending_usage_ref

TIMES_MAX = 1000
"""Redemptions of one member that a limit can look at."""


class RewardNotStarted(FailedPrecondition):
    """The reward cannot be redeemed yet."""


class RewardEnded(FailedPrecondition):
    """The reward cannot be redeemed any more."""


class RewardNotEligible(FailedPrecondition):
    """The reward is for others: for another tier, or for whom its condition is true."""


class RewardMemberLimitReached(FailedPrecondition):
    """The member has redeemed it as often as one may."""


class RewardPeriodLimitReached(FailedPrecondition):
    """The member has redeemed it as often as one may in so much time."""


class RedemptionNotFound(NotFound):
    """There is no such redemption."""


class RedemptionEnded(FailedPrecondition):
    """The redemption is over: cancelled, expired or rolled back; or, to be fulfilled, its time has passed."""


class RewardCodeUsed(FailedPrecondition):
    """The code that the redemption gave has been used: it cannot be taken back."""


class RedemptionState(Enum):
    """Where a redemption stands."""

    RESERVED = "reserved"
    FULFILLED = "fulfilled"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    ROLLED_BACK = "rolled_back"


@dataclass(frozen=True, slots=True, kw_only=True)
class Redemption:
    """One reward taken by one member. ``next_expire_time`` is when the reservation ends; none otherwise."""

    redemption_id: str
    program_id: str
    reward_id: str
    member_id: str
    state: RedemptionState
    points: int
    time: int
    next_expire_time: int | None = None
    end_time: int = 0
    code: str = ""
    told_id: str = ""
    """Under which name it was asked for, and counts; empty: the member's."""


@dataclass(frozen=True, slots=True)
class RewardUsage:
    """When a member took a reward, as far as it counts; oldest first."""

    member_id: str
    times: tuple[int, ...] = ()


REDEMPTIONS = Kind("redemptions", Redemption)
REWARD_USAGES = Kind("reward_usages", RewardUsage)


def usage_ref(program_id: str, reward_id: str, member_id: str) -> Ref[RewardUsage]:
    """Where it is kept when the member took the reward."""
    return Ref(REWARD_USAGES, f"{program_id}/{reward_id}/{member_id}")


@dataclass(frozen=True, slots=True, kw_only=True)
class TakeReward:
    """Pays a reward and takes it from stock: fulfilled at once, or reserved for some time.

    ``candidates`` are free codes of the reward's campaign, where it gives codes.
    """

    program_id: str
    member_id: str
    reward_id: str
    request_id: str
    reserve_for: int = 0
    candidates: Sequence[str] = ()

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        needs = shopper_needs(programs, self.member_id)
        return replace(
            needs,
            members=[*needs.members, (self.program_id, self.member_id)],
            rewards=((self.program_id, self.reward_id),),
            records=[
                *needs.records,
                policy_ref(self.program_id),
                *(Ref(COUPONS, code) for code in self.candidates),
            ],
            then=self._usage,
        )

    def _usage(self, books: Books) -> Needs:
        return names_needs(
            (self.member_id,),
            lambda books, names: [
                ref
                for each in {self.member_id, *names}
                for ref in (
                    usage_ref(self.program_id, self.reward_id, each),
                    spending_usage_ref(self.program_id, each),
                )
            ],
        )

    def apply(self, books: Books, now: int) -> Redemption:
        program = books.program(self.program_id)
        reward = books.reward(program.id, self.reward_id)
        member = books.spender(program.id, self.member_id)
        person_id = books.account_id(program.id, self.member_id)
        usage_at = usage_ref(program.id, reward.id, self.member_id)
        usage = books.record(usage_at) or RewardUsage(self.member_id)
        check_terms(books, reward, person_id, self._of_all_names(books, person_id), now)
        taken = reward.redeem()
        cause = Cause(
            request_entry_id(self.request_id),
            EntryKind.REDEMPTION,
            now,
            now,
            reward_id=reward.id,
            request_id=self.request_id,
        )
        campaign_id = reward.terms.coupon_campaign_id
        if campaign_id and not _free(books, self.candidates):
            raise CouponPoolEmpty(f"no code of {campaign_id} is free; generate more", campaign_id=campaign_id)
        entry = spend(books, program, member, reward.cost, cause, self.member_id)
        books.put_reward(taken)
        if reward.terms.limited:
            books.put_record(usage_at, RewardUsage(self.member_id, (*usage.times, now)[-TIMES_MAX:]))
        redemption = Redemption(
            redemption_id=entry.id,
            program_id=program.id,
            reward_id=reward.id,
            member_id=person_id,
            state=RedemptionState.RESERVED,
            points=reward.cost,
            time=now,
            next_expire_time=now + self.reserve_for,
            told_id="" if self.member_id == person_id else self.member_id,
        )
        if not self.reserve_for:
            redemption = fulfilled(books, redemption, reward, self.candidates, now)
        books.put_record(Ref(REDEMPTIONS, redemption.redemption_id), redemption)
        return redemption

    def _of_all_names(self, books: Books, person_id: str) -> RewardUsage:
        names = {self.member_id, *names_of(books, self.member_id)}
        found = [books.record(usage_ref(self.program_id, self.reward_id, each)) for each in names]
        return RewardUsage(person_id, tuple(sorted(time for each in found if each for time in each.times)))


def _free(books: Books, candidates: Sequence[str]) -> bool:
    found = [books.record(Ref(COUPONS, code)) for code in candidates]
    return any(coupon and not coupon.holder_id and not coupon.uses and not coupon.disabled for coupon in found)


def check_terms(books: Books, reward: Reward, member_id: str, usage: RewardUsage, now: int) -> None:
    """The first refusal, in the order that the contract promises, by which the member does not get the reward."""
    terms = reward.terms
    if now < terms.start_time:
        raise RewardNotStarted("the reward cannot be redeemed yet", reward_id=reward.id)
    if now >= terms.end_time:
        raise RewardEnded("the reward cannot be redeemed any more", reward_id=reward.id)
    known = known_of(books, member_id, now)
    tier_id = known["tiers"].get(reward.program_id, "")
    facts = Facts({"customer": {"id": member_id, **known}}, member_id, segments_of(books, Shopper(member_id)), now)
    if (terms.tier_ids and tier_id not in terms.tier_ids) or not holds(terms.condition, facts):
        raise RewardNotEligible("the reward is for others", reward_id=reward.id)
    if terms.member_limit and len(usage.times) >= terms.member_limit:
        raise RewardMemberLimitReached(
            f"{terms.member_limit} of this reward are what a member may redeem", limit=terms.member_limit
        )
    recent = sum(time > now - terms.period for time in usage.times)
    if terms.period_limit and recent >= terms.period_limit:
        raise RewardPeriodLimitReached(
            f"{terms.period_limit} of this reward are what a member may redeem in this time", limit=terms.period_limit
        )


def fulfilled(books: Books, redemption: Redemption, reward: Reward, candidates: Sequence[str], now: int) -> Redemption:
    """The redemption with what the member gets; ``CouponPoolEmpty`` if a code is due and none is free."""
    code = ""
    if campaign_id := reward.terms.coupon_campaign_id:
        code = take_code(books, campaign_id, redemption.member_id, candidates).code
    told = Notice(
        kind=NoticeKind.REWARD_FULFILLED,
        customer_id=redemption.member_id,
        time=now,
        program_id=redemption.program_id,
        points=redemption.points,
        reward_id=redemption.reward_id,
        redemption_id=redemption.redemption_id,
    )
    note(books, told)
    return replace(redemption, state=RedemptionState.FULFILLED, next_expire_time=None, code=code)


@dataclass(frozen=True, slots=True, kw_only=True)
class FulfilRedemption:
    """Gives the member what is reserved."""

    known: Redemption
    candidates: Sequence[str] = ()

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        known = self.known
        codes = [Ref(COUPONS, code) for code in self.candidates]
        return Needs(
            rewards=((known.program_id, known.reward_id),), records=[Ref(REDEMPTIONS, known.redemption_id), *codes]
        )

    def apply(self, books: Books, now: int) -> Redemption:
        redemption = _known(books, self.known.redemption_id)
        if redemption.state is RedemptionState.FULFILLED:
            return redemption
        due = redemption.next_expire_time
        if redemption.state is not RedemptionState.RESERVED or due is None or now >= due:
            raise RedemptionEnded("the reservation is over; redeem again", redemption_id=redemption.redemption_id)
        reward = books.reward(redemption.program_id, redemption.reward_id)
        done = fulfilled(books, redemption, reward, self.candidates, now)
        books.put_record(Ref(REDEMPTIONS, redemption.redemption_id), done)
        return done


def _known(books: Books, redemption_id: str) -> Redemption:
    redemption = books.record(Ref(REDEMPTIONS, redemption_id))
    if redemption is None:
        raise RedemptionNotFound(f"there is no redemption {redemption_id}", redemption_id=redemption_id)
    return redemption


@dataclass(frozen=True, slots=True, kw_only=True)
class EndRedemption:
    """Gives points and stock back: cancelled where it is reserved, rolled back where it is fulfilled.

    ``expiring`` ends a reservation only if its time has passed, and says so.
    """

    known: Redemption
    expiring: bool = False

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        known = self.known
        records: list[Ref[Any]] = [
            Ref(REDEMPTIONS, known.redemption_id),
            usage_ref(known.program_id, known.reward_id, known.told_id or known.member_id),
            *([Ref(COUPONS, known.code)] if known.code else []),
        ]
        return Needs(
            members=((known.program_id, known.member_id),),
            rewards=((known.program_id, known.reward_id),),
            entries=(known.redemption_id,),
            records=records,
            then=lambda books: _code_needs(books, known.redemption_id),
        )

    def apply(self, books: Books, now: int) -> Redemption:
        redemption = _known(books, self.known.redemption_id)
        due = redemption.next_expire_time
        if self.expiring and (due is None or due > now):
            return redemption
        if redemption.state is RedemptionState.RESERVED:
            state = RedemptionState.EXPIRED if self.expiring else RedemptionState.CANCELLED
        elif redemption.state is RedemptionState.FULFILLED:
            state = RedemptionState.ROLLED_BACK
            _take_code_back(books, redemption.code)
        else:
            return redemption
        give_back_points(books, _entry(books, redemption), now)
        books.put_reward(books.reward(redemption.program_id, redemption.reward_id).give_back())
        told_id = redemption.told_id or redemption.member_id
        usage_at = usage_ref(redemption.program_id, redemption.reward_id, told_id)
        if usage := books.record(usage_at):
            times = list(usage.times)
            if redemption.time in times:
                times.remove(redemption.time)
            books.put_record(usage_at, RewardUsage(told_id, tuple(times)))
        ended = replace(redemption, state=state, next_expire_time=None, end_time=now)
        books.put_record(Ref(REDEMPTIONS, redemption.redemption_id), ended)
        return ended


def _code_needs(books: Books, redemption_id: str) -> Needs:
    # It may have been fulfilled since it was read.
    redemption = books.record(Ref(REDEMPTIONS, redemption_id))
    return Needs(records=(Ref(COUPONS, redemption.code),)) if redemption and redemption.code else Needs()


def _entry(books: Books, redemption: Redemption) -> Entry:
    return books.entries[redemption.redemption_id]


def _take_code_back(books: Books, code: str) -> None:
    """Switch the code off: whoever was given it may know it."""
    if not code:
        return
    coupon = books.record(Ref(COUPONS, code))
    if coupon and coupon.uses:
        raise RewardCodeUsed("the code of this redemption has been used", code=code)
    if coupon:
        books.put_record(Ref(COUPONS, code), replace(coupon, disabled=True))
