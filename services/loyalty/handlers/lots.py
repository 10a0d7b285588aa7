"""Lots: changing when they expire, and reading them."""

from services.loyalty.domain.entry import Entry, Lot
from services.loyalty.domain.errors import MemberNotFound
from services.loyalty.domain.expiry import ChangeExpiry
from services.loyalty.domain.pending import settle
from services.loyalty.ports import Ledger, Members, Programs, Request


async def change_expiry(ledger: Ledger, request: Request, change: ChangeExpiry) -> Entry:
    """Change when a member's lots expire."""
    return await ledger.post(request, change)


async def list_lots(
    programs: Programs, members: Members, tenant: str, program_id: str, member_id: str, now: int
) -> tuple[Lot, ...]:
    """What the member can spend at ``now``, soonest to expire first; ``ProgramNotFound``, ``MemberNotFound``."""
    program = await programs.get(tenant, program_id)
    found = await members.get_many(tenant, program_id, [member_id])
    if member_id not in found:
        raise MemberNotFound(f"{member_id} has never earned in programme {program_id}", member_id=member_id)
    settled, _ = settle(found[member_id], program, now, now)
    return tuple(lot for lot in settled.lots if lot.expire_time > now)
