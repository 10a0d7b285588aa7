"""gRPC in, use case, gRPC out."""

import secrets
import uuid
from collections.abc import AsyncIterator, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.common.v1 import money_pb2
from tessera.profiles.v1 import profiles_service_pb2 as pb
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceServicer

from services.common import json
from services.common.auth import ALL_TENANTS, principal
from services.common.clock import Clock
from services.common.idempotency import fingerprint
from services.profiles.domain.customer import Customer, Trait
from services.profiles.domain.dead_letter import DeadLetter
from services.profiles.domain.event import WITH_TRAITS, Incoming
from services.profiles.domain.write_key import WriteKey
from services.profiles.handlers.dead_letters import get_dead_letter, keep_dead_letters, replay_dead_letters
from services.profiles.handlers.get_customer import get_customer
from services.profiles.handlers.ingest_events import ingest_events
from services.profiles.handlers.recording import Recorder
from services.profiles.handlers.write_keys import create_write_key, resolve_write_key, revoke_write_key
from services.profiles.ports import DeadLetters, Profiles, Recorded, Request, WriteKeys

Context = grpc.aio.ServicerContext[Any, Any]
PAGE_SIZE_DEFAULT = 100
DEAD_LETTERS_DEFAULT = 20
NOT_JOINED = "previous_id and user_id are known as two customers; an alias does not merge them"
MutationRequest = pb.ReplayDeadLettersRequest | pb.DeleteDeadLettersRequest | pb.CreateWriteKeyRequest


@dataclass(frozen=True, slots=True)
class Ports:
    """What the use cases need from outside."""

    profiles: Profiles
    dead_letters: DeadLetters
    write_keys: WriteKeys


class ProfilesServicer(ProfilesServiceServicer):
    """Answers ``tessera.profiles.v1.ProfilesService``."""

    def __init__(self, ports: Ports, clock: Clock) -> None:
        self._profiles, self._dead_letters, self._write_keys = ports.profiles, ports.dead_letters, ports.write_keys
        self._clock = clock
        self._recorder = Recorder(ports.profiles, _new_id)

    async def IngestEvents(self, request: pb.IngestEventsRequest, context: Context) -> pb.IngestEventsResponse:
        batch = [_incoming(event) for event in request.events]
        outcome = await ingest_events(self._recorder, self._dead_letters, self._clock, principal().tenant, batch)
        return pb.IngestEventsResponse(
            recorded_count=outcome.recorded_count,
            duplicate_count=outcome.duplicate_count,
            rejections=[
                pb.Rejection(index=it.index, message_id=it.message_id, reason=it.reason, message=it.message)
                for it in outcome.rejections
            ],
            notices=[
                pb.Notice(message_id=key, reason="ALIAS_NOT_JOINED", message=NOT_JOINED) for key in outcome.unjoined
            ],
        )

    async def GetCustomer(self, request: pb.GetCustomerRequest, context: Context) -> pb.GetCustomerResponse:
        named = request.WhichOneof("key") == "identifier"
        identifier = (request.identifier.type, request.identifier.value) if named else None
        customer = await get_customer(self._profiles, principal().tenant, request.customer_id, identifier)
        return pb.GetCustomerResponse(customer=_customer(customer))

    async def BatchGetCustomers(
        self, request: pb.BatchGetCustomersRequest, context: Context
    ) -> pb.BatchGetCustomersResponse:
        found = await self._profiles.customers(principal().tenant, list(dict.fromkeys(request.customer_ids)))
        return pb.BatchGetCustomersResponse(customers=[_customer(customer) for customer, _ in found.values()])

    async def ListCustomers(self, request: pb.ListCustomersRequest, context: Context) -> pb.ListCustomersResponse:
        size = request.page_size or PAGE_SIZE_DEFAULT
        customers, token = await self._profiles.page(principal().tenant, size, request.page_token)
        return pb.ListCustomersResponse(customers=map(_customer, customers), next_page_token=token)

    async def ListEvents(self, request: pb.ListEventsRequest, context: Context) -> pb.ListEventsResponse:
        size = request.page_size or PAGE_SIZE_DEFAULT
        events, token = await self._profiles.timeline(
            principal().tenant, request.customer_id, request.name, size, request.page_token
        )
        return pb.ListEventsResponse(events=map(_recorded, events), next_page_token=token)

    async def KeepDeadLetters(self, request: pb.KeepDeadLettersRequest, context: Context) -> pb.KeepDeadLettersResponse:
        unreadable = [(each.source_text, each.reason, each.message) for each in request.unreadable]
        await keep_dead_letters(self._dead_letters, self._clock, principal().tenant, unreadable)
        return pb.KeepDeadLettersResponse()

    async def ListDeadLetters(self, request: pb.ListDeadLettersRequest, context: Context) -> pb.ListDeadLettersResponse:
        size = request.page_size or DEAD_LETTERS_DEFAULT
        letters, token = await self._dead_letters.page(principal().tenant, request.reason, size, request.page_token)
        return pb.ListDeadLettersResponse(dead_letters=map(_dead_letter, letters), next_page_token=token)

    async def GetDeadLetter(self, request: pb.GetDeadLetterRequest, context: Context) -> pb.GetDeadLetterResponse:
        letter = await get_dead_letter(self._dead_letters, principal().tenant, request.dead_letter_id)
        return pb.GetDeadLetterResponse(dead_letter=_dead_letter(letter))

    async def ReplayDeadLetters(
        self, request: pb.ReplayDeadLettersRequest, context: Context
    ) -> pb.ReplayDeadLettersResponse:
        corrected = _incoming(request.corrected_event) if request.HasField("corrected_event") else None
        outcome = await replay_dead_letters(
            self._dead_letters, self._recorder, self._clock, _request(request), request.dead_letter_ids, corrected
        )
        return pb.ReplayDeadLettersResponse(
            recorded_count=outcome.recorded_count,
            duplicate_count=outcome.duplicate_count,
            rejections=[
                pb.ReplayRejection(dead_letter_id=key, reason=reason, message=message)
                for key, reason, message in outcome.rejections
            ],
        )

    async def DeleteDeadLetters(
        self, request: pb.DeleteDeadLettersRequest, context: Context
    ) -> pb.DeleteDeadLettersResponse:
        deleted = await self._dead_letters.delete(_request(request), list(dict.fromkeys(request.dead_letter_ids)))
        return pb.DeleteDeadLettersResponse(deleted_count=deleted)

    async def CreateWriteKey(self, request: pb.CreateWriteKeyRequest, context: Context) -> pb.CreateWriteKeyResponse:
        key, secret = await create_write_key(
            self._write_keys, self._clock, _new_id, _new_secret, _request(request), request.name
        )
        return pb.CreateWriteKeyResponse(write_key=_write_key(key), secret=secret)

    async def ListWriteKeys(self, request: pb.ListWriteKeysRequest, context: Context) -> pb.ListWriteKeysResponse:
        size = request.page_size or PAGE_SIZE_DEFAULT
        keys, token = await self._write_keys.page(principal().tenant, size, request.page_token)
        return pb.ListWriteKeysResponse(write_keys=map(_write_key, keys), next_page_token=token)

    async def RevokeWriteKey(self, request: pb.RevokeWriteKeyRequest, context: Context) -> pb.RevokeWriteKeyResponse:
        key = await revoke_write_key(self._write_keys, self._clock, principal().tenant, request.write_key_id)
        return pb.RevokeWriteKeyResponse(write_key=_write_key(key))

    async def ResolveWriteKey(self, request: pb.ResolveWriteKeyRequest, context: Context) -> pb.ResolveWriteKeyResponse:
        tenant = principal().tenant
        found = await resolve_write_key(self._write_keys, None if tenant == ALL_TENANTS else tenant, request.secret)
        return pb.ResolveWriteKeyResponse(tenant_id=found[0], write_key_id=found[1])

    async def GetStatistics(self, request: pb.GetStatisticsRequest, context: Context) -> pb.GetStatisticsResponse:
        customers, events, cursor = await self._profiles.statistics(principal().tenant)
        return pb.GetStatisticsResponse(customer_count=customers, event_count=events, end_cursor=cursor)

    async def FollowChanges(
        self, request: pb.FollowChangesRequest, context: Context
    ) -> AsyncIterator[pb.FollowChangesResponse]:
        tenant = principal().tenant
        names = frozenset(request.event_names)
        async for batch in self._profiles.changes(request.after_cursor, None if tenant == ALL_TENANTS else tenant):
            wanted = (event for event in batch.events if not names or event.name in names)
            yield pb.FollowChangesResponse(changes=_changes(wanted), cursor=batch.cursor, caught_up=batch.caught_up)


def _new_id() -> str:
    return uuid.uuid4().hex


def _new_secret() -> str:
    return secrets.token_urlsafe(24)


def _request(request: MutationRequest) -> Request:
    return Request(principal().tenant, request.request_id, fingerprint(request))


def _incoming(event: pb.Event) -> Incoming:
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
        _micros(event.sent_time) if event.HasField("sent_time") else 0,
        event.context_json,
        event.integrations_json,
    )


def _micros(time: Timestamp) -> int:
    return time.seconds * 1_000_000 + time.nanos // 1000


def _event(event: Incoming) -> pb.Event:
    content = {"traits_json" if event.type in WITH_TRAITS else "properties_json": event.json}
    return pb.Event(
        message_id=event.message_id,
        type=event.type,  # type: ignore[arg-type]  # as it came: perhaps none of ours
        name=event.name,
        user_id=event.user_id,
        anonymous_id=event.anonymous_id,
        event_time=_timestamp(event.event_time) if event.event_time else None,
        group_id=event.group_id,
        previous_id=event.previous_id,
        sent_time=_timestamp(event.sent_time) if event.sent_time else None,
        context_json=event.context,
        integrations_json=event.integrations,
        **content,
    )


def _dead_letter(letter: DeadLetter) -> pb.DeadLetter:
    return pb.DeadLetter(
        dead_letter_id=letter.dead_letter_id,
        reason=letter.reason,
        message=letter.message,
        reject_time=_timestamp(letter.reject_time),
        event=None if letter.source else _event(letter.event),
        truncated=letter.truncated,
        source_text=letter.source,
    )


def _write_key(key: WriteKey) -> pb.WriteKey:
    return pb.WriteKey(
        write_key_id=key.write_key_id,
        name=key.name,
        create_time=_timestamp(key.create_time),
        revoke_time=_timestamp(key.revoke_time) if key.revoke_time else None,
    )


def _timestamp(micros: int) -> Timestamp:
    seconds, rest = divmod(micros, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000)


def _recorded(event: Recorded) -> pb.RecordedEvent:
    told = _told(event)
    told.context_json, told.integrations_json = event.context, event.integrations
    return told


def _told(event: Recorded) -> pb.RecordedEvent:
    """As followers hear of it: without what only concerns where it came from and where it goes."""
    return pb.RecordedEvent(
        message_id=event.message_id,
        type=pb.EventType.ValueType(event.type),
        name=event.name,
        customer_id=event.customer_id,
        event_time=_timestamp(event.event_time),
        record_time=_timestamp(event.record_time),
        properties_json=event.json,
        group_id=event.group_id,
        previous_id=event.previous_id,
        alias_outcome=_alias_outcome(event),
    )


def _alias_outcome(event: Recorded) -> pb.AliasOutcome.ValueType:
    if not event.previous_id:
        return pb.ALIAS_OUTCOME_UNSPECIFIED
    return pb.ALIAS_OUTCOME_JOINED if event.joined else pb.ALIAS_OUTCOME_NOT_JOINED


def _changes(events: Iterable[Recorded]) -> list[pb.Change]:
    return [pb.Change(tenant_id=event.tenant, event_recorded=_told(event)) for event in events]


def _customer(customer: Customer) -> pb.Customer:
    return pb.Customer(
        customer_id=customer.customer_id,
        identifiers=[pb.Identifier(type=kind, value=value) for kind, value in customer.identifiers],
        traits=_traits(customer.traits),
        lifetime=_lifetime(customer),
        first_seen_time=_timestamp(customer.first_seen_time),
        last_seen_time=_timestamp(customer.last_seen_time),
        groups=[
            pb.Group(group_id=group_id, traits=_traits(group.traits), event_time=_timestamp(group.event_time))
            for group_id, group in sorted(customer.groups.items())
        ],
    )


def _traits(traits: Mapping[str, Trait]) -> list[pb.Trait]:
    return [
        pb.Trait(name=name, value_json=json.write(trait.value), event_time=_timestamp(trait.event_time))
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
        first_order_time=_timestamp(figures.first_order_time) if ordered else None,
        last_order_time=_timestamp(figures.last_order_time) if ordered else None,
    )
