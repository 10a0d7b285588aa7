"""Check a batch: each event stands alone, and what is wrong with one is said of that one."""

from collections.abc import Sequence
from typing import Any

from services.common.json import JsonInvalid, read_object
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
from services.profiles.domain.order import OrderInvalid, read_order


def check(batch: Sequence[Incoming], now: int) -> tuple[list[Observation], tuple[Rejection, ...]]:
    """What can be recorded, and why the rest cannot."""
    observations, rejections = [], []
    for index, event in enumerate(batch):
        wrong = fault(event, now)
        if wrong is None:
            try:
                observations.append(_observe(event, now))
                continue
            except JsonInvalid as error:
                wrong = "JSON_INVALID", str(error)
            except OrderInvalid as error:
                wrong = "ORDER_INVALID", str(error)
        rejections.append(Rejection(index, event.message_id, *wrong))
    return observations, tuple(rejections)


def _observe(event: Incoming, now: int) -> Observation:
    kind = EventType(event.type)
    with_traits = kind in WITH_TRAITS
    content = _object("traits" if with_traits else "properties", event.json)
    if event.context:
        _object("context", event.context)
    if event.integrations:
        _object("integrations", event.integrations)
    name = FIXED_NAMES.get(kind, event.name)
    return Observation(
        message_id=event.message_id,
        type=kind,
        name=name,
        user_id=event.user_id,
        anonymous_id=event.anonymous_id,
        event_time=event.happened(now),
        json=event.json,
        traits=content if with_traits else {},
        order=read_order(content) if name == ORDER_COMPLETED and kind is EventType.TRACK else None,
        group_id=event.group_id if kind is EventType.GROUP else "",
        previous_id=event.previous_id if kind is EventType.ALIAS else "",
        context=event.context,
        integrations=event.integrations,
    )


def _object(field: str, text: str) -> dict[str, Any]:
    try:
        return read_object(text, JSON_BYTES_MAX)
    except JsonInvalid as error:
        raise JsonInvalid(f"{field} {error}") from error
