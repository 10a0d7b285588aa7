"""The rpcs of those who make coupons."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from tessera.loyalty.v1 import coupon_pb2 as pb
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceServicer

from services.common.auth import principal
from services.common.job_messages import to_proto
from services.common.jobs import Jobs
from services.common.validation import FieldInvalid
from services.loyalty.domain.coupon import ALWAYS, Coupon, CouponCampaign, CouponLimits
from services.loyalty.domain.coupon_code import Draw
from services.loyalty.handlers.coupons import (
    assign_coupon,
    create_coupon_campaign,
    export_coupons,
    generate_coupons,
    get_coupon_campaign,
    switch_coupon,
    update_coupon_campaign,
)
from services.loyalty.ports import Coupons, Ledger
from services.loyalty.servicer.calls import Context, micros, named, page_size, timestamp
from services.loyalty.servicer.carts import condition_message, read_condition, read_time, time_message


@dataclass(frozen=True, kw_only=True)
class CouponCampaignRpcs(LoyaltyServiceServicer):
    """Campaigns and codes."""

    ledger: Ledger
    coupons: Coupons
    jobs: Jobs
    draw: Draw

    async def CreateCouponCampaign(
        self, request: pb.CreateCouponCampaignRequest, context: Context
    ) -> pb.CreateCouponCampaignResponse:
        campaign = await create_coupon_campaign(self.ledger, self.coupons, named(request), _read(request.campaign))
        return pb.CreateCouponCampaignResponse(campaign=campaign_message(campaign))

    async def UpdateCouponCampaign(
        self, request: pb.UpdateCouponCampaignRequest, context: Context
    ) -> pb.UpdateCouponCampaignResponse:
        paused = request.paused if request.HasField("paused") else None
        end_time = micros(request.end_time) if request.HasField("end_time") else None
        campaign = await update_coupon_campaign(self.ledger, named(request), request.campaign_id, paused, end_time)
        return pb.UpdateCouponCampaignResponse(campaign=campaign_message(campaign))

    async def GetCouponCampaign(
        self, request: pb.GetCouponCampaignRequest, context: Context
    ) -> pb.GetCouponCampaignResponse:
        campaign, count, usage = await get_coupon_campaign(self.coupons, principal().tenant, request.campaign_id)
        return pb.GetCouponCampaignResponse(
            campaign=pb.CouponCampaignUsage(
                campaign=campaign_message(campaign),
                code_count=count,
                use_count=usage.uses,
                discount_minor=usage.discount_minor,
            )
        )

    async def ListCouponCampaigns(
        self, request: pb.ListCouponCampaignsRequest, context: Context
    ) -> pb.ListCouponCampaignsResponse:
        found, token = await self.coupons.campaigns(principal().tenant, page_size(request), request.page_token)
        return pb.ListCouponCampaignsResponse(campaigns=map(campaign_message, found), next_page_token=token)

    async def GenerateCoupons(self, request: pb.GenerateCouponsRequest, context: Context) -> pb.GenerateCouponsResponse:
        job = await generate_coupons(
            self.ledger, self.coupons, self.jobs, self.draw, named(request), request.campaign_id, request.count
        )
        return pb.GenerateCouponsResponse(job=to_proto(job))

    async def GetCouponJob(self, request: pb.GetCouponJobRequest, context: Context) -> pb.GetCouponJobResponse:
        return pb.GetCouponJobResponse(job=to_proto(await self.jobs.get(principal().tenant, request.job_id)))

    async def FollowCouponJob(
        self, request: pb.FollowCouponJobRequest, context: Context
    ) -> AsyncIterator[pb.FollowCouponJobResponse]:
        async for job in self.jobs.follow(principal().tenant, request.job_id):
            yield pb.FollowCouponJobResponse(job=to_proto(job))

    async def ListCoupons(self, request: pb.ListCouponsRequest, context: Context) -> pb.ListCouponsResponse:
        if bool(request.campaign_id) == bool(request.holder_id):
            raise FieldInvalid("name either a campaign or a holder", field="campaign_id")
        found, token = await self.coupons.page(
            principal().tenant, request.campaign_id, request.holder_id, page_size(request), request.page_token
        )
        return pb.ListCouponsResponse(coupons=map(coupon_message, found), next_page_token=token)

    async def ExportCoupons(self, request: pb.ExportCouponsRequest, context: Context) -> pb.ExportCouponsResponse:
        text, token = await export_coupons(self.coupons, principal().tenant, request.campaign_id, request.page_token)
        return pb.ExportCouponsResponse(csv=text, next_page_token=token)

    async def AssignCoupon(self, request: pb.AssignCouponRequest, context: Context) -> pb.AssignCouponResponse:
        coupon = await assign_coupon(
            self.ledger, self.coupons, named(request), request.campaign_id, request.customer_id
        )
        return pb.AssignCouponResponse(coupon=coupon_message(coupon))

    async def SwitchCoupon(self, request: pb.SwitchCouponRequest, context: Context) -> pb.SwitchCouponResponse:
        coupon = await switch_coupon(self.ledger, named(request), request.code, request.disabled)
        return pb.SwitchCouponResponse(coupon=coupon_message(coupon))


def _read(message: pb.CouponCampaign) -> CouponCampaign:
    limits = message.limits
    return CouponCampaign(
        campaign_id=message.campaign_id,
        name=message.name,
        currency=message.currency,
        code=message.code,
        pattern=message.pattern,
        checksum=message.checksum,
        start_time=read_time(message, "start_time", 0),
        end_time=read_time(message, "end_time", ALWAYS),
        min_order_minor=message.min_order_minor,
        condition=read_condition(message, "condition"),
        limits=CouponLimits(
            limits.per_code,
            limits.per_customer,
            limits.per_customer_day,
            limits.per_day,
            limits.total,
            limits.budget_minor,
        ),
        stackable=message.stackable,
        exclusivity_group=message.exclusivity_group,
    )


def campaign_message(campaign: CouponCampaign) -> pb.CouponCampaign:
    """A campaign."""
    limits = campaign.limits
    return pb.CouponCampaign(
        campaign_id=campaign.campaign_id,
        name=campaign.name,
        currency=campaign.currency,
        code=campaign.code,
        pattern=campaign.pattern,
        checksum=campaign.checksum,
        start_time=time_message(campaign.start_time, 0),
        end_time=time_message(campaign.end_time, ALWAYS),
        min_order_minor=campaign.min_order_minor,
        condition=condition_message(campaign.condition),
        limits=pb.CouponLimits(
            per_code=limits.per_code,
            per_customer=limits.per_customer,
            per_customer_day=limits.per_customer_day,
            per_day=limits.per_day,
            total=limits.total,
            budget_minor=limits.budget_minor,
        ),
        stackable=campaign.stackable,
        exclusivity_group=campaign.exclusivity_group,
        paused=campaign.paused,
        create_time=timestamp(campaign.create_time),
    )


def coupon_message(coupon: Coupon) -> pb.Coupon:
    """A code."""
    return pb.Coupon(
        code=coupon.code,
        campaign_id=coupon.campaign_id,
        holder_id=coupon.holder_id,
        use_count=coupon.uses,
        disabled=coupon.disabled,
        job_id=coupon.batch_id,
        create_time=timestamp(coupon.create_time),
    )
