"""Check a batch: each event stands alone, and what is wrong with one is said of that one."""

from collections.abc import Sequence

from services.common.json import JsonInvalid, read_object
from services.profiles.domain import event as events
from services.profiles.domain.event import EventType, Incoming, Observation, Rejection, fault
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
        event_time=event.event_time or event.receive_time or now,
        json=event.json,
        traits=content if kind is EventType.IDENTIFY else {},
        order=read_order(content) if name == events.ORDER_COMPLETED and kind is EventType.TRACK else None,
    )
