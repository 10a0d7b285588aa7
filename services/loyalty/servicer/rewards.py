"""Offering and redeeming rewards."""

from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration
from tessera.loyalty.v1 import loyalty_service_pb2 as pb
from tessera.loyalty.v1 import reward_pb2
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceServicer

from services.common.auth import principal
from services.loyalty.domain.days import DAY_MICROS, SECOND_MICROS
from services.loyalty.domain.operations import CreateReward
from services.loyalty.domain.redemption import Redemption, RedemptionState, TakeReward
from services.loyalty.domain.reward import ALWAYS, NO_TERMS, Reward, RewardTerms
from services.loyalty.handlers.rewards import (
    cancel_redemption,
    create_reward,
    fulfil_redemption,
    list_rewards,
    redeem_reward,
    reserve_reward,
)
from services.loyalty.ports import Coupons, Ledger, Redemptions, Rewards
from services.loyalty.servicer.calls import Context, named, page_size, timestamp
from services.loyalty.servicer.carts import condition_message, read_condition, read_duration, read_time, time_message
from services.loyalty.servicer.entries import entry_message

PERIOD_MAX = 3660 * DAY_MICROS
RESERVE_FOR_MAX = 30 * DAY_MICROS
_STATES = {state: reward_pb2.RedemptionState.Value(f"REDEMPTION_STATE_{state.name}") for state in RedemptionState}


@dataclass(frozen=True, kw_only=True)
class RewardRpcs(LoyaltyServiceServicer):
    """The rpcs of rewards."""

    ledger: Ledger
    rewards: Rewards
    redemptions: Redemptions
    coupons: Coupons

    async def CreateReward(self, request: pb.CreateRewardRequest, context: Context) -> pb.CreateRewardResponse:
        offering = CreateReward(
            program_id=request.program_id,
            reward_id=request.reward_id,
            name=request.name,
            cost=request.cost_points,
            stock=request.stock_count if request.HasField("stock_count") else None,
            terms=_read_terms(request.terms) if request.HasField("terms") else NO_TERMS,
        )
        reward = await create_reward(self.ledger, self.coupons, named(request), offering)
        return pb.CreateRewardResponse(reward=reward_message(reward))

    async def ListRewards(self, request: pb.ListRewardsRequest, context: Context) -> pb.ListRewardsResponse:
        tenant, size = principal().tenant, page_size(request)
        found, token = await list_rewards(self.rewards, tenant, request.program_id, size, request.page_token)
        return pb.ListRewardsResponse(rewards=map(reward_message, found), next_page_token=token)

    async def RedeemReward(self, request: pb.RedeemRewardRequest, context: Context) -> pb.RedeemRewardResponse:
        entry = await redeem_reward(
            self.ledger,
            self.rewards,
            self.coupons,
            named(request),
            program_id=request.program_id,
            member_id=request.member_id,
            reward_id=request.reward_id,
        )
        redemption = await self.redemptions.get(principal().tenant, entry.id)
        return pb.RedeemRewardResponse(
            redemption_id=entry.id,
            entry=entry_message(entry),
            balance_points=entry.balance,
            code=redemption.code if redemption else "",
        )

    async def ReserveReward(
        self, request: reward_pb2.ReserveRewardRequest, context: Context
    ) -> reward_pb2.ReserveRewardResponse:
        taking = TakeReward(
            program_id=request.program_id,
            member_id=request.member_id,
            reward_id=request.reward_id,
            request_id=request.request_id,
            reserve_for=read_duration(request, "reserve_for", DAY_MICROS, RESERVE_FOR_MAX),
        )
        redemption = await reserve_reward(self.ledger, self.coupons, self.rewards, named(request), taking)
        return reward_pb2.ReserveRewardResponse(redemption=redemption_message(redemption))

    async def FulfilRedemption(
        self, request: reward_pb2.FulfilRedemptionRequest, context: Context
    ) -> reward_pb2.FulfilRedemptionResponse:
        redemption = await fulfil_redemption(
            self.ledger, self.rewards, self.coupons, self.redemptions, named(request), request.redemption_id
        )
        return reward_pb2.FulfilRedemptionResponse(redemption=redemption_message(redemption))

    async def CancelRedemption(
        self, request: reward_pb2.CancelRedemptionRequest, context: Context
    ) -> reward_pb2.CancelRedemptionResponse:
        redemption = await cancel_redemption(self.ledger, self.redemptions, named(request), request.redemption_id)
        return reward_pb2.CancelRedemptionResponse(redemption=redemption_message(redemption))

    async def ListRedemptions(
        self, request: reward_pb2.ListRedemptionsRequest, context: Context
    ) -> reward_pb2.ListRedemptionsResponse:
        found, token = await self.redemptions.page(
            principal().tenant, request.program_id, request.member_id, page_size(request), request.page_token
        )
        return reward_pb2.ListRedemptionsResponse(redemptions=map(redemption_message, found), next_page_token=token)


def _read_terms(terms: reward_pb2.RewardTerms) -> RewardTerms:
    return RewardTerms(
        start_time=read_time(terms, "start_time", 0),
        end_time=read_time(terms, "end_time", ALWAYS),
        tier_ids=tuple(terms.tier_ids),
        condition=read_condition(terms, "condition"),
        member_limit=terms.member_limit,
        period_limit=terms.period_limit,
        period=read_duration(terms, "period", 0, PERIOD_MAX),
        coupon_campaign_id=terms.coupon_campaign_id,
    )


def _terms(terms: RewardTerms) -> reward_pb2.RewardTerms | None:
    if terms == NO_TERMS:
        return None
    return reward_pb2.RewardTerms(
        start_time=time_message(terms.start_time, 0),
        end_time=time_message(terms.end_time, ALWAYS),
        tier_ids=terms.tier_ids,
        condition=condition_message(terms.condition),
        member_limit=terms.member_limit,
        period_limit=terms.period_limit,
        period=Duration(seconds=terms.period // SECOND_MICROS) if terms.period else None,
        coupon_campaign_id=terms.coupon_campaign_id,
    )


def redemption_message(redemption: Redemption) -> reward_pb2.Redemption:
    """A redemption."""
    due = redemption.next_expire_time
    return reward_pb2.Redemption(
        redemption_id=redemption.redemption_id,
        program_id=redemption.program_id,
        reward_id=redemption.reward_id,
        member_id=redemption.member_id,
        state=_STATES[redemption.state],
        points=redemption.points,
        redeem_time=timestamp(redemption.time),
        expire_time=None if due is None else timestamp(due),
        end_time=time_message(redemption.end_time, 0),
        code=redemption.code,
    )


def reward_message(reward: Reward) -> pb.Reward:
    """A reward."""
    return pb.Reward(
        reward_id=reward.id,
        program_id=reward.program_id,
        name=reward.name,
        cost_points=reward.cost,
        stock_count=reward.stock,
        left_count=reward.left,
        redeemed_count=reward.redeemed,
        create_time=timestamp(reward.create_time),
        terms=_terms(reward.terms),
    )
