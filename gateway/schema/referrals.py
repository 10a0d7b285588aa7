"""Referrals in the schema."""

from collections.abc import Sequence

import strawberry
from strawberry import Parent
from tessera.loyalty.v1 import referral_pb2 as pb
from tessera.profiles.v1 import profiles_service_pb2 as profiles_pb

from gateway.context import Info
from gateway.schema.absence import none_if_not_found
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.profiles import Customer
from gateway.schema.registry import edge, from_proto, input_from_proto, mutation, query

_CAMPAIGN = (
    "campaign_id",
    "name",
    "program_id",
    "currency",
    "advocate_points",
    "friend_points",
    "min_order_minor",
    "attribution_window",
    "waiting_time",
    "advocate_limit",
    "period_limit",
    "period",
)


@from_proto(pb.ReferralCampaign, *_CAMPAIGN, "create_time")
class ReferralCampaign: ...


@from_proto(
    pb.ReferralFigures,
    "code_count",
    "referral_count",
    "attributed_count",
    "qualified_count",
    "rewarded_count",
    "cancelled_count",
    "limited_count",
    "lapsed_count",
    "conversion_rate",
    "referrals_per_advocate",
)
class ReferralFigures: ...


@from_proto(pb.ReferralStep, "state", "step_time", "order_id")
class ReferralStep: ...


@from_proto(pb.Referral, "campaign_id", "advocate_id", "friend_id", "code", "state", "order_id", "due_time", "history")
class Referral: ...


@input_from_proto(pb.ReferralCampaign, *_CAMPAIGN)
class ReferralCampaignInput: ...


@input_from_proto(pb.CreateReferralCampaignRequest, "request_id", "campaign")
class CreateReferralCampaignInput: ...


@from_proto(pb.CreateReferralCampaignResponse, "campaign")
class CreateReferralCampaignPayload: ...


@input_from_proto(pb.IssueReferralCodeRequest, "request_id", "campaign_id", "customer_id", "identifiers")
class IssueReferralCodeInput: ...


@from_proto(pb.IssueReferralCodeResponse, "code")
class IssueReferralCodePayload: ...


@input_from_proto(pb.AttributeReferralRequest, "request_id", "code", "friend_id", "identifiers")
class AttributeReferralInput: ...


@from_proto(pb.AttributeReferralResponse, "referral")
class AttributeReferralPayload: ...


@query(by_rpc("loyalty.ListReferralCampaigns"))
async def referral_campaigns(info: Info) -> list[pb.ReferralCampaign]:
    request = pb.ListReferralCampaignsRequest()
    answer = await info.context.backends.loyalty.ListReferralCampaigns(request, metadata=info.context.metadata)
    return list(answer.campaigns)


@query(by_rpc("loyalty.GetReferralFigures"))
async def referral_figures(info: Info, campaign_id: strawberry.ID) -> pb.ReferralFigures | None:
    """How many referrals of a campaign stand where, and the referral rate; null if there is no such campaign."""
    request = pb.GetReferralFiguresRequest(campaign_id=campaign_id)
    backend = info.context.backends.loyalty
    answer = await none_if_not_found(backend.GetReferralFigures(request, metadata=info.context.metadata))
    return answer.figures if answer else None


@edge(Customer, by_rpc("loyalty.ListReferrals"))
async def referrals(
    customer: Parent[profiles_pb.Customer], info: Info, first: First = 20, after: After = None
) -> Page[pb.Referral]:
    """The friends whom the customer brought, latest change first."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.Referral], str]:
        request = pb.ListReferralsRequest(advocate_id=customer.customer_id, page_size=size, page_token=token)
        answer = await info.context.backends.loyalty.ListReferrals(request, metadata=info.context.metadata)
        return answer.referrals, answer.next_page_token

    return await page(fetch, first, after)


@mutation(by_rpc("loyalty.CreateReferralCampaign"))
async def create_referral_campaign(
    info: Info, input: pb.CreateReferralCampaignRequest
) -> pb.CreateReferralCampaignResponse:
    return await info.context.backends.loyalty.CreateReferralCampaign(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.IssueReferralCode"))
async def issue_referral_code(info: Info, input: pb.IssueReferralCodeRequest) -> pb.IssueReferralCodeResponse:
    return await info.context.backends.loyalty.IssueReferralCode(input, metadata=info.context.metadata)


@mutation(by_rpc("loyalty.AttributeReferral"))
async def attribute_referral(info: Info, input: pb.AttributeReferralRequest) -> pb.AttributeReferralResponse:
    return await info.context.backends.loyalty.AttributeReferral(input, metadata=info.context.metadata)
