"""What completing an achievement brings, once, and what is taken back where it is not completed any more."""

from collections.abc import Set
from dataclasses import replace
from hashlib import blake2b

from services.loyalty.domain.account_activity import note_activity
from services.loyalty.domain.achievement import Achievement
from services.loyalty.domain.achievement_progress import (
    COMPLETIONS_MAX,
    Completion,
    Progress,
    completed,
    day_number,
    period_key,
    progress_ref,
    trimmed,
)
from services.loyalty.domain.books import Books
from services.loyalty.domain.entry import RETURNED, Entry, EntryKind, request_entry_id, revoked_entry_id
from services.loyalty.domain.errors import BalanceLimitReached, MemberBlocked
from services.loyalty.domain.member import Cause, Member, earn, entered, expire, qualified, taken_lots
from services.loyalty.domain.pending import settle
from services.loyalty.domain.program import Program, RefundPolicy


def settle_progress(
    books: Books, program: Program, achievement: Achievement, progress: Progress, now: int, undone_days: Set[int]
) -> None:
    """Keep the progress, reward what it completes and has not before, revoke what undone days left undone."""
    keys, standing = completed(achievement, progress), progress.standing(achievement)
    completions = list(progress.completions)
    for key in keys:
        if key not in standing:
            completions.append(_reward(books, program, achievement, progress, key, now))
    gone = _gone(achievement, standing.keys() - keys, undone_days)
    for at, each in enumerate(completions):
        if each.key in gone and not each.revoke_time:
            completions[at] = _revoke(books, program, progress.member_id, each, now)
    count = progress.completed_count + len(completions) - len(progress.completions) - len(gone)
    after = replace(progress, completions=tuple(completions[-COMPLETIONS_MAX:]), completed_count=count, update_time=now)
    after = trimmed(achievement, after, day_number(now, program.time_zone))
    books.put_record(progress_ref(program.id, achievement.achievement_id, progress.member_id), after)


def _gone(achievement: Achievement, missing: Set[str], undone_days: Set[int]) -> Set[str]:
    """What is not completed any more: of a calendar, only in the periods of these days: older ones are gone."""
    if not undone_days:
        return frozenset()
    if achievement.period.repeated:
        return missing
    return missing & {period_key(achievement.period, day) for day in undone_days}


def _reward(
    books: Books, program: Program, achievement: Achievement, progress: Progress, key: str, now: int
) -> Completion:
    """The completion, with the points that it brought: their entry's id is its own, so they are given once."""
    if not achievement.reward_points:
        return Completion(key, now)
    request_id = _request_id(program, achievement, progress, key)
    cause = Cause(
        request_entry_id(request_id),
        EntryKind.GRANT,
        now,
        now,
        request_id=request_id,
        reason=f"achievement: {achievement.name}",
    )
    try:
        member = books.earner(program.id, progress.member_id)
        entry = books.enter(*earn(member, program, achievement.reward_points, cause))
    except (BalanceLimitReached, MemberBlocked):
        return Completion(key, now)  # it is done, though nothing can be given for it
    note_activity(books, entry, progress.member_id)
    return Completion(key, now, entry.id, entry.points, owner_id=member.id if member.id != progress.member_id else "")


def _request_id(program: Program, achievement: Achievement, progress: Progress, key: str) -> str:
    """The first id of this key that no completion has: one that was revoked may be completed again, and merges give
    completions other numbers, but never what they brought another id.
    """
    taken = {each.entry_id for each in progress.completions}
    for times in range(len(taken) + 1):
        # Hashed: keys are not for essays, and a pseudonym is not to be found by them.
        about = f"{program.id}/{achievement.achievement_id}/{progress.member_id}/{key}/{times}"
        request_id = f"achievement/{blake2b(about.encode(), digest_size=16).hexdigest()}"
        if request_entry_id(request_id) not in taken:
            break
    return request_id


def _revoke(books: Books, program: Program, member_id: str, completion: Completion, now: int) -> Completion:
    if completion.points:
        member = books.member(program.id, completion.owner_id or member_id)
        books.enter_all(*revoke(member, program, completion, now))
    return completion._replace(revoke_time=now)


def revoke(member: Member, program: Program, completion: Completion, now: int) -> tuple[Member, list[Entry]]:
    """What a completion brought, back from the member's lots, as the programme's refund policy allows."""
    member, entries = settle(member, program, now, now)
    if lapsed := expire(member, program, now, now):
        member, entries = lapsed[0], [*entries, lapsed[1]]
    due = completion.points
    points = {
        RefundPolicy.ONLY_PENDING: 0,
        RefundPolicy.WITHIN_BALANCE: min(due, max(0, member.balance)),
        RefundPolicy.ALLOW_NEGATIVE: due,
    }[program.refund_policy]
    taken, left = taken_lots(member.lots, points)
    cause = Cause(
        revoked_entry_id(completion.entry_id),
        EntryKind.REVOKE,
        now,
        completion.time,
        source_entry_id=completion.entry_id,
        uncollected=due - points,
    )
    revoked = replace(
        member,
        balance=member.balance - points,
        refunded=member.refunded + points,
        entry_count=member.entry_count + 1,
        lots=left,
        qualified=qualified(member.qualified, program, completion.time, -points, 0),
    )
    revoked, entry = entered(revoked, program, points, taken, cause, RETURNED)
    return revoked, [*entries, entry]
