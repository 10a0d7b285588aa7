"""Transfers between members, and how fast they may spend, in the schema."""

from collections.abc import Sequence

from strawberry import Parent
from tessera.loyalty.v1 import loyalty_service_pb2 as loyalty_pb
from tessera.loyalty.v1 import transfer_pb2 as pb

from gateway.context import Info
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.loyalty import Member, Program
from gateway.schema.registry import edge, from_proto, input_from_proto, mutation

_POLICY = ("spent", "transfers_allowed", "transfer_min_points", "sent", "received", "payment")


_PAYMENT = ("points", "amount_minor", "points_min", "cart_share_max")


@from_proto(pb.PointsPayment, *_PAYMENT)
class PointsPayment: ...


@input_from_proto(pb.PointsPayment, *_PAYMENT)
class PointsPaymentInput: ...


@from_proto(pb.SpendingPolicy, "program_id", *_POLICY, "version")
class SpendingPolicy: ...


@from_proto(pb.Transfer, "transfer_id", "program_id", "sender_id", "receiver_id", "points", "transfer_time")
class Transfer: ...


@input_from_proto(pb.SpendingPolicy, *_POLICY)
class SpendingPolicyInput: ...


@input_from_proto(pb.SetSpendingPolicyRequest, "request_id", "program_id", "policy")
class SetSpendingPolicyInput: ...


@from_proto(pb.SetSpendingPolicyResponse, "policy")
class SetSpendingPolicyPayload: ...


@input_from_proto(pb.TransferPointsRequest, "request_id", "program_id", "sender_id", "receiver_id", "points", "reason")
class TransferPointsInput: ...


@from_proto(pb.TransferPointsResponse, "transfer", "sender_balance_points", "receiver_balance_points")
class TransferPointsPayload: ...


@edge(Program, by_rpc("loyalty.GetSpendingPolicy"))
async def spending_policy(program: Parent[loyalty_pb.Program], info: Info) -> pb.SpendingPolicy:
    """How fast members may spend, and whether and how they may transfer."""
    request = pb.GetSpendingPolicyRequest(program_id=program.program_id)
    return (await info.context.backends.loyalty.GetSpendingPolicy(request, metadata=info.context.metadata)).policy


@edge(Member, by_rpc("loyalty.ListTransfers"))
async def transfers(
    member: Parent[loyalty_pb.Member], info: Info, received: bool = False, first: First = 20, after: After = None
) -> Page[pb.Transfer]:
    """What the member sent to others, or received from them, latest first."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.Transfer], str]:
        request = pb.ListTransfersRequest(
            program_id=member.program_id,
            member_id=member.member_id,
            received=received,
            page_size=size,
            page_token=token,
        )
        answer = await info.context.backends.loyalty.ListTransfers(request, metadata=info.context.metadata)
        return answer.transfers, answer.next_page_token

    return await page(fetch, first, after)


@mutation(by_rpc("loyalty.SetSpendingPolicy"))
async def set_spending_policy(info: Info, input: pb.SetSpendingPolicyRequest) -> pb.SetSpendingPolicyResponse:
    return await info.context.backends.loyalty.SetSpendingPolicy(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.TransferPoints"))
async def transfer_points(info: Info, input: pb.TransferPointsRequest) -> pb.TransferPointsResponse:
    return await info.context.backends.loyalty.TransferPoints(input, metadata=info.context.metadata)
