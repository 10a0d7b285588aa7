"""What profiles itself holds about a person, as the person is to read it."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from services.common import json
from services.common.clock import Clock, from_micros, to_micros
from services.profiles.domain.customer import Customer, Trait
from services.profiles.domain.event import EventType
from services.profiles.domain.predictive_trait import (
    SOURCE,
    ModelKind,
    PredictiveModel,
    PredictiveTraits,
    Saying,
    Value,
)
from services.profiles.handlers.computed_traits import computed_values
from services.profiles.handlers.computing import Computing
from services.profiles.handlers.families import customer_of, parts_of
from services.profiles.handlers.retrying import retrying
from services.profiles.ports import ConsentBook, DeadLetters, EventFilter, Identifier, Merges, Profiles, Recorded
from services.profiles.ports.groups import Groups
from services.profiles.ports.predictive_traits import PredictiveBook

PAGE = 500


@dataclass(frozen=True, slots=True)
class Holdings:
    """Where profiles keeps what belongs to people."""

    profiles: Profiles
    consents: ConsentBook
    merges: Merges
    groups: Groups
    dead_letters: DeadLetters
    computing: Computing
    predictive: PredictiveBook
    clock: Clock


Told = tuple[str, dict[str, Any]]


async def own_records(holdings: Holdings, tenant: str, origins: Sequence[str]) -> AsyncIterator[list[tuple[str, str]]]:
    """Everything of these origins, the first of which is the one that is left, a page at a time."""
    async for page in _told(holdings, tenant, origins):
        if page:
            yield [(kind, json.write(each)) for kind, each in page]


async def _told(holdings: Holdings, tenant: str, origins: Sequence[str]) -> AsyncIterator[list[Told]]:
    parts = (await retrying(lambda: parts_of(holdings.profiles, tenant, origins[:1]))).get(origins[0], [])
    if not parts:
        return
    yield list(_customer(customer_of(parts)))
    for _, values in (await computed_values(holdings.computing, tenant, [parts[0]])).items():
        yield [
            ("computed_trait", {"name": trait.name, "value": value.value, "since": _time(value.change_time)})
            for trait, value in values
        ]
    for expected in (await holdings.predictive.of(tenant, origins)).values():
        yield list(_expected(expected))
    async for names in _identifiers(holdings.profiles, tenant, origins):
        yield [("identifier", {"type": kind, "value": value}) for kind, value in names]
        async for letters in holdings.dead_letters.naming(tenant, names):
            yield [("dead_letter", _letter(letter)) for letter in letters]
    async for told in _history(holdings, tenant, parts):
        yield told
    for origin in origins:
        memberships = await holdings.groups.of_origin(tenant, origin)
        yield [
            ("group_membership", {"group": it.group_id, "member": it.member, "since": _time(it.time)})
            for it in memberships
        ]


async def _history(holdings: Holdings, tenant: str, parts: Sequence[Customer]) -> AsyncIterator[list[Told]]:
    origins, token, more = [part.customer_id for part in parts], "", True
    while more:
        events, token = await holdings.profiles.timeline(tenant, parts, EventFilter(), PAGE, token)
        yield [("event", _event(event)) for event in events]
        more = bool(token)
    held = await holdings.consents.get_many(tenant, origins)
    now = to_micros(holdings.clock())
    for consents in held.values():
        yield [
            (
                "consent",
                _without_nothing(
                    purpose=it.purpose,
                    channel=it.channel or "all",
                    state=it.state(now).name.lower(),
                    since=_time(it.time),
                    confirmed=_time(it.confirm_time),
                    expires=_time(it.expire_time),
                ),
            )
            for it in consents.value.entries.values()
        ]
    token, more = "", True
    while more:
        statements, token = await holdings.consents.history(tenant, origins, "", PAGE, token)
        yield [("consent_statement", _statement(each)) for each in statements]
        more = bool(token)
    token, more = "", True
    while more:
        merges, token = await holdings.merges.page(tenant, origins, PAGE, token)
        yield [
            ("merge", {"rule": it.rule.value, "reason": it.reason, "time": _time(it.merge_time), "asked_for": it.actor})
            for it in merges
            if not it.unmerge_time
        ]
        more = bool(token)


async def _identifiers(profiles: Profiles, tenant: str, origins: Sequence[str]) -> AsyncIterator[list[Identifier]]:
    for origin in origins:
        token, more = "", True
        while more:
            names, token = await profiles.identifiers(tenant, origin, PAGE, token)
            if names:
                yield names
            more = bool(token)


def _customer(customer: Customer) -> Iterator[Told]:
    figures = customer.lifetime
    yield (
        "customer",
        {
            "customer": customer.customer_id,
            "first_seen": _time(customer.first_seen_time),
            "last_seen": _time(customer.last_seen_time),
            "events": figures.event_count,
            "orders": figures.order_count,
            "spend_in_minor_units": figures.spend_minor,
            "first_order": _time(figures.first_order_time),
            "last_order": _time(figures.last_order_time),
        },
    )
    yield from (("trait", told) for told in _traits(customer.traits))
    for group_id, group in customer.groups.items():
        yield "group", {"group": group_id, "since": _time(group.event_time), "traits": list(_traits(group.traits))}


def _traits(traits: dict[str, Trait]) -> Iterator[dict[str, Any]]:
    for name, trait in sorted(traits.items()):
        if trait.value is not None:
            yield {"name": name, "value": trait.value, "since": _time(trait.event_time)}


def _expected(it: PredictiveTraits) -> Iterator[Told]:
    if it.model is not None:
        yield from _predicted(ModelKind.PURCHASES, it.model.name, it.model, it.expectation.values)
    for said in it.expectation.sayings:
        yield from _predicted(said.kind, said.model, said, said.values)


def _predicted(
    kind: ModelKind, model: str, of: PredictiveModel | Saying, values: Mapping[str, Value]
) -> Iterator[Told]:
    told = {"source": SOURCE, "kind": kind.name.lower(), "model": model, "as_of": _time(of.as_of)}
    currency = {"currency": of.currency} if of.currency else {}
    for name, value in values.items():
        yield "predictive_trait", {"name": name, "value": value, **told, **currency}


def _event(event: Recorded) -> dict[str, Any]:
    return _without_nothing(
        message=event.message_id,
        type=EventType(event.type).name.lower(),
        name=event.name,
        time=_time(event.event_time),
        recorded=_time(event.record_time),
        content=_read(event.json),
        context=_read(event.context),
        integrations=_read(event.integrations),
        group=event.group_id,
        name_before=event.previous_id,
    )


def _statement(said: Any) -> dict[str, Any]:
    return _without_nothing(
        purpose=said.purpose,
        channel=said.channel or "all",
        state=said.state.name.lower(),
        time=_time(said.time),
        recorded=_time(said.record_time),
        expires=_time(said.expire_time),
        recorded_by=said.recorded_by,
        proof=_without_nothing(**asdict(said.proof)),
    )


def _letter(letter: Any) -> dict[str, Any]:
    event = letter.event
    return _without_nothing(
        reason=letter.reason,
        problem=letter.message,
        rejected=_time(letter.reject_time),
        message=event.message_id,
        name=event.name,
        user_id=event.user_id,
        anonymous_id=event.anonymous_id,
        content=event.json,
        context=event.context,
        source=letter.source,
    )


def _read(text: str) -> Any:
    """What was checked when it came in."""
    return orjson.loads(text) if text else None


def _time(micros: int) -> str:
    return from_micros(micros).isoformat() if micros else ""


def _without_nothing(**told: Any) -> dict[str, Any]:
    return {name: value for name, value in told.items() if value not in ("", None, {})}
