"""Scores: what a member has on a leaderboard in one period, kept by origin so that merges can be taken back exactly."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import NamedTuple

from services.loyalty.domain.achievement_progress import day_number
from services.loyalty.domain.entry import Account, Entry, EntryKind
from services.loyalty.domain.leaderboard import Leaderboard, Metric
from services.loyalty.domain.records import Kind
from services.loyalty.domain.zones import Period, period_at

ROLLING = "rolling"
KEPT_DAYS = 400
"""How long after a period of the calendar its scores are kept."""
_EXACT = 64
"""Scores below twice this have a bucket each; above, there are as many in each doubling."""


class Gain(NamedTuple):
    """So much more, or less, of a metric: by whom, under whose names, when, and when it became known."""

    member_id: str
    origin_id: str
    compared: str
    event_time: int
    amount: int
    known_time: int


@dataclass(frozen=True, slots=True)
class Score:
    """A member's score. ``parts``: amounts by origin and day (of days since 1970; of a calendar one day, ``0``)."""

    program_id: str
    leaderboard_id: str
    period: str
    member_id: str
    parts: dict[str, dict[str, int]] = field(default_factory=dict)
    ranking: str = ""
    place: str | None = None
    """Sorts members of a ranking, the best last; ``None``: without a rank."""
    due_day: int | None = None
    """The day, of days since 1970, on which something of it is to be forgotten."""

    @property
    def total(self) -> int:
        """All of it."""
        return sum(amount for days in self.parts.values() for amount in days.values())

    def emptied(self) -> "Score":
        """With nothing in it any more."""
        return replace(self, parts={})


@dataclass(frozen=True, slots=True)
class Ranking:
    """How many members there are in a period of a leaderboard, by bucket of scores."""

    ranking: str
    counts: dict[str, int] = field(default_factory=dict)

    @property
    def members(self) -> int:
        """How many have a rank."""
        return sum(self.counts.values())

    def above(self, bucket: int) -> int:
        """How many are in better buckets."""
        return sum(count for at, count in self.counts.items() if int(at) > bucket)

    def changed(self, before: str | None, after: str | None) -> "Ranking":
        """With a member at another place."""
        counts = dict(self.counts)
        for place, step in ((before, -1), (after, 1)):
            if place is not None:
                at = str(bucket_of(score_at(place)))
                counts[at] = counts.get(at, 0) + step
        return replace(self, counts={at: count for at, count in counts.items() if count})


SCORES = Kind("leaderboard_scores", Score)
RANKINGS = Kind("leaderboard_rankings", Ranking)


def bucket_of(score: int) -> int:
    """The bucket of a score above zero: better scores are never in a lower one."""
    shift = max(0, score.bit_length() - _EXACT.bit_length())
    return (shift + 1) * _EXACT + (score >> shift) - _EXACT if shift else score


def bucket_end(bucket: int) -> int:
    """The lowest score of the next bucket."""
    if bucket < 2 * _EXACT:
        return bucket + 1
    shift, rest = divmod(bucket, _EXACT)
    return (rest + _EXACT + 1) << (shift - 1)


def place_of(score: int, member_id: str) -> str:
    """Where a score puts a member: by score, then in an order that says nothing of them."""
    tie = blake2b(member_id.encode(errors="surrogatepass"), digest_size=8).hexdigest()
    return f"{least_place(score)}{tie}"


def least_place(score: int) -> str:
    """What every place of this score, and of better ones, comes after."""
    return f"{score:017d}/"


def score_at(place: str) -> int:
    """The score of a place."""
    return int(place.partition("/")[0])


def ranking_id(program_id: str, leaderboard_id: str, period: str) -> str:
    """Under which id the ranking of a period is kept."""
    return f"{program_id}/{leaderboard_id}/{period}"


def score_id(ranking: str, member_id: str) -> str:
    """Under which id a member's score in a ranking is kept."""
    return f"{ranking}/{member_id}"


def period_of(leaderboard: Leaderboard, instant: int, zone: str) -> str:
    """The period of the leaderboard that the instant belongs to."""
    return ROLLING if leaderboard.rolling_days else period_at(leaderboard.period, instant, zone).key


def new_score(leaderboard: Leaderboard, member_id: str, instant: int, zone: str) -> Score:
    """A member's score in the period of an instant, with nothing in it."""
    period, forgotten = period_of(leaderboard, instant, zone), None
    if not leaderboard.rolling_days and leaderboard.period is not Period.LIFETIME:
        forgotten = day_number(period_at(leaderboard.period, instant, zone).end, zone) + KEPT_DAYS
    return Score(leaderboard.program_id, leaderboard.leaderboard_id, period, member_id, due_day=forgotten)


def counts(leaderboard: Leaderboard, gain: Gain) -> bool:
    """Whether the leaderboard counts it: what was known before there was one, does not."""
    compared = leaderboard.active and leaderboard.compared == gain.compared
    return compared and gain.known_time >= leaderboard.create_time


def gained(score: Score, leaderboard: Leaderboard, gain: Gain, zone: str) -> Score:
    """The score with what was gained, or lost."""
    day = str(day_number(gain.event_time, zone)) if leaderboard.rolling_days else "0"
    days = dict(score.parts.get(gain.origin_id, {}))
    days[day] = days.get(day, 0) + gain.amount
    return replace(score, parts=_parts({**score.parts, gain.origin_id: days}))


def joined(score: Score, others: dict[str, dict[str, int]]) -> Score:
    """The score with the parts of another, who is the same person."""
    parts = {origin: dict(days) for origin, days in score.parts.items()}
    for origin, days in others.items():
        own = parts.setdefault(origin, {})
        for day, amount in days.items():
            own[day] = own.get(day, 0) + amount
    return replace(score, parts=_parts(parts))


def _parts(parts: dict[str, dict[str, int]]) -> dict[str, dict[str, int]]:
    kept = {origin: {day: amount for day, amount in days.items() if amount} for origin, days in parts.items()}
    return {origin: days for origin, days in kept.items() if days}


def placed(score: Score, leaderboard: Leaderboard, zone: str, now: int, *, hidden: bool) -> Score:
    """The score where it belongs now, without days that are over, and with the time at which more will be."""
    due = score.due_day
    if leaderboard.rolling_days:
        first = day_number(now, zone) - leaderboard.rolling_days + 1
        within = ({day: amount for day, amount in days.items() if int(day) >= first} for days in score.parts.values())
        score = replace(score, parts=_parts(dict(zip(score.parts, within, strict=True))))
        oldest = min((int(day) for days in score.parts.values() for day in days), default=None)
        due = None if oldest is None else oldest + leaderboard.rolling_days
    place = place_of(score.total, score.member_id) if score.total > 0 and not hidden else None
    ranking = ranking_id(score.program_id, score.leaderboard_id, score.period)
    return replace(score, ranking=ranking, place=place, due_day=due)


def gains_of(entry: Entry, source: Entry | None) -> Iterator[Gain]:
    """What an entry means for leaderboards; ``source`` is the order, or what was pending, that it is about."""
    cause = source or entry
    origin_id, amounts = cause.origin_id or cause.member_id, {Metric.POINTS: 0, Metric.SPEND: 0}
    match entry.kind:
        case EntryKind.ORDER | EntryKind.EVENT | EntryKind.GRANT:
            amounts[Metric.POINTS] = entry.points if entry.credit is Account.MEMBER else 0
            amounts[Metric.SPEND] = entry.order_amount_minor if entry.kind is EntryKind.ORDER else 0
        case EntryKind.POST if source:
            amounts[Metric.POINTS] = entry.points
        case EntryKind.REFUND | EntryKind.REVOKE if source:
            amounts[Metric.POINTS] = -entry.points if entry.debit is Account.MEMBER else 0
            amounts[Metric.SPEND] = -entry.order_amount_minor if entry.kind is EntryKind.REFUND else 0
    for metric, amount in amounts.items():
        if amount:
            yield Gain(entry.member_id, origin_id, metric.value, cause.event_time, amount, cause.record_time)
