"""Achievements and leaderboards of customers who are merged, or parted again, in the commit that tells it."""

from collections.abc import Sequence, Set
from dataclasses import replace

from services.loyalty.domain.achievement import Achievement, achievements_ref
from services.loyalty.domain.achievement_merge import parted, parts_as_now, united
from services.loyalty.domain.achievement_progress import Progress, progress_ref
from services.loyalty.domain.achievement_rewards import settle_progress
from services.loyalty.domain.books import Books, Needs
from services.loyalty.domain.leaderboard import leaderboards_ref
from services.loyalty.domain.score_change import ScoreChange, ScoreChangeKind, compared, note_change


def progress_needs(program_ids: Sequence[str], customer_ids: Sequence[str]) -> Needs:
    """What must be loaded before progress moves: where there are no achievements, no more than that."""

    def then(books: Books) -> Needs:
        people = {(each, books.account_id(each, name)) for each in program_ids for name in customer_ids}
        people |= {(each, name) for each in program_ids for name in customer_ids}
        return Needs(
            records=[
                progress_ref(program_id, each.achievement_id, name)
                for program_id, name in people
                for each in _achievements(books, program_id)
            ]
        )

    refs = [ref(each) for each in program_ids for ref in (achievements_ref, leaderboards_ref)]
    return Needs(records=refs, then=then)


def merge_progress(books: Books, merge_id: str, merged_id: str, customer_id: str, now: int) -> None:
    """What the merged customer has done is the survivor's; what both together complete is rewarded."""
    for program in books.programs.values():
        into_id = books.account_id(program.id, customer_id)
        for achievement in _achievements(books, program.id):
            ref = progress_ref(program.id, achievement.achievement_id, merged_id)
            merged = books.record(ref)
            if merged is None:
                continue
            survivor = books.record(progress_ref(program.id, achievement.achievement_id, into_id))
            survivor = survivor or Progress(program.id, achievement.achievement_id, into_id)
            books.drop_record(ref)
            whole = united(achievement, survivor, (*parts_as_now(survivor), *parts_as_now(merged)))
            settle_progress(books, program, achievement, whole, now, undone_days=frozenset())
        if compared(books, program.id):
            told = ScoreChange(
                kind=ScoreChangeKind.MERGE, program_id=program.id, member_id=into_id, partner_id=merged_id, time=now
            )
            note_change(books, told, f"{program.id}/{merge_id}/{merged_id}")


def part_progress(books: Books, merge_id: str, customer_id: str, restored_id: str, origins: Set[str], now: int) -> None:
    """What came under these origins is the restored customer's again, as far as it was not revoked; nothing is rewarded
    or revoked by that.
    """
    for program in books.programs.values():
        holder_id = books.account_id(program.id, customer_id)
        for achievement in _achievements(books, program.id):
            held = books.record(progress_ref(program.id, achievement.achievement_id, holder_id))
            if held is None or not any(part.origin_id in origins for part in held.parts):
                continue
            restored = books.record(progress_ref(program.id, achievement.achievement_id, restored_id))
            restored = restored or Progress(program.id, achievement.achievement_id, restored_id)
            for each in parted(achievement, held, restored, origins):
                ref = progress_ref(program.id, achievement.achievement_id, each.member_id)
                if each.days or each.completions or each.decided:
                    books.put_record(ref, replace(each, update_time=now))
                else:
                    books.drop_record(ref)
        if compared(books, program.id):
            told = ScoreChange(
                kind=ScoreChangeKind.UNMERGE,
                program_id=program.id,
                member_id=holder_id,
                partner_id=restored_id,
                origin_ids=tuple(sorted(origins)),
                time=now,
            )
            note_change(books, told, f"{program.id}/{merge_id}/{restored_id}")


def _achievements(books: Books, program_id: str) -> tuple[Achievement, ...]:
    book = books.record(achievements_ref(program_id))
    return book.achievements if book else ()
