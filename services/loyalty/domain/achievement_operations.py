"""Making and changing achievements."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from services.loyalty.domain.achievement import (
    ACHIEVEMENTS_MAX,
    Achievement,
    AchievementBook,
    AchievementChanged,
    AchievementExists,
    AchievementInvalid,
    AchievementLimitReached,
    achievements_ref,
    check_achievement,
    same_task,
)
from services.loyalty.domain.books import Books, Needs
from services.loyalty.domain.program import Program


@dataclass(frozen=True, slots=True, kw_only=True)
class CreateAchievement:
    """Adds an achievement to a programme: what happens from now on counts, and what is told late."""

    achievement: Achievement

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs(records=(achievements_ref(self.achievement.program_id),))

    def apply(self, books: Books, now: int) -> Achievement:
        told = self.achievement
        check_achievement(told)
        program = books.program(told.program_id)
        book = books.record(achievements_ref(program.id)) or AchievementBook(program.id)
        if book.find(told.achievement_id):
            raise AchievementExists(
                f"there is an achievement {told.achievement_id} already", achievement_id=told.achievement_id
            )
        if len(book.achievements) >= ACHIEVEMENTS_MAX:
            raise AchievementLimitReached(
                f"a programme may have {ACHIEVEMENTS_MAX} achievements; change one that is over", limit=ACHIEVEMENTS_MAX
            )
        return _keep(books, book, replace(told, version=1, create_time=now))


@dataclass(frozen=True, slots=True, kw_only=True)
class UpdateAchievement:
    """Changes an achievement that is at ``version``; what it asks of members stays."""

    achievement: Achievement
    version: int

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        return Needs(records=(achievements_ref(self.achievement.program_id),))

    def apply(self, books: Books, now: int) -> Achievement:
        told = self.achievement
        check_achievement(told)
        program = books.program(told.program_id)
        book = books.record(achievements_ref(program.id)) or AchievementBook(program.id)
        before = book.get(told.achievement_id)
        if before.version != self.version:
            raise AchievementChanged(
                f"{told.achievement_id} is at version {before.version}; read it again", version=before.version
            )
        if not same_task(before, told):
            raise AchievementInvalid(
                "what it asks cannot change: members are on their way; end it and make another", field="steps"
            )
        return _keep(books, book, replace(told, version=before.version + 1, create_time=before.create_time))


def _keep(books: Books, book: AchievementBook, achievement: Achievement) -> Achievement:
    others = (each for each in book.achievements if each.achievement_id != achievement.achievement_id)
    kept = tuple(sorted((*others, achievement), key=lambda each: each.achievement_id))
    books.put_record(achievements_ref(book.program_id), replace(book, achievements=kept))
    return achievement
