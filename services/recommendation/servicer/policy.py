"""The rpc of what another way of choosing new items would have earned."""

import math

from tessera.recommendation.v1 import policy_pb2 as pb
from tessera.recommendation.v1.recommendation_service_pb2_grpc import RecommendationServiceServicer

from services.common.auth import principal
from services.common.clock import Clock
from services.recommendation.domain.feedback import FeedbackKind
from services.recommendation.domain.policy import Policy, PolicyInvalid, PolicyKind
from services.recommendation.handlers.estimate_policy import Wish, estimate_policy
from services.recommendation.handlers.placements import Placing
from services.recommendation.servicer.feedback import estimate_message, period_of
from services.recommendation.servicer.messages import Context, known
from services.recommendation.servicer.position_bias import position_bias_message

WHOLE = 10_000


class PolicyRpcs(RecommendationServiceServicer):
    """Candidates of exploration."""

    _placing: Placing
    _clock: Clock

    async def EstimatePolicy(self, request: pb.EstimatePolicyRequest, context: Context) -> pb.EstimatePolicyResponse:
        period = period_of(request, self._clock)
        found = await estimate_policy(self._placing.log, principal().tenant, period, _wish(request))
        return pb.EstimatePolicyResponse(
            logged=estimate_message(found.logged),
            ips=estimate_message(found.ips),
            snips=estimate_message(found.snips),
            doubly_robust=estimate_message(found.doubly_robust),
            line_count=found.line_count,
            clipped_share=found.clipped_share,
            corrected_share=found.corrected_share,
            position_bias=position_bias_message(found.examination) if found.examination else None,
        )


def _wish(request: pb.EstimatePolicyRequest) -> Wish:
    reward = known(FeedbackKind, request.reward or FeedbackKind.CLICK, "reward")
    if reward is FeedbackKind.IMPRESSION:
        raise PolicyInvalid("reward", "must be a CLICK, a CART or a PURCHASE")
    bound = request.weight_max
    if bound and not (math.isfinite(bound) and bound >= 1):
        raise PolicyInvalid("weight_max", "must be 1 at least, or 0 for no bound")
    return Wish(_policy(request.policy), reward, bound or math.inf, request.correct_positions)


def _policy(message: pb.Policy) -> Policy:
    weights = {each.item_id: each.weight for each in message.item_weights}
    if len(weights) < len(message.item_weights):
        raise PolicyInvalid("item_weights", "an item is named twice")
    kind = known(PolicyKind, message.kind, "policy.kind")
    return Policy(kind, message.chance_bp / WHOLE, weights, message.other_weight)
