"""Achievements: making and changing them, and how far members are."""

from dataclasses import dataclass

from services.loyalty.domain.achievement import Achievement, AchievementPeriod
from services.loyalty.domain.achievement_operations import CreateAchievement, UpdateAchievement
from services.loyalty.domain.achievement_progress import Completion, Progress, current, day_number, streak
from services.loyalty.ports import Clubs, Ledger, Programs, Request

COMPLETIONS_SHOWN = 50


@dataclass(frozen=True, slots=True)
class Reached:
    """How far a member is in an achievement: by step, in the unit of its target."""

    achievement: Achievement
    amounts: tuple[int, ...]
    streak_length: int
    completed_count: int
    completions: tuple[Completion, ...]
    """The latest, newest first."""


async def create_achievement(ledger: Ledger, request: Request, achievement: Achievement) -> Achievement:
    """Add an achievement."""
    return await ledger.post(request, CreateAchievement(achievement=achievement))


async def update_achievement(ledger: Ledger, request: Request, achievement: Achievement, version: int) -> Achievement:
    """Change an achievement."""
    return await ledger.post(request, UpdateAchievement(achievement=achievement, version=version))


async def list_achievements(programs: Programs, clubs: Clubs, tenant: str, program_id: str) -> tuple[Achievement, ...]:
    """All achievements of a programme; ``ProgramNotFound``."""
    await programs.get(tenant, program_id)
    return (await clubs.achievements(tenant, program_id)).achievements


async def list_member_achievements(
    programs: Programs, clubs: Clubs, tenant: str, program_id: str, member_id: str, now: int
) -> list[Reached]:
    """How far a customer is in everything that is active or begun; ``ProgramNotFound``."""
    program = await programs.get(tenant, program_id)
    book = await clubs.achievements(tenant, program_id)
    begun = await clubs.progress(tenant, book, member_id)
    today = day_number(now, program.time_zone)
    return [
        _reached(each, begun.get(each.achievement_id) or Progress(program.id, each.achievement_id, member_id), today)
        for each in book.achievements
        if each.active or each.achievement_id in begun
    ]


def _reached(achievement: Achievement, progress: Progress, today: int) -> Reached:
    in_a_row = achievement.period in (AchievementPeriod.DAY_STREAK, AchievementPeriod.WEEK_STREAK)
    return Reached(
        achievement,
        current(achievement, progress, today),
        streak(achievement, progress, today) if in_a_row else 0,
        progress.completed_count,
        tuple(reversed(progress.completions[-COMPLETIONS_SHOWN:])),
    )
