"""Create, read, start, hold and end campaigns; the sending itself is in ``delivery``."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

from services.common.clock import Clock
from services.crm.domain.address import parse
from services.crm.domain.campaign import (
    Campaign,
    CampaignNotFound,
    Channel,
    ChannelNotConfigured,
    Sender,
)
from services.crm.domain.consent import MARKETING, ConsentPolicy
from services.crm.domain.mail import one_line
from services.crm.handlers.idempotence import once
from services.crm.handlers.templates import get_template
from services.crm.ports import Campaigns, Request, Templates, Versioned


@dataclass(frozen=True, slots=True)
class Draft:
    """What a new campaign is to be."""

    name: str
    channel: Channel
    segment_id: str
    template_id: str
    sender: Sender
    not_before_time: datetime | None
    consent_purpose: str = MARKETING
    consent_policy: ConsentPolicy = ConsentPolicy.NOT_REFUSED
    control_percent: int = 0


async def create_campaign(
    campaigns: Campaigns,
    templates: Templates,
    clock: Clock,
    new_id: Callable[[], str],
    tenant: str,
    request: Request,
    draft: Draft,
) -> Campaign:
    """A new draft; ``AddressInvalid``, ``TemplateNotFound``."""

    async def work() -> Campaign:
        sender = _sender(draft.sender)
        await get_template(templates, tenant, draft.template_id)
        campaign = Campaign(
            campaign_id=new_id(),
            name=draft.name,
            channel=draft.channel,
            segment_id=draft.segment_id,
            template_id=draft.template_id,
            sender=sender,
            not_before_time=draft.not_before_time,
            create_time=clock(),
            consent_purpose=draft.consent_purpose,
            consent_policy=draft.consent_policy,
            control_percent=draft.control_percent,
        )
        await campaigns.insert(tenant, campaign, request)
        return campaign

    return await once(partial(campaigns.answered, tenant, request), work)


async def get_campaign(campaigns: Campaigns, tenant: str, campaign_id: str) -> Campaign:
    """The campaign; ``CampaignNotFound``."""
    return (await _campaign(campaigns, tenant, campaign_id)).value


async def start_campaign(
    campaigns: Campaigns,
    templates: Templates,
    channels: frozenset[Channel],
    clock: Clock,
    tenant: str,
    request: Request,
    campaign_id: str,
) -> Campaign:
    """The campaign with work on it to be done; ``CampaignNotFound``, ``CampaignStateInvalid``,
    ``ChannelNotConfigured``, in this precedence."""

    async def work() -> Campaign:
        read = await _campaign(campaigns, tenant, campaign_id)
        read.value.check_startable()
        _check_channel(read.value.channel, channels)
        template = await get_template(templates, tenant, read.value.template_id)
        now = clock()
        started = read.value.started(template.revision, now)
        await campaigns.replace(tenant, read, started, request, due_time=started.due_time(now))
        return started

    return await once(partial(campaigns.answered, tenant, request), work)


async def pause_campaign(campaigns: Campaigns, tenant: str, request: Request, campaign_id: str) -> Campaign:
    """The campaign, held; ``CampaignNotFound``, ``CampaignStateInvalid``."""

    async def work() -> Campaign:
        read = await _campaign(campaigns, tenant, campaign_id)
        paused = read.value.paused()
        await campaigns.replace(tenant, read, paused, request)
        return paused

    return await once(partial(campaigns.answered, tenant, request), work)


async def cancel_campaign(
    campaigns: Campaigns, clock: Clock, tenant: str, request: Request, campaign_id: str
) -> Campaign:
    """The campaign, ended; what is queued is skipped in the background. ``CampaignNotFound``,
    ``CampaignStateInvalid``."""

    async def work() -> Campaign:
        read = await _campaign(campaigns, tenant, campaign_id)
        now = clock()
        cancelled = read.value.cancelled(now)
        due_time = now if cancelled.counts.queued else None
        await campaigns.replace(tenant, read, cancelled, request, due_time=due_time)
        return cancelled

    return await once(partial(campaigns.answered, tenant, request), work)


def _sender(given: Sender) -> Sender:
    reply_to = parse(given.reply_to) if given.reply_to else ""
    return replace(given, address=parse(given.address), name=one_line(given.name), reply_to=reply_to)


def _check_channel(channel: Channel, configured: frozenset[Channel]) -> None:
    if channel not in configured:
        raise ChannelNotConfigured(
            f"there is no provider for {channel.name}; set CRM_SMTP_URL and start crm again", channel=channel.name
        )


async def _campaign(campaigns: Campaigns, tenant: str, campaign_id: str) -> Versioned[Campaign]:
    read = await campaigns.get(tenant, campaign_id)
    if read is None:
        raise CampaignNotFound(f"there is no campaign {campaign_id}", campaign_id=campaign_id)
    return read
