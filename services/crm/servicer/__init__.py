"""gRPC in, use case, gRPC out."""

import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import grpc
from google.protobuf.message import Message as Protobuf
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.crm.v1 import crm_service_pb2 as pb
from tessera.crm.v1 import privacy_pb2
from tessera.crm.v1.crm_service_pb2_grpc import CrmServiceServicer

from services.common.auth import ALL_TENANTS, principal
from services.common.clock import Clock
from services.common.idempotency import fingerprint
from services.common.validation import FieldInvalid
from services.crm.domain.campaign import Campaign, Channel, Sender
from services.crm.domain.consent import MARKETING, ConsentPolicy
from services.crm.domain.message import Message, MessageState
from services.crm.domain.template import Content, Template
from services.crm.handlers import campaigns, messages, templates
from services.crm.handlers.dispatch import Dispatcher
from services.crm.ports import Campaigns, Customers, MessageEvent, Messages, Renderer, Request, Templates, Unsubscribes
from services.crm.servicer.privacy import PrivacyRpcs
from services.crm.servicer.unsubscribe import UnsubscribeRpcs

Context = grpc.aio.ServicerContext[Any, Any]
PAGE_SIZE_DEFAULT = 100
CUSTOMER_MESSAGES_DEFAULT = 10


@dataclass(frozen=True, slots=True)
class CrmServicer(PrivacyRpcs, UnsubscribeRpcs, CrmServiceServicer):
    """Answers ``tessera.crm.v1.CrmService``."""

    templates: Templates
    campaigns: Campaigns
    messages: Messages
    customers: Customers
    renderer: Renderer
    channels: frozenset[Channel]
    clock: Clock
    dispatcher: Dispatcher
    unsubscribes: Unsubscribes

    async def CreateTemplate(self, request: pb.CreateTemplateRequest, context: Context) -> pb.CreateTemplateResponse:
        template = await templates.create_template(
            self.templates,
            self.renderer,
            self.clock,
            _new_id,
            principal().tenant,
            _request(request, request.request_id),
            request.name,
            _content(request.content),
        )
        return pb.CreateTemplateResponse(template=_template(template))

    async def GetTemplate(self, request: pb.GetTemplateRequest, context: Context) -> pb.GetTemplateResponse:
        template = await templates.get_template(self.templates, principal().tenant, request.template_id)
        return pb.GetTemplateResponse(template=_template(template))

    async def BatchGetTemplates(
        self, request: pb.BatchGetTemplatesRequest, context: Context
    ) -> pb.BatchGetTemplatesResponse:
        found = await self.templates.get_many(principal().tenant, list(dict.fromkeys(request.template_ids)))
        return pb.BatchGetTemplatesResponse(templates=map(_template, found))

    async def ListTemplates(self, request: pb.ListTemplatesRequest, context: Context) -> pb.ListTemplatesResponse:
        size = request.page_size or PAGE_SIZE_DEFAULT
        page = await self.templates.page(principal().tenant, size, request.page_token)
        return pb.ListTemplatesResponse(templates=map(_template, page.items), next_page_token=page.next_token)

    async def UpdateTemplate(self, request: pb.UpdateTemplateRequest, context: Context) -> pb.UpdateTemplateResponse:
        template = await templates.update_template(
            self.templates,
            self.renderer,
            self.clock,
            principal().tenant,
            _request(request, request.request_id),
            request.template_id,
            request.name,
            _content(request.content),
            request.revision,
        )
        return pb.UpdateTemplateResponse(template=_template(template))

    async def PreviewTemplate(self, request: pb.PreviewTemplateRequest, context: Context) -> pb.PreviewTemplateResponse:
        content = await templates.preview_template(
            self.templates,
            self.customers,
            self.renderer,
            principal().tenant,
            request.template_id,
            request.customer_id,
        )
        return pb.PreviewTemplateResponse(subject=content.subject, html=content.html, text=content.text)

    async def CreateCampaign(self, request: pb.CreateCampaignRequest, context: Context) -> pb.CreateCampaignResponse:
        draft = campaigns.Draft(
            name=request.name,
            channel=_channel(request.channel),
            segment_id=request.segment_id,
            template_id=request.template_id,
            sender=Sender(request.sender.address, request.sender.name, request.sender.reply_to),
            not_before_time=_not_before(request),
            consent_purpose=request.consent_purpose or MARKETING,
            consent_policy=ConsentPolicy(request.consent_policy or ConsentPolicy.NOT_REFUSED),
            control_percent=request.control_percent,
        )
        sent = _request(request, request.request_id)
        campaign = await campaigns.create_campaign(
            self.campaigns, self.templates, self.clock, _new_id, principal().tenant, sent, draft
        )
        return pb.CreateCampaignResponse(campaign=_campaign(campaign))

    async def GetCampaign(self, request: pb.GetCampaignRequest, context: Context) -> pb.GetCampaignResponse:
        campaign = await campaigns.get_campaign(self.campaigns, principal().tenant, request.campaign_id)
        return pb.GetCampaignResponse(campaign=_campaign(campaign))

    async def BatchGetCampaigns(
        self, request: pb.BatchGetCampaignsRequest, context: Context
    ) -> pb.BatchGetCampaignsResponse:
        found = await self.campaigns.get_many(principal().tenant, list(dict.fromkeys(request.campaign_ids)))
        return pb.BatchGetCampaignsResponse(campaigns=map(_campaign, found))

    async def ListCampaigns(self, request: pb.ListCampaignsRequest, context: Context) -> pb.ListCampaignsResponse:
        size = request.page_size or PAGE_SIZE_DEFAULT
        page = await self.campaigns.page(principal().tenant, size, request.page_token)
        return pb.ListCampaignsResponse(campaigns=map(_campaign, page.items), next_page_token=page.next_token)

    async def StartCampaign(self, request: pb.StartCampaignRequest, context: Context) -> pb.StartCampaignResponse:
        campaign = await campaigns.start_campaign(
            self.campaigns,
            self.templates,
            self.channels,
            self.clock,
            principal().tenant,
            _request(request, request.request_id),
            request.campaign_id,
        )
        self.dispatcher.wake()
        return pb.StartCampaignResponse(campaign=_campaign(campaign))

    async def PauseCampaign(self, request: pb.PauseCampaignRequest, context: Context) -> pb.PauseCampaignResponse:
        sent = _request(request, request.request_id)
        campaign = await campaigns.pause_campaign(self.campaigns, principal().tenant, sent, request.campaign_id)
        return pb.PauseCampaignResponse(campaign=_campaign(campaign))

    async def CancelCampaign(self, request: pb.CancelCampaignRequest, context: Context) -> pb.CancelCampaignResponse:
        sent = _request(request, request.request_id)
        campaign = await campaigns.cancel_campaign(
            self.campaigns, self.clock, principal().tenant, sent, request.campaign_id
        )
        self.dispatcher.wake()
        return pb.CancelCampaignResponse(campaign=_campaign(campaign))

    async def ListMessages(self, request: pb.ListMessagesRequest, context: Context) -> pb.ListMessagesResponse:
        page = await messages.list_messages(
            self.messages,
            principal().tenant,
            request.campaign_id,
            request.customer_id,
            _state(request.state),
            request.page_size or PAGE_SIZE_DEFAULT,
            request.page_token,
        )
        return pb.ListMessagesResponse(messages=map(_message, page.items), next_page_token=page.next_token)

    async def BatchGetCustomerMessages(
        self, request: pb.BatchGetCustomerMessagesRequest, context: Context
    ) -> pb.BatchGetCustomerMessagesResponse:
        limit = request.limit or CUSTOMER_MESSAGES_DEFAULT
        found = await messages.batch_get_customer_messages(
            self.messages, principal().tenant, request.customer_ids, limit
        )
        return pb.BatchGetCustomerMessagesResponse(
            customers=[
                pb.CustomerMessages(customer_id=customer_id, messages=map(_message, found[customer_id]))
                for customer_id in request.customer_ids
            ]
        )

    async def FollowMessages(
        self, request: pb.FollowMessagesRequest, context: Context
    ) -> AsyncIterator[pb.FollowMessagesResponse]:
        tenant = None if principal().tenant == ALL_TENANTS else principal().tenant
        followed = self.messages.events(request.after_cursor, tenant, experiments=request.experiments_only)
        async for batch in followed:
            events = map(_event, batch.events)
            yield pb.FollowMessagesResponse(events=events, cursor=batch.cursor, caught_up=batch.caught_up)


def _new_id() -> str:
    return uuid.uuid4().hex


def _request(message: Protobuf, request_id: str) -> Request:
    return Request(request_id, fingerprint(message))


def _channel(number: int) -> Channel:
    if number not in set(Channel):
        raise FieldInvalid(f"channel {number} is not known here", field="channel")
    return Channel(number)


def _state(number: int) -> MessageState | None:
    if number == pb.MESSAGE_STATE_UNSPECIFIED:
        return None
    if number not in set(MessageState):
        raise FieldInvalid(f"state {number} is not known here", field="state")
    return MessageState(number)


def _not_before(request: pb.CreateCampaignRequest) -> datetime | None:
    if not request.HasField("not_before_time"):
        return None
    try:
        return request.not_before_time.ToDatetime(UTC)
    except (ValueError, OverflowError) as error:
        raise FieldInvalid(f"not_before_time is not a time: {error}", field="not_before_time") from error


def _timestamp(time: datetime | None) -> Timestamp | None:
    if time is None:
        return None
    timestamp = Timestamp()
    timestamp.FromDatetime(time)
    return timestamp


def _content(content: pb.Content) -> Content:
    return Content(content.subject, content.html, content.text)


def _template(template: Template) -> pb.Template:
    content = template.content
    return pb.Template(
        template_id=template.template_id,
        name=template.name,
        content=pb.Content(subject=content.subject, html=content.html, text=content.text),
        revision=template.revision,
        create_time=_timestamp(template.create_time),
        update_time=_timestamp(template.update_time),
    )


def _campaign(campaign: Campaign) -> pb.Campaign:
    counts, sender = campaign.counts, campaign.sender
    return pb.Campaign(
        campaign_id=campaign.campaign_id,
        name=campaign.name,
        channel=pb.Channel.ValueType(campaign.channel),
        segment_id=campaign.segment_id,
        template_id=campaign.template_id,
        template_revision=campaign.template_revision,
        sender=pb.Sender(address=sender.address, name=sender.name, reply_to=sender.reply_to),
        not_before_time=_timestamp(campaign.not_before_time),
        state=pb.CampaignState.ValueType(campaign.state),
        counts=pb.CampaignCounts(
            audience_count=counts.audience,
            queued_count=counts.queued,
            sent_count=counts.sent,
            failed_count=counts.failed,
            skipped_count=counts.skipped,
            held_back_count=counts.held_back,
        ),
        problem=campaign.problem,
        create_time=_timestamp(campaign.create_time),
        start_time=_timestamp(campaign.start_time),
        end_time=_timestamp(campaign.end_time),
        consent_purpose=campaign.consent_purpose,
        consent_policy=privacy_pb2.ConsentPolicy.ValueType(campaign.consent_policy),
        control_percent=campaign.control_percent,
    )


def _message(message: Message) -> pb.Message:
    return pb.Message(
        message_id=message.message_id,
        campaign_id=message.campaign_id,
        customer_id=message.customer_id,
        address=message.address,
        state=pb.MessageState.ValueType(message.state),
        reason=message.reason,
        detail=message.detail,
        attempt_count=message.attempt_count,
        queue_time=_timestamp(message.queue_time),
        end_time=_timestamp(message.end_time),
    )


def _event(event: MessageEvent) -> pb.MessageEvent:
    return pb.MessageEvent(
        tenant_id=event.tenant,
        message_id=event.message_id,
        campaign_id=event.campaign_id,
        customer_id=event.customer_id,
        origin_customer_id=event.origin_id or event.customer_id,
        state=pb.MessageState.ValueType(event.state),
        reason=event.reason,
        event_time=_timestamp(event.event_time),
        control_percent=event.control_percent,
    )
