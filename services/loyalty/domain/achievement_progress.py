"""A member's progress: what was done on which day, and how often that completes an achievement.

Everything is a function of the sums by day, so it is the same in whatever order events come. What is done again and
again (rolling windows, streaks) is counted by taking the window that ends first, then the next one after it: no other
choice finds more of them, so another event never makes fewer.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import NamedTuple

from services.loyalty.domain.achievement import Achievement, AchievementPeriod, StepMeasure
from services.loyalty.domain.records import Kind, Ref
from services.loyalty.domain.zones import local_date

COMPLETIONS_MAX = 2000
"""Of one member's, the latest; a day's achievement has fewer in the days that can still change."""
KEPT_DAYS = 400
"""What happened longer ago counts for nothing any more, and days before that are forgotten once they are decided."""
_EPOCH = date(1970, 1, 1)


class DayAmounts(NamedTuple):
    """What was done on a day (of days since 1970), by step."""

    day: int
    amounts: tuple[int, ...]


class Completion(NamedTuple):
    """The achievement was completed: for which period or how manieth time, when it was found, and what it brought."""

    key: str
    time: int
    entry_id: str = ""
    points: int = 0
    revoke_time: int = 0
    owner_id: str = ""
    """Whose account it came into, where it is a shared one."""


@dataclass(frozen=True, slots=True)
class ProgressPart:
    """What of a member's progress came under the names of one customer: what an unmerge gives back."""

    origin_id: str
    days: tuple[DayAmounts, ...] = ()
    completions: tuple[Completion, ...] = ()
    decided: int = 0
    decided_until: int = -1
    completed_count: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """A member's progress in one achievement."""

    program_id: str
    achievement_id: str
    member_id: str
    days: tuple[DayAmounts, ...] = ()
    """By day."""
    completions: tuple[Completion, ...] = ()
    """In the order in which they were found; those that were revoked stay."""
    decided: int = 0
    """Repeated completions whose days are forgotten."""
    decided_until: int = -1
    """The last day of these."""
    completed_count: int = 0
    """How often it was completed, less what was revoked."""
    update_time: int = 0
    parts: tuple[ProgressPart, ...] = ()
    """By origin, where customers were merged: their days come to ``days``."""

    def standing(self, achievement: Achievement) -> dict[str, Completion]:
        """The completions that were not revoked and are not decided, by key."""
        held = {each.key: each for each in self.completions if not each.revoke_time}
        if not achievement.period.repeated:
            return held
        return {key: each for key, each in held.items() if int(key) > self.decided}


PROGRESS = Kind("achievement_progress", Progress)


def progress_ref(program_id: str, achievement_id: str, member_id: str) -> Ref[Progress]:
    """Where a member's progress is kept."""
    return Ref(PROGRESS, f"{program_id}/{achievement_id}/{member_id}")


def day_number(instant: int, zone: str) -> int:
    """The day in the zone, of days since 1970."""
    return (local_date(instant, zone) - _EPOCH).days


def week_number(day: int) -> int:
    """The week of a day, from Monday; days since 1970 began with a Thursday."""
    return (day + 3) // 7


def period_key(period: AchievementPeriod, day: int) -> str:
    """The period of the calendar in which the day lies, by its first day."""
    at = _EPOCH + timedelta(days=day)
    match period:
        case AchievementPeriod.DAY:
            return at.isoformat()
        case AchievementPeriod.WEEK:
            return (at - timedelta(days=at.weekday())).isoformat()
        case AchievementPeriod.MONTH:
            return at.replace(day=1).isoformat()
        case AchievementPeriod.YEAR:
            return at.replace(month=1, day=1).isoformat()
    return "once"


def with_amount(progress: Progress, steps: int, step: int, day: int, amount: int, origin_id: str = "") -> Progress:
    """The progress with so much more, or less, done of a step on a day, under the names of a customer."""
    done_then = DayAmounts(day, tuple(amount if at == step else 0 for at in range(steps)))
    grown = replace(progress, days=added_days(progress.days, (done_then,)))
    origin_id = origin_id or progress.member_id
    if not progress.parts and origin_id == progress.member_id:
        return grown
    parts = {part.origin_id: part for part in (ProgressPart(origin_id), *progress_parts(progress))}
    parts[origin_id] = replace(parts[origin_id], days=added_days(parts[origin_id].days, (done_then,)))
    return replace(grown, parts=tuple(parts[each] for each in sorted(parts)))


def progress_parts(progress: Progress) -> tuple[ProgressPart, ...]:
    """The progress by origin: its own, where nobody was merged."""
    return progress.parts or (
        ProgressPart(
            progress.member_id,
            progress.days,
            progress.completions,
            progress.decided,
            progress.decided_until,
            progress.completed_count,
        ),
    )


def added_days(days: Iterable[DayAmounts], more: Iterable[DayAmounts]) -> tuple[DayAmounts, ...]:
    """Both, day by day."""
    by_day = {each.day: each.amounts for each in days}
    for day, amounts in more:
        had = by_day.get(day, (0,) * len(amounts))
        by_day[day] = tuple(one + other for one, other in zip(had, amounts, strict=True))
    return tuple(DayAmounts(day, amounts) for day, amounts in sorted(by_day.items()) if any(amounts))


def done(achievement: Achievement, days: Iterable[DayAmounts]) -> tuple[int, ...]:
    """What these days come to, by step, in the unit of the step's target."""
    kept = list(days)
    return tuple(
        sum(each.amounts[at] > 0 for each in kept)
        if step.measure is StepMeasure.DISTINCT_DAYS
        else sum(each.amounts[at] for each in kept)
        for at, step in enumerate(achievement.steps)
    )


def reached(achievement: Achievement, days: Iterable[DayAmounts]) -> bool:
    """Whether these days come to every step's target."""
    amounts = done(achievement, days)
    return all(amount >= step.target for amount, step in zip(amounts, achievement.steps, strict=True))


def completed(achievement: Achievement, progress: Progress) -> list[str]:
    """The keys of everything that is completed and not decided: periods of the calendar, or numbers from 1."""
    if not achievement.period.repeated:
        periods: dict[str, list[DayAmounts]] = {}
        for each in progress.days:
            periods.setdefault(period_key(achievement.period, each.day), []).append(each)
        return [key for key, days in periods.items() if reached(achievement, days)]
    count = progress.decided + len(list(window_ends(achievement, progress)))
    limit = achievement.completions_max
    last = min(count, limit) if limit else count
    return [str(number) for number in range(progress.decided + 1, last + 1)]


def window_ends(achievement: Achievement, progress: Progress) -> Iterator[int]:
    """The last day, or unit, of each repeated completion, in order; windows do not overlap."""
    if achievement.period.streak:
        rows: list[tuple[int, tuple[int, ...]]] = [(unit, (1,)) for unit in streak_units(achievement, progress)]
        width, targets = achievement.length + achievement.misses, [achievement.length]
    else:
        rows = [(each.day, _worth(achievement, each)) for each in progress.days]
        width, targets = achievement.length, [step.target for step in achievement.steps]
    rows = [row for row in rows if row[0] > progress.decided_until]
    sums, begin = [0] * len(targets), 0
    for at, (unit, amounts) in enumerate(rows):
        sums = [total + amount for total, amount in zip(sums, amounts, strict=True)]
        while rows[begin][0] <= unit - width:
            sums = [total - amount for total, amount in zip(sums, rows[begin][1], strict=True)]
            begin += 1
        if all(total >= target for total, target in zip(sums, targets, strict=True)):
            sums, begin = [0] * len(targets), at + 1
            yield unit


def _worth(achievement: Achievement, day: DayAmounts) -> tuple[int, ...]:
    return done(achievement, [day])


def streak_units(achievement: Achievement, progress: Progress) -> list[int]:
    """The days, or weeks, of a streak in which every step was done, in order."""
    by_unit: dict[int, list[DayAmounts]] = {}
    weekly = achievement.period is AchievementPeriod.WEEK_STREAK
    for each in progress.days:
        by_unit.setdefault(week_number(each.day) if weekly else each.day, []).append(each)
    return [unit for unit, days in by_unit.items() if reached(achievement, days)]


def current(achievement: Achievement, progress: Progress, today: int) -> tuple[int, ...]:
    """What is done so far of what is not completed yet, by step; of a streak, in the unit of now."""
    period = achievement.period
    if period is AchievementPeriod.ROLLING_DAYS:
        last = max(window_ends(achievement, progress), default=progress.decided_until)
        first = max(today - achievement.length, last)
        return done(achievement, [each for each in progress.days if first < each.day <= today])
    if period is AchievementPeriod.WEEK_STREAK:
        return done(achievement, [each for each in progress.days if week_number(each.day) == week_number(today)])
    if period is AchievementPeriod.DAY_STREAK:
        return done(achievement, [each for each in progress.days if each.day == today])
    key = period_key(period, today)
    return done(achievement, [each for each in progress.days if period_key(period, each.day) == key])


def streak(achievement: Achievement, progress: Progress, today: int) -> int:
    """How many units are in a row by now, with no more misses between them than are allowed; the last completion ends
    one. The unit of now is not missed before it is over.
    """
    ends = list(window_ends(achievement, progress))
    last = ends[-1] if ends else progress.decided_until
    units = set(streak_units(achievement, progress))
    unit = week_number(today) if achievement.period is AchievementPeriod.WEEK_STREAK else today
    count, misses = 0, -1 if unit not in units else 0
    while unit > last and misses <= achievement.misses and units:
        if unit in units:
            count += 1
            units.discard(unit)
        else:
            misses += 1
        unit -= 1
    return count


def trimmed(achievement: Achievement, progress: Progress, today: int) -> Progress:
    """The progress without days that nothing can change any more; their repeated completions are kept as a number."""
    after = _trimmed(achievement, progress, today)
    if not after.parts or after.days == progress.days:
        return after
    left = {each.day for each in after.days}
    parts = (replace(part, days=tuple(each for each in part.days if each.day in left)) for part in after.parts)
    return replace(after, parts=tuple(parts))


def _trimmed(achievement: Achievement, progress: Progress, today: int) -> Progress:
    horizon = today - 2 * KEPT_DAYS  # what may be told late, and the longest window before it
    if achievement.period is AchievementPeriod.ONCE or not progress.days or progress.days[0].day >= horizon:
        return progress
    if not achievement.period.repeated:
        old = period_key(achievement.period, horizon)
        return replace(
            progress, days=tuple(each for each in progress.days if period_key(achievement.period, each.day) >= old)
        )
    weekly = achievement.period is AchievementPeriod.WEEK_STREAK
    limit = week_number(horizon) if weekly else horizon
    ends = [end for end in window_ends(achievement, progress) if end < limit]
    until = ends[-1] if ends else progress.decided_until
    width = achievement.length + achievement.misses
    kept = tuple(
        each
        for each in progress.days
        if (unit := week_number(each.day) if weekly else each.day) > until and unit >= limit - width
    )
    return replace(progress, days=kept, decided=progress.decided + len(ends), decided_until=until)
