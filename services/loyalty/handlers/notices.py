"""Telling members in time that their points expire, and dropping old notices."""

from services.loyalty.domain.days import DAY_MICROS
from services.loyalty.domain.notice import (
    AnnounceExpiring,
    ExpiryNotices,
    ForgetNotices,
    SetExpiryNotices,
    Sweep,
    due_notices,
    hour_of,
)
from services.loyalty.ports import UNASKED, Ledger, Members, Programs, Request
from services.loyalty.ports.reporting import Notices

PAGE = 200
FORGET_MAX = 200
"""Notices dropped in one commit."""


async def set_expiry_notices(ledger: Ledger, request: Request, notices: ExpiryNotices) -> ExpiryNotices:
    """Say how long before points expire that is told; ``ProgramNotFound``."""
    return await ledger.post(request, SetExpiryNotices(notices=notices))


async def get_expiry_notices(programs: Programs, notices: Notices, tenant: str, program_id: str) -> ExpiryNotices:
    """How long before points expire that is told; ``ProgramNotFound``."""
    program = await programs.get(tenant, program_id)
    return await notices.setting(tenant, program.id)


async def announce_expiring(programs: Programs, members: Members, notices: Notices, ledger: Ledger, now: int) -> int:
    """Look through the members of all programmes, once an hour, and tell whose points expire soon; how many were told.

    How far it has come is kept with what was told, so that what is cut short goes on; what was told has an id that
    says whose points, when and which lead time, so it is told once.
    """
    told = 0
    async for tenant, program_id in programs.everywhere():
        setting = await notices.setting(tenant, program_id)
        if setting.lead_days:
            told += await _sweep(members, notices, ledger, tenant, setting, now)
    return told


async def _sweep(
    members: Members, notices: Notices, ledger: Ledger, tenant: str, setting: ExpiryNotices, now: int
) -> int:
    hour, told = hour_of(now), 0
    before = await notices.sweep(tenant, setting.program_id)
    sweep = before if before and before.hour == hour else Sweep(setting.program_id, hour)
    until = now + max(setting.lead_days) * DAY_MICROS
    while not sweep.done:
        page, after = await members.due_page(tenant, setting.program_id, until, PAGE, sweep.after)
        due = {notice.notice_id: notice for member in page for notice in due_notices(member, setting.lead_days, now)}
        fresh = due.keys() - await notices.existing(tenant, list(due))
        sweep = Sweep(setting.program_id, hour, after, done=not after)
        announcing = AnnounceExpiring(
            program_id=setting.program_id,
            member_ids=sorted({due[notice_id].customer_id for notice_id in fresh}),
            lead_days=setting.lead_days,
            sweep=sweep,
        )
        told += await ledger.post(Request(tenant, UNASKED, ""), announcing)
    return told


async def forget_notices(programs: Programs, notices: Notices, ledger: Ledger, before: int) -> int:
    """Drop the notices of all tenants that are older than that; how many there were."""
    tenants = {tenant async for tenant, _ in programs.everywhere()}
    dropped = 0
    for tenant in sorted(tenants):
        while old := await notices.before(tenant, before, FORGET_MAX):
            dropped += await ledger.post(Request(tenant, UNASKED, ""), ForgetNotices(old))
    return dropped
