"""What can be done to the ledger: each operation says what it needs and is applied to books, whole or not at all."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from services.loyalty.domain.account_activity import note_activity
from services.loyalty.domain.books import Books, Needs
from services.loyalty.domain.coupon import CAMPAIGNS
from services.loyalty.domain.coupon_operations import known_campaign
from services.loyalty.domain.days import HOUR_MICROS
from services.loyalty.domain.entry import Entry, EntryKind, request_entry_id
from services.loyalty.domain.errors import EventTimeInvalid, ProgramExists, ProgramLimitReached, RewardExists
from services.loyalty.domain.member import Cause, Member, change_tier, earn, expire
from services.loyalty.domain.pending import earn_or_hold, settle
from services.loyalty.domain.program import (
    IMMEDIATELY,
    PROGRAMS_MAX,
    PendingRule,
    Program,
    Qualification,
    RefundPolicy,
    Tier,
    check_pending_rule,
    check_tiers,
)
from services.loyalty.domain.records import Ref
from services.loyalty.domain.redemption import TakeReward
from services.loyalty.domain.reward import NO_TERMS, Reward, RewardTerms, check_terms_of
from services.loyalty.domain.spending import spend
from services.loyalty.domain.spending_policy import spending_needs
from services.loyalty.domain.tier_policy import TierPolicy, check_tier_policy
from services.loyalty.domain.validity import Validity, check_validity
from services.loyalty.domain.zones import check_zone

R_co = TypeVar("R_co", covariant=True)

EVENT_AHEAD_MICROS_MAX = HOUR_MICROS
"""How far a caller's clock may run ahead."""


class Operation(Protocol[R_co]):
    """A use case's effect on the books of one tenant."""

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        """What must be loaded before, in a tenant that has these programmes."""
        ...

    def apply(self, books: Books, now: int) -> R_co:
        """Carry it out, or raise the first refusal by precedence and leave the books as they were."""
        ...


@dataclass(frozen=True, slots=True)
class Expired:
    """What the clock took and posted, and whether more members are due."""

    member_count: int
    points: int
    more_due: bool
    posted_points: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateProgram:
    """Opens a programme."""

    program_id: str
    name: str
    currency: str
    points_per_100_minor: int
    validity_months: int
    qualification: Qualification
    tiers: tuple[Tier, ...]
    pending: PendingRule = IMMEDIATELY
    refund_policy: RefundPolicy = RefundPolicy.WITHIN_BALANCE
    time_zone: str = "UTC"
    tier_policy: TierPolicy | None = None
    validity: Validity | None = None

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs()

    def apply(self, books: Books, now: int) -> Program:
        check_tiers(self.tiers)
        check_pending_rule(self.pending)
        check_zone(self.time_zone)
        check_tier_policy(self.tier_policy)
        check_validity(self.validity, self.validity_months)
        if self.program_id in books.programs:
            raise ProgramExists(f"there is a programme {self.program_id} already", program_id=self.program_id)
        if len(books.programs) >= PROGRAMS_MAX:
            raise ProgramLimitReached(f"a tenant may have {PROGRAMS_MAX} programmes", limit=PROGRAMS_MAX)
        program = Program(
            id=self.program_id,
            name=self.name,
            currency=self.currency,
            points_per_100_minor=self.points_per_100_minor,
            validity_months=self.validity_months,
            qualification=self.qualification,
            tiers=self.tiers,
            create_time=now,
            pending=self.pending,
            refund_policy=self.refund_policy,
            time_zone=self.time_zone,
            tier_policy=self.tier_policy,
            validity=self.validity,
        )
        books.add_program(program)
        return program


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateReward:
    """Puts a reward into a programme."""

    program_id: str
    reward_id: str
    name: str
    cost: int
    stock: int | None
    terms: RewardTerms = NO_TERMS

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        campaign = Ref(CAMPAIGNS, self.terms.coupon_campaign_id or "-")
        return Needs(rewards=((self.program_id, self.reward_id),), records=(campaign,))

    def apply(self, books: Books, now: int) -> Reward:
        check_terms_of(self.terms)
        program = books.program(self.program_id)
        if (program.id, self.reward_id) in books.rewards:
            raise RewardExists(f"there is a reward {self.reward_id} already", reward_id=self.reward_id)
        if self.terms.coupon_campaign_id:
            known_campaign(books, self.terms.coupon_campaign_id)
        reward = Reward(
            program.id, self.reward_id, self.name, self.cost, self.stock, redeemed=0, create_time=now, terms=self.terms
        )
        books.put_reward(reward)
        return reward


@dataclass(frozen=True, slots=True, kw_only=True)
class EarnPoints:
    """Gives points to a member; ``pending`` points wait as those of orders do."""

    program_id: str
    member_id: str
    points: int
    event_time: int | None
    reason: str
    request_id: str
    pending: bool = False

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs(members=((self.program_id, self.member_id),))

    def apply(self, books: Books, now: int) -> Entry:
        event_time = now if self.event_time is None else self.event_time
        if not 0 <= event_time <= now + EVENT_AHEAD_MICROS_MAX:
            raise EventTimeInvalid("event_time must lie between 1970 and one hour from now", field="event_time")
        program = books.program(self.program_id)
        cause = Cause(
            request_entry_id(self.request_id),
            EntryKind.GRANT,
            record_time=now,
            event_time=event_time,
            request_id=self.request_id,
            reason=self.reason,
            origin_id=self.member_id,
        )
        give = earn_or_hold if self.pending else earn
        entry = books.enter(*give(books.earner(program.id, self.member_id), program, self.points, cause))
        return note_activity(books, entry, self.member_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class BurnPoints:
    """Spends points of a member."""

    program_id: str
    member_id: str
    points: int
    reason: str
    request_id: str

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        limits = spending_needs(self.program_id, self.member_id)
        return Needs(members=((self.program_id, self.member_id),), records=limits.records, then=limits.then)

    def apply(self, books: Books, now: int) -> Entry:
        program = books.program(self.program_id)
        member = books.spender(program.id, self.member_id)
        cause = Cause(
            request_entry_id(self.request_id), EntryKind.BURN, now, now, request_id=self.request_id, reason=self.reason
        )
        return spend(books, program, member, self.points, cause, self.member_id)


@dataclass(frozen=True, slots=True, kw_only=True)
class RedeemReward:
    """Pays one reward with points, takes it from stock and gives it at once; answers the entry."""

    program_id: str
    member_id: str
    reward_id: str
    request_id: str
    candidates: Sequence[str] = ()

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return self._taking.needs(programs)

    def apply(self, books: Books, now: int) -> Entry:
        return books.entries[self._taking.apply(books, now).redemption_id]

    @property
    def _taking(self) -> TakeReward:
        return TakeReward(
            program_id=self.program_id,
            member_id=self.member_id,
            reward_id=self.reward_id,
            request_id=self.request_id,
            candidates=self.candidates,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class ExpirePoints:
    """Does to these members' points what the clock has to, at a moment (``None``: now)."""

    program_id: str
    member_ids: Sequence[str]
    as_of: int | None
    more_due: bool

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs(members=[(self.program_id, member_id) for member_id in self.member_ids])

    def apply(self, books: Books, now: int) -> Expired:
        as_of = now if self.as_of is None else self.as_of
        if as_of > now:
            raise EventTimeInvalid("as_of_time lies in the future: those points are valid", field="as_of_time")
        program = books.program(self.program_id)
        found = (books.members.get((program.id, member_id)) for member_id in self.member_ids)
        member_count = points = posted_points = 0
        kept = [member for member in found if member and not member.merged_into]
        for member, entries in [_ticked(member, program, as_of, now) for member in kept]:
            if entries:
                books.enter_all(member, entries)
            expired = [entry.points for entry in entries if entry.kind is EntryKind.EXPIRY]
            member_count, points = member_count + bool(expired), points + sum(expired)
            posted_points += sum(entry.points for entry in entries if entry.kind is EntryKind.POST)
        return Expired(member_count, points, self.more_due, posted_points)


def _ticked(member: Member, program: Program, as_of: int, now: int) -> tuple[Member, list[Entry]]:
    member, entries = settle(member, program, as_of, now)
    if lapsed := expire(member, program, as_of, now):
        member, entries = lapsed[0], [*entries, lapsed[1]]
    if changed := change_tier(member, program, now):
        member, entries = changed[0], [*entries, changed[1]]
    return member, entries
