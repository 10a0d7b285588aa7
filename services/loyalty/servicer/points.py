"""Giving, spending, refunding and expiring points, and ending the wait of pending ones."""

from dataclasses import dataclass

from tessera.loyalty.v1 import loyalty_service_pb2 as pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceServicer

from services.common.auth import principal
from services.common.clock import Clock, to_micros
from services.common.validation import FieldInvalid
from services.loyalty.domain.pending_points import Source
from services.loyalty.domain.running_check import CheckState
from services.loyalty.handlers.orders import get_status, refund_order
from services.loyalty.handlers.points import burn_points, earn_points, expire_points, post_pending, void_pending
from services.loyalty.ports import Checks, Entries, Ledger, Members, OrderFeed
from services.loyalty.servicer.calls import Context, micros, named, timestamp
from services.loyalty.servicer.entries import entry_message


@dataclass(frozen=True, kw_only=True)
class PointRpcs(LoyaltyServiceServicer):
    """The rpcs that move points."""

    ledger: Ledger
    members: Members
    entries: Entries
    orders: OrderFeed
    clock: Clock
    checks: Checks

    async def EarnPoints(self, request: pb.EarnPointsRequest, context: Context) -> pb.EarnPointsResponse:
        entry = await earn_points(
            self.ledger,
            named(request),
            program_id=request.program_id,
            member_id=request.member_id,
            points=request.points,
            event_time=micros(request.event_time) if request.HasField("event_time") else None,
            reason=request.reason,
            pending=request.pending,
        )
        return pb.EarnPointsResponse(entry=entry_message(entry))

    async def BurnPoints(self, request: pb.BurnPointsRequest, context: Context) -> pb.BurnPointsResponse:
        entry = await burn_points(
            self.ledger,
            named(request),
            program_id=request.program_id,
            member_id=request.member_id,
            points=request.points,
            reason=request.reason,
        )
        return pb.BurnPointsResponse(entry=entry_message(entry))

    async def PostPending(self, request: pb.PostPendingRequest, context: Context) -> pb.PostPendingResponse:
        return pb.PostPendingResponse(
            entry=entry_message(await post_pending(self.ledger, named(request), _source(request)))
        )

    async def VoidPending(self, request: pb.VoidPendingRequest, context: Context) -> pb.VoidPendingResponse:
        entry = await void_pending(self.ledger, named(request), _source(request), request.reason)
        return pb.VoidPendingResponse(entry=entry_message(entry))

    async def RefundOrder(self, request: pb.RefundOrderRequest, context: Context) -> pb.RefundOrderResponse:
        refunded = await refund_order(
            self.ledger,
            named(request),
            program_id=request.program_id,
            order_id=request.order_id,
            amount_minor=request.amount_minor if request.HasField("amount_minor") else None,
            reason=request.reason,
        )
        return pb.RefundOrderResponse(entry=entry_message(refunded.entry), left_amount_minor=refunded.left_minor)

    async def ExpirePoints(self, request: pb.ExpirePointsRequest, context: Context) -> pb.ExpirePointsResponse:
        expired = await expire_points(
            self.ledger,
            self.members,
            named(request),
            program_id=request.program_id,
            as_of=micros(request.as_of_time) if request.HasField("as_of_time") else None,
            now=to_micros(self.clock()),
        )
        return pb.ExpirePointsResponse(
            member_count=expired.member_count,
            expired_points=expired.points,
            more_due=expired.more_due,
            posted_points=expired.posted_points,
        )

    async def GetStatus(self, request: pb.GetStatusRequest, context: Context) -> pb.GetStatusResponse:
        tenant = principal().tenant
        status, check = await get_status(self.orders, self.entries, tenant), await self.checks.state(tenant)
        return pb.GetStatusResponse(
            applied_cursor=status.applied_cursor,
            entry_count=status.entry_count,
            earned_order_count=status.orders.earned,
            other_currency_order_count=status.orders.other_currency,
            small_order_count=status.orders.small,
            duplicate_order_count=status.orders.duplicate,
            invalid_order_count=status.orders.invalid,
            refund_count=status.orders.refunds,
            waiting_refund_count=status.orders.waiting_refunds,
            empty_refund_count=status.orders.empty_refunds,
            invalid_refund_count=status.orders.invalid_refunds,
            limited_order_count=status.orders.limited,
            earned_event_count=status.orders.earned_events,
            blocked_order_count=status.orders.blocked,
            check=_check(check),
        )


def _check(state: CheckState) -> pb.RunningCheck:
    last, going = state.last, state.going
    return pb.RunningCheck(
        end_time=timestamp(last.time) if last.time else None,
        member_count=last.members,
        entry_count=last.entries,
        checked_member_count=going.members,
        violation_count=last.violations + going.violations,
        first_violation=going.first or last.first,
    )


def _source(request: pb.PostPendingRequest | pb.VoidPendingRequest) -> Source:
    source = Source(request.program_id, request.order_id, request.entry_id)
    if not source.order_id and not source.entry_id:
        raise FieldInvalid("order_id or entry_id must say which points are meant", field="source")
    return source
