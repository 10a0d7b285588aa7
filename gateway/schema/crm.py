"""Templates, campaigns and messages in the schema."""

from collections.abc import Sequence
from typing import Annotated

import strawberry
from strawberry import Parent
from tessera.crm.v1 import crm_service_pb2 as pb
from tessera.profiles.v1 import profiles_service_pb2 as profiles_pb
from tessera.segmentation.v1 import segmentation_service_pb2 as segmentation_pb

from gateway.context import Context, Info
from gateway.schema import loaders
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, limited, page
from gateway.schema.node import as_node, own_id
from gateway.schema.profiles import Customer
from gateway.schema.registry import edge, from_proto, input_from_proto, mutation, query

State = Annotated[pb.MessageState.ValueType, pb.MessageState]


@from_proto(pb.Content, "subject", "html", "text")
class Content: ...


@from_proto(pb.Template, "template_id", "name", "content", "revision", "create_time", "update_time")
class Template: ...


@from_proto(pb.Sender, "address", "name", "reply_to")
class Sender: ...


@from_proto(
    pb.CampaignCounts,
    "audience_count",
    "queued_count",
    "sent_count",
    "failed_count",
    "skipped_count",
    "held_back_count",
)
class CampaignCounts: ...


@from_proto(
    pb.Campaign,
    "campaign_id",
    "name",
    "channel",
    "segment_id",
    "template_id",
    "template_revision",
    "sender",
    "not_before_time",
    "state",
    "counts",
    "problem",
    "create_time",
    "start_time",
    "end_time",
    "consent_purpose",
    "consent_policy",
    "control_percent",
)
class Campaign: ...


@from_proto(
    pb.Message,
    "message_id",
    "campaign_id",
    "customer_id",
    "address",
    "state",
    "reason",
    "detail",
    "attempt_count",
    "queue_time",
    "end_time",
)
class Message: ...


@from_proto(pb.PreviewTemplateResponse, "subject", "html", "text")
class TemplatePreview: ...


@input_from_proto(pb.Content, "subject", "html", "text")
class ContentInput: ...


@input_from_proto(pb.Sender, "address", "name", "reply_to")
class SenderInput: ...


@input_from_proto(pb.CreateTemplateRequest, "request_id", "name", "content")
class CreateTemplateInput: ...


@from_proto(pb.CreateTemplateResponse, "template")
class CreateTemplatePayload: ...


@input_from_proto(pb.UpdateTemplateRequest, "request_id", "template_id", "name", "content", "revision")
class UpdateTemplateInput: ...


@from_proto(pb.UpdateTemplateResponse, "template")
class UpdateTemplatePayload: ...


@input_from_proto(
    pb.CreateCampaignRequest,
    "request_id",
    "name",
    "channel",
    "segment_id",
    "template_id",
    "sender",
    "not_before_time",
    "consent_purpose",
    "consent_policy",
    "control_percent",
)
class CreateCampaignInput: ...


@from_proto(pb.CreateCampaignResponse, "campaign")
class CreateCampaignPayload: ...


@input_from_proto(pb.StartCampaignRequest, "request_id", "campaign_id")
class StartCampaignInput: ...


@from_proto(pb.StartCampaignResponse, "campaign")
class StartCampaignPayload: ...


@input_from_proto(pb.PauseCampaignRequest, "request_id", "campaign_id")
class PauseCampaignInput: ...


@from_proto(pb.PauseCampaignResponse, "campaign")
class PauseCampaignPayload: ...


@input_from_proto(pb.CancelCampaignRequest, "request_id", "campaign_id")
class CancelCampaignInput: ...


@from_proto(pb.CancelCampaignResponse, "campaign")
class CancelCampaignPayload: ...


@as_node(Template, pb.Template, "template_id", access=by_rpc("crm.BatchGetTemplates"))
async def _template(context: Context, template_id: str) -> pb.Template | None:
    return await loaders.template(context, template_id)


@as_node(Campaign, pb.Campaign, "campaign_id", access=by_rpc("crm.BatchGetCampaigns"))
async def _campaign(context: Context, campaign_id: str) -> pb.Campaign | None:
    return await loaders.campaign(context, campaign_id)


@query(by_rpc("crm.BatchGetTemplates"))
async def template(info: Info, id: strawberry.ID) -> pb.Template | None:
    """One template; null if there is none."""
    return await loaders.template(info.context, own_id(Template, id))


@query(by_rpc("crm.ListTemplates"))
async def templates(info: Info, first: First = 20, after: After = None) -> Page[pb.Template]:
    """All templates, newest first."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.Template], str]:
        request = pb.ListTemplatesRequest(page_size=size, page_token=token)
        answer = await info.context.backends.crm.ListTemplates(request, metadata=info.context.metadata)
        return answer.templates, answer.next_page_token

    return await page(fetch, first, after)


@query(by_rpc("crm.PreviewTemplate"))
async def preview_template(
    info: Info, template_id: strawberry.ID, customer_id: strawberry.ID
) -> pb.PreviewTemplateResponse:
    request = pb.PreviewTemplateRequest(
        template_id=own_id(Template, template_id), customer_id=own_id(Customer, customer_id)
    )
    return await info.context.backends.crm.PreviewTemplate(request, metadata=info.context.metadata)


@query(by_rpc("crm.BatchGetCampaigns"))
async def campaign(info: Info, id: strawberry.ID) -> pb.Campaign | None:
    """One campaign with its counts; null if there is none."""
    return await loaders.campaign(info.context, own_id(Campaign, id))


@query(by_rpc("crm.ListCampaigns"))
async def campaigns(info: Info, first: First = 20, after: After = None) -> Page[pb.Campaign]:
    """All campaigns, newest first."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.Campaign], str]:
        request = pb.ListCampaignsRequest(page_size=size, page_token=token)
        answer = await info.context.backends.crm.ListCampaigns(request, metadata=info.context.metadata)
        return answer.campaigns, answer.next_page_token

    return await page(fetch, first, after)


@edge(Campaign, by_rpc("segmentation.GetSegment"))
async def segment(campaign: Parent[pb.Campaign], info: Info) -> segmentation_pb.Segment | None:
    """The segment that it is sent to."""
    return await loaders.segment(info.context, campaign.segment_id)


@edge(Campaign, by_rpc("crm.BatchGetTemplates"), name="template")
async def template_of_campaign(campaign: Parent[pb.Campaign], info: Info) -> pb.Template | None:
    """The template that it sends."""
    return await loaders.template(info.context, campaign.template_id)


@edge(Campaign, by_rpc("crm.ListMessages"))
async def messages(
    campaign: Parent[pb.Campaign],
    info: Info,
    first: First = 20,
    after: After = None,
    state: State | None = None,
) -> Page[pb.Message]:
    """What became of the message to each recipient."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.Message], str]:
        request = pb.ListMessagesRequest(
            campaign_id=campaign.campaign_id,
            state=state or pb.MESSAGE_STATE_UNSPECIFIED,
            page_size=size,
            page_token=token,
        )
        answer = await info.context.backends.crm.ListMessages(request, metadata=info.context.metadata)
        return answer.messages, answer.next_page_token

    return await page(fetch, first, after)


@edge(Message, by_rpc("crm.BatchGetCampaigns"), name="campaign")
async def campaign_of_message(message: Parent[pb.Message], info: Info) -> pb.Campaign | None:
    """The campaign."""
    return await loaders.campaign(info.context, message.campaign_id)


@edge(Message, by_rpc("profiles.BatchGetCustomers"))
async def customer(message: Parent[pb.Message], info: Info) -> profiles_pb.Customer | None:
    """The recipient."""
    return await loaders.customer(info.context, message.customer_id)


@edge(Customer, by_rpc("crm.BatchGetCustomerMessages"), name="messages")
async def messages_to_customer(
    customer: Parent[profiles_pb.Customer], info: Info, first: First = 10
) -> list[pb.Message]:
    """The newest messages to the customer."""
    return await loaders.messages(info.context, customer.customer_id, limited(first))


@mutation(by_rpc("crm.CreateTemplate"))
async def create_template(info: Info, input: pb.CreateTemplateRequest) -> pb.CreateTemplateResponse:
    return await info.context.backends.crm.CreateTemplate(input, metadata=info.context.metadata)


@mutation(by_rpc("crm.UpdateTemplate"))
async def update_template(info: Info, input: pb.UpdateTemplateRequest) -> pb.UpdateTemplateResponse:
    return await info.context.backends.crm.UpdateTemplate(input, metadata=info.context.metadata)


@mutation(by_rpc("crm.CreateCampaign"))
async def create_campaign(info: Info, input: pb.CreateCampaignRequest) -> pb.CreateCampaignResponse:
    return await info.context.backends.crm.CreateCampaign(input, metadata=info.context.metadata)


@mutation(by_rpc("crm.StartCampaign"))
async def start_campaign(info: Info, input: pb.StartCampaignRequest) -> pb.StartCampaignResponse:
    return await info.context.backends.crm.StartCampaign(input, metadata=info.context.metadata)


@mutation(by_rpc("crm.PauseCampaign"))
async def pause_campaign(info: Info, input: pb.PauseCampaignRequest) -> pb.PauseCampaignResponse:
    return await info.context.backends.crm.PauseCampaign(input, metadata=info.context.metadata)


@mutation(by_rpc("crm.CancelCampaign"))
async def cancel_campaign(info: Info, input: pb.CancelCampaignRequest) -> pb.CancelCampaignResponse:
    return await info.context.backends.crm.CancelCampaign(input, metadata=info.context.metadata)
