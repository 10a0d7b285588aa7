"""Offering and redeeming rewards."""

from dataclasses import dataclass

from tessera.loyalty.v1 import loyalty_service_pb2 as pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceServicer

from services.common.auth import principal
from services.loyalty.domain.reward import Reward
from services.loyalty.handlers.rewards import create_reward, list_rewards, redeem_reward
from services.loyalty.ports import Ledger, Rewards
from services.loyalty.servicer.calls import Context, named, page_size, timestamp
from services.loyalty.servicer.entries import entry_message


@dataclass(frozen=True, kw_only=True)
class RewardRpcs(LoyaltyServiceServicer):
    """The rpcs of rewards."""

    ledger: Ledger
    rewards: Rewards

    async def CreateReward(self, request: pb.CreateRewardRequest, context: Context) -> pb.CreateRewardResponse:
        reward = await create_reward(
            self.ledger,
            named(request),
            program_id=request.program_id,
            reward_id=request.reward_id,
            name=request.name,
            cost=request.cost_points,
            stock=request.stock_count if request.HasField("stock_count") else None,
        )
        return pb.CreateRewardResponse(reward=reward_message(reward))

    async def ListRewards(self, request: pb.ListRewardsRequest, context: Context) -> pb.ListRewardsResponse:
        tenant, size = principal().tenant, page_size(request)
        found, token = await list_rewards(self.rewards, tenant, request.program_id, size, request.page_token)
        return pb.ListRewardsResponse(rewards=map(reward_message, found), next_page_token=token)

    async def RedeemReward(self, request: pb.RedeemRewardRequest, context: Context) -> pb.RedeemRewardResponse:
        entry = await redeem_reward(
            self.ledger,
            named(request),
            program_id=request.program_id,
            member_id=request.member_id,
            reward_id=request.reward_id,
        )
        return pb.RedeemRewardResponse(redemption_id=entry.id, entry=entry_message(entry), balance_points=entry.balance)


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
    )
