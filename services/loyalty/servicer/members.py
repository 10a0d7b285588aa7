"""Reading members."""

from dataclasses import dataclass
from typing import Any

from tessera.loyalty.v1 import loyalty_service_pb2 as pb
from tessera.loyalty.v1 import tier_pb2 as tier_pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceServicer

from services.common.auth import principal
from services.common.clock import Clock, to_micros
from services.loyalty.domain.entry import PendingLot
from services.loyalty.domain.program import (
    NEVER,
    PendingRelease,
    Program,
)
from services.loyalty.domain.standing import Holding, Standing
from services.loyalty.handlers.members import batch_get_members, get_member
from services.loyalty.ports import Members, Programs
from services.loyalty.servicer.blocking import BLOCK_SCOPES
from services.loyalty.servicer.calls import Context, timestamp
from services.loyalty.servicer.entries import TIER_CHANGES, lot_message
from services.loyalty.servicer.programs import tier_message
from services.loyalty.servicer.shared_accounts import ACCOUNT_ROLES


@dataclass(frozen=True, kw_only=True)
class MemberRpcs(LoyaltyServiceServicer):
    """The rpcs of members."""

    programs: Programs
    members: Members
    clock: Clock

    async def GetMember(self, request: pb.GetMemberRequest, context: Context) -> pb.GetMemberResponse:
        tenant, now = principal().tenant, to_micros(self.clock())
        found = await get_member(self.programs, self.members, tenant, request.program_id, request.member_id, now)
        return pb.GetMemberResponse(member=member_message(found))

    async def BatchGetMembers(self, request: pb.BatchGetMembersRequest, context: Context) -> pb.BatchGetMembersResponse:
        tenant, now = principal().tenant, to_micros(self.clock())
        ids = request.member_ids
        found = await batch_get_members(self.programs, self.members, tenant, request.program_id, ids, now)
        return pb.BatchGetMembersResponse(members=map(member_message, found))


def member_message(found: Standing) -> pb.Member:
    """A member now."""
    member = found.member
    return pb.Member(
        program_id=member.program_id,
        member_id=member.id,
        balance_points=member.balance,
        available_points=found.available,
        earned_points=member.earned,
        spent_points=member.spent,
        expired_points=member.expired,
        tier=tier_message(found.tier) if found.tier else None,
        next_tier=tier_message(found.next_tier) if found.next_tier else None,
        qualifying_amount=found.qualifying,
        next_tier_amount=found.next_tier_amount,
        expiring_points=found.expiring_points,
        expiring_lots=map(lot_message, found.expiring),
        entry_count=member.entry_count,
        enroll_time=timestamp(member.enroll_time),
        pending_points=member.pending_points,
        refunded_points=member.refunded,
        **_holding(found.holding),
        tier_history=[
            tier_pb.TierStep(time=timestamp(step.time), change=TIER_CHANGES[step.change], tier_id=step.tier_id)
            for step in reversed(member.tier_history)
        ],
        block=BLOCK_SCOPES[member.block],
        sent_points=member.sent,
        received_points=member.received,
        account_id=member.account_id,
        account_role=ACCOUNT_ROLES[member.account_role],
        pending_lots=[_pending_lot(lot, found.program) for lot in member.pending],
    )


def _holding(holding: Holding | None) -> dict[str, Any]:
    if holding is None:
        return {}
    return {
        "tier_since_time": timestamp(holding.since) if holding.since else None,
        "tier_until_time": timestamp(holding.until) if holding.until else None,
        "tier_lapse_time": timestamp(holding.lapse_time) if holding.lapse_time else None,
        "tier_keep_amount": holding.missing_to_keep,
    }


def _pending_lot(lot: PendingLot, program: Program) -> pb.PendingLot:
    due_time = None if lot.due_time == NEVER else timestamp(lot.due_time)
    posts = program.pending.release is PendingRelease.AFTER_DURATION
    return pb.PendingLot(
        entry_id=lot.entry_id,
        order_id=lot.order_id,
        points=lot.points,
        post_time=due_time if posts else None,
        expire_time=None if posts else due_time,
    )
