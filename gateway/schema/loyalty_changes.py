"""What can be changed in loyalty: programmes, rewards and points."""

from strawberry import Parent
from tessera.loyalty.v1 import lot_pb2 as lot_pb
from tessera.loyalty.v1 import loyalty_service_pb2 as pb
from tessera.loyalty.v1 import tier_pb2 as tier_pb

from gateway.context import Info
from gateway.schema import loaders
from gateway.schema.access import by_rpc
from gateway.schema.loyalty import LedgerEntry
from gateway.schema.registry import edge, from_proto, input_from_proto, mutation


@input_from_proto(pb.Tier, "tier_id", "name", "threshold", "perks")
class TierInput: ...


@input_from_proto(tier_pb.TierPolicy, "measure", "period", "downgrade", "grace_days")
class TierPolicyInput: ...


@input_from_proto(lot_pb.Validity, "count", "unit", "rounding", "extended_by_activity")
class ValidityInput: ...


@input_from_proto(pb.PendingRule, "release", "duration")
class PendingRuleInput: ...


@input_from_proto(
    pb.CreateProgramRequest,
    "request_id",
    "program_id",
    "name",
    "currency",
    "points_per_100_minor",
    "validity_months",
    "qualification",
    "tiers",
    "pending",
    "refund_policy",
    "time_zone",
    "tier_policy",
    "validity",
)
class CreateProgramInput: ...


@from_proto(pb.CreateProgramResponse, "program")
class CreateProgramPayload: ...


@input_from_proto(
    pb.CreateRewardRequest, "request_id", "program_id", "reward_id", "name", "cost_points", "stock_count", "terms"
)
class CreateRewardInput: ...


@from_proto(pb.CreateRewardResponse, "reward")
class CreateRewardPayload: ...


@input_from_proto(
    pb.EarnPointsRequest, "request_id", "program_id", "member_id", "points", "event_time", "reason", "pending"
)
class EarnPointsInput: ...


@from_proto(pb.EarnPointsResponse, "entry")
class EarnPointsPayload: ...


@input_from_proto(pb.BurnPointsRequest, "request_id", "program_id", "member_id", "points", "reason")
class BurnPointsInput: ...


@from_proto(pb.BurnPointsResponse, "entry")
class BurnPointsPayload: ...


@input_from_proto(pb.PostPendingRequest, "request_id", "program_id", "order_id", "entry_id")
class PostPendingInput: ...


@from_proto(pb.PostPendingResponse, "entry")
class PostPendingPayload: ...


@input_from_proto(pb.VoidPendingRequest, "request_id", "program_id", "order_id", "entry_id", "reason")
class VoidPendingInput: ...


@from_proto(pb.VoidPendingResponse, "entry")
class VoidPendingPayload: ...


@input_from_proto(pb.RefundOrderRequest, "request_id", "program_id", "order_id", "amount_minor", "reason")
class RefundOrderInput: ...


@from_proto(pb.RefundOrderResponse, "entry", "left_amount_minor")
class RefundOrderPayload: ...


@input_from_proto(pb.RedeemRewardRequest, "request_id", "program_id", "member_id", "reward_id")
class RedeemRewardInput: ...


@from_proto(pb.RedeemRewardResponse, "redemption_id", "entry", "balance_points", "code")
class RedeemRewardPayload: ...


@input_from_proto(pb.ExpirePointsRequest, "request_id", "program_id", "as_of_time")
class ExpirePointsInput: ...


@from_proto(pb.ExpirePointsResponse, "member_count", "expired_points", "posted_points", "more_due")
class ExpirePointsPayload: ...


@edge(LedgerEntry, by_rpc("loyalty.BatchGetMembers"))
async def member(entry: Parent[pb.Entry], info: Info) -> pb.Member | None:
    """The member's standing now."""
    return await loaders.member(info.context, entry.program_id, entry.member_id)


@mutation(by_rpc("loyalty.CreateProgram"))
async def create_program(info: Info, input: pb.CreateProgramRequest) -> pb.CreateProgramResponse:
    return await info.context.backends.loyalty.CreateProgram(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.CreateReward"))
async def create_reward(info: Info, input: pb.CreateRewardRequest) -> pb.CreateRewardResponse:
    return await info.context.backends.loyalty.CreateReward(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.EarnPoints"))
async def earn_points(info: Info, input: pb.EarnPointsRequest) -> pb.EarnPointsResponse:
    return await info.context.backends.loyalty.EarnPoints(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.BurnPoints"))
async def burn_points(info: Info, input: pb.BurnPointsRequest) -> pb.BurnPointsResponse:
    return await info.context.backends.loyalty.BurnPoints(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.PostPending"))
async def post_pending(info: Info, input: pb.PostPendingRequest) -> pb.PostPendingResponse:
    return await info.context.backends.loyalty.PostPending(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.VoidPending"))
async def void_pending(info: Info, input: pb.VoidPendingRequest) -> pb.VoidPendingResponse:
    return await info.context.backends.loyalty.VoidPending(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.RefundOrder"))
async def refund_order(info: Info, input: pb.RefundOrderRequest) -> pb.RefundOrderResponse:
    return await info.context.backends.loyalty.RefundOrder(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.RedeemReward"))
async def redeem_reward(info: Info, input: pb.RedeemRewardRequest) -> pb.RedeemRewardResponse:
    return await info.context.backends.loyalty.RedeemReward(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.ExpirePoints"))
async def expire_points(info: Info, input: pb.ExpirePointsRequest) -> pb.ExpirePointsResponse:
    return await info.context.backends.loyalty.ExpirePoints(input, metadata=info.context.metadata)
