"""The clock: every posting and expiry that is due, in every programme of every tenant."""

from services.loyalty.domain.operations import Expired, ExpirePoints
from services.loyalty.handlers.points import EXPIRED_MEMBERS_MAX
from services.loyalty.ports import UNASKED, Ledger, Members, Programs, Request


async def expire_due_points(programs: Programs, members: Members, ledger: Ledger, now: int) -> Expired:
    """Post and expire what was due at ``now``, however much it is: a commit for each thousand members.

    Doing so twice changes nothing, so this asks without a request id and several processes may do it at once.
    """
    member_count = points = posted = 0
    async for tenant, program_id in programs.everywhere():
        while due := await members.due(tenant, program_id, now, EXPIRED_MEMBERS_MAX):
            expiry = ExpirePoints(program_id=program_id, member_ids=due, as_of=now, more_due=False)
            expired = await ledger.post(Request(tenant, UNASKED, ""), expiry)
            member_count, points = member_count + expired.member_count, points + expired.points
            posted += expired.posted_points
    return Expired(member_count, points, more_due=False, posted_points=posted)
