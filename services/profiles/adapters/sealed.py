"""Customers and events as documents: what is about a person is sealed with the customer's key, the rest is searched by.

Documents from before customers had keys are read as they are, and sealed when they are written again.
"""

from typing import Any

from services.common.store import Collection, Document
from services.profiles.adapters.customer_keys import Keys, seal_content, unseal_content
from services.profiles.domain.customer import Customer, Group, Lifetime, Trait
from services.profiles.domain.event import Observation
from services.profiles.ports import Recorded, Recording

CUSTOMERS = Collection("customers")


def event_body(tenant: str, event: Observation, customer_id: str, recording: Recording, key: bytes) -> dict[str, Any]:
    """The document of an event. Sealed is what it says, where it came from, and the names in it."""
    content = [event.json, event.context, event.integrations, event.group_id, event.previous_id]
    body = {
        "customer_id": customer_id,
        "name": event.name,
        "type": int(event.type),
        "time": event.event_time,
        "recorded": recording.record_time,
        "sealed": seal_content(key, content, _event(tenant, event.message_id)),
    }
    if merged_into := recording.changed[customer_id].merged_into:
        body["owner"] = merged_into
    if event.previous_id:
        body["joined"] = event.message_id not in recording.unjoined
    return body


def sealed_event(tenant: str, message_id: str, json: str, key: bytes) -> bytes:
    """What is sealed of an event that says nothing but ``json``."""
    return seal_content(key, [json, "", "", "", ""], _event(tenant, message_id))


def said(tenant: str, message_id: str, body: dict[str, Any], keys: Keys) -> str | None:
    """The properties or traits of an event; ``None`` where the key is destroyed."""
    content = _content(tenant, message_id, body, keys)
    return None if content is None else content[0]


def recorded(tenant: str, message_id: str, body: dict[str, Any], keys: Keys) -> Recorded | None:
    """The event in a document; ``None`` where the key is destroyed. ``PersonalDataUnreadable``."""
    content = _content(tenant, message_id, body, keys)
    if content is None:
        return None
    json, context, integrations, group_id, previous_id = content
    get = body.get
    return Recorded(
        tenant,
        message_id,
        body["type"],
        body["name"],
        get("owner") or body["customer_id"],
        body["time"],
        body["recorded"],
        json,
        group_id,
        previous_id,
        get("joined", True),
        context,
        integrations,
        body["customer_id"],
        get("anonymised", False),
    )


def _content(tenant: str, message_id: str, body: dict[str, Any], keys: Keys) -> list[str] | None:
    sealed = body.get("sealed")
    if sealed is None:
        names = ("json", "context", "integrations", "group_id", "previous_id")
        return [body.get(name, "") for name in names]
    key = keys.get(body["customer_id"])
    if key is None:
        return None
    content: list[str] = unseal_content(key, sealed, _event(tenant, message_id))
    return content


def customer_body(tenant: str, customer: Customer, key: bytes) -> dict[str, Any]:
    """The document of an origin. Sealed are its names, its traits and its groups."""
    figures = customer.lifetime
    content = [
        [list(identifier) for identifier in customer.identifiers],
        _traits_body(customer.traits),
        [[group_id, group.event_time, _traits_body(group.traits)] for group_id, group in customer.groups.items()],
    ]
    body = {
        "sealed": seal_content(key, content, _customer(tenant, customer.customer_id)),
        "events": figures.event_count,
        "orders": figures.order_count,
        "spend": figures.spend_minor,
        "first_order": figures.first_order_time,
        "last_order": figures.last_order_time,
        "first_seen": customer.first_seen_time,
        "last_seen": customer.last_seen_time,
    }
    if sum(customer.identifier_counts.values()) > len(customer.identifiers):
        body["identifier_counts"] = customer.identifier_counts
    if customer.merged_into:
        body.update(merged_into=customer.merged_into, parent=customer.parent, merge_id=customer.merge_id)
    if customer.origins:
        body["origins"] = customer.origins
    return body


def customer_of(tenant: str, document: Document, keys: Keys) -> Customer | None:
    """The origin in a document; ``None`` where the key is destroyed. ``PersonalDataUnreadable``."""
    body = document.body
    sealed = body.get("sealed")
    if sealed is None:
        identifiers, traits, groups = body["identifiers"], body["traits"], body.get("groups", ())
    else:
        key = keys.get(document.id)
        if key is None:
            return None
        identifiers, traits, groups = unseal_content(key, sealed, _customer(tenant, document.id))
    return Customer(
        customer_id=document.id,
        identifiers=[(kind, value) for kind, value in identifiers],
        traits=_traits(traits),
        lifetime=Lifetime(body["events"], body["orders"], dict(body["spend"]), body["first_order"], body["last_order"]),
        first_seen_time=body["first_seen"],
        last_seen_time=body["last_seen"],
        groups={name: Group(_traits(traits), time) for name, time, traits in groups},
        merged_into=body.get("merged_into", ""),
        parent=body.get("parent", ""),
        merge_id=body.get("merge_id", ""),
        origins=body.get("origins", []),
        identifier_counts=body.get("identifier_counts") or _counts(identifiers),
    )


def _event(tenant: str, message_id: str) -> str:
    return f"event\0{tenant}\0{message_id}"


def _customer(tenant: str, customer_id: str) -> str:
    return f"traits\0{tenant}\0{customer_id}"


def _traits_body(traits: dict[str, Trait]) -> dict[str, Any]:
    return {name: [trait.value, trait.event_time] for name, trait in traits.items()}


def _traits(body: dict[str, Any]) -> dict[str, Trait]:
    return {name: Trait(value, time) for name, (value, time) in body.items()}


def _counts(identifiers: list[list[str]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for kind, _ in identifiers:
        counts[kind] = counts.get(kind, 0) + 1
    return counts
