"""Referrals: campaigns, codes, who brought whom, and what the clock does."""

from collections.abc import Sequence

from services.common.errors import Conflict
from services.loyalty.domain.coupon_code import Draw, generate, normal
from services.loyalty.domain.referral import Advocate, Referral, ReferralCampaign, ReferralCounts
from services.loyalty.domain.referral_operations import AttributeReferral, CreateReferralCampaign, IssueReferralCode
from services.loyalty.domain.referral_orders import ReferralDue
from services.loyalty.ports import UNASKED, Coupons, Ledger, Referrals, Request

PATTERN = "#" * 10
DUE_MAX = 100


async def create_referral_campaign(
    ledger: Ledger, coupons: Coupons, request: Request, campaign: ReferralCampaign
) -> ReferralCampaign:
    """Open a campaign."""
    await coupons.enlist(request.tenant)
    return await ledger.post(request, CreateReferralCampaign(campaign=campaign))


async def issue_referral_code(
    ledger: Ledger, draw: Draw, request: Request, campaign_id: str, customer_id: str, identifiers: Sequence[str]
) -> Advocate:
    """Give a customer a code, or the one that they have."""
    (code,) = generate(PATTERN, checksum=True, count=1, draw=draw)
    issuing = IssueReferralCode(
        campaign_id=campaign_id, customer_id=customer_id, code=code, identifiers=tuple(identifiers)
    )
    return await ledger.post(request, issuing)


async def attribute_referral(
    ledger: Ledger, request: Request, code: str, friend_id: str, identifiers: Sequence[str]
) -> Referral:
    """Remember who brought a friend."""
    attributing = AttributeReferral(code=normal(code), friend_id=friend_id, identifiers=tuple(identifiers))
    return await ledger.post(request, attributing)


async def get_referral_figures(referrals: Referrals, tenant: str, campaign_id: str) -> ReferralCounts:
    """What came of a campaign."""
    (await referrals.book(tenant)).get(campaign_id)
    return await referrals.counts(tenant, campaign_id)


async def settle_referrals(ledger: Ledger, referrals: Referrals, coupons: Coupons, now: int) -> int:
    """Reward, or end, every referral that is due, of all tenants; how many there were."""
    settled = 0
    async for tenant in coupons.tenants():
        while due := await referrals.due(tenant, now, DUE_MAX):
            for known in due:
                try:
                    await ledger.post(Request(tenant, UNASKED, ""), ReferralDue(known))
                except Conflict:
                    continue  # it is due at the next tick still
            settled += len(due)
    return settled
