"""The clock of birthdays and anniversaries, in every programme of every tenant."""

from dataclasses import dataclass, field
from datetime import date

from services.loyalty.domain.days import HOUR_MICROS
from services.loyalty.domain.earning_rule import Trigger
from services.loyalty.domain.occasions import Celebrate, celebrated_as, days_due
from services.loyalty.ports import UNASKED, EarningRules, Ledger, Occasions, Programs, Request

MEMBERS_MAX = 500
"""Members in one commit."""


@dataclass(slots=True)
class Celebrations:
    """Gives what is due each hour, and not more often: whoever joins on their birthday has it within the hour.

    Doing so twice changes nothing, so several processes may do it at once, and a restart forgets nothing that counts.
    """

    programs: Programs
    rules: EarningRules
    occasions: Occasions
    ledger: Ledger
    hours: dict[tuple[str, str], int] = field(default_factory=dict)

    async def tick(self, now: int) -> int:
        """Give what is due; how many members were given something."""
        given = 0
        async for tenant, program_id in self.programs.everywhere():
            hour = now // HOUR_MICROS
            if self.hours.get((tenant, program_id)) == hour:
                continue
            given += await self._celebrate(tenant, program_id, now)
            self.hours[tenant, program_id] = hour
        return given

    async def _celebrate(self, tenant: str, program_id: str, now: int) -> int:
        book, _ = await self.rules.of_program(tenant, program_id)
        program = await self.programs.get(tenant, program_id)
        given = 0
        for trigger in (Trigger.BIRTHDAY, Trigger.ANNIVERSARY):
            if not book.about(trigger):
                continue
            for day in days_due(now, program.time_zone):
                for day_of_year in celebrated_as(day):
                    given += await self._on(tenant, program_id, trigger, day, day_of_year)
        return given

    async def _on(self, tenant: str, program_id: str, trigger: Trigger, day: date, day_of_year: str) -> int:
        after, given = "", 0
        while True:
            found, after = await self.occasions.page(tenant, program_id, trigger, day_of_year, MEMBERS_MAX, after)
            if found:
                celebrating = Celebrate(program_id=program_id, trigger=trigger, day=day, member_ids=found)
                given += await self.ledger.post(Request(tenant, UNASKED, ""), celebrating)
            if not after:
                return given
