"""Earning, spending, expiring and ending the wait of points."""

from services.loyalty.domain.entry import Entry
from services.loyalty.domain.operations import BurnPoints, EarnPoints, Expired, ExpirePoints
from services.loyalty.domain.pending_points import PostPending, Source, VoidPending
from services.loyalty.ports import Ledger, Members, Request

EXPIRED_MEMBERS_MAX = 1000
"""Members whose points one call expires: it is one commit."""


async def earn_points(
    ledger: Ledger,
    request: Request,
    *,
    program_id: str,
    member_id: str,
    points: int,
    event_time: int | None,
    reason: str,
    pending: bool,
) -> Entry:
    """Give points to a member."""
    earning = EarnPoints(
        program_id=program_id,
        member_id=member_id,
        points=points,
        event_time=event_time,
        reason=reason,
        request_id=request.id,
        pending=pending,
    )
    return await ledger.post(request, earning)


async def burn_points(
    ledger: Ledger, request: Request, *, program_id: str, member_id: str, points: int, reason: str
) -> Entry:
    """Spend points of a member."""
    burning = BurnPoints(
        program_id=program_id, member_id=member_id, points=points, reason=reason, request_id=request.id
    )
    return await ledger.post(request, burning)


async def post_pending(ledger: Ledger, request: Request, source: Source) -> Entry:
    """Make pending points spendable."""
    return await ledger.post(request, PostPending(source=source, request_id=request.id))


async def void_pending(ledger: Ledger, request: Request, source: Source, reason: str) -> Entry:
    """Take pending points back."""
    return await ledger.post(request, VoidPending(source=source, reason=reason, request_id=request.id))


async def expire_points(
    ledger: Ledger, members: Members, request: Request, *, program_id: str, as_of: int | None, now: int
) -> Expired:
    """Take from members what is past its time, post what has waited long enough; most overdue first, up to a limit."""
    moment = now if as_of is None else as_of
    due = await members.due(request.tenant, program_id, moment, EXPIRED_MEMBERS_MAX + 1)
    expiry = ExpirePoints(
        program_id=program_id,
        member_ids=due[:EXPIRED_MEMBERS_MAX],
        as_of=as_of,
        more_due=len(due) > EXPIRED_MEMBERS_MAX,
    )
    return await ledger.post(request, expiry)
