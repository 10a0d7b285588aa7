"""Tiers by policy, against a reference that looks at every single day, and by examples of each rule."""

from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.loyalty.domain.errors import TierPolicyInvalid
from services.loyalty.domain.tier_policy import (
    EVER,
    Downgrade,
    Measure,
    QualifyingPeriod,
    Standing,
    TierPolicy,
    Track,
    advance,
    check_tier_policy,
    due_time,
    lapse_time,
    missing_to_keep,
)
from tests.loyalty.making import DAY, instant

THRESHOLDS = (0, 100, 500)
JOINED = instant(2024, 5, 10)
FIRST = JOINED // DAY
YEARLY = (
    QualifyingPeriod.CALENDAR_YEAR,
    QualifyingPeriod.ROLLING_YEAR,
    QualifyingPeriod.JOIN_ANNIVERSARY,
    QualifyingPeriod.TIER_START,
)


def track(period: QualifyingPeriod, amounts: dict[int, int], downgrade: Downgrade, grace: int = 0) -> Track:
    """The track of a member; amounts by days since joining."""
    policy = TierPolicy(Measure.POINTS, period, downgrade, grace)
    days = tuple(sorted((FIRST + day, amount) for day, amount in amounts.items()))
    return Track(policy, THRESHOLDS, "UTC", JOINED, days)


def known_by(all_of_it: dict[int, int], day: int) -> dict[int, int]:
    return {each: amount for each, amount in all_of_it.items() if each <= day}


def at_day(day: int) -> int:
    return (FIRST + day) * DAY


class Reference:
    """Looks at a member at every midnight and after everything earned, with nothing but sums over dates."""

    def __init__(self, period: QualifyingPeriod, downgrade: Downgrade, grace: int) -> None:
        self.period, self.downgrade, self.grace = period, downgrade, grace
        self.amounts: dict[date, int] = {}
        self.tier, self.since = 0, date(2024, 5, 10)
        self.until: date | None = None

    def total(self, start: date, end: date) -> int:
        return sum(amount for day, amount in self.amounts.items() if start <= day < end)

    def year(self, day: date) -> tuple[date, date]:
        if self.period is QualifyingPeriod.CALENDAR_YEAR:
            return date(day.year, 1, 1), date(day.year + 1, 1, 1)
        if self.period is QualifyingPeriod.ROLLING_YEAR:
            return back(day) + timedelta(days=1), day + timedelta(days=1)
        origin = date(2024, 5, 10)
        if self.period is QualifyingPeriod.TIER_START and self.tier > 0:
            origin = self.since
        years = 0
        while later(origin, years + 1) <= day:
            years += 1
        return later(origin, years), later(origin, years + 1)

    def earn(self, day: date, amount: int) -> None:
        self.amounts[day] = self.amounts.get(day, 0) + amount
        self.look(day)

    def look(self, day: date) -> None:
        """What is true on a day: first what lapses, then what is reached."""
        while self.until is not None and self.until <= day and self.lapse(day):
            pass
        reached = sum(self.total(self.year(day)[0], day + timedelta(days=1)) >= each for each in THRESHOLDS) - 1
        if reached > self.tier:
            self.tier, self.since = reached, day
            self.until = self.holds_until(day)

    def holds_until(self, day: date) -> date:
        if self.period is QualifyingPeriod.ROLLING_YEAR:
            return self.falls(day)
        if self.period is QualifyingPeriod.TIER_START:
            return later(day, 1)
        return self.year(self.year(day)[1])[1]

    def falls(self, day: date) -> date:
        day += timedelta(days=1)
        while self.total(back(day) + timedelta(days=1), day + timedelta(days=1)) >= THRESHOLDS[self.tier]:
            day += timedelta(days=1)
        return day

    def figure(self, day: date) -> int:
        assert self.until is not None
        if self.period is QualifyingPeriod.ROLLING_YEAR:
            return self.total(back(day) + timedelta(days=1), day + timedelta(days=1))
        end = self.until if day == self.until else day + timedelta(days=1)
        if self.period is QualifyingPeriod.TIER_START:
            return self.total(back(self.until), end)
        return self.total(self.year(self.until - timedelta(days=1))[0], end)

    def lapse(self, today: date) -> bool:
        """Whether anything changed."""
        assert self.until is not None
        end, threshold = self.until, THRESHOLDS[self.tier]
        rolling = self.period is QualifyingPeriod.ROLLING_YEAR
        if self.downgrade is Downgrade.NONE:
            self.until = self.next_end(end)
            return True
        day = end
        while day == end or (day <= today and day < end + timedelta(days=self.grace)):
            if self.figure(day) >= threshold:
                self.until = self.falls(day) if rolling else self.next_end(end)
                return True
            day += timedelta(days=1)
        after = end + timedelta(days=self.grace)
        if today < after:
            return False
        reached = sum(self.figure(end) >= each for each in THRESHOLDS) - 1
        self.tier = self.tier - 1 if self.downgrade is Downgrade.ONE_STEP else min(self.tier - 1, reached)
        self.since, self.until = after, None
        if self.tier > 0:
            starts = after if rolling or self.period is QualifyingPeriod.TIER_START else end
            self.until = self.next_end(starts)
            if (
                rolling
                and self.total(back(after) + timedelta(days=1), after + timedelta(days=1)) >= THRESHOLDS[self.tier]
            ):
                self.until = self.falls(after)
        return True

    def next_end(self, end: date) -> date:
        if self.period in (QualifyingPeriod.TIER_START, QualifyingPeriod.ROLLING_YEAR):
            return later(end, 1)
        return self.year(end)[1]


def later(day: date, years: int) -> date:
    try:
        return day.replace(year=day.year + years)
    except ValueError:
        return date(day.year + years, 2, 28)


def back(day: date) -> date:
    return later(day, -1)


@settings(max_examples=120, deadline=None)
@given(
    st.sampled_from(YEARLY),
    st.sampled_from(list(Downgrade)),
    st.sampled_from([0, 20, 90]),
    st.dictionaries(st.integers(0, 1200), st.integers(20, 600), max_size=8),
    st.sets(st.integers(0, 1500), max_size=6),
)
def test_a_tier_is_what_looking_at_every_day_says(
    period: QualifyingPeriod, downgrade: Downgrade, grace: int, amounts: dict[int, int], looks: set[int]
) -> None:
    reference, tier_on = Reference(period, downgrade, grace), {}
    for day in range(1501):
        date_of = date(2024, 5, 10) + timedelta(days=day)
        if day in amounts:
            reference.earn(date_of, amounts[day])
        reference.look(date_of)
        tier_on[day] = reference.tier
    standing = Standing(0)
    for day in sorted({*amounts, *looks, 1500}):
        standing = advance(track(period, known_by(amounts, day), downgrade, grace), standing, at_day(day))
        assert standing.at == tier_on[day]


def test_what_is_reached_in_a_year_holds_to_the_end_of_the_next_one() -> None:
    told = track(QualifyingPeriod.CALENDAR_YEAR, {20: 120}, Downgrade.BALANCE, 10)
    gold = advance(told, Standing(0), at_day(20))
    assert gold == Standing(1, at_day(20), instant(2026, 1, 1))
    assert missing_to_keep(told, gold) == 100
    assert lapse_time(told, gold) == due_time(told, gold, at_day(20)) == instant(2026, 1, 11)
    assert advance(told, gold, instant(2026, 1, 11) - 1).at == 1
    assert advance(told, gold, instant(2026, 1, 11)) == Standing(0, instant(2026, 1, 11), EVER)


def test_a_step_at_a_time_is_lost_or_all_that_is_not_earned_again() -> None:
    for downgrade, places in (
        (Downgrade.ONE_STEP, [2, 1, 0]),
        (Downgrade.BALANCE, [2, 0, 0]),
        (Downgrade.NONE, [2, 2, 2]),
    ):
        told = track(QualifyingPeriod.JOIN_ANNIVERSARY, {3: 700}, downgrade)
        standing, found = advance(told, Standing(0), at_day(3)), []
        for time in (instant(2026, 5, 9), instant(2026, 5, 10), instant(2027, 5, 10)):
            standing = advance(told, standing, time)
            found.append(standing.at)
        assert found == places


def test_time_as_a_member_is_counted_by_the_clock() -> None:
    policy = TierPolicy(Measure.MEMBERSHIP, QualifyingPeriod.LIFETIME)
    told = Track(policy, (0, 30, 365), "UTC", JOINED)
    start = advance(told, Standing(-1), JOINED)
    assert due_time(told, start, JOINED) == at_day(30)
    assert [advance(told, start, at_day(day)).at for day in (29, 30, 364, 365)] == [0, 1, 1, 2]


@pytest.mark.parametrize(
    "parts",
    [
        {"measure": Measure.MEMBERSHIP, "period": QualifyingPeriod.CALENDAR_YEAR},
        {"measure": Measure.POINTS, "period": QualifyingPeriod.LIFETIME, "grace_days": 3},
    ],
)
def test_a_policy_whose_parts_do_not_go_together_is_refused(parts: dict[str, Any]) -> None:
    with pytest.raises(TierPolicyInvalid):
        check_tier_policy(TierPolicy(**parts))
