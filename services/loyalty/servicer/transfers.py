"""The rpcs of transfers and of the spending policy."""

from dataclasses import dataclass

from tessera.loyalty.v1 import transfer_pb2 as pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceServicer

from services.common.auth import principal
from services.loyalty.domain.spending_policy import PointsPayment, SpendingPolicy
from services.loyalty.domain.transfer import Transfer, TransferPoints
from services.loyalty.handlers.transfers import (
    get_spending_policy,
    list_transfers,
    set_spending_policy,
    transfer_points,
)
from services.loyalty.ports import Clubs, Ledger, Programs
from services.loyalty.servicer.calls import Context, named, page_size, timestamp
from services.loyalty.servicer.earning import limit_message, read_limit


@dataclass(frozen=True, kw_only=True)
class TransferRpcs(LoyaltyServiceServicer):
    """Points from member to member."""

    ledger: Ledger
    programs: Programs
    clubs: Clubs

    async def SetSpendingPolicy(
        self, request: pb.SetSpendingPolicyRequest, context: Context
    ) -> pb.SetSpendingPolicyResponse:
        told = request.policy
        policy = SpendingPolicy(
            program_id=request.program_id,
            spent=tuple(map(read_limit, told.spent)),
            sent=tuple(map(read_limit, told.sent)),
            received=tuple(map(read_limit, told.received)),
            transfers_allowed=told.transfers_allowed,
            transfer_min=told.transfer_min_points or 1,
            payment=_payment(told.payment) if told.HasField("payment") else None,
        )
        kept = await set_spending_policy(self.ledger, named(request), policy)
        return pb.SetSpendingPolicyResponse(policy=_policy(kept))

    async def GetSpendingPolicy(
        self, request: pb.GetSpendingPolicyRequest, context: Context
    ) -> pb.GetSpendingPolicyResponse:
        found = await get_spending_policy(self.programs, self.clubs, principal().tenant, request.program_id)
        return pb.GetSpendingPolicyResponse(policy=_policy(found))

    async def TransferPoints(self, request: pb.TransferPointsRequest, context: Context) -> pb.TransferPointsResponse:
        transfer = TransferPoints(
            program_id=request.program_id,
            sender_id=request.sender_id,
            receiver_id=request.receiver_id,
            points=request.points,
            reason=request.reason,
            request_id=request.request_id,
        )
        done = await transfer_points(self.ledger, named(request), transfer)
        return pb.TransferPointsResponse(
            transfer=_transfer(done.transfer),
            sender_balance_points=done.sender_balance,
            receiver_balance_points=done.receiver_balance,
        )

    async def ListTransfers(self, request: pb.ListTransfersRequest, context: Context) -> pb.ListTransfersResponse:
        found, token = await list_transfers(
            self.programs,
            self.clubs,
            principal().tenant,
            request.program_id,
            request.member_id,
            received=request.received,
            limit=page_size(request),
            after=request.page_token,
        )
        return pb.ListTransfersResponse(transfers=map(_transfer, found), next_page_token=token)


def _policy(policy: SpendingPolicy) -> pb.SpendingPolicy:
    return pb.SpendingPolicy(
        program_id=policy.program_id,
        spent=map(limit_message, policy.spent),
        sent=map(limit_message, policy.sent),
        received=map(limit_message, policy.received),
        transfers_allowed=policy.transfers_allowed,
        transfer_min_points=policy.transfer_min,
        version=policy.version,
        payment=_payment_message(policy.payment) if policy.payment else None,
    )


def _payment(told: pb.PointsPayment) -> PointsPayment:
    return PointsPayment(told.points, told.amount_minor, told.points_min, told.cart_share_max)


def _payment_message(payment: PointsPayment) -> pb.PointsPayment:
    return pb.PointsPayment(
        points=payment.points,
        amount_minor=payment.amount_minor,
        points_min=payment.points_min,
        cart_share_max=payment.cart_share_max,
    )


def _transfer(transfer: Transfer) -> pb.Transfer:
    return pb.Transfer(
        transfer_id=transfer.transfer_id,
        program_id=transfer.program_id,
        sender_id=transfer.sender_id,
        receiver_id=transfer.receiver_id,
        points=transfer.points,
        transfer_time=timestamp(transfer.time),
    )
