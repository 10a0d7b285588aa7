"""Check a batch: each event stands alone, and what is wrong with one is said of that one."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from services.common.errors import InvalidArgument
from services.common.json import JsonInvalid, read_object
from services.profiles.domain.consent import categories
from services.profiles.domain.event import (
    FIXED_NAMES,
    JSON_BYTES_MAX,
    ORDER_COMPLETED,
    WITH_TRAITS,
    EventType,
    Incoming,
    Observation,
    Rejection,
    fault,
)
from services.profiles.domain.event_schema import Mode
from services.profiles.domain.identity_settings import DEFAULT, USER_ID, Identifier, IdentitySettings, names_of
from services.profiles.domain.order import Order, OrderInvalid, read_order
from services.profiles.domain.traits import TraitsInvalid, check_traits
from services.profiles.domain.vocabulary import PropertiesInvalid, check_properties
from services.profiles.handlers.shapes import is_right, order_of
from services.profiles.ports import Demand


class SchemaViolated(InvalidArgument):
    """An event that breaks what its tenant demands of it. Metadata ``field``."""


class IdentityBlocked(InvalidArgument):
    """An event that carries no name but those by which nobody is known."""


SCHEMA_VIOLATED = "SCHEMA_VIOLATED"
NOTHING_DEMANDED: Mapping[str, Demand] = {}


@dataclass(slots=True)
class Checked:
    """What of a batch can be recorded, and why the rest cannot."""

    observations: list[Observation] = field(default_factory=list)
    rejections: list[Rejection] = field(default_factory=list)
    notices: list[tuple[str, str, str]] = field(default_factory=list)
    """What is not right with acceptable events: the message id, the reason, and a sentence."""


def check(
    batch: Sequence[Incoming],
    now: int,
    demands: Mapping[str, Demand] = NOTHING_DEMANDED,
    settings: IdentitySettings = DEFAULT,
) -> Checked:
    """Judge each event by itself."""
    checked = Checked()
    for index, event in enumerate(batch):
        wrong: tuple[str, ...] | None = fault(event, now)
        if wrong is None:
            try:
                checked.observations.append(_observe(event, now, demands, settings, checked.notices))
                continue
            except JsonInvalid as error:
                wrong = "JSON_INVALID", str(error)
            except IdentityBlocked as error:
                wrong = error.reason, error.message
            except (OrderInvalid, PropertiesInvalid, TraitsInvalid, SchemaViolated) as error:
                wrong = error.reason, error.message, error.metadata["field"]
        checked.rejections.append(Rejection(index, event.message_id, *wrong))
    return checked


def _observe(
    event: Incoming,
    now: int,
    demands: Mapping[str, Demand],
    settings: IdentitySettings,
    notices: list[tuple[str, str, str]],
) -> Observation:
    kind = EventType(event.type)
    with_traits = kind in WITH_TRAITS
    content = _object("traits" if with_traits else "properties", event.json)
    context = _object("context", event.context) if event.context else {}
    if event.integrations:
        _object("integrations", event.integrations)
    name = FIXED_NAMES.get(kind, event.name)
    order = None
    if with_traits:
        check_traits(content)
    elif kind is EventType.TRACK:
        order = _said_of(name, content)
    if name in demands:
        _meet(demands[name], content, event.message_id, notices)
    identities = _identities(event, settings, content if kind is EventType.IDENTIFY else {}, context, notices)
    return Observation(
        message_id=event.message_id,
        type=kind,
        name=name,
        user_id=event.user_id,
        anonymous_id=event.anonymous_id,
        event_time=event.happened(now),
        json=event.json,
        traits=content if with_traits else {},
        order=order,
        group_id=event.group_id if kind is EventType.GROUP else "",
        previous_id=event.previous_id if kind is EventType.ALIAS else "",
        context=event.context,
        integrations=event.integrations,
        content=content,
        consents=categories(context) if context else None,
        identities=identities,
    )


def _said_of(name: str, properties: dict[str, Any]) -> Order | None:
    """The order that an event tells of; ``OrderInvalid`` or ``PropertiesInvalid``."""
    if name != ORDER_COMPLETED:
        if not is_right(name, properties):
            check_properties(name, properties)
        return None
    order = order_of(properties)
    if order is None:
        order = read_order(properties)
        check_properties(name, properties)
    return order


def _identities(
    event: Incoming,
    settings: IdentitySettings,
    traits: Mapping[str, Any],
    context: Mapping[str, Any],
    notices: list[tuple[str, str, str]],
) -> tuple[Identifier, ...]:
    names = names_of(settings, event.user_id, event.anonymous_id, traits, context)
    if not names.identities:
        raise IdentityBlocked("none of the names of the event is one that somebody is known by")
    if event.type == EventType.ALIAS and (
        names.identities[0] != (USER_ID, event.user_id) or settings.blocks(event.previous_id)
    ):
        raise IdentityBlocked("user_id or previous_id is a value that nobody is known by")
    if names.notices:
        notices.extend((event.message_id, reason, text) for reason, text in names.notices)
    return names.identities


def _meet(demand: Demand, content: dict[str, Any], message_id: str, notices: list[tuple[str, str, str]]) -> None:
    wrong = demand.check(content)
    if wrong is None:
        return
    path, problem = wrong
    schema = demand.schema
    text = f"{path or 'the event'}: {problem} (version {schema.version} of the schema of {schema.event_name})"
    if schema.mode is Mode.REJECT:
        raise SchemaViolated(text, field=path)
    notices.append((message_id, SCHEMA_VIOLATED, text))


def _object(field: str, text: str) -> dict[str, Any]:
    try:
        return read_object(text, JSON_BYTES_MAX)
    except JsonInvalid as error:
        raise JsonInvalid(f"{field} {error}") from error
