"""Offering rewards, and what becomes of those that are taken."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from services.loyalty.domain.coupon import CouponPoolEmpty
from services.loyalty.domain.entry import Entry
from services.loyalty.domain.operations import CreateReward, RedeemReward
from services.loyalty.domain.redemption import (
    EndRedemption,
    FulfilRedemption,
    Redemption,
    RedemptionNotFound,
    TakeReward,
)
from services.loyalty.domain.reward import Reward
from services.loyalty.handlers.coupons import CANDIDATES
from services.loyalty.ports import UNASKED, Coupons, Ledger, Redemptions, Request, Rewards

T = TypeVar("T")

ATTEMPTS_MAX = 50
DUE_MAX = 100


async def create_reward(ledger: Ledger, coupons: Coupons, request: Request, offering: CreateReward) -> Reward:
    """Put a reward into a programme."""
    await coupons.enlist(request.tenant)
    return await ledger.post(request, offering)


async def list_rewards(
    rewards: Rewards, tenant: str, program_id: str, limit: int, after: str
) -> tuple[list[Reward], str]:
    """A page of a programme's rewards by id."""
    return await rewards.page(tenant, program_id, limit, after)


async def redeem_reward(
    ledger: Ledger,
    rewards: Rewards,
    coupons: Coupons,
    request: Request,
    *,
    program_id: str,
    member_id: str,
    reward_id: str,
) -> Entry:
    """Pay a reward with points, take it from stock and give it at once."""

    async def redeem(candidates: list[str]) -> Entry:
        redeeming = RedeemReward(
            program_id=program_id,
            member_id=member_id,
            reward_id=reward_id,
            request_id=request.id,
            candidates=candidates,
        )
        return await ledger.post(request, redeeming)

    return await _with_codes(rewards, coupons, request.tenant, program_id, reward_id, redeem)


async def reserve_reward(
    ledger: Ledger, coupons: Coupons, rewards: Rewards, request: Request, taking: TakeReward
) -> Redemption:
    """Set a reward and its points aside."""
    await coupons.enlist(request.tenant)

    async def reserve(candidates: list[str]) -> Redemption:
        reserving = TakeReward(
            program_id=taking.program_id,
            member_id=taking.member_id,
            reward_id=taking.reward_id,
            request_id=taking.request_id,
            reserve_for=taking.reserve_for,
            candidates=candidates,
        )
        return await ledger.post(request, reserving)

    return await _with_codes(rewards, coupons, request.tenant, taking.program_id, taking.reward_id, reserve)


async def fulfil_redemption(
    ledger: Ledger, rewards: Rewards, coupons: Coupons, redemptions: Redemptions, request: Request, redemption_id: str
) -> Redemption:
    """Give the member what is reserved."""
    known = await _known(redemptions, request.tenant, redemption_id)

    async def fulfil(candidates: list[str]) -> Redemption:
        return await ledger.post(request, FulfilRedemption(known=known, candidates=candidates))

    return await _with_codes(rewards, coupons, request.tenant, known.program_id, known.reward_id, fulfil)


async def cancel_redemption(
    ledger: Ledger, redemptions: Redemptions, request: Request, redemption_id: str
) -> Redemption:
    """Give points and stock back."""
    known = await _known(redemptions, request.tenant, redemption_id)
    return await ledger.post(request, EndRedemption(known=known))


async def expire_redemptions(ledger: Ledger, redemptions: Redemptions, coupons: Coupons, now: int) -> int:
    """End every reservation whose time has passed, of all tenants; how many there were."""
    expired = 0
    async for tenant in coupons.tenants():
        while due := await redemptions.due(tenant, now, DUE_MAX):
            for known in due:
                await ledger.post(Request(tenant, UNASKED, ""), EndRedemption(known=known, expiring=True))
            expired += len(due)
    return expired


async def _known(redemptions: Redemptions, tenant: str, redemption_id: str) -> Redemption:
    known = await redemptions.get(tenant, redemption_id)
    if known is None:
        raise RedemptionNotFound(f"there is no redemption {redemption_id}", redemption_id=redemption_id)
    return known


async def _with_codes(
    rewards: Rewards,
    coupons: Coupons,
    tenant: str,
    program_id: str,
    reward_id: str,
    attempt: Callable[[list[str]], Awaitable[T]],
) -> T:
    """Attempt it with free codes, where the reward gives codes; again, where others took all of them meanwhile."""
    reward = await rewards.get(tenant, program_id, reward_id)
    campaign_id = reward.terms.coupon_campaign_id if reward else ""
    for _ in range(ATTEMPTS_MAX):
        candidates = await coupons.free(tenant, campaign_id, CANDIDATES) if campaign_id else []
        try:
            return await attempt(candidates)
        except CouponPoolEmpty:
            if not candidates:
                raise
    return await attempt(await coupons.free(tenant, campaign_id, CANDIDATES))
