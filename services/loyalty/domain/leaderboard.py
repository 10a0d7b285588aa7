"""Leaderboards: what is compared, over which time, and under which names members are shown to each other."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from hashlib import blake2b

from services.common.errors import AlreadyExists, InvalidArgument, NotFound, ResourceExhausted
from services.loyalty.domain.achievement import StepMeasure, achievements_ref
from services.loyalty.domain.books import Books, Needs
from services.loyalty.domain.program import Program
from services.loyalty.domain.records import Kind, Ref
from services.loyalty.domain.zones import Period

LEADERBOARDS_MAX = 20
"""Of one programme: each entry is looked at by all of them."""
ROLLING_DAYS_MAX = 366


class LeaderboardInvalid(InvalidArgument):
    """A leaderboard contradicts itself, or asks for what cannot be added up."""


class LeaderboardExists(AlreadyExists):
    """The id of the new leaderboard is taken in its programme."""


class LeaderboardLimitReached(ResourceExhausted):
    """The programme has as many leaderboards as it may."""


class LeaderboardNotFound(NotFound):
    """There is no such leaderboard in the programme."""


class Metric(Enum):
    """What is added up."""

    POINTS = "points"
    SPEND = "spend"
    ACHIEVEMENT = "achievement"


@dataclass(frozen=True, slots=True)
class Leaderboard:
    """One leaderboard. ``rolling_days`` above 0: the last so many days, instead of a period of the calendar."""

    program_id: str
    leaderboard_id: str
    name: str
    metric: Metric
    period: Period
    rolling_days: int = 0
    achievement_id: str = ""
    step: int = 0
    active: bool = True
    create_time: int = 0

    @property
    def compared(self) -> str:
        """What is compared: members are on the same footing only where this is the same."""
        return f"{self.achievement_id}/{self.step}" if self.metric is Metric.ACHIEVEMENT else self.metric.value


@dataclass(frozen=True, slots=True)
class LeaderboardBook:
    """All leaderboards of a programme, by id, and what pseudonyms are made with."""

    program_id: str
    leaderboards: tuple[Leaderboard, ...] = ()
    salt: str = ""

    def find(self, leaderboard_id: str) -> Leaderboard | None:
        """The leaderboard, if there is one."""
        return next((each for each in self.leaderboards if each.leaderboard_id == leaderboard_id), None)

    def get(self, leaderboard_id: str) -> Leaderboard:
        """The leaderboard, or ``LeaderboardNotFound``."""
        found = self.find(leaderboard_id)
        if found is None:
            raise LeaderboardNotFound(
                f"there is no leaderboard {leaderboard_id} in programme {self.program_id}",
                leaderboard_id=leaderboard_id,
            )
        return found

    def pseudonym(self, member_id: str) -> str:
        """What others see of a member who chose no alias: the same on every leaderboard of the programme."""
        digest = blake2b(member_id.encode(errors="surrogatepass"), key=self.salt.encode()[:64], digest_size=5)
        return f"Member {digest.hexdigest().upper()}"


@dataclass(frozen=True, slots=True)
class LeaderboardName:
    """What others see of a member; ``hidden``: nothing, and the member has no rank."""

    program_id: str
    member_id: str
    alias: str = ""
    hidden: bool = False


LEADERBOARD_BOOKS = Kind("leaderboards", LeaderboardBook)
LEADERBOARD_NAMES = Kind("leaderboard_names", LeaderboardName)


def leaderboards_ref(program_id: str) -> Ref[LeaderboardBook]:
    """Where a programme's leaderboards are kept."""
    return Ref(LEADERBOARD_BOOKS, program_id)


def name_ref(program_id: str, member_id: str) -> Ref[LeaderboardName]:
    """Where it is kept how a member is shown."""
    return Ref(LEADERBOARD_NAMES, f"{program_id}/{member_id}")


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateLeaderboard:
    """Adds a leaderboard to a programme; what is entered from now on counts. ``salt`` is drawn by whoever asks."""

    leaderboard: Leaderboard
    salt: str

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        program_id = self.leaderboard.program_id
        return Needs(records=(leaderboards_ref(program_id), achievements_ref(program_id)))

    def apply(self, books: Books, now: int) -> Leaderboard:
        told = self.leaderboard
        _check(told)
        program = books.program(told.program_id)
        if told.metric is Metric.ACHIEVEMENT:
            _check_step(books, told)
        book = books.record(leaderboards_ref(program.id)) or LeaderboardBook(program.id, salt=self.salt)
        if book.find(told.leaderboard_id):
            raise LeaderboardExists(
                f"there is a leaderboard {told.leaderboard_id} already", leaderboard_id=told.leaderboard_id
            )
        if len(book.leaderboards) >= LEADERBOARDS_MAX:
            raise LeaderboardLimitReached(
                f"a programme may have {LEADERBOARDS_MAX} leaderboards", limit=LEADERBOARDS_MAX
            )
        return _keep(books, book, replace(told, create_time=now))


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateLeaderboard:
    """Renames a leaderboard, or lets it rest: what is entered meanwhile does not count."""

    program_id: str
    leaderboard_id: str
    name: str
    active: bool

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs(records=(leaderboards_ref(self.program_id),))

    def apply(self, books: Books, now: int) -> Leaderboard:
        program = books.program(self.program_id)
        book = books.record(leaderboards_ref(program.id)) or LeaderboardBook(program.id)
        before = book.get(self.leaderboard_id)
        return _keep(books, book, replace(before, name=self.name or before.name, active=self.active))


def _keep(books: Books, book: LeaderboardBook, leaderboard: Leaderboard) -> Leaderboard:
    others = (each for each in book.leaderboards if each.leaderboard_id != leaderboard.leaderboard_id)
    kept = tuple(sorted((*others, leaderboard), key=lambda each: each.leaderboard_id))
    books.put_record(leaderboards_ref(book.program_id), replace(book, leaderboards=kept))
    return leaderboard


def _check(told: Leaderboard) -> None:
    if told.rolling_days and told.period is not Period.LIFETIME:
        raise LeaderboardInvalid("rolling days and a period of the calendar exclude each other", field="rolling_days")
    if (told.metric is Metric.ACHIEVEMENT) != bool(told.achievement_id):
        raise LeaderboardInvalid("ACHIEVEMENT, and only it, names an achievement", field="achievement_id")


def _check_step(books: Books, told: Leaderboard) -> None:
    book = books.record(achievements_ref(told.program_id))
    achievement = book.find(told.achievement_id) if book else None
    if achievement is None or told.step >= len(achievement.steps):
        raise LeaderboardInvalid(f"{told.achievement_id} has no step {told.step}", field="achievement_id")
    if achievement.steps[told.step].measure is StepMeasure.DISTINCT_DAYS:
        raise LeaderboardInvalid("days with an event are not added up: choose a step that counts or sums", field="step")
