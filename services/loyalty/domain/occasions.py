"""Birthdays and anniversaries: what the clock gives once a year, exactly once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from services.loyalty.domain.books import Books, Needs
from services.loyalty.domain.earned import book_ref, earn_by_rules, weighing_refs
from services.loyalty.domain.earning import Activity
from services.loyalty.domain.earning_rule import Trigger
from services.loyalty.domain.entry import EntryKind, event_entry_id
from services.loyalty.domain.errors import BalanceLimitReached, MemberBlocked
from services.loyalty.domain.member import Cause
from services.loyalty.domain.program import Program
from services.loyalty.domain.zones import local_date, midnight

DAYS_MADE_UP = 7
"""For so many days a missed occasion is made up for."""


def days_due(now: int, zone: str) -> list[date]:
    """The days whose occasions are due: today and those that may have been missed, oldest first."""
    today = local_date(now, zone)
    return [today - timedelta(days=back) for back in range(DAYS_MADE_UP, -1, -1)]


def celebrated_as(day: date) -> tuple[str, ...]:
    """The days of the year, ``MM-DD``, that fall on ``day``: in a year without one, 29 February is the 28th."""
    if (day.month, day.day) == (2, 28) and (day + timedelta(days=1)).month == 3:
        return "02-28", "02-29"
    return (f"{day:%m-%d}",)


@dataclass(frozen=True, slots=True, kw_only=True)
class Celebrate:
    """Gives these members what the programme's rules give for an occasion of theirs that falls on a day."""

    program_id: str
    trigger: Trigger
    day: date
    member_ids: Sequence[str]

    def needs(self, programs: Mapping[str, Program]) -> Needs:
        refs = [ref for member_id in self.member_ids for ref in weighing_refs(self.program_id, member_id)]
        return Needs(
            members=[(self.program_id, member_id) for member_id in self.member_ids],
            entry_ids=[self._entry_id(member_id) for member_id in self.member_ids],
            records=[book_ref(self.program_id), *refs],
        )

    def apply(self, books: Books, now: int) -> int:
        """How many were given something."""
        program = books.program(self.program_id)
        start = midnight(self.day, program.time_zone)
        given = 0
        for member_id in self.member_ids:
            member = books.members.get((program.id, member_id))
            entry_id = self._entry_id(member_id)
            if member is None or member.merged_into or entry_id in books.entry_ids:
                continue
            joined = local_date(member.enroll_time, program.time_zone)
            if joined > self.day or (self.trigger is Trigger.ANNIVERSARY and joined.year == self.day.year):
                continue
            cause = Cause(
                entry_id,
                EntryKind.EVENT,
                record_time=now,
                event_time=start,
                event_id=self._event_id(member_id),
                reason=self.trigger.value,
            )
            try:
                given += bool(earn_by_rules(books, program, member_id, Activity(self.trigger, start), cause).entry)
            except (BalanceLimitReached, MemberBlocked):
                continue
        return given

    def _event_id(self, member_id: str) -> str:
        return f"_{self.trigger.value}/{self.day.year}/{member_id}"

    def _entry_id(self, member_id: str) -> str:
        return event_entry_id(self.program_id, self._event_id(member_id))
