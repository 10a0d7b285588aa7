"""A member's part of the ledger: balance, lots and what qualifies for tiers; every change makes one entry."""

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from services.loyalty.domain.days import DAY_MICROS, add_months, day_of, year_before
from services.loyalty.domain.entry import (
    ACCOUNT_PREFIX,
    EARNED,
    LAPSED,
    MERGE_KINDS,
    SENT,
    SPENT,
    STANDING_KINDS,
    TAKING_BACK_KINDS,
    UNMOVED,
    Accounts,
    Entry,
    EntryKind,
    Lot,
    Part,
    PendingLot,
    Share,
    TierChange,
    expiry_entry_id,
    tier_entry_id,
)
from services.loyalty.domain.errors import BalanceLimitReached, InsufficientPoints
from services.loyalty.domain.program import Program
from services.loyalty.domain.tier_policy import EVER, Measure, Track, advance, due_time, lapse_time
from services.loyalty.domain.tier_policy import Standing as TierStanding

EARNED_MAX = 2**53 - 1
"""The most that one member can ever earn: exact in every language and format that reads it."""

WARNING_MICROS = 30 * DAY_MICROS
"""How long before a tier's time is over that is told."""
TIER_STEPS_MAX = 50
"""Changes of tier that are kept with a member; the statement has all."""

Amounts = tuple[tuple[int, int], ...]


class TierStep(NamedTuple):
    """A change of tier: when, what, and which tier it was after it."""

    time: int
    change: str
    tier_id: str


@dataclass(frozen=True, slots=True)
class Member:
    """A member as the entries so far have made it. ``lots`` are sorted by expiry, each above zero.

    A balance below zero is a debt: then there are no lots.
    """

    program_id: str
    id: str
    balance: int = 0
    earned: int = 0
    spent: int = 0
    expired: int = 0
    spend_minor: int = 0
    entry_count: int = 0
    enroll_time: int = 0
    tier_id: str = ""
    lots: tuple[Lot, ...] = ()
    qualified: Amounts = ()
    """What qualified by day, for programmes with a rolling year; days that no year can count again are dropped."""
    pending: tuple[PendingLot, ...] = ()
    """What waits, by when the clock acts on it."""
    refunded: int = 0
    tier_since: int = 0
    tier_until: int = 0
    """With a tier policy: since when and until when the tier holds."""
    tier_warned: int = 0
    """Until when the tier held as the last warning said."""
    tier_due: int = 0
    """When the clock next has something to do to the tier."""
    tier_history: tuple[TierStep, ...] = ()
    """The last changes of tier, newest last."""
    orders: int = 0
    """Orders that were entered and not refunded in full."""
    sent: int = 0
    received: int = 0
    """Transferred to and from other members."""
    block: str = ""
    """What the member is blocked from, by ``Block``; empty: nothing."""
    parts: tuple[Part, ...] = ()
    """By origin, together the account, where it was merged; none: all of it is the member's own."""
    merged_into: str = ""
    """Whose account has all of this one's since they were merged."""
    account_id: str = ""
    account_role: str = ""
    """The shared account that the member uses, as a member, and as what (``AccountRole``); empty: none."""

    @property
    def pending_points(self) -> int:
        """How many points wait."""
        return sum(lot.points for lot in self.pending)

    def available(self, now: int) -> int:
        """What can be spent: lots whose time has not passed."""
        return sum(lot.points for lot in self.lots if lot.expire_time > now)

    def qualifying(self, program: Program, now: int) -> int:
        """What counts towards tiers."""
        if program.tier_policy:
            return track(self, program).qualifying(standing_of(self, program), now)
        if program.qualification.rolling:
            since = year_before(day_of(now))
            return sum([amount for day, amount in self.qualified if day > since])
        return self.spend_minor if program.qualification.by_spend else self.earned - self.refunded


@dataclass(frozen=True, slots=True)
class Cause:
    """What an entry says about why it was made."""

    entry_id: str
    kind: EntryKind
    record_time: int
    event_time: int
    order_id: str = ""
    order_amount_minor: int = 0
    reward_id: str = ""
    request_id: str = ""
    reason: str = ""
    source_entry_id: str = ""
    uncollected: int = 0
    refund_number: int = 0
    event_id: str = ""
    tier_change: str = ""
    shares: tuple[Share, ...] = ()
    gained_lots: tuple[Lot, ...] = ()
    block: str = ""
    origin_id: str = ""
    partner_id: str = ""
    came: tuple[Part, ...] = ()
    went: tuple[Part, ...] = ()
    account_id: str = ""


def earn(
    member: Member, program: Program, points: int, cause: Cause, spendable_time: int | None = None
) -> tuple[Member, Entry]:
    """Points from ISSUANCE to the member. ``BalanceLimitReached`` if the member would have earned too many.

    ``spendable_time`` is from when they are valid, where that is not when they were earned.
    """
    check_limit(member, points, cause)
    expire_time = program.expire_time(cause.event_time if spendable_time is None else spendable_time)
    lots, is_order = gained_lots(member, expire_time, points), cause.kind is EntryKind.ORDER
    earned = replace(
        member,
        balance=member.balance + points,
        earned=member.earned + points,
        spend_minor=member.spend_minor + cause.order_amount_minor,
        orders=member.orders + is_order,
        entry_count=member.entry_count + 1,
        enroll_time=member.enroll_time or cause.record_time,
        lots=added(member.lots, lots),
        qualified=qualified(
            member.qualified, program, cause.event_time, points, cause.order_amount_minor, int(is_order)
        ),
    )
    return entered(earned, program, points, lots, cause, EARNED)


def burn(
    member: Member, program: Program, points: int, cause: Cause, accounts: Accounts = SPENT
) -> tuple[Member, Entry]:
    """Points to SPENT, or another member (``SENT``), the first to expire; ``InsufficientPoints`` if too few."""
    available = member.available(cause.record_time)
    if points > available:
        raise InsufficientPoints(
            f"{points} points are needed and {available} are available", needed=points, available=available
        )
    due = sum(1 for lot in member.lots if lot.expire_time <= cause.record_time)
    taken, left = taken_lots(member.lots[due:], points)
    burned = replace(
        member,
        balance=member.balance - points,
        spent=member.spent + points * (accounts is SPENT),
        sent=member.sent + points * (accounts is SENT),
        entry_count=member.entry_count + 1,
        lots=(*member.lots[:due], *left),
    )
    return entered(burned, program, points, taken, cause, accounts)


def expire(member: Member, program: Program, as_of: int, now: int) -> tuple[Member, Entry] | None:
    """All points whose time is not after ``as_of`` from the member to EXPIRED; ``None`` if there are none."""
    due = tuple(lot for lot in member.lots if lot.expire_time <= as_of)
    if not due:
        return None
    points = sum(lot.points for lot in due)
    expired = replace(
        member,
        balance=member.balance - points,
        expired=member.expired + points,
        entry_count=member.entry_count + 1,
        lots=member.lots[len(due) :],
    )
    entry_id = expiry_entry_id(program.id, member.id, expired.entry_count)
    return entered(expired, program, points, due, Cause(entry_id, EntryKind.EXPIRY, now, now), LAPSED)


def check_limit(member: Member, points: int, cause: Cause) -> None:
    """``BalanceLimitReached`` if the member would have been given more than a balance can hold."""
    given = member.earned + points + member.pending_points if member.pending else member.earned + points
    if max(given, member.spend_minor + cause.order_amount_minor) > EARNED_MAX:
        raise BalanceLimitReached(
            f"member {member.id} would have earned more than {EARNED_MAX} points", limit=EARNED_MAX
        )


def track(member: Member, program: Program) -> Track:
    """Everything that decides the member's tier by the programme's policy."""
    policy = program.tier_policy
    assert policy is not None
    lifetime = {Measure.SPEND: member.spend_minor, Measure.ORDERS: member.orders}
    return Track(
        policy=policy,
        thresholds=[tier.threshold for tier in program.tiers],
        zone=program.time_zone,
        enroll_time=member.enroll_time,
        amounts=member.qualified,
        lifetime=lifetime.get(policy.measure, member.earned - member.refunded),
    )


def standing_of(member: Member, program: Program) -> TierStanding:
    """The member's tier as it was last looked at."""
    at = next((at for at, tier in enumerate(program.tiers) if tier.id == member.tier_id), -1)
    return TierStanding(at, member.tier_since, member.tier_until or EVER)


def tier_now(member: Member, program: Program, now: int) -> TierStanding:
    """The member's tier at ``now``, with what the clock has to do to it."""
    if program.tier_policy:
        return advance(track(member, program), standing_of(member, program), now)
    return TierStanding(program.level_at(member.qualifying(program, now)))


def _tier_due(member: Member, program: Program, now: int) -> int:
    known, standing = track(member, program), standing_of(member, program)
    warned = member.tier_warned == standing.until or lapse_time(known, standing) == EVER
    return min(due_time(known, standing, now), EVER if warned else standing.until - WARNING_MICROS)


def change_tier(member: Member, program: Program, now: int) -> tuple[Member, Entry] | None:
    """What the clock does to a member's tier, as an entry that moves nothing; ``None`` if it has nothing to do."""
    if program.tier_policy is None or not member.entry_count:
        return None
    before = standing_of(member, program)
    after = tier_now(member, program, now)
    due = after.until != EVER and after.until - WARNING_MICROS <= now and member.tier_warned != after.until
    warned = due and lapse_time(track(member, program), after) != EVER
    if (after.at, after.until) == (before.at, before.until) and not warned:
        return None
    changed = replace(member, entry_count=member.entry_count + 1)
    cause = Cause(
        tier_entry_id(program.id, member.id, changed.entry_count), EntryKind.TIER, record_time=now, event_time=now
    )
    if (after.at, after.until) == (before.at, before.until):
        changed = replace(changed, tier_warned=after.until)
        cause = replace(cause, tier_change=TierChange.EXPIRING.value)
    return entered(changed, program, 0, (), cause, UNMOVED)


def entered(
    member: Member, program: Program, points: int, lots: tuple[Lot, ...], cause: Cause, accounts: Accounts
) -> tuple[Member, Entry]:
    """The member in the tier of the moment, and the entry that says so."""
    if not program.tiers and program.tier_policy is None:
        return member, _entry(member, points, lots, cause, accounts, "")
    after = tier_now(member, program, cause.record_time)
    tier_id = program.tiers[after.at].id if after.at >= 0 else ""
    change = cause.tier_change or _tier_change(member, program, after)
    entry = _entry(member, points, lots, replace(cause, tier_change=change) if change else cause, accounts, tier_id)
    if program.tier_policy:
        until = 0 if after.until == EVER else after.until
        member = replace(member, tier_id=tier_id, tier_since=after.since, tier_until=until)
        member = replace(member, tier_due=_tier_due(member, program, cause.record_time))
    if change:
        step = TierStep(cause.record_time, change, tier_id)
        member = replace(member, tier_history=(*member.tier_history[1 - TIER_STEPS_MAX :], step))
    return member if tier_id == member.tier_id else replace(member, tier_id=tier_id), entry


def _tier_change(member: Member, program: Program, after: TierStanding) -> str:
    before = standing_of(member, program)
    if after.at == before.at:
        prolonged = program.tier_policy and after.at >= 0 and after.until != before.until
        return TierChange.PROLONGED.value if prolonged else ""
    if after.at < before.at:
        return TierChange.DOWNGRADED.value if after.at >= 0 else TierChange.LEFT.value
    return TierChange.UPGRADED.value if before.at >= 0 else TierChange.JOINED.value


def _entry(member: Member, points: int, lots: tuple[Lot, ...], cause: Cause, accounts: Accounts, tier_id: str) -> Entry:
    assert points > 0 or cause.kind in (*TAKING_BACK_KINDS, *STANDING_KINDS, *MERGE_KINDS)
    return Entry(
        id=cause.entry_id,
        program_id=member.program_id,
        member_id=member.id,
        sequence=member.entry_count,
        kind=cause.kind,
        debit=accounts[0],
        credit=accounts[1],
        points=points,
        lots=lots,
        balance=member.balance,
        event_time=cause.event_time,
        record_time=cause.record_time,
        tier_id=tier_id,
        previous_tier_id=member.tier_id,
        order_id=cause.order_id,
        order_amount_minor=cause.order_amount_minor,
        reward_id=cause.reward_id,
        request_id=cause.request_id,
        reason=cause.reason,
        pending=member.pending_points if member.pending else 0,
        source_entry_id=cause.source_entry_id,
        uncollected=cause.uncollected,
        refund_number=cause.refund_number,
        event_id=cause.event_id,
        tier_change=cause.tier_change,
        shares=cause.shares,
        gained_lots=cause.gained_lots,
        block=cause.block,
        # What users of a shared account bring is the account's, not theirs.
        origin_id="" if member.id.startswith(ACCOUNT_PREFIX) or cause.origin_id == member.id else cause.origin_id,
        partner_id=cause.partner_id,
        came=cause.came,
        went=cause.went,
        account_id=cause.account_id,
    )


def gained_lots(member: Member, expire_time: int, points: int) -> tuple[Lot, ...]:
    """The lot of points that the member receives: what is left of them once a debt is paid."""
    kept = points if member.balance >= 0 else points + member.balance
    return (Lot(expire_time, kept),) if kept > 0 else ()


def added(lots: tuple[Lot, ...], gained: tuple[Lot, ...]) -> tuple[Lot, ...]:
    """``lots`` with one more, or none."""
    if not gained:
        return lots
    (lot,) = gained
    at = bisect_left(lots, (lot.expire_time,))
    if at < len(lots) and lots[at].expire_time == lot.expire_time:
        return (*lots[:at], Lot(lot.expire_time, lots[at].points + lot.points), *lots[at + 1 :])
    return (*lots[:at], lot, *lots[at:])


def taken_lots(lots: tuple[Lot, ...], points: int) -> tuple[tuple[Lot, ...], tuple[Lot, ...]]:
    """What is taken from the front of ``lots``, and what is left of them."""
    taken: list[Lot] = []
    for index, lot in enumerate(lots):
        if lot.points > points:
            part = (Lot(lot.expire_time, points),) if points else ()
            return (*taken, *part), (Lot(lot.expire_time, lot.points - points), *lots[index + 1 :])
        taken.append(lot)
        points -= lot.points
    return tuple(taken), ()


def qualified(days: Amounts, program: Program, time: int, points: int, amount_minor: int, orders: int = 0) -> Amounts:
    """What qualified by day, with what counts of the day in which ``time`` lies added, or taken off again."""
    if not program.keeps_days:
        return ()
    amount = program.counted(points, amount_minor, orders)
    day = program.day_of(time)
    # A day that was dropped has nothing left that could be taken off.
    if not amount or (amount < 0 and all(kept != day for kept, _ in days)):
        return days
    if days and day < days[-1][0]:
        return recent([*days, (day, amount)], program.kept_months)
    if days and day == days[-1][0]:
        days, amount = days[:-1], days[-1][1] + amount
    first = bisect_left(days, (add_months(day, -program.kept_months) + 1,))
    return (*days[first:], (day, amount))


def recent(amounts: Iterable[tuple[int, int]], months: int) -> Amounts:
    """Amounts added up by day, without the days that lie so many months or more before the newest."""
    by_day: dict[int, int] = {}
    for day, amount in amounts:
        by_day[day] = by_day.get(day, 0) + amount
    if not by_day:
        return ()
    since = add_months(max(by_day), -months)
    return tuple(sorted((day, amount) for day, amount in by_day.items() if day > since))
