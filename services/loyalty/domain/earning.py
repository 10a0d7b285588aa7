"""Weighing: what an order or event earns by the programme's rate and its rules, within all limits, and why not more."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import Any, NamedTuple

from services.common.rules.condition import Facts, holds
from services.loyalty.domain.allocation import allocate
from services.loyalty.domain.customer import Customer, Segments
from services.loyalty.domain.days import DAY_MICROS
from services.loyalty.domain.earning_rule import (
    Definition,
    EarningRule,
    EffectKind,
    MemberUsage,
    PeriodLimit,
    ProgramUsage,
    Rounding,
    RuleBook,
    Schedule,
    Trigger,
)
from services.loyalty.domain.entry import Share
from services.loyalty.domain.member import Member
from services.loyalty.domain.program import Program
from services.loyalty.domain.zones import Period, local, period_at

BASE = ""
"""The rule id of the programme's own rate."""
OFFER_SHARE = "offer:"
"""What the id of an offer's share begins with."""
_WHOLE = 10_000
USAGE_KEPT_MICROS = 400 * DAY_MICROS
"""How long after a period its usage is remembered; what comes later finds it used up."""


class Miss(Enum):
    """Why a rule gave nothing, or less than it would have."""

    CONDITION = "condition"
    SCHEDULE = "schedule"
    ITEMS = "items"
    STACKING = "stacking"
    ACTIVITY_CAP = "activity_cap"
    MEMBER_CAP = "member_cap"
    BUDGET = "budget"
    PROGRAM_LIMIT = "program_limit"


class Line(NamedTuple):
    """A line of an order: what it came to, how many units, and its own properties."""

    amount_minor: int
    quantity: int
    properties: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Activity:
    """What happened, as rules see it. ``amount_minor`` and ``lines`` are of orders."""

    trigger: Trigger
    event_time: int
    name: str = ""
    properties: Mapping[str, Any] = field(default_factory=dict)
    amount_minor: int = 0
    lines: tuple[Line, ...] = ()


@dataclass(frozen=True, slots=True)
class Missed:
    """What a rule did not give; 0 points where that was not worked out."""

    rule_id: str
    reason: Miss
    points: int = 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What something earns, by rule, and why not more."""

    shares: tuple[Share, ...] = ()
    misses: tuple[Missed, ...] = ()

    @property
    def points(self) -> int:
        """All of it together."""
        return sum(share.points for share in self.shares)


@dataclass(frozen=True, slots=True)
class Known:
    """What is known when something is weighed."""

    program: Program
    book: RuleBook
    member: Member
    customer: Customer | None = None
    segments: Segments | None = None
    usage: ProgramUsage | None = None
    member_usage: MemberUsage | None = None


class Boost(NamedTuple):
    """An offer that multiplies what an order earns, in ten-thousandths: 20,000 is twice the points."""

    offer_id: str
    multiplier: int


class _Amount(NamedTuple):
    minor: int
    units: int


def weigh(known: Known, activity: Activity, now: int, boosts: Sequence[Boost] = ()) -> Outcome:
    """What ``activity`` earns now, with what offers add. Changes nothing: ``count_usage`` counts what was used."""
    return _Weighing(known, activity, now).outcome(boosts)


def offer_share_id(offer_id: str) -> str:
    """Under which rule's id the share of an offer is kept; no rule can have it."""
    return f"{OFFER_SHARE}{offer_id}"


def offer_of(share_id: str) -> str:
    """The offer whose share it is; empty: a rule's, or the programme's rate."""
    return share_id.removeprefix(OFFER_SHARE) if share_id.startswith(OFFER_SHARE) else ""


class _Weighing:
    """The state of one weighing: what was given so far, and which rules are shut out by it."""

    def __init__(self, known: Known, activity: Activity, now: int) -> None:
        self._known, self._activity, self._now = known, activity, now
        self._shares: list[Share] = []
        self._misses: list[Missed] = []
        self._groups: set[str] = set()
        self._closed = False
        self._left = self._limit_left(BASE, known.book.limits)
        segment_ids = frozenset(known.segments.segment_ids if known.segments else ())
        fields = {**activity.properties, "member": _member_facts(known, now)}
        self._facts = Facts(fields, known.member.id, segment_ids, activity.event_time)

    def outcome(self, boosts: Sequence[Boost]) -> Outcome:
        activity, program = self._activity, self._known.program
        if activity.trigger is Trigger.ORDER and activity.amount_minor <= 0:
            return Outcome()
        if activity.trigger is Trigger.ORDER:
            self._give(BASE, 0, program.points_for(activity.amount_minor))
        for rule in self._known.book.about(activity.trigger, activity.name):
            self._weigh(rule)
        self._boost(boosts)
        return Outcome(tuple(self._shares), tuple(self._misses))

    def _boost(self, boosts: Sequence[Boost]) -> None:
        """What offers add to all of it: together rounded down, then split by what each adds, within the same limits."""
        added = {boost.offer_id: boost.multiplier - _WHOLE for boost in boosts}
        total = sum(share.points for share in self._shares) * sum(added.values()) // _WHOLE
        for offer_id, points in sorted(allocate(total, added, dict.fromkeys(added, total)).items()):
            if points:
                self._give(offer_share_id(offer_id), 0, points)

    def _weigh(self, rule: EarningRule) -> None:
        told = rule.definition
        if not scheduled(told.schedule, self._activity.event_time, self._known.program.time_zone):
            return self._miss(rule.rule_id, Miss.SCHEDULE)
        if not holds(told.condition, self._facts):
            return self._miss(rule.rule_id, Miss.CONDITION)
        points = self._worth(told)
        if points == 0:
            return self._miss(rule.rule_id, Miss.ITEMS)
        if self._closed or told.stacking_group in self._groups:
            return self._miss(rule.rule_id, Miss.STACKING, points)
        if self._give(rule.rule_id, rule.version, self._capped(rule, points)):
            self._closed = told.exclusive
            if told.stacking_group:
                self._groups.add(told.stacking_group)
        return None

    def _worth(self, told: Definition) -> int:
        """What the rule gives before any limit."""
        effect = told.effect
        if effect.kind is EffectKind.FIXED and told.items is None:
            return effect.amount
        counted = self._counted(told)
        if counted is None:
            return 0
        if effect.kind is EffectKind.FIXED:
            return effect.amount
        if effect.kind is EffectKind.PER_UNIT:
            return effect.amount * counted.units
        if effect.kind is EffectKind.RATE:
            return rounded(counted.minor * effect.amount, 100, effect.rounding)
        extra = self._known.program.points_per_100_minor * (effect.amount - 100)
        return rounded(counted.minor * extra, 10_000, effect.rounding)

    def _counted(self, told: Definition) -> _Amount | None:
        """What of the order counts: never more than it came to; ``None`` if no line does."""
        activity = self._activity
        if told.items is None:
            return _Amount(activity.amount_minor, sum(line.quantity for line in activity.lines))
        who = (self._known.member.id, frozenset[str](), activity.event_time)
        lines = [line for line in activity.lines if holds(told.items, Facts(line.properties, *who))]
        if not lines:
            return None
        minor = sum(line.amount_minor for line in lines)
        return _Amount(min(minor, activity.amount_minor), sum(line.quantity for line in lines))

    def _capped(self, rule: EarningRule, points: int) -> int:
        """What is left of the points within the rule's own caps."""
        caps = rule.definition.caps
        given = self._known.usage.rules.get(rule.rule_id, (0, 0))[0] if self._known.usage else 0
        lefts = (
            (Miss.ACTIVITY_CAP, caps.per_activity or None),
            (Miss.MEMBER_CAP, self._limit_left(rule.rule_id, caps.per_member)),
            (Miss.BUDGET, max(0, caps.budget - given) if caps.budget else None),
        )
        for reason, left in lefts:
            if left is not None and left < points:
                self._miss(rule.rule_id, reason, points - left)
                points = left
        return points

    def _limit_left(self, rule_id: str, limits: Sequence[PeriodLimit]) -> int | None:
        """How many points the limits of the member's periods leave; ``None`` without limit."""
        lefts: list[int] = []
        usage = self._known.member_usage
        for limit in limits:
            period = period_at(limit.period, self._activity.event_time, self._known.program.time_zone)
            points, count = usage.periods.get(usage_key(rule_id, period.key), (0, 0)) if usage else (0, 0)
            forgotten = period.end < self._now - USAGE_KEPT_MICROS
            if forgotten or (limit.count and count >= limit.count):
                return 0
            if limit.points:
                lefts.append(max(0, limit.points - points))
        return min(lefts, default=None)

    def _give(self, rule_id: str, version: int, points: int) -> int:
        """Give so many points, as far as the member's limits in the programme leave room; how many it were."""
        given = points if self._left is None else min(points, self._left)
        if given < points:
            self._miss(rule_id, Miss.PROGRAM_LIMIT, points - given)
        if given:
            self._shares.append(Share(rule_id, version, given))
            self._left = None if self._left is None else self._left - given
        return given

    def _miss(self, rule_id: str, reason: Miss, points: int = 0) -> None:
        self._misses.append(Missed(rule_id, reason, points))


def _member_facts(known: Known, now: int) -> dict[str, Any]:
    member, customer = known.member, known.customer
    tier = known.program.tier_at(member.qualifying(known.program, now))
    return {
        "tier_id": tier.id if tier else None,
        "balance_points": member.balance,
        "order_count": member.orders,
        "is_member": member.entry_count > 0,
        "days_enrolled": (now - member.enroll_time) // DAY_MICROS if member.entry_count else 0,
        "country": (customer.country or None) if customer else None,
        "region": (customer.region or None) if customer else None,
        "city": (customer.city or None) if customer else None,
        "postal_code": (customer.postal_code or None) if customer else None,
    }


def scheduled(schedule: Schedule, instant: int, zone: str) -> bool:
    """Whether the schedule holds at the instant, by the clocks of the zone."""
    if instant < schedule.start_time or (schedule.end_time is not None and instant >= schedule.end_time):
        return False
    if not (schedule.weekdays or schedule.start_hour or schedule.end_hour):
        return True
    time = local(instant, zone)
    if schedule.weekdays and time.isoweekday() not in schedule.weekdays:
        return False
    start, end = schedule.start_hour, schedule.end_hour or 24
    return start <= time.hour < end if start < end else time.hour >= start or time.hour < end


def rounded(numerator: int, denominator: int, rounding: Rounding) -> int:
    """A quotient as an integer, exactly; numerator and denominator are not below zero."""
    match rounding:
        case Rounding.DOWN:
            return numerator // denominator
        case Rounding.UP:
            return -(-numerator // denominator)
        case Rounding.NEAREST:
            return (2 * numerator + denominator) // (2 * denominator)


def usage_key(rule_id: str, period: str) -> str:
    """Under which name a member's usage of a rule in a period is kept."""
    return f"{rule_id}|{period}"


def count_usage(
    known: Known, activity: Activity, shares: Sequence[Share], now: int
) -> tuple[ProgramUsage, MemberUsage | None]:
    """The usage after these shares were given: of the rules, and of the member where there are limits."""
    usage = known.usage or ProgramUsage(known.program.id)
    rules = dict(usage.rules)
    for share in shares:
        if share.rule_id != BASE:
            points, count = rules.get(share.rule_id, (0, 0))
            rules[share.rule_id] = (points + share.points, count + 1)
    limited = [(BASE, limit, sum(share.points for share in shares)) for limit in known.book.limits if shares]
    for share in shares:
        rule = known.book.rule(share.rule_id)
        limited += [(share.rule_id, limit, share.points) for limit in rule.definition.caps.per_member] if rule else []
    if not limited:
        return replace(usage, rules=rules), known.member_usage
    before = known.member_usage or MemberUsage(known.program.id, known.member.id)
    periods, ends = dict(before.periods), dict(before.ends)
    for rule_id, limit, given in limited:
        period = period_at(limit.period, activity.event_time, known.program.time_zone)
        key = usage_key(rule_id, period.key)
        points, count = periods.get(key, (0, 0))
        periods[key], ends[key] = (points + given, count + 1), period.end
    kept = {key: end for key, end in ends.items() if end >= now - USAGE_KEPT_MICROS}
    after = replace(before, periods={key: periods[key] for key in kept}, ends=kept)
    return replace(usage, rules=rules), after


def return_usage(
    usage: ProgramUsage, member_usage: MemberUsage | None, returned: Sequence[Share], event_time: int, zone: str
) -> tuple[ProgramUsage, MemberUsage | None]:
    """The usage after a refund took these shares back of what was earned at a time: points come back, times do not."""
    rules = dict(usage.rules)
    for share in returned:
        if share.rule_id in rules:
            points, count = rules[share.rule_id]
            rules[share.rule_id] = (points - share.points, count)
    after = replace(usage, rules=rules)
    if member_usage is None:
        return after, None
    periods = dict(member_usage.periods)
    back = [(share.rule_id, share.points) for share in returned if share.rule_id != BASE]
    back.append((BASE, sum(share.points for share in returned)))
    keys = {period_at(period, event_time, zone).key for period in Period}
    for rule_id, points in back:
        for key in (usage_key(rule_id, period) for period in keys):
            if key in periods:
                used, count = periods[key]
                periods[key] = (max(0, used - points), count)
    return after, replace(member_usage, periods=periods)
