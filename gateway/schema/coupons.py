"""Coupons in the schema."""

from collections.abc import Sequence
from typing import Any

import strawberry
from strawberry import Parent
from tessera.common.v1 import job_pb2
from tessera.loyalty.v1 import coupon_pb2 as pb
from tessera.profiles.v1 import profiles_service_pb2 as profiles_pb

from gateway.context import Info
from gateway.schema.absence import none_if_not_found
from gateway.schema.access import by_rpc
from gateway.schema.carts import recognised
from gateway.schema.connections import After, First, Page, page
from gateway.schema.forms import input_form
from gateway.schema.profiles import Customer
from gateway.schema.registry import computed, edge, from_proto, input_from_proto, mutation, query
from gateway.schema.scalars import JSON

_CAMPAIGN = (
    "campaign_id",
    "name",
    "currency",
    "code",
    "pattern",
    "checksum",
    "start_time",
    "end_time",
    "min_order_minor",
    "limits",
    "stackable",
    "exclusivity_group",
)
_LIMITS = ("per_code", "per_customer", "per_customer_day", "per_day", "total", "budget_minor")


@from_proto(pb.CouponLimits, *_LIMITS)
class CouponLimits: ...


@from_proto(pb.CouponCampaign, *_CAMPAIGN, "paused", "create_time")
class CouponCampaign: ...


@computed(CouponCampaign, JSON | None)
def condition(campaign: pb.CouponCampaign) -> dict[str, Any] | None:
    """What the cart and the customer must be like, in the form of `RuleInput`; null: anything."""
    return input_form(campaign.condition) if campaign.HasField("condition") else None


@from_proto(pb.CouponCampaignUsage, "campaign", "code_count", "use_count", "discount_minor")
class CouponCampaignUsage: ...


@from_proto(pb.Coupon, "code", "campaign_id", "holder_id", "use_count", "disabled", "job_id", "create_time")
class Coupon: ...


@from_proto(pb.CouponUse, "code", "campaign_id", "state", "use_time", "expire_time", "end_time", "discount_minor")
class CouponUse: ...


@from_proto(pb.CouponOrder, "order_id", "customer_id", "uses")
class CouponOrder: ...


@from_proto(pb.CouponVerdict, "code", "valid", "campaign_id", "reason", "message", "missing_minor")
class CouponVerdict: ...


@input_from_proto(pb.PresentedCoupon, "code", "discount_minor")
class PresentedCouponInput: ...


@input_from_proto(pb.CouponLimits, *_LIMITS)
class CouponLimitsInput: ...


@input_from_proto(pb.CouponCampaign, *_CAMPAIGN, "condition")
class CouponCampaignInput: ...


@input_from_proto(pb.CreateCouponCampaignRequest, "request_id", "campaign")
class CreateCouponCampaignInput: ...


@from_proto(pb.CreateCouponCampaignResponse, "campaign")
class CreateCouponCampaignPayload: ...


@input_from_proto(pb.UpdateCouponCampaignRequest, "request_id", "campaign_id", "paused", "end_time")
class UpdateCouponCampaignInput: ...


@from_proto(pb.UpdateCouponCampaignResponse, "campaign")
class UpdateCouponCampaignPayload: ...


@input_from_proto(pb.GenerateCouponsRequest, "request_id", "campaign_id", "count")
class GenerateCouponsInput: ...


@from_proto(pb.GenerateCouponsResponse, "job")
class GenerateCouponsPayload: ...


@input_from_proto(pb.AssignCouponRequest, "request_id", "campaign_id", "customer_id")
class AssignCouponInput: ...


@from_proto(pb.AssignCouponResponse, "coupon")
class AssignCouponPayload: ...


@input_from_proto(pb.SwitchCouponRequest, "request_id", "code", "disabled")
class SwitchCouponInput: ...


@from_proto(pb.SwitchCouponResponse, "coupon")
class SwitchCouponPayload: ...


@input_from_proto(pb.ValidateCouponsRequest, "coupons", "cart", "order_id")
class ValidateCouponsInput: ...


@input_from_proto(pb.ReserveCouponsRequest, "request_id", "order_id", "coupons", "cart", "reserve_for")
class ReserveCouponsInput: ...


@from_proto(pb.ReserveCouponsResponse, "order")
class ReserveCouponsPayload: ...


@input_from_proto(pb.RedeemCouponsRequest, "request_id", "order_id", "coupons", "cart")
class RedeemCouponsInput: ...


@from_proto(pb.RedeemCouponsResponse, "order")
class RedeemCouponsPayload: ...


@input_from_proto(pb.RollBackCouponsRequest, "request_id", "order_id", "codes")
class RollBackCouponsInput: ...


@from_proto(pb.RollBackCouponsResponse, "order")
class RollBackCouponsPayload: ...


@query(by_rpc("loyalty.GetCouponCampaign"))
async def coupon_campaign(info: Info, id: strawberry.ID) -> pb.CouponCampaignUsage | None:
    """One campaign of coupons and how much of it is used; null if there is none."""
    request = pb.GetCouponCampaignRequest(campaign_id=id)
    backend = info.context.backends.loyalty
    answer = await none_if_not_found(backend.GetCouponCampaign(request, metadata=info.context.metadata))
    return answer.campaign if answer else None


@query(by_rpc("loyalty.ListCouponCampaigns"))
async def coupon_campaigns(info: Info, first: First = 20, after: After = None) -> Page[pb.CouponCampaign]:
    """The campaigns of coupons, by id."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.CouponCampaign], str]:
        request = pb.ListCouponCampaignsRequest(page_size=size, page_token=token)
        answer = await info.context.backends.loyalty.ListCouponCampaigns(request, metadata=info.context.metadata)
        return answer.campaigns, answer.next_page_token

    return await page(fetch, first, after)


@query(by_rpc("loyalty.ListCoupons"))
async def coupons(
    info: Info,
    campaign_id: strawberry.ID | None = None,
    holder_id: strawberry.ID | None = None,
    first: First = 20,
    after: After = None,
) -> Page[pb.Coupon]:
    """The codes of a campaign, or of a customer who holds them."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.Coupon], str]:
        request = pb.ListCouponsRequest(
            campaign_id=campaign_id or "", holder_id=holder_id or "", page_size=size, page_token=token
        )
        answer = await info.context.backends.loyalty.ListCoupons(request, metadata=info.context.metadata)
        return answer.coupons, answer.next_page_token

    return await page(fetch, first, after)


@query(by_rpc("loyalty.GetCouponJob"))
async def coupon_job(info: Info, id: strawberry.ID) -> job_pb2.Job | None:
    """How far a job of `generateCoupons` is; null if there is none."""
    request = pb.GetCouponJobRequest(job_id=id)
    backend = info.context.backends.loyalty
    answer = await none_if_not_found(backend.GetCouponJob(request, metadata=info.context.metadata))
    return answer.job if answer else None


@query(by_rpc("loyalty.ValidateCoupons"))
async def validate_coupons(info: Info, input: pb.ValidateCouponsRequest) -> list[pb.CouponVerdict]:
    await recognised(info.context, input.cart)
    answer = await info.context.backends.loyalty.ValidateCoupons(input, metadata=info.context.metadata)
    return list(answer.verdicts)


@edge(Customer, by_rpc("loyalty.ListCouponOrders"))
async def coupon_orders(
    customer: Parent[profiles_pb.Customer], info: Info, first: First = 20, after: After = None
) -> Page[pb.CouponOrder]:
    """What the customer's orders have done with coupons, latest change first."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.CouponOrder], str]:
        request = pb.ListCouponOrdersRequest(customer_id=customer.customer_id, page_size=size, page_token=token)
        answer = await info.context.backends.loyalty.ListCouponOrders(request, metadata=info.context.metadata)
        return answer.orders, answer.next_page_token

    return await page(fetch, first, after)


@mutation(by_rpc("loyalty.CreateCouponCampaign"))
async def create_coupon_campaign(info: Info, input: pb.CreateCouponCampaignRequest) -> pb.CreateCouponCampaignResponse:
    return await info.context.backends.loyalty.CreateCouponCampaign(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.UpdateCouponCampaign"))
async def update_coupon_campaign(info: Info, input: pb.UpdateCouponCampaignRequest) -> pb.UpdateCouponCampaignResponse:
    return await info.context.backends.loyalty.UpdateCouponCampaign(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.GenerateCoupons"))
async def generate_coupons(info: Info, input: pb.GenerateCouponsRequest) -> pb.GenerateCouponsResponse:
    return await info.context.backends.loyalty.GenerateCoupons(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.AssignCoupon"))
async def assign_coupon(info: Info, input: pb.AssignCouponRequest) -> pb.AssignCouponResponse:
    return await info.context.backends.loyalty.AssignCoupon(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.SwitchCoupon"))
async def switch_coupon(info: Info, input: pb.SwitchCouponRequest) -> pb.SwitchCouponResponse:
    return await info.context.backends.loyalty.SwitchCoupon(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.ReserveCoupons"))
async def reserve_coupons(info: Info, input: pb.ReserveCouponsRequest) -> pb.ReserveCouponsResponse:
    await recognised(info.context, input.cart)
    return await info.context.backends.loyalty.ReserveCoupons(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.RedeemCoupons"))
async def redeem_coupons(info: Info, input: pb.RedeemCouponsRequest) -> pb.RedeemCouponsResponse:
    await recognised(info.context, input.cart)
    return await info.context.backends.loyalty.RedeemCoupons(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.RollBackCoupons"))
async def roll_back_coupons(info: Info, input: pb.RollBackCouponsRequest) -> pb.RollBackCouponsResponse:
    return await info.context.backends.loyalty.RollBackCoupons(input, metadata=info.context.metadata)
