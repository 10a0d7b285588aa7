"""The rpcs of notices."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from tessera.loyalty.v1 import notice_pb2 as pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceServicer

from services.common.auth import ALL_TENANTS, principal
from services.loyalty.domain.notice import ExpiryNotices, Notice, NoticeKind
from services.loyalty.handlers.notices import get_expiry_notices, set_expiry_notices
from services.loyalty.ports import Ledger, Programs
from services.loyalty.ports.reporting import Notices
from services.loyalty.servicer.calls import Context, named, timestamp
from services.loyalty.servicer.entries import TIER_CHANGES

_KINDS = {kind: pb.NoticeKind.Value(f"NOTICE_KIND_{kind.name}") for kind in NoticeKind}


@dataclass(frozen=True, kw_only=True)
class NoticeRpcs(LoyaltyServiceServicer):
    """What customers should hear of."""

    ledger: Ledger
    programs: Programs
    notices: Notices

    async def FollowNotices(
        self, request: pb.FollowNoticesRequest, context: Context
    ) -> AsyncIterator[pb.FollowNoticesResponse]:
        tenant, after = principal().tenant, request.after_cursor
        customers = frozenset(request.customer_ids)
        if request.from_now and not after:
            after = await self.notices.newest()
            yield pb.FollowNoticesResponse(cursor=after, caught_up=True)
        async for batch in self.notices.follow(after, None if tenant == ALL_TENANTS else tenant):
            told = [
                notice_message(owner, notice, cursor)
                for owner, notice, cursor in batch.notices
                if (not customers or notice.customer_id in customers)
                and (not request.program_id or notice.program_id in ("", request.program_id))
            ]
            yield pb.FollowNoticesResponse(notices=told, cursor=batch.cursor, caught_up=batch.caught_up)

    async def SetExpiryNotices(
        self, request: pb.SetExpiryNoticesRequest, context: Context
    ) -> pb.SetExpiryNoticesResponse:
        wanted = ExpiryNotices(request.notices.program_id, tuple(request.notices.lead_days))
        kept = await set_expiry_notices(self.ledger, named(request), wanted)
        return pb.SetExpiryNoticesResponse(notices=_setting(kept))

    async def GetExpiryNotices(
        self, request: pb.GetExpiryNoticesRequest, context: Context
    ) -> pb.GetExpiryNoticesResponse:
        kept = await get_expiry_notices(self.programs, self.notices, principal().tenant, request.program_id)
        return pb.GetExpiryNoticesResponse(notices=_setting(kept))


def _setting(kept: ExpiryNotices) -> pb.ExpiryNotices:
    return pb.ExpiryNotices(program_id=kept.program_id, lead_days=kept.lead_days)


def notice_message(tenant: str, notice: Notice, cursor: str) -> pb.Notice:
    """A notice."""
    return pb.Notice(
        notice_id=notice.notice_id,
        tenant_id=tenant,
        customer_id=notice.customer_id,
        kind=_KINDS[notice.kind],
        notice_time=timestamp(notice.time),
        cursor=cursor,
        program_id=notice.program_id,
        entry_id=notice.entry_id,
        points=notice.points,
        balance_points=notice.balance,
        pending_points=notice.pending,
        expire_time=timestamp(notice.expire_time) if notice.expire_time else None,
        lead_days=notice.lead_days,
        tier_id=notice.tier_id,
        previous_tier_id=notice.previous_tier_id,
        tier_change=TIER_CHANGES[notice.tier_change],
        reward_id=notice.reward_id,
        redemption_id=notice.redemption_id,
        order_id=notice.order_id,
        code=notice.code,
        campaign_id=notice.campaign_id,
        offer_id=notice.offer_id,
        discount_minor=notice.discount_minor,
        currency=notice.currency,
    )
