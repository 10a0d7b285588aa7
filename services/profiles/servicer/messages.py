"""Plain values and messages: what several rpcs translate."""

import secrets
import time
import uuid
from collections.abc import Mapping
from typing import Any, Protocol

import grpc
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.common.v1 import money_pb2
from tessera.profiles.v1 import profiles_service_pb2 as pb

from services.common import json
from services.common.auth import principal
from services.common.idempotency import fingerprint
from services.profiles.domain.customer import Customer, Trait
from services.profiles.domain.event import WITH_TRAITS, Incoming
from services.profiles.ports import Recorded, Request

Context = grpc.aio.ServicerContext[Any, Any]
PAGE_SIZE_DEFAULT = 100


def new_id() -> str:
    """An id that nobody had before."""
    return uuid.uuid4().hex


def new_ordered_id() -> str:
    """The same, and later ones come later: a UUID of version 7 (RFC 9562).

    Documents of new customers then lie beside each other in every index; with random ids each is a page of its own.
    """
    moment, chance = time.time_ns() // 1_000_000, secrets.randbits(74)
    number = moment << 80 | 0x7 << 76 | (chance >> 62) << 64 | 0b10 << 62 | (chance & (1 << 62) - 1)
    return f"{number:032x}"


class Mutation(Protocol):
    """A message that asks to change something."""

    @property
    def request_id(self) -> str: ...


def named(request: Mutation) -> Request:
    """The request as the caller named it."""
    assert isinstance(request, Message)
    return Request(principal().tenant, request.request_id, fingerprint(request))


def to_micros(time: Timestamp) -> int:
    """Microseconds since the epoch."""
    return time.seconds * 1_000_000 + time.nanos // 1000


def timestamp(micros: int) -> Timestamp:
    """The message of a time in microseconds."""
    seconds, rest = divmod(micros, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000)


def incoming(event: pb.Event) -> Incoming:
    """An event as it arrives."""
    time = event.event_time
    content = event.traits_json if event.type in WITH_TRAITS else event.properties_json
    micros = time.seconds * 1_000_000 + time.nanos // 1000
    return Incoming(
        event.message_id,
        event.type,
        event.name,
        event.user_id,
        event.anonymous_id,
        micros,
        content,
        event.group_id,
        event.previous_id,
        to_micros(event.sent_time) if event.HasField("sent_time") else 0,
        event.context_json,
        event.integrations_json,
    )


def event_message(event: Incoming) -> pb.Event:
    """An event as it arrived."""
    content = {"traits_json" if event.type in WITH_TRAITS else "properties_json": event.json}
    return pb.Event(
        message_id=event.message_id,
        type=event.type,  # type: ignore[arg-type]  # as it came: perhaps none of ours
        name=event.name,
        user_id=event.user_id,
        anonymous_id=event.anonymous_id,
        event_time=timestamp(event.event_time) if event.event_time else None,
        group_id=event.group_id,
        previous_id=event.previous_id,
        sent_time=timestamp(event.sent_time) if event.sent_time else None,
        context_json=event.context,
        integrations_json=event.integrations,
        **content,
    )


def recorded_message(event: Recorded) -> pb.RecordedEvent:
    """All that was recorded of an event."""
    message = pb.RecordedEvent(context_json=event.context, integrations_json=event.integrations)
    tell(event, message)
    return message


def tell(event: Recorded, message: pb.RecordedEvent) -> None:
    """Write into ``message`` what followers hear: all but what concerns where the event came from and where it goes."""
    message.message_id = event.message_id
    message.type = pb.EventType.ValueType(event.type)
    message.name = event.name
    message.customer_id = event.customer_id
    _set(message.event_time, event.event_time)
    _set(message.record_time, event.record_time)
    message.properties_json = event.json
    message.group_id = event.group_id
    if event.previous_id:
        message.previous_id = event.previous_id
        message.alias_outcome = pb.ALIAS_OUTCOME_JOINED if event.joined else pb.ALIAS_OUTCOME_NOT_JOINED
    message.origin_customer_id = event.origin or event.customer_id
    if event.anonymised:
        message.anonymised = True


def _set(time: Timestamp, micros: int) -> None:
    time.seconds, rest = divmod(micros, 1_000_000)
    if rest:
        time.nanos = rest * 1000


def customer_message(customer: Customer) -> pb.Customer:
    """A customer."""
    return pb.Customer(
        customer_id=customer.customer_id,
        identifiers=[pb.Identifier(type=kind, value=value) for kind, value in customer.identifiers],
        traits=traits_message(customer.traits),
        lifetime=_lifetime(customer),
        first_seen_time=timestamp(customer.first_seen_time),
        last_seen_time=timestamp(customer.last_seen_time),
        groups=[
            pb.Group(group_id=group_id, traits=traits_message(group.traits), event_time=timestamp(group.event_time))
            for group_id, group in sorted(customer.groups.items())
        ],
        origin_customer_ids=[customer.customer_id, *customer.origins],
    )


def traits_message(traits: Mapping[str, Trait]) -> list[pb.Trait]:
    """Traits by name, without those that were forgotten."""
    return [
        pb.Trait(name=name, value_json=json.write(trait.value), event_time=timestamp(trait.event_time))
        for name, trait in sorted(traits.items())
        if trait.value is not None
    ]


def _lifetime(customer: Customer) -> pb.Lifetime:
    figures = customer.lifetime
    ordered = figures.order_count > 0
    return pb.Lifetime(
        event_count=figures.event_count,
        order_count=figures.order_count,
        spend=[
            money_pb2.Money(currency=currency, amount_minor=amount)
            for currency, amount in sorted(figures.spend_minor.items())
        ],
        first_order_time=timestamp(figures.first_order_time) if ordered else None,
        last_order_time=timestamp(figures.last_order_time) if ordered else None,
    )
