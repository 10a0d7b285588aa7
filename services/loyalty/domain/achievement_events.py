"""What events mean for achievements: each counts once, whenever and how often it is told, and orders can be undone."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from typing import Any

from services.common.rules.condition import Facts, holds
from services.loyalty.domain.achievement import (
    SUM_SCALE,
    Achievement,
    AchievementBook,
    Step,
    StepMeasure,
    achievements_ref,
)
from services.loyalty.domain.achievement_progress import KEPT_DAYS, Progress, day_number, progress_ref, with_amount
from services.loyalty.domain.achievement_rewards import settle_progress
from services.loyalty.domain.books import Books, Needs
from services.loyalty.domain.customer import SEGMENTS
from services.loyalty.domain.days import HOUR_MICROS
from services.loyalty.domain.leaderboard import leaderboards_ref
from services.loyalty.domain.program import Program
from services.loyalty.domain.records import Kind, Ref
from services.loyalty.domain.score_change import ScoreChange, ScoreChangeKind, compared, note_change

ORDER_COMPLETED = "Order Completed"
SUM_MAX = 10**12
"""The largest value of a property that is summed."""

Part = tuple[str, int, int, int]
"""Achievement, step, day, and how much."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one event, or order, counted for: the proof that it has, and what is taken off where it is undone.

    Without a member: an order that was refunded before it came.
    """

    program_id: str
    member_id: str
    time: int
    parts: tuple[Part, ...] = ()
    undone: bool = False
    origin_id: str = ""
    """Under whose names it came."""
    currency: str = ""
    amount_minor: int = 0
    """What the order came to, and ``refunded_minor`` of it by now."""
    refunded_minor: int = 0

    @property
    def person_id(self) -> str:
        """Whose it is, whoever has their account now."""
        return self.origin_id or self.member_id


CONTRIBUTIONS = Kind("achievement_contributions", Contribution)


def contribution_ref(program_id: str, kind: str, id: str) -> Ref[Contribution]:
    """Where it is kept what an event or order counted for."""
    digest = blake2b(f"{kind}/{id}".encode(errors="surrogatepass"), digest_size=16).hexdigest()
    return Ref(CONTRIBUTIONS, f"{program_id}/{digest}")


@dataclass(frozen=True, slots=True)
class Happened:
    """An event that a feed told; an order counts under its ``order_id``. ``details`` reads the properties."""

    event_id: str
    name: str
    member_id: str
    event_time: int
    details: Callable[[], Mapping[str, Any]] = field(compare=False)
    order_id: str = ""
    origin_id: str = ""
    """Under whose names it came, where that is not ``member_id``."""
    currency: str = ""
    amount_minor: int = 0
    """Of an order: what it came to."""

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        """What must be loaded before: where there are no achievements, no more than that."""
        return Needs(records=[achievements_ref(program_id) for program_id in programs], then=self._concerned)

    def _concerned(self, books: Books) -> Needs:
        concerned = [program.id for program, _ in self._about(books)]
        if not concerned:
            return Needs()
        names = {self.member_id, self.origin_id or self.member_id}
        return Needs(
            members=[(program_id, name) for program_id in concerned for name in names],
            records=[
                Ref(SEGMENTS, self.member_id),
                *(ref for program_id in concerned for ref in (self._ref(program_id), leaderboards_ref(program_id))),
            ],
            then=self._progress,
        )

    def _progress(self, books: Books) -> Needs:
        about = [(program, each) for program, found in self._about(books) for each in found]
        return Needs(
            records=[
                progress_ref(program.id, each.achievement_id, books.account_id(program.id, self.member_id))
                for program, each in about
            ]
        )

    def apply(self, books: Books, now: int, counts: dict[str, int]) -> None:
        """Count it in every programme in which it counts and has not."""
        properties: Mapping[str, Any] | None = None
        for program, found in self._about(books):
            ref, today = self._ref(program.id), day_number(now, program.time_zone)
            day, before = day_number(self.event_time, program.time_zone), books.record(ref)
            known = before is not None and (before.undone or bool(before.member_id))
            if known or day < today - KEPT_DAYS or self.event_time > now + HOUR_MICROS:
                continue
            properties = self.details() if properties is None else properties
            parts = tuple(self._parts(books, found, properties, day))
            if not parts:
                continue
            counted = Contribution(
                program.id,
                self.member_id,
                self.event_time,
                parts,
                origin_id=self.origin_id,
                currency=self.currency,
                amount_minor=self.amount_minor,
            )
            books.put_record(ref, counted)
            count_parts(books, program, ref, counted, parts, now)
            if before and before.currency in ("", self.currency):
                take_off(books, program, self.order_id, before.refunded_minor, now)

    def _ref(self, program_id: str) -> Ref[Contribution]:
        if self.order_id:
            return contribution_ref(program_id, "order", self.order_id)
        return contribution_ref(program_id, "event", self.event_id)

    def _about(self, books: Books) -> list[tuple[Program, Sequence[Achievement]]]:
        found = ((program, books.record(achievements_ref(program.id))) for program in books.programs.values())
        about = ((program, book.about(self.name)) for program, book in found if book)
        return [(program, achievements) for program, achievements in about if achievements]

    def _parts(
        self, books: Books, achievements: Sequence[Achievement], properties: Mapping[str, Any], day: int
    ) -> Iterator[Part]:
        segments = books.record(Ref(SEGMENTS, self.member_id))
        ids = frozenset(segments.segment_ids if segments else ())
        facts = Facts(properties, self.member_id, ids, self.event_time)
        for each in achievements:
            if not each.open_at(self.event_time):
                continue
            for at, step in enumerate(each.steps):
                amount = _amount(step, properties) if step.event_name == self.name else 0
                if amount and holds(step.condition, facts):
                    yield each.achievement_id, at, day, amount


def take_off(
    books: Books, program: Program, order_id: str, refunded_minor: int, now: int, *, whole: bool = False
) -> None:
    """Take off what a refund of an order comes to, where the achievement says so: of sums its share of the money, in
    thousandths rounded down, so that refunds in parts come to what one of them all does; all else once all is refunded.
    """
    ref = contribution_ref(program.id, "order", order_id)
    kept, book = books.record(ref), books.record(achievements_ref(program.id))
    if kept is None or book is None or kept.undone:
        return
    most = kept.amount_minor
    refunded = min(kept.refunded_minor + refunded_minor, most) if most else 0
    undone = whole or 0 < most <= refunded
    after = replace(kept, undone=undone, refunded_minor=refunded)
    books.put_record(ref, after)
    oldest = day_number(now, program.time_zone) - KEPT_DAYS
    parts: list[Part] = []
    for achievement_id, step, day, amount in kept.parts:
        achievement = book.find(achievement_id)
        if achievement is None or not achievement.revoked_by_refund or day < oldest:
            continue
        summed = achievement.steps[step].measure is StepMeasure.SUM
        taken = amount * kept.refunded_minor // most if summed and most else 0
        due = amount if undone else amount * refunded // most if summed and most else 0
        if due > taken:
            parts.append((achievement_id, step, day, taken - due))
    if parts:
        count_parts(books, program, ref, after, parts, now)


def count_parts(
    books: Books, program: Program, ref: Ref[Contribution], told: Contribution, parts: Sequence[Part], now: int
) -> None:
    """Add the parts to the progress of whose they are, or take them off (below zero); settle what that completes, or
    does not any more; tell leaderboards.
    """
    member_id = books.account_id(program.id, told.person_id)
    book = books.record(achievements_ref(program.id)) or AchievementBook(program.id)
    changed: dict[str, Progress] = {}
    amounts: dict[str, int] = {}
    for achievement_id, step, day, amount in parts:
        achievement = book.find(achievement_id)
        if achievement is None:
            continue
        progress = progress_ref(program.id, achievement_id, member_id)
        before = (
            changed.get(achievement_id) or books.record(progress) or Progress(program.id, achievement_id, member_id)
        )
        steps = len(achievement.steps)
        changed[achievement_id] = with_amount(before, steps, step, day, amount, told.person_id)
        amounts[f"{achievement_id}/{step}"] = amount
    days = {part[2] for part in parts if part[3] < 0}
    for achievement_id, grown in changed.items():
        settle_progress(books, program, book.get(achievement_id), grown, now, undone_days=days)
    if compared(books, program.id):
        change = ScoreChange(
            kind=ScoreChangeKind.PROGRESS,
            program_id=program.id,
            member_id=member_id,
            partner_id=told.person_id,
            amounts=amounts,
            event_time=told.time,
            time=now,
        )
        note_change(books, change, f"{ref.id}/{told.refunded_minor}/{told.undone}")


def _amount(step: Step, properties: Mapping[str, Any]) -> int:
    """What the event is worth to a step: 1, or thousandths of its property, where that is a number above zero."""
    if step.measure is not StepMeasure.SUM:
        return 1
    value = properties.get(step.property_name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= SUM_MAX:
        return 0
    return round(value * SUM_SCALE)
