"""Offering and redeeming rewards."""

from services.loyalty.domain.entry import Entry
from services.loyalty.domain.operations import CreateReward, RedeemReward
from services.loyalty.domain.reward import Reward
from services.loyalty.ports import Ledger, Request, Rewards


async def create_reward(
    ledger: Ledger, request: Request, *, program_id: str, reward_id: str, name: str, cost: int, stock: int | None
) -> Reward:
    """Put a reward into a programme."""
    offering = CreateReward(program_id=program_id, reward_id=reward_id, name=name, cost=cost, stock=stock)
    return await ledger.post(request, offering)


async def list_rewards(
    rewards: Rewards, tenant: str, program_id: str, limit: int, after: str
) -> tuple[list[Reward], str]:
    """A page of a programme's rewards by id."""
    return await rewards.page(tenant, program_id, limit, after)


async def redeem_reward(ledger: Ledger, request: Request, *, program_id: str, member_id: str, reward_id: str) -> Entry:
    """Pay a reward with points and take it from stock."""
    redeeming = RedeemReward(program_id=program_id, member_id=member_id, reward_id=reward_id, request_id=request.id)
    return await ledger.post(request, redeeming)
