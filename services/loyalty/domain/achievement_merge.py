"""Progress of customers who are merged, and parted again: days add up, nothing is rewarded twice, all goes back."""

from collections.abc import Iterable, Set
from dataclasses import replace

from services.loyalty.domain.achievement import Achievement
from services.loyalty.domain.achievement_progress import (
    Completion,
    Progress,
    ProgressPart,
    added_days,
    progress_parts,
)


def united(achievement: Achievement, progress: Progress, parts: Iterable[ProgressPart]) -> Progress:
    """The progress of one person with these parts, the member's own first: what two of them completed alike counts
    once in a period, and again as often as it was rewarded where it is done again and again.
    """
    own_first = sorted(parts, key=lambda part: (part.origin_id != progress.member_id, part.origin_id))
    whole = replace(
        progress, days=(), completions=(), decided=0, decided_until=-1, completed_count=0, parts=tuple(own_first)
    )
    for part in own_first:
        whole = replace(
            whole,
            days=added_days(whole.days, part.days),
            completions=_completions(achievement, whole, part),
            decided=whole.decided + part.decided,
            decided_until=max(whole.decided_until, part.decided_until),
        )
    forgotten = sum(part.completed_count - _standing(part.completions) for part in own_first)
    count = forgotten + _standing(whole.completions)
    alone = len(own_first) == 1 and own_first[0].origin_id == progress.member_id
    return replace(whole, completed_count=count, parts=() if alone else whole.parts)


def parted(
    achievement: Achievement, holder: Progress, restored: Progress, origins: Set[str]
) -> tuple[Progress, Progress]:
    """What stays with the holder, and what the restored one has again: the parts that came under these origins."""
    parts = parts_as_now(holder)
    leaving = [part for part in parts if part.origin_id in origins]
    staying = [part for part in parts if part.origin_id not in origins]
    back = {part.origin_id: part for part in progress_parts(restored) if part != ProgressPart(restored.member_id)}
    back |= {part.origin_id: part for part in leaving}
    return united(achievement, holder, staying), united(achievement, restored, back.values())


def _completions(achievement: Achievement, whole: Progress, part: ProgressPart) -> tuple[Completion, ...]:
    """Those of both. Periods of the calendar by their key; numbered ones behind each other."""
    if not achievement.period.repeated:
        held = {each.key for each in whole.completions if not each.revoke_time}
        fresh = [each for each in part.completions if each.revoke_time or each.key not in held]
        return (*whole.completions, *fresh)
    if not whole.completions and not whole.decided:
        return part.completions
    numbers = iter(range(1, len(whole.completions) + len(part.completions) + 1))
    decided = whole.decided + part.decided
    old = [*_numbered(whole.completions, 0, whole.decided), *_numbered(part.completions, 0, part.decided)]
    new = [*_numbered(whole.completions, whole.decided), *_numbered(part.completions, part.decided)]
    kept = [each._replace(key=str(decided + next(numbers))) if not each.revoke_time else each for each in new]
    return (*old, *kept)


def _numbered(completions: Iterable[Completion], above: int, until: int | None = None) -> list[Completion]:
    return [each for each in completions if above < int(each.key) and (until is None or int(each.key) <= until)]


def parts_as_now(holder: Progress) -> tuple[ProgressPart, ...]:
    """The progress by origin, with completions as they are by now: some may have been revoked since the parts came
    together, and what came since is the holder's own, whoever's names it came under.
    """
    own, parts = ProgressPart(holder.member_id), progress_parts(holder)
    if all(part.origin_id != holder.member_id for part in parts):
        parts = (own, *parts)
    return tuple(part for part in (_as_now(holder, each) for each in parts) if part != own)


def _as_now(holder: Progress, part: ProgressPart) -> ProgressPart:
    revoked = {(each.time, each.entry_id): each.revoke_time for each in holder.completions if each.revoke_time}
    completions = tuple(
        each._replace(revoke_time=each.revoke_time or revoked.get((each.time, each.entry_id), 0))
        for each in part.completions
    )
    lost = _standing(part.completions) - _standing(completions)
    if part.origin_id == holder.member_id:
        known = {(each.time, each.entry_id) for one in progress_parts(holder) for each in one.completions}
        fresh = tuple(each for each in holder.completions if (each.time, each.entry_id) not in known)
        completions, lost = (*completions, *fresh), lost - _standing(fresh)
    return replace(part, completions=completions, completed_count=part.completed_count - lost)


def _standing(completions: Iterable[Completion]) -> int:
    return sum(not each.revoke_time for each in completions)
