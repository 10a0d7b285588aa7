"""gRPC in, use case, gRPC out: a class for each topic, joined here."""

from dataclasses import dataclass

from services.loyalty.servicer.achievements import AchievementRpcs
from services.loyalty.servicer.batches import BatchRpcs
from services.loyalty.servicer.blocking import BlockRpcs
from services.loyalty.servicer.coupon_campaigns import CouponCampaignRpcs
from services.loyalty.servicer.coupons import CouponRpcs
from services.loyalty.servicer.earning import EarningRpcs
from services.loyalty.servicer.entries import EntryRpcs
from services.loyalty.servicer.leaderboards import LeaderboardRpcs
from services.loyalty.servicer.lots import LotRpcs
from services.loyalty.servicer.members import MemberRpcs
from services.loyalty.servicer.notices import NoticeRpcs
from services.loyalty.servicer.offers import OfferRpcs
from services.loyalty.servicer.personal_data import PersonalDataRpcs
from services.loyalty.servicer.points import PointRpcs
from services.loyalty.servicer.pricing import PricingRpcs
from services.loyalty.servicer.programs import ProgramRpcs
from services.loyalty.servicer.referrals import ReferralRpcs
from services.loyalty.servicer.reports import ReportRpcs
from services.loyalty.servicer.rewards import RewardRpcs
from services.loyalty.servicer.shared_accounts import SharedAccountRpcs
from services.loyalty.servicer.transfers import TransferRpcs
from services.loyalty.servicer.wallets import WalletRpcs
from services.loyalty.servicer.wheels import WheelRpcs


@dataclass(frozen=True, kw_only=True)
class LoyaltyServicer(
    ProgramRpcs,
    PointRpcs,
    MemberRpcs,
    EntryRpcs,
    RewardRpcs,
    EarningRpcs,
    CouponCampaignRpcs,
    CouponRpcs,
    OfferRpcs,
    PersonalDataRpcs,
    BatchRpcs,
    ReferralRpcs,
    LotRpcs,
    BlockRpcs,
    TransferRpcs,
    ReportRpcs,
    AchievementRpcs,
    NoticeRpcs,
    SharedAccountRpcs,
    WalletRpcs,
    LeaderboardRpcs,
    PricingRpcs,
    WheelRpcs,
):
    """Answers ``tessera.loyalty.v1.LoyaltyService``. Each topic declares the ports that its rpcs need."""
