"""Reading members, their standing and their statement."""

from collections.abc import Sequence

from services.loyalty.domain.entry import Entry
from services.loyalty.domain.errors import MemberNotFound
from services.loyalty.domain.standing import Standing, standing
from services.loyalty.ports import Entries, Members, Programs


async def get_member(
    programs: Programs, members: Members, tenant: str, program_id: str, member_id: str, now: int
) -> Standing:
    """A member's standing; ``ProgramNotFound`` or ``MemberNotFound``."""
    found = await batch_get_members(programs, members, tenant, program_id, [member_id], now)
    if not found:
        raise MemberNotFound(f"{member_id} has never earned in programme {program_id}", member_id=member_id)
    return found[0]


async def batch_get_members(
    programs: Programs, members: Members, tenant: str, program_id: str, member_ids: Sequence[str], now: int
) -> list[Standing]:
    """The standing of those who are members; ``ProgramNotFound``."""
    program = await programs.get(tenant, program_id)
    found = await members.get_many(tenant, program_id, member_ids)
    members_once = {member.id: member for member in found.values()}
    return [standing(member, program, now) for member in members_once.values()]


async def list_entries(
    entries: Entries, tenant: str, program_id: str, member_id: str, limit: int, after: str
) -> tuple[list[Entry], str]:
    """A page of the member's statement, newest first."""
    return await entries.page(tenant, program_id, member_id, limit, after)
