"""What the messages of questions about history have in common."""

from typing import Any

from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.common.v1 import money_pb2, rule_pb2
from tessera.segmentation.v1 import insight_pb2

from services.common.rules import EventCondition, RuleInvalid, TimeWindow, wire
from services.segmentation.domain.calendar import Calendar
from services.segmentation.domain.selection import (
    VALUE_COUNT_DEFAULT,
    Breakdown,
    BreakdownInvalid,
    ByProperty,
    BySegments,
    ByTrait,
    EventFilter,
    Flag,
    InSegment,
    Label,
    Missing,
    Others,
)


def events_of(message: insight_pb2.EventFilter, place: str) -> EventFilter:
    """The filter of a request; ``RuleInvalid`` with its place where an operator or a value is missing."""
    return EventFilter(message.event, _read(rule_pb2.EventCondition(where=message.where), place).where)


def window_of(message: rule_pb2.TimeWindow, place: str) -> TimeWindow:
    """The window of a request."""
    return _read(rule_pb2.EventCondition(window=message), place).window


def _read(condition: rule_pb2.EventCondition, place: str) -> EventCondition:
    """Through the rule that counts such events: filters and windows are written as in rules."""
    condition.aggregate = rule_pb2.AGGREGATE_COUNT
    condition.operator = rule_pb2.OPERATOR_AT_LEAST
    condition.values.add(number_value=1)
    try:
        read = wire.read(rule_pb2.Rule(event=condition))
    except RuleInvalid as fault:
        raise RuleInvalid(place + fault.metadata["path"].removeprefix("event"), fault.metadata["problem"]) from fault
    assert isinstance(read, EventCondition)
    return read


def breakdown_of(request: Any) -> Breakdown | None:
    """The breakdown of a request; ``BreakdownInvalid`` if it does not say by what."""
    if not request.HasField("breakdown"):
        return None
    message: insight_pb2.Breakdown = request.breakdown
    count = message.value_count_max or VALUE_COUNT_DEFAULT
    match message.WhichOneof("by"):
        case "trait":
            return Breakdown(ByTrait(message.trait), count)
        case "property":
            return Breakdown(ByProperty(message.property), count)
        case "segments":
            ids = tuple(dict.fromkeys(message.segments.segment_ids))
            return Breakdown(BySegments(ids), len(ids))
        case _:
            raise BreakdownInvalid("a breakdown is by a trait, a property or segments", field="breakdown")


def group_value(label: Label) -> insight_pb2.GroupValue:
    """A label."""
    match label:
        case str():
            return insight_pb2.GroupValue(text=label)
        case Flag(value):
            return insight_pb2.GroupValue(flag=value)
        case InSegment(segment_id):
            return insight_pb2.GroupValue(segment_id=segment_id)
        case Missing():
            return insight_pb2.GroupValue(missing=True)
        case Others():
            return insight_pb2.GroupValue(others=True)
        case _:
            return insight_pb2.GroupValue(number=label)


def as_of(request: Any) -> int | None:
    """The moment that a request names, in microseconds."""
    return micros(request.as_of_time) if request.HasField("as_of_time") else None


def micros(time: Timestamp | Duration) -> int:
    """The instant or the length of time in microseconds."""
    return time.seconds * 1_000_000 + time.nanos // 1000


def timestamp(micros: int) -> Timestamp:
    """The instant as messages carry it."""
    seconds, rest = divmod(micros, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000)


def duration(micros: float | None) -> Duration | None:
    """A length of time that is not negative."""
    if micros is None:
        return None
    seconds, rest = divmod(round(micros), 1_000_000)
    return Duration(seconds=seconds, nanos=rest * 1000)


def day_text(calendar: Calendar, period: int) -> str:
    """The first day of a period."""
    return calendar.first_day(period).isoformat()


def money(currency: str, minor: int) -> money_pb2.Money:
    """An amount."""
    return money_pb2.Money(currency=currency, amount_minor=minor)
