"""Templates, campaigns, messages and runs as the bodies of documents, and back."""

from datetime import datetime

from services.common.clock import from_micros, to_micros
from services.common.store.port import Body, Document
from services.crm.domain.campaign import Campaign, CampaignState, Channel, Counts, Sender
from services.crm.domain.consent import MARKETING, ConsentPolicy
from services.crm.domain.message import Message, MessageState
from services.crm.domain.template import Content, Template
from services.crm.ports import MessageEvent, Run, Versioned


def template_body(template: Template) -> Body:
    """``template`` to be stored."""
    return {
        "name": template.name,
        **content_body(template.content),
        "revision": template.revision,
        "create_time": to_micros(template.create_time),
        "update_time": to_micros(template.update_time),
    }


def template(template_id: str, body: Body) -> Template:
    """A stored template."""
    return Template(
        template_id=template_id,
        name=body["name"],
        content=content(body),
        revision=body["revision"],
        create_time=from_micros(body["create_time"]),
        update_time=from_micros(body["update_time"]),
    )


def content_body(content: Content) -> Body:
    """``content`` to be stored."""
    return {"subject": content.subject, "html": content.html, "text": content.text}


def content(body: Body) -> Content:
    """A stored content."""
    return Content(body["subject"], body["html"], body["text"])


def campaign_body(campaign: Campaign) -> Body:
    """``campaign`` to be stored."""
    counts, sender = campaign.counts, campaign.sender
    return {
        "name": campaign.name,
        "channel": int(campaign.channel),
        "segment_id": campaign.segment_id,
        "template_id": campaign.template_id,
        "template_revision": campaign.template_revision,
        "sender": [sender.address, sender.name, sender.reply_to],
        "state": int(campaign.state),
        "counts": [counts.queued, counts.sent, counts.failed, counts.skipped, counts.held_back],
        "audience_cursor": campaign.audience_cursor,
        "audience_complete": campaign.audience_complete,
        "problem": campaign.problem,
        "create_time": to_micros(campaign.create_time),
        "not_before_time": _micros(campaign.not_before_time),
        "start_time": _micros(campaign.start_time),
        "end_time": _micros(campaign.end_time),
        "consent": [campaign.consent_purpose, int(campaign.consent_policy)],
        "control_percent": campaign.control_percent,
    }


def campaign(campaign_id: str, body: Body) -> Campaign:
    """A stored campaign."""
    purpose, policy = body.get("consent", (MARKETING, ConsentPolicy.NOT_REFUSED))
    return Campaign(
        campaign_id=campaign_id,
        name=body["name"],
        channel=Channel(body["channel"]),
        segment_id=body["segment_id"],
        template_id=body["template_id"],
        template_revision=body["template_revision"],
        sender=Sender(*body["sender"]),
        state=CampaignState(body["state"]),
        counts=Counts(*body["counts"]),
        audience_cursor=body["audience_cursor"],
        audience_complete=body["audience_complete"],
        problem=body["problem"],
        create_time=from_micros(body["create_time"]),
        not_before_time=_time(body["not_before_time"]),
        start_time=_time(body["start_time"]),
        end_time=_time(body["end_time"]),
        consent_purpose=purpose,
        consent_policy=ConsentPolicy(policy),
        control_percent=body.get("control_percent", 0),
    )


def message_body(message: Message) -> Body:
    """``message`` to be stored. ``order_time`` orders a campaign's messages in one state: those that are queued by
    when they are due, the others by when they ended."""
    return {
        "campaign_id": message.campaign_id,
        "customer_id": message.customer_id,
        "state": int(message.state),
        "queue_time": to_micros(message.queue_time),
        "order_time": to_micros(message.end_time or message.due_time),
        "address": message.address,
        "reason": message.reason,
        "detail": message.detail,
        "attempt_count": message.attempt_count,
    }


def message(document: Document) -> Versioned[Message]:
    """A stored message."""
    body = document.body
    state, order_time = MessageState(body["state"]), from_micros(body["order_time"])
    queued = state is MessageState.QUEUED
    found = Message(
        message_id=document.id,
        campaign_id=body["campaign_id"],
        customer_id=body["customer_id"],
        state=state,
        queue_time=from_micros(body["queue_time"]),
        due_time=order_time,
        end_time=None if queued else order_time,
        address=body["address"],
        reason=body["reason"],
        detail=body["detail"],
        attempt_count=body["attempt_count"],
    )
    return Versioned(found, document.version)


def event_id(message: Message) -> str:
    """Each message enters each state at most once, and the store refuses a second event of one id."""
    return f"{message.message_id}:{message.state.name.lower()}"


def event_body(message: Message, control_percent: int = 0) -> Body:
    """What is published when ``message``, of a campaign with such a control group, entered its state."""
    return {
        "message_id": message.message_id,
        "campaign_id": message.campaign_id,
        "customer_id": message.customer_id,
        "state": int(message.state),
        "reason": message.reason,
        "time": to_micros(message.end_time or message.queue_time),
        "control_percent": control_percent,
    }


def event(tenant: str, body: Body) -> MessageEvent:
    """A published event."""
    return MessageEvent(
        tenant=tenant,
        message_id=body["message_id"],
        campaign_id=body["campaign_id"],
        customer_id=body["customer_id"],
        state=MessageState(body["state"]),
        reason=body["reason"],
        event_time=from_micros(body["time"]),
        control_percent=body.get("control_percent", 0),
    )


def run_id(tenant: str, campaign_id: str) -> str:
    """A campaign has at most one run."""
    return f"{tenant}:{campaign_id}"


def run_body(run: Run) -> Body:
    """``run`` to be stored."""
    return {
        "tenant": run.tenant,
        "campaign_id": run.campaign_id,
        "due_time": to_micros(run.due_time),
        "held": run.held,
        "failures": run.failures,
    }


def run(document: Document) -> Run:
    """A stored run."""
    body = document.body
    return Run(
        tenant=body["tenant"],
        campaign_id=body["campaign_id"],
        due_time=from_micros(body["due_time"]),
        held=body["held"],
        failures=body["failures"],
        version=document.version,
    )


def _micros(time: datetime | None) -> int | None:
    return None if time is None else to_micros(time)


def _time(micros: int | None) -> datetime | None:
    return None if micros is None else from_micros(micros)
