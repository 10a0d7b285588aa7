"""Tier policies: what qualifies for a tier, over which period, how long it holds, and what happens when it lapses."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from enum import Enum
from typing import NamedTuple

from services.loyalty.domain.days import add_months
from services.loyalty.domain.errors import TierPolicyInvalid
from services.loyalty.domain.zones import local_date, midnight

Amounts = tuple[tuple[int, int], ...]
GRACE_DAYS_MAX = 365
KEPT_MONTHS = 36
"""How long what qualified is kept by day: a period, the one before it, and any grace."""
EVER = 2**63 - 1
_EPOCH = date(1970, 1, 1)


class Measure(Enum):
    """What counts towards a tier: points, money in minor units, orders, or days as a member."""

    POINTS = "points"
    SPEND = "spend"
    ORDERS = "orders"
    MEMBERSHIP = "membership"


class QualifyingPeriod(Enum):
    """Over which time it counts."""

    LIFETIME = "lifetime"
    CALENDAR_YEAR = "calendar_year"
    ROLLING_YEAR = "rolling_year"
    JOIN_ANNIVERSARY = "join_anniversary"
    TIER_START = "tier_start"


class Downgrade(Enum):
    """What happens to a tier that was not earned again."""

    NONE = "none"
    ONE_STEP = "one_step"
    BALANCE = "balance"


@dataclass(frozen=True, slots=True)
class TierPolicy:
    """How tiers are earned and kept."""

    measure: Measure
    period: QualifyingPeriod
    downgrade: Downgrade = Downgrade.BALANCE
    grace_days: int = 0


def check_tier_policy(policy: TierPolicy | None) -> None:
    """``TierPolicyInvalid`` unless the parts go together."""
    if policy is None:
        return
    if policy.measure is Measure.MEMBERSHIP and policy.period is not QualifyingPeriod.LIFETIME:
        raise TierPolicyInvalid("time as a member never ends: its period is LIFETIME", field="tier_policy.period")
    if policy.period is QualifyingPeriod.LIFETIME and policy.grace_days:
        raise TierPolicyInvalid("what counts for life never lapses: it has no grace", field="tier_policy.grace_days")


class Standing(NamedTuple):
    """A member's tier: its place among the tiers (-1: none), since when, and until when it holds."""

    at: int = -1
    since: int = 0
    until: int = EVER


class Term(NamedTuple):
    """The days, the last excluded, whose figure decides whether a tier is kept."""

    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Track:
    """Everything that decides a member's tier: thresholds by place, what qualified by local day, and the zone."""

    policy: TierPolicy
    thresholds: Sequence[int]
    zone: str
    enroll_time: int
    amounts: Amounts = ()
    lifetime: int = 0
    """The figure of a whole life, where the period is LIFETIME; of MEMBERSHIP it is counted by the clock."""

    def day(self, instant: int) -> int:
        """The local day of an instant."""
        return local_day(instant, self.zone)

    def start_of(self, day: int) -> int:
        """The first instant of a local day."""
        return midnight(_EPOCH + timedelta(days=day), self.zone)

    def term(self, standing: Standing, day: int) -> Term:
        """The qualifying period in which a day lies."""
        match self.policy.period:
            case QualifyingPeriod.CALENDAR_YEAR:
                year = (_EPOCH + timedelta(days=day)).year
                return Term(_first_of(year), _first_of(year + 1))
            case QualifyingPeriod.ROLLING_YEAR:
                return Term(add_months(day, -12) + 1, day + 1)
            case QualifyingPeriod.JOIN_ANNIVERSARY:
                return _anniversary(self.day(self.enroll_time), day)
            case QualifyingPeriod.TIER_START:
                origin = standing.since if standing.at >= 0 and standing.since else self.enroll_time
                return _anniversary(self.day(origin), day)
        return Term(-EVER, EVER)

    def figure(self, term: Term) -> int:
        """What qualified in a period."""
        return sum(amount for day, amount in self.amounts if term.start <= day < term.end)

    def qualifying(self, standing: Standing, now: int) -> int:
        """What counts at the moment."""
        if self.policy.measure is Measure.MEMBERSHIP:
            return self.day(now) - self.day(self.enroll_time)
        if self.policy.period is QualifyingPeriod.LIFETIME:
            return self.lifetime
        day = self.day(now)
        term = self.term(standing, day)
        return self.figure(Term(term.start, min(term.end, day + 1)))

    def reached(self, figure: int) -> int:
        """The place of the highest tier that a figure reaches; -1 for none."""
        return bisect_right(self.thresholds, figure) - 1

    def first_until(self, at: int, now: int) -> int:
        """Until when a tier holds that is reached now: of calendar years and anniversaries, the end of the next one."""
        if at < 0 or self.thresholds[at] <= 0 or self.policy.period is QualifyingPeriod.LIFETIME:
            return EVER
        day = self.day(now)
        if self.policy.period is QualifyingPeriod.ROLLING_YEAR:
            return self.falls_below(self.thresholds[at], day)
        if self.policy.period is QualifyingPeriod.TIER_START:
            return self.start_of(add_months(day, 12))
        return self.next_end(self.term(Standing(), day).end)

    def next_end(self, end: int) -> int:
        """The end of the period that begins on the day ``end``."""
        if self.policy.period in (QualifyingPeriod.TIER_START, QualifyingPeriod.ROLLING_YEAR):
            return self.start_of(add_months(end, 12))
        return self.start_of(self.term(Standing(), end).end)

    def rolling(self, day: int) -> int:
        """The figure of the year that ends with a day."""
        return self.figure(Term(add_months(day, -12) + 1, day + 1))

    def falls_below(self, threshold: int, day: int) -> int:
        """The first moment after a day at which the rolling year comes to less than the threshold, as things are."""
        for leaving in sorted({_leaves_year(each) for each, _ in self.amounts}):
            if leaving > day and self.rolling(leaving) < threshold:
                return self.start_of(leaving)
        return self.start_of(day + 1)


def advance(track: Track, standing: Standing, now: int) -> Standing:
    """The tier at ``now``: what lapsed since it was last looked at is taken, then what is reached is given."""
    while standing.until <= now:
        after = _lapse(track, standing, now)
        if after == standing:
            break
        standing = after
    at = track.reached(track.qualifying(standing, now))
    return Standing(at, now, track.first_until(at, now)) if at > standing.at else standing


def _lapse(track: Track, standing: Standing, now: int) -> Standing:
    """The tier after its time: kept for another period, taken, or as it is while grace lasts."""
    policy, end = track.policy, track.day(standing.until)
    rolling = policy.period is QualifyingPeriod.ROLLING_YEAR
    threshold, figure = track.thresholds[standing.at], _figure_at(track, standing, end)
    if policy.downgrade is Downgrade.NONE:
        return standing._replace(until=track.next_end(end))
    last = min(track.day(now), end + policy.grace_days - 1)
    for day in (end, *(each for each, _ in track.amounts if end < each <= last)):
        if _figure_at(track, standing, day) >= threshold:
            return standing._replace(until=track.falls_below(threshold, day) if rolling else track.next_end(end))
    ends_at = track.start_of(end + policy.grace_days)
    if now < ends_at:
        return standing
    at = standing.at - 1
    if policy.downgrade is Downgrade.BALANCE:
        at = min(at, track.reached(figure))
    if at < 0 or track.thresholds[at] <= 0:
        return Standing(at, ends_at)
    after = end + policy.grace_days
    if rolling and track.rolling(after) >= track.thresholds[at]:
        return Standing(at, ends_at, track.falls_below(track.thresholds[at], after))
    starts_anew = rolling or policy.period is QualifyingPeriod.TIER_START
    return Standing(at, ends_at, track.next_end(after if starts_anew else end))


def _figure_at(track: Track, standing: Standing, day: int) -> int:
    """What decides whether a tier is kept, with what came up to the end of a day of its grace."""
    end = track.day(standing.until)
    if track.policy.period is QualifyingPeriod.ROLLING_YEAR:
        return track.rolling(day)
    if track.policy.period is QualifyingPeriod.TIER_START:
        start = add_months(end, -12)
    else:
        start = track.term(standing, end - 1).start
    return track.figure(Term(start, end if day == end else day + 1))


def missing_to_keep(track: Track, standing: Standing) -> int:
    """How much is missing, as things are, for the tier to be kept when its time is over; 0: nothing."""
    if standing.until == EVER or standing.at < 0 or track.policy.downgrade is Downgrade.NONE:
        return 0
    figure = _figure_at(track, standing, track.day(standing.until))
    return max(0, track.thresholds[standing.at] - figure)


def lapse_time(track: Track, standing: Standing) -> int:
    """When the tier is taken unless it is earned again; after every instant: never."""
    if standing.until == EVER or track.policy.downgrade is Downgrade.NONE:
        return EVER
    return track.start_of(track.day(standing.until) + track.policy.grace_days)


def due_time(track: Track, standing: Standing, now: int) -> int:
    """When the clock next has something to do to the tier: prolong it at its end, or take it after its grace.

    What is earned meanwhile makes an entry, and with it another time.
    """
    kept = standing.until > now and not missing_to_keep(track, standing)
    due = standing.until if kept else lapse_time(track, standing)
    if track.policy.measure is Measure.MEMBERSHIP and standing.at + 1 < len(track.thresholds):
        due = min(due, track.start_of(track.day(track.enroll_time) + track.thresholds[standing.at + 1]))
    return due


def local_day(instant: int, zone: str) -> int:
    """The local date of an instant, as days since 1970."""
    return (local_date(instant, zone) - _EPOCH).days


def _first_of(year: int) -> int:
    return (date(year, 1, 1) - _EPOCH).days


def _anniversary(origin: int, day: int) -> Term:
    """The year since ``origin``, or an anniversary of it, in which a day lies."""
    years = max(0, (day - origin) // 366)
    while add_months(origin, 12 * (years + 1)) <= day:
        years += 1
    return Term(add_months(origin, 12 * years), add_months(origin, 12 * (years + 1)))


def _leaves_year(day: int) -> int:
    """The first day on which a rolling year does not count ``day`` any more."""
    after = add_months(day, 12)
    while add_months(after, -12) < day:
        after += 1
    return after
