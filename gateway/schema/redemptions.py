"""What becomes of rewards that are taken, in the schema."""

from collections.abc import Sequence
from typing import Any

from strawberry import Parent
from tessera.loyalty.v1 import loyalty_service_pb2 as loyalty_pb
from tessera.loyalty.v1 import reward_pb2 as pb

from gateway.context import Info
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.forms import input_form
from gateway.schema.loyalty import Member
from gateway.schema.registry import computed, edge, from_proto, input_from_proto, mutation
from gateway.schema.scalars import JSON

_TERMS = ("start_time", "end_time", "tier_ids", "member_limit", "period_limit", "period", "coupon_campaign_id")


@from_proto(pb.RewardTerms, *_TERMS)
class RewardTerms: ...


@computed(RewardTerms, JSON | None)
def condition(terms: pb.RewardTerms) -> dict[str, Any] | None:
    """What the customer must be like, in the form of `RuleInput`; null: anything."""
    return input_form(terms.condition) if terms.HasField("condition") else None


@from_proto(
    pb.Redemption,
    "redemption_id",
    "program_id",
    "reward_id",
    "member_id",
    "state",
    "points",
    "redeem_time",
    "expire_time",
    "end_time",
    "code",
)
class Redemption: ...


@input_from_proto(pb.RewardTerms, *_TERMS, "condition")
class RewardTermsInput: ...


@input_from_proto(pb.ReserveRewardRequest, "request_id", "program_id", "member_id", "reward_id", "reserve_for")
class ReserveRewardInput: ...


@from_proto(pb.ReserveRewardResponse, "redemption")
class ReserveRewardPayload: ...


@input_from_proto(pb.FulfilRedemptionRequest, "request_id", "redemption_id")
class FulfilRedemptionInput: ...


@from_proto(pb.FulfilRedemptionResponse, "redemption")
class FulfilRedemptionPayload: ...


@input_from_proto(pb.CancelRedemptionRequest, "request_id", "redemption_id")
class CancelRedemptionInput: ...


@from_proto(pb.CancelRedemptionResponse, "redemption")
class CancelRedemptionPayload: ...


@edge(Member, by_rpc("loyalty.ListRedemptions"))
async def redemptions(
    member: Parent[loyalty_pb.Member], info: Info, first: First = 20, after: After = None
) -> Page[pb.Redemption]:
    """The rewards that the member took, latest first."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.Redemption], str]:
        request = pb.ListRedemptionsRequest(
            program_id=member.program_id, member_id=member.member_id, page_size=size, page_token=token
        )
        answer = await info.context.backends.loyalty.ListRedemptions(request, metadata=info.context.metadata)
        return answer.redemptions, answer.next_page_token

    return await page(fetch, first, after)


@mutation(by_rpc("loyalty.ReserveReward"))
async def reserve_reward(info: Info, input: pb.ReserveRewardRequest) -> pb.ReserveRewardResponse:
    return await info.context.backends.loyalty.ReserveReward(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.FulfilRedemption"))
async def fulfil_redemption(info: Info, input: pb.FulfilRedemptionRequest) -> pb.FulfilRedemptionResponse:
    return await info.context.backends.loyalty.FulfilRedemption(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.CancelRedemption"))
async def cancel_redemption(info: Info, input: pb.CancelRedemptionRequest) -> pb.CancelRedemptionResponse:
    return await info.context.backends.loyalty.CancelRedemption(input, metadata=info.context.metadata)
