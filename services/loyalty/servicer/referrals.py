"""The rpcs of referrals."""

from dataclasses import dataclass

from google.protobuf.duration_pb2 import Duration
from tessera.loyalty.v1 import referral_pb2 as pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceServicer

from services.common.auth import principal
from services.common.validation import FieldInvalid
from services.loyalty.domain.coupon_code import Draw
from services.loyalty.domain.days import DAY_MICROS, SECOND_MICROS
from services.loyalty.domain.referral import Referral, ReferralCampaign, ReferralCounts, ReferralState
from services.loyalty.handlers.referrals import (
    attribute_referral,
    create_referral_campaign,
    get_referral_figures,
    issue_referral_code,
)
from services.loyalty.ports import Coupons, Ledger, Referrals
from services.loyalty.servicer.calls import Context, named, page_size, timestamp
from services.loyalty.servicer.carts import read_duration

LONGEST = 3660 * DAY_MICROS
WINDOW_DEFAULT = 30 * DAY_MICROS
_STATES = {state: pb.ReferralState.Value(f"REFERRAL_STATE_{state.name}") for state in ReferralState}


@dataclass(frozen=True, kw_only=True)
class ReferralRpcs(LoyaltyServiceServicer):
    """Campaigns, codes and friends."""

    ledger: Ledger
    coupons: Coupons
    referrals: Referrals
    draw: Draw

    async def CreateReferralCampaign(
        self, request: pb.CreateReferralCampaignRequest, context: Context
    ) -> pb.CreateReferralCampaignResponse:
        campaign = await create_referral_campaign(self.ledger, self.coupons, named(request), _read(request.campaign))
        return pb.CreateReferralCampaignResponse(campaign=campaign_message(campaign))

    async def ListReferralCampaigns(
        self, request: pb.ListReferralCampaignsRequest, context: Context
    ) -> pb.ListReferralCampaignsResponse:
        book = await self.referrals.book(principal().tenant)
        return pb.ListReferralCampaignsResponse(campaigns=map(campaign_message, book.campaigns))

    async def GetReferralFigures(
        self, request: pb.GetReferralFiguresRequest, context: Context
    ) -> pb.GetReferralFiguresResponse:
        counts = await get_referral_figures(self.referrals, principal().tenant, request.campaign_id)
        return pb.GetReferralFiguresResponse(figures=referral_figures(counts))

    async def IssueReferralCode(
        self, request: pb.IssueReferralCodeRequest, context: Context
    ) -> pb.IssueReferralCodeResponse:
        advocate = await issue_referral_code(
            self.ledger, self.draw, named(request), request.campaign_id, request.customer_id, request.identifiers
        )
        return pb.IssueReferralCodeResponse(code=advocate.code)

    async def AttributeReferral(
        self, request: pb.AttributeReferralRequest, context: Context
    ) -> pb.AttributeReferralResponse:
        referral = await attribute_referral(
            self.ledger, named(request), request.code, request.friend_id, request.identifiers
        )
        return pb.AttributeReferralResponse(referral=referral_message(referral))

    async def ListReferrals(self, request: pb.ListReferralsRequest, context: Context) -> pb.ListReferralsResponse:
        if bool(request.advocate_id) == bool(request.friend_id):
            raise FieldInvalid("name either an advocate or a friend", field="advocate_id")
        found, token = await self.referrals.page(
            principal().tenant, request.advocate_id, request.friend_id, page_size(request), request.page_token
        )
        return pb.ListReferralsResponse(referrals=map(referral_message, found), next_page_token=token)


def _read(message: pb.ReferralCampaign) -> ReferralCampaign:
    return ReferralCampaign(
        campaign_id=message.campaign_id,
        name=message.name,
        program_id=message.program_id,
        currency=message.currency,
        advocate_points=message.advocate_points,
        friend_points=message.friend_points,
        min_order_minor=message.min_order_minor,
        attribution_window=read_duration(message, "attribution_window", WINDOW_DEFAULT, LONGEST),
        waiting_time=read_duration(message, "waiting_time", 0, LONGEST),
        advocate_limit=message.advocate_limit,
        period_limit=message.period_limit,
        period=read_duration(message, "period", 0, LONGEST),
    )


def campaign_message(campaign: ReferralCampaign) -> pb.ReferralCampaign:
    """A campaign."""
    return pb.ReferralCampaign(
        campaign_id=campaign.campaign_id,
        name=campaign.name,
        program_id=campaign.program_id,
        currency=campaign.currency,
        advocate_points=campaign.advocate_points,
        friend_points=campaign.friend_points,
        min_order_minor=campaign.min_order_minor,
        attribution_window=_duration(campaign.attribution_window),
        waiting_time=_duration(campaign.waiting_time),
        advocate_limit=campaign.advocate_limit,
        period_limit=campaign.period_limit,
        period=_duration(campaign.period),
        create_time=timestamp(campaign.create_time),
    )


def _duration(micros: int) -> Duration | None:
    return Duration(seconds=micros // SECOND_MICROS) if micros else None


def referral_figures(counts: ReferralCounts) -> pb.ReferralFigures:
    """How many stand where, and the referral rate."""
    ended = counts.rewarded + counts.cancelled + counts.limited + counts.lapsed
    referrals = counts.attributed + counts.qualified + ended
    converted = counts.qualified + counts.rewarded + counts.limited
    return pb.ReferralFigures(
        code_count=counts.codes,
        referral_count=referrals,
        attributed_count=counts.attributed,
        qualified_count=counts.qualified,
        rewarded_count=counts.rewarded,
        cancelled_count=counts.cancelled,
        limited_count=counts.limited,
        lapsed_count=counts.lapsed,
        conversion_rate=converted / referrals if referrals else 0.0,
        referrals_per_advocate=referrals / counts.codes if counts.codes else 0.0,
    )


def referral_message(referral: Referral) -> pb.Referral:
    """A referral."""
    due = referral.next_due_time
    return pb.Referral(
        campaign_id=referral.campaign_id,
        advocate_id=referral.advocate_id,
        friend_id=referral.friend_id,
        code=referral.code,
        state=_STATES[referral.state],
        order_id=referral.order_id,
        due_time=None if due is None else timestamp(due),
        history=[
            pb.ReferralStep(state=_STATES[step.state], step_time=timestamp(step.time), order_id=step.order_id)
            for step in referral.history
        ],
    )
