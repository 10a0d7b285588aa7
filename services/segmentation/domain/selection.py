"""Which events a question is about, and how it tells customers apart."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

from services.common.errors import InvalidArgument
from services.common.rules import Aggregate, Comparison, EventCondition, Operator, PatternFault, RuleInvalid, validate

VALUE_COUNT_DEFAULT = 10
_ANY = "any"


class BreakdownInvalid(InvalidArgument):
    """The breakdown does not say by what, or by something that the question has not. Metadata ``field``."""


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Events of one name, or of all names where it is empty, of which every comparison is true."""

    event: str = ""
    where: tuple[Comparison, ...] = ()


def check_filter(events: EventFilter, place: str, pattern_fault: PatternFault) -> None:
    """``RuleInvalid``, with the path from the request on."""
    condition = EventCondition(
        events.event or _ANY, Aggregate.COUNT, Operator.AT_LEAST, (1.0,), where=tuple(events.where)
    )
    try:
        validate(condition, pattern_fault)
    except RuleInvalid as fault:
        raise RuleInvalid(place + fault.metadata["path"].removeprefix("event"), fault.metadata["problem"]) from fault


@dataclass(frozen=True, slots=True)
class ByTrait:
    """By the value of a trait at the moment of evaluation."""

    trait: str


@dataclass(frozen=True, slots=True)
class ByProperty:
    """By the value of a property of an event."""

    property: str


@dataclass(frozen=True, slots=True)
class BySegments:
    """By which segments a customer is in."""

    segment_ids: tuple[str, ...]


By: TypeAlias = ByTrait | ByProperty | BySegments


@dataclass(frozen=True, slots=True)
class Breakdown:
    """By what, and how many values are told apart."""

    by: By
    value_count_max: int = VALUE_COUNT_DEFAULT


@dataclass(frozen=True, slots=True)
class Missing:
    """The group of those that have no value."""


@dataclass(frozen=True, slots=True)
class Others:
    """The group of all values that are not told apart."""


@dataclass(frozen=True, slots=True)
class InSegment:
    """The group of those that are in a segment."""

    segment_id: str


@dataclass(frozen=True, slots=True)
class Flag:
    """The group of a truth value, which as such would be equal to a number."""

    value: bool


Label: TypeAlias = str | float | Flag | InSegment | Missing | Others
"""What the customers of a group have in common."""


def check_path(path: str, field: str) -> None:
    """``BreakdownInvalid`` for a trait or a property that cannot be one."""
    if not path or not all(path.split(".")) or len(path) > 200:
        raise BreakdownInvalid(f"{field} needs a path, parts with dots between", field=field)


def check_breakdown(breakdown: Breakdown | None, allowed: Sequence[type]) -> None:
    """``BreakdownInvalid`` if the question cannot be broken down like this."""
    if breakdown is None:
        return
    if not isinstance(breakdown.by, tuple(allowed)):
        names = " or ".join(kind.__name__.removeprefix("By").lower() for kind in allowed)
        raise BreakdownInvalid(f"this is broken down by {names} alone", field="breakdown")
    if isinstance(breakdown.by, ByTrait):
        check_path(breakdown.by.trait, "breakdown.trait")
    if isinstance(breakdown.by, ByProperty):
        check_path(breakdown.by.property, "breakdown.property")
