"""Achievements: what members have to do, how often and in which time, and what it brings them."""

from dataclasses import dataclass
from enum import Enum
from functools import lru_cache

from services.common.errors import AlreadyExists, FailedPrecondition, InvalidArgument, NotFound, ResourceExhausted
from services.common.rules.condition import Condition, check_condition
from services.loyalty.domain.records import Kind, Ref

ACHIEVEMENTS_MAX = 100
"""Of one programme: each event is looked at by all that are about it."""
SUM_SCALE = 1000
"""Sums are kept in thousandths: whole numbers come to the same in any order."""
LENGTH_MAX = 366
"""Days of a rolling window, or of a streak with its misses."""
WEEKS_MAX = 53


class AchievementInvalid(InvalidArgument):
    """An achievement contradicts itself."""


class AchievementExists(AlreadyExists):
    """The id of the new achievement is taken in its programme."""


class AchievementLimitReached(ResourceExhausted):
    """The programme has as many achievements as it may."""


class AchievementNotFound(NotFound):
    """There is no such achievement in the programme."""


class AchievementChanged(FailedPrecondition):
    """Somebody changed the achievement since the caller read it. Metadata has the version that it is at."""


class StepMeasure(Enum):
    """What of its events a step counts."""

    COUNT = "count"
    SUM = "sum"
    DISTINCT_DAYS = "distinct_days"


class AchievementPeriod(Enum):
    """In which time the steps must be done."""

    ONCE = "once"
    DAY = "day"
    WEEK = "week"
    MONTH = "month"
    YEAR = "year"
    ROLLING_DAYS = "rolling_days"
    DAY_STREAK = "day_streak"
    WEEK_STREAK = "week_streak"

    @property
    def streak(self) -> bool:
        """Whether units in a row count."""
        return self in (AchievementPeriod.DAY_STREAK, AchievementPeriod.WEEK_STREAK)

    @property
    def repeated(self) -> bool:
        """Whether it is done again and again, each time from where it was done last."""
        return self.streak or self is AchievementPeriod.ROLLING_DAYS


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do. ``target`` is events, thousandths of the property's sum, or days."""

    event_name: str
    measure: StepMeasure
    target: int
    name: str = ""
    property_name: str = ""
    condition: Condition | None = None


@dataclass(frozen=True, slots=True)
class Achievement:
    """All steps done in one period complete it. ``length`` is days, or units in a row; ``misses`` are between them."""

    program_id: str
    achievement_id: str
    name: str
    steps: tuple[Step, ...]
    period: AchievementPeriod
    length: int = 0
    misses: int = 0
    start_time: int = 0
    end_time: int | None = None
    completions_max: int = 0
    """How often it can be completed; 0: as often as its period allows."""
    reward_points: int = 0
    revoked_by_refund: bool = False
    description: str = ""
    badge: str = ""
    active: bool = True
    version: int = 1
    create_time: int = 0

    def about(self, event_name: str) -> bool:
        """Whether a step counts such events."""
        return self.active and any(step.event_name == event_name for step in self.steps)

    def open_at(self, time: int) -> bool:
        """Whether what happens then counts."""
        return self.start_time <= time and (self.end_time is None or time < self.end_time)


@dataclass(frozen=True, slots=True)
class AchievementBook:
    """All achievements of a programme, by id."""

    program_id: str
    achievements: tuple[Achievement, ...] = ()

    def find(self, achievement_id: str) -> Achievement | None:
        """The achievement, if there is one."""
        return next((each for each in self.achievements if each.achievement_id == achievement_id), None)

    def get(self, achievement_id: str) -> Achievement:
        """The achievement, or ``AchievementNotFound``."""
        found = self.find(achievement_id)
        if found is None:
            raise AchievementNotFound(
                f"there is no achievement {achievement_id} in programme {self.program_id}",
                achievement_id=achievement_id,
            )
        return found

    def about(self, event_name: str) -> list[Achievement]:
        """Those that such events count for."""
        return [each for each in self.achievements if each.about(event_name)]


ACHIEVEMENT_BOOKS = Kind("achievements", AchievementBook)


@lru_cache(maxsize=1024)
def achievements_ref(program_id: str) -> Ref[AchievementBook]:
    """Where a programme's achievements are kept."""
    return Ref(ACHIEVEMENT_BOOKS, program_id)


def check_achievement(told: Achievement) -> None:
    """``AchievementInvalid``, ``RuleInvalid`` or ``RuleUnsupported`` unless it can be done."""
    _need(bool(told.steps), "steps", "there must be a step")
    for at, step in enumerate(told.steps):
        place, summed = f"steps[{at}]", step.measure is StepMeasure.SUM
        _need(bool(step.property_name) == summed, f"{place}.property_name", "a SUM, and only it, names its property")
        _need(step.target >= 1, f"{place}.target", "it must be above zero")
    if told.period.repeated:
        _need(told.length >= 1, "length", "a rolling window and a streak have a length")
        longest = WEEKS_MAX if told.period is AchievementPeriod.WEEK_STREAK else LENGTH_MAX
        _need(told.length + told.misses <= longest, "length", f"with its misses at most {longest}")
    else:
        _need(not told.length and not told.completions_max, "length", "only rolling windows and streaks have one")
    _need(told.period.streak or not told.misses, "misses", "only streaks have them")
    _need(told.end_time is None or told.start_time < told.end_time, "end_time", "it must be later than start_time")
    for at, step in enumerate(told.steps):
        check_condition(step.condition, f"steps[{at}].condition")


def same_task(one: Achievement, other: Achievement) -> bool:
    """Whether both ask the same of members, so that what was done for one was done for the other."""
    return _task(one) == _task(other)


def _task(told: Achievement) -> tuple[object, ...]:
    counted = tuple((step.event_name, step.measure, step.property_name, step.condition) for step in told.steps)
    return counted, told.period, told.length, told.misses, tuple(step.target for step in told.steps)


def _need(holds: bool, place: str, problem: str) -> None:
    if not holds:
        raise AchievementInvalid(f"{place}: {problem}", field=place)
