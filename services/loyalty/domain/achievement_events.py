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
from services.loyalty.domain.entry import order_entry_id
from services.loyalty.domain.program import Program
from services.loyalty.domain.records import Kind, Ref

ORDER_COMPLETED = "Order Completed"
SUM_MAX = 10**12
"""The largest value of a property that is summed."""

Part = tuple[str, int, int, int]
"""Achievement, step, day, and how much."""


@dataclass(frozen=True, slots=True)
class Contribution:
    """What one event, or order, counted for: the proof that it has, and what is taken off where it is undone."""

    program_id: str
    member_id: str
    time: int
    parts: tuple[Part, ...] = ()
    undone: bool = False


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

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        """What must be loaded before: where there are no achievements, no more than that."""
        return Needs(records=[achievements_ref(program_id) for program_id in programs], then=self._concerned)

    def _concerned(self, books: Books) -> Needs:
        about = [(program, each) for program, found in self._about(books) for each in found]
        programs = {program.id: program for program, _ in about}
        if not about:
            return Needs()
        refs: list[Ref[Any]] = [
            progress_ref(program.id, each.achievement_id, self.member_id) for program, each in about
        ]
        refs += [self._ref(program_id) for program_id in programs]
        return Needs(
            members=[(program_id, self.member_id) for program_id in programs],
            records=[*refs, Ref(SEGMENTS, self.member_id)],
        )

    def apply(self, books: Books, now: int, counts: dict[str, int]) -> None:
        """Count it in every programme in which it counts and has not."""
        properties: Mapping[str, Any] | None = None
        for program, found in self._about(books):
            ref, today = self._ref(program.id), day_number(now, program.time_zone)
            day = day_number(self.event_time, program.time_zone)
            if books.record(ref) or day < today - KEPT_DAYS or self.event_time > now + HOUR_MICROS:
                continue
            properties = self.details() if properties is None else properties
            parts = tuple(self._parts(books, found, properties, day))
            if not parts:
                continue
            books.put_record(ref, Contribution(program.id, self.member_id, self.event_time, parts))
            _count(books, program, self.member_id, parts, 1, now)

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


@dataclass(frozen=True, slots=True)
class OrderUndone:
    """An order that may be refunded in full: then what it counted for is taken off, where the achievement says so.

    ``whole``: it is; else, if what was refunded of it in a programme comes to all of it.
    """

    order_id: str
    whole: bool

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        """What must be loaded before: where there are no achievements, no more than that."""
        return Needs(records=[achievements_ref(program_id) for program_id in programs], then=self._contributions)

    def _contributions(self, books: Books) -> Needs:
        concerned = [program.id for program, _ in self._books(books)]
        return Needs(
            records=[contribution_ref(program_id, "order", self.order_id) for program_id in concerned],
            entries=[order_entry_id(program_id, self.order_id) for program_id in concerned],
            refunds=[(program_id, self.order_id) for program_id in concerned],
            then=self._progress if concerned else None,
        )

    def _progress(self, books: Books) -> Needs:
        found = [
            books.record(contribution_ref(program.id, "order", self.order_id)) for program, _ in self._books(books)
        ]
        known = [each for each in found if each]
        return Needs(
            members=[(each.program_id, each.member_id) for each in known],
            records=[progress_ref(each.program_id, part[0], each.member_id) for each in known for part in each.parts],
            then=self._owners if known else None,
        )

    def _owners(self, books: Books) -> Needs:
        """Shared accounts into which the rewards came."""
        contributed = [
            books.record(contribution_ref(program.id, "order", self.order_id)) for program, _ in self._books(books)
        ]
        progress = [
            books.record(progress_ref(each.program_id, part[0], each.member_id))
            for each in contributed
            if each
            for part in each.parts
        ]
        completions = [(each.program_id, done.owner_id) for each in progress if each for done in each.completions]
        return Needs(members=[pair for pair in completions if pair[1]])

    def apply(self, books: Books, now: int, counts: dict[str, int]) -> None:
        """Take it off where it counted, and let it never count where it has not come yet."""
        for program, book in self._books(books):
            ref = contribution_ref(program.id, "order", self.order_id)
            kept = books.record(ref)
            if (kept and kept.undone) or not (self.whole or self._all_refunded(books, program)):
                continue
            books.put_record(ref, replace(kept or Contribution(program.id, "", now), undone=True))
            oldest = day_number(now, program.time_zone) - KEPT_DAYS
            revoked = {each.achievement_id for each in book.achievements if each.revoked_by_refund}
            parts = [part for part in kept.parts if part[0] in revoked and part[2] >= oldest] if kept else []
            if kept and parts:
                _count(books, program, kept.member_id, parts, -1, now)

    def _books(self, books: Books) -> list[tuple[Program, AchievementBook]]:
        found = ((program, books.record(achievements_ref(program.id))) for program in books.programs.values())
        return [
            (program, book)
            for program, book in found
            if book and any(each.revoked_by_refund for each in book.achievements)
        ]

    def _all_refunded(self, books: Books, program: Program) -> bool:
        order = books.entries.get(order_entry_id(program.id, self.order_id))
        return order is not None and books.refunded(program.id, self.order_id).amount_minor >= order.order_amount_minor


def _count(books: Books, program: Program, member_id: str, parts: Sequence[Part], sign: int, now: int) -> None:
    """Add the parts to the member's progress, or take them off, and settle what that completes or does not any more."""
    book = books.record(achievements_ref(program.id)) or AchievementBook(program.id)
    changed: dict[str, Progress] = {}
    for achievement_id, step, day, amount in parts:
        achievement = book.find(achievement_id)
        if achievement is None:
            continue
        ref = progress_ref(program.id, achievement_id, member_id)
        before = changed.get(achievement_id) or books.record(ref) or Progress(program.id, achievement_id, member_id)
        changed[achievement_id] = with_amount(before, len(achievement.steps), step, day, sign * amount)
    days = {part[2] for part in parts} if sign < 0 else set[int]()
    for achievement_id, progress in changed.items():
        settle_progress(books, program, book.get(achievement_id), progress, now, undone_days=days)


def _amount(step: Step, properties: Mapping[str, Any]) -> int:
    """What the event is worth to a step: 1, or thousandths of its property, where that is a number above zero."""
    if step.measure is not StepMeasure.SUM:
        return 1
    value = properties.get(step.property_name)
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 < value <= SUM_MAX:
        return 0
    return round(value * SUM_SCALE)
