"""What another way of choosing new products would have earned, in the schema."""

from tessera.recommendation.v1 import policy_pb2 as pb

from gateway.context import Info
from gateway.schema.access import by_rpc
from gateway.schema.registry import from_proto, input_from_proto, query


@input_from_proto(pb.ItemWeight, "item_id", "weight")
class ProductWeightInput: ...


@input_from_proto(pb.Policy, "kind", "chance_bp", "item_weights", "other_weight")
class PolicyInput: ...


@input_from_proto(
    pb.EstimatePolicyRequest,
    "policy",
    "start_time",
    "end_time",
    "placement_id",
    "reward",
    "weight_max",
    "correct_positions",
)
class EstimatePolicyInput: ...


@from_proto(
    pb.EstimatePolicyResponse,
    "logged",
    "ips",
    "snips",
    "doubly_robust",
    "line_count",
    "clipped_share",
    "corrected_share",
    "position_bias",
)
class PolicyEstimates: ...


@query(by_rpc("recommendation.EstimatePolicy"))
async def policy_estimate(info: Info, input: pb.EstimatePolicyRequest) -> pb.EstimatePolicyResponse:
    return await info.context.backends.recommendation.EstimatePolicy(input, metadata=info.context.metadata)
