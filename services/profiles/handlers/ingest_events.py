"""Record a batch of events: check each, drop what was recorded before, resolve identities, commit once."""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from services.common.clock import Clock, to_micros
from services.common.errors import AlreadyExists, Conflict
from services.common.json import JsonInvalid, read_object
from services.profiles.domain import event as events
from services.profiles.domain.customer import Customer
from services.profiles.domain.event import EventType, Incoming, Observation, Rejection, fault
from services.profiles.domain.order import OrderInvalid, read_order
from services.profiles.ports import Identifier, Profiles, Recording

ATTEMPTS_MAX = 20
RETRY_SECONDS = 0.01


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a batch."""

    recorded_count: int
    duplicate_count: int
    rejections: tuple[Rejection, ...]


async def ingest_events(
    profiles: Profiles, clock: Clock, new_id: Callable[[], str], tenant: str, batch: Sequence[Incoming]
) -> Outcome:
    """Record what is acceptable and new. ``Conflict`` only after twenty attempts against other writers."""
    now = to_micros(clock())
    observations, rejections = _check(batch, now)
    for attempt in range(ATTEMPTS_MAX):
        try:
            recorded = await _record(profiles, new_id, tenant, observations, now)
            return Outcome(recorded, len(observations) - recorded, rejections)
        except (Conflict, AlreadyExists):
            if attempt == ATTEMPTS_MAX - 1:
                raise
            await asyncio.sleep(RETRY_SECONDS * attempt * random.random())
    raise AssertionError("unreachable")


def _check(batch: Sequence[Incoming], now: int) -> tuple[list[Observation], tuple[Rejection, ...]]:
    observations, rejections = [], []
    for index, event in enumerate(batch):
        wrong = fault(event, now)
        if wrong is None:
            try:
                observations.append(_observe(event, now))
                continue
            except JsonInvalid as error:
                wrong = "JSON_INVALID", f"{'traits' if event.type == EventType.IDENTIFY else 'properties'} {error}"
            except OrderInvalid as error:
                wrong = "ORDER_INVALID", str(error)
        rejections.append(Rejection(index, event.message_id, *wrong))
    return observations, tuple(rejections)


def _observe(event: Incoming, now: int) -> Observation:
    content = read_object(event.json, events.JSON_BYTES_MAX)
    kind = EventType(event.type)
    name = events.IDENTIFY if kind is EventType.IDENTIFY else event.name
    return Observation(
        message_id=event.message_id,
        type=kind,
        name=name,
        user_id=event.user_id,
        anonymous_id=event.anonymous_id,
        event_time=event.event_time or now,
        json=event.json,
        traits=content if kind is EventType.IDENTIFY else {},
        order=read_order(content) if name == events.ORDER_COMPLETED and kind is EventType.TRACK else None,
    )


async def _record(
    profiles: Profiles, new_id: Callable[[], str], tenant: str, observations: Sequence[Observation], now: int
) -> int:
    fresh = {observation.message_id: observation for observation in observations}
    for known in await profiles.known_messages(tenant, list(fresh)):
        del fresh[known]
    if not fresh:
        return 0
    wanted = {identity for observation in fresh.values() for identity in observation.identities}
    owners = await profiles.owners(tenant, list(wanted))
    found = await profiles.customers(tenant, list(set(owners.values())))
    customers = {customer_id: customer for customer_id, (customer, _) in found.items()}
    learnt: dict[Identifier, str] = {}
    recorded = []
    for observation in fresh.values():
        customer = _resolve(observation, owners, learnt, customers, new_id)
        customer.observe(observation)
        recorded.append((observation, customer.customer_id))
    versions = {customer_id: version for customer_id, (_, version) in found.items()}
    touched = {customer_id: customers[customer_id] for _, customer_id in recorded}
    await profiles.record(tenant, Recording(recorded, now, touched, versions, learnt))
    return len(recorded)


def _resolve(
    observation: Observation,
    owners: dict[Identifier, str],
    learnt: dict[Identifier, str],
    customers: dict[str, Customer],
    new_id: Callable[[], str],
) -> Customer:
    """Whose event it is. The user id decides; an anonymous id that is known to nobody, or to somebody without a user
    id, is joined to it. Two customers are never merged here: that would lose one silently."""
    identities = observation.identities
    known = [owners[identity] for identity in identities if identity in owners]
    owner = known[0] if known else ""
    if owner and identities[0] not in owners and _has_user_id(customers[owner]):
        owner = ""  # the device is known, the person who signs in on it is not: a shared device
    customer = customers.get(owner)
    if customer is None:
        customer = Customer(new_id())
        customers[customer.customer_id] = customer
    for identity in identities:
        if identity not in owners:
            owners[identity] = learnt[identity] = customer.customer_id
            customer.know_as(identity)
    return customer


def _has_user_id(customer: Customer) -> bool:
    return any(kind == "user_id" for kind, _ in customer.identifiers)
