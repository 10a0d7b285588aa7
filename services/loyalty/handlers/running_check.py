"""Checking members one page after another while everything runs, so that what is wrong is known before anybody asks."""

import asyncio
from collections.abc import Sequence

from services.common import telemetry
from services.loyalty.domain.check import Audit
from services.loyalty.domain.entry import Entry
from services.loyalty.domain.member import Member
from services.loyalty.domain.program import Program
from services.loyalty.handlers.check_ledger import family_of
from services.loyalty.ports import Checks, Entries, Programs

MEMBERS_MAX = 100
"""Members of one page."""
ENTRIES_MAX = 5000
"""Entries that one tick checks, before it leaves the rest to the next; a member is checked whole."""


class RunningCheck:
    """Goes through the members of all tenants, a bounded part at a time, round after round."""

    def __init__(
        self,
        programs: Programs,
        entries: Entries,
        checks: Checks,
        *,
        members_max: int = MEMBERS_MAX,
        entries_max: int = ENTRIES_MAX,
    ) -> None:
        self._programs, self._entries, self._checks = programs, entries, checks
        self._members_max, self._entries_max = members_max, entries_max
        self._next_tenant = ""

    async def tick(self, now: int) -> None:
        """Check the next members, of the tenant whose turn it is and of those after it."""
        tenants = sorted({tenant async for tenant, _ in self._programs.everywhere()})
        turn = [tenant for tenant in tenants if tenant >= self._next_tenant] or tenants
        left = self._entries_max
        for tenant in turn:
            self._next_tenant = tenant
            left -= await self._tenant(tenant, now, left)
            if left <= 0:
                return
        self._next_tenant = ""

    async def _tenant(self, tenant: str, now: int, entries_max: int) -> int:
        """Check pages until the round is over, or so many entries are checked; how many they were."""
        checked = 0
        while checked < entries_max:
            state = await self._checks.state(tenant)
            members, after = await self._checks.members(tenant, self._members_max, state.after)
            programs = await self._programs.all(tenant)
            audit = Audit()
            for member in members:
                if program := programs.get(member.program_id):
                    await self._member(audit, tenant, member, program)
            advanced = state.advanced(audit, after, now)
            if not await self._checks.keep(tenant, state, advanced):
                break  # another process checks the same: it goes on
            telemetry.counter("loyalty.check.members").add(audit.members)
            if audit.violations:
                telemetry.counter("loyalty.check.violations").add(len(audit.violations))
            checked += audit.entries
            if not after:
                break
        return checked

    async def _member(self, audit: Audit, tenant: str, member: Member, program: Program) -> None:
        own = await self._entries.of_member(tenant, member)
        family = await family_of(self._entries, tenant, member, own)
        await asyncio.to_thread(_check, audit, member, program, own, family)


def _check(audit: Audit, member: Member, program: Program, own: Sequence[Entry], family: Sequence[Entry]) -> None:
    audit.check_member(member, program, own, family)
