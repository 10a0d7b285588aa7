"""How programmes do, what their points cost, and the ledger as a file."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from services.loyalty.domain.entry import Entry
from services.loyalty.domain.point_cost import PointCost, SetPointCost
from services.loyalty.domain.referral import ReferralCampaign, ReferralCounts
from services.loyalty.domain.report import Report, ReportRequest, make_report
from services.loyalty.ports import Entries, Ledger, Programs, Referrals, Request
from services.loyalty.ports.reporting import EntryWriter, Reports

ENTRIES_A_READ = 1_000
ENTRIES_A_PART = 10_000


@dataclass(frozen=True, slots=True)
class MadeReport:
    """A report, up to which entry it goes, and whether that is all there was when it was asked for."""

    report: Report
    cursor: str
    complete: bool
    referrals: Sequence[tuple[ReferralCampaign, ReferralCounts]] = ()
    """The campaigns whose points are the programme's, and what came of them to this day."""


async def set_point_cost(ledger: Ledger, request: Request, cost: PointCost) -> PointCost:
    """Say what points of a programme cost; ``ProgramNotFound``."""
    return await ledger.post(request, SetPointCost(cost=cost))


async def get_loyalty_report(
    programs: Programs, reports: Reports, referrals: Referrals, tenant: str, request: ReportRequest, now: int
) -> MadeReport:
    """A report of a programme; ``ProgramNotFound``."""
    program = await programs.get(tenant, request.program_id)
    cursor, complete = await reports.counted()
    kept = await reports.kept(tenant, request, program.currency)
    cost = await reports.cost(tenant, program.id)
    report = await asyncio.to_thread(make_report, request, program, cost, kept, now)
    campaigns = [each for each in (await referrals.book(tenant)).campaigns if each.program_id == program.id]
    brought = [(each, await referrals.counts(tenant, each.campaign_id)) for each in campaigns]
    return MadeReport(report, cursor, complete, brought)


async def export_ledger(
    programs: Programs, entries: Entries, writer: EntryWriter, tenant: str, program_id: str, start: int, end: int
) -> AsyncIterator[bytes]:
    """The parts of the file with what was entered from ``start`` to before ``end``; ``ProgramNotFound``.

    No more than one part is held at a time.
    """
    await programs.get(tenant, program_id)
    part: list[Entry] = []
    after = ""
    while True:
        page, after = await entries.entered(tenant, program_id, start, end, ENTRIES_A_READ, after)
        part += page
        if len(part) >= ENTRIES_A_PART or (part and not after):
            yield await asyncio.to_thread(writer.write, part)
            part = []
        if not after:
            yield await asyncio.to_thread(writer.end)
            return
