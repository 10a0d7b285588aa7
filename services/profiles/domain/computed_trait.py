"""Computed traits: figures over a customer's events, kept up to date by events, by time and by merges.

The state of a trait belongs to an origin (a customer as its own events made it), and a customer that is made of several
has the figure over the states of all. So a merge moves nothing and an unmerge restores everything.
"""

from bisect import bisect_right, insort
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Any

from services.common.errors import InvalidArgument
from services.common.rules import Aggregate, Comparison, EventCondition, Operator, validate
from services.profiles.domain.conditions import all_hold, check_supported, look_up
from services.profiles.domain.figures import Entry, Kind, Summary, answer, joined, readable, summarize

TRAITS_MAX = 50
"""How many a tenant may have."""
WHERE_MAX = 10
ENTRIES_MAX = 2_000
"""A trait with a window looks at so many events of an origin at most, the newest."""
WINDOW_MIN = 60 * 1_000_000
WINDOW_MAX = 10 * 366 * 86_400 * 1_000_000


class ComputedTraitInvalid(InvalidArgument):
    """A definition that says nothing, or too much. Metadata ``field``."""


class Status(IntEnum):
    """Whether the trait is there for everybody; the numbers are those of the contract."""

    BACKFILLING = 1
    ACTIVE = 2


@dataclass(frozen=True, slots=True)
class ComputedTrait:
    """What is computed. Times and spans are microseconds; a ``window`` of 0 is the whole history."""

    name: str
    kind: Kind
    event_name: str
    property_path: str = ""
    where: tuple[Comparison, ...] = ()
    window: int = 0
    description: str = ""
    version: int = 1
    status: Status = Status.BACKFILLING
    create_time: int = 0
    update_time: int = 0
    job_id: str = ""

    @property
    def key(self) -> str:
        """What the states of this version are kept under."""
        return f"{self.version}:{self.name}"

    def read(self, properties: Mapping[str, Any]) -> list[Any] | None:
        """What an event of this name contributes, or ``None`` if it does not count."""
        if not all_hold(self.where, properties):
            return None
        if self.kind is Kind.EVENT_COUNTER:
            return []
        return readable(self.kind, look_up(properties, self.property_path.split("."))) or None


def check(trait: ComputedTrait) -> None:
    """``ComputedTraitInvalid``, ``RuleInvalid`` or ``RuleUnsupported`` at the first thing that is wrong."""
    if (trait.kind is Kind.EVENT_COUNTER) == bool(trait.property_path):
        _refuse("property", "EVENT_COUNTER takes no property, and every other kind takes one")
    if trait.property_path and not all(trait.property_path.split(".")):
        _refuse("property", "a path is needed, parts with dots between")
    if trait.window and not WINDOW_MIN <= trait.window <= WINDOW_MAX:
        _refuse("window", "a window lasts from a minute to ten years; leave it out for the whole history")
    if len(trait.where) > WHERE_MAX:
        _refuse("where", f"at most {WHERE_MAX} comparisons are taken")
    counted = EventCondition(trait.event_name, Aggregate.COUNT, Operator.AT_LEAST, (1.0,), where=trait.where)
    validate(counted, lambda pattern: "patterns are not evaluated here")
    check_supported(trait.where)


def _refuse(place: str, problem: str) -> None:
    raise ComputedTraitInvalid(f"{place}: {problem}", field=place)


@dataclass(slots=True)
class State:
    """What one trait knows of one origin: the entries that its window may hold, or the summary of all."""

    entries: list[Entry] = field(default_factory=list)
    """In the order of time, with a window."""
    summary: Summary = field(default_factory=dict)
    """Without one."""
    whole: bool = False
    """Whether history is in it, too."""

    def observe(self, trait: ComputedTrait, time: int, values: Sequence[Any]) -> None:
        """Take in an event."""
        if not trait.window:
            self.summary = joined(trait.kind, self.summary, summarize(trait.kind, [(time, values)]))
            return
        insort(self.entries, (time, list(values)), key=_order)
        del self.entries[: max(0, len(self.entries) - ENTRIES_MAX)]

    def expire(self, trait: ComputedTrait, now: int) -> None:
        """Forget what has left the window for ever."""
        if trait.window:
            del self.entries[: bisect_right(self.entries, now - trait.window, key=_time)]

    def due(self, trait: ComputedTrait, now: int) -> int | None:
        """When the next entry leaves the window or enters it, if nothing else happens."""
        if not trait.window or not self.entries:
            return None
        ahead = bisect_right(self.entries, now, key=_time)
        behind = bisect_right(self.entries, now - trait.window, key=_time)
        entering = [self.entries[ahead][0]] if ahead < len(self.entries) else []
        leaving = [self.entries[behind][0] + trait.window] if behind < len(self.entries) else []
        return min(entering + leaving, default=None)


def value_of(trait: ComputedTrait, states: Iterable[State], now: int) -> Any:
    """The trait's value over the origins of one customer; ``None`` if nothing counts."""
    summary: Summary = {}
    if not trait.window:
        for state in states:
            summary = joined(trait.kind, summary, state.summary)
        return answer(trait.kind, summary)
    entries = sorted((entry for state in states for entry in state.entries), key=_order)
    counted = [entry for entry in entries if now - trait.window < entry[0] <= now]
    return answer(trait.kind, summarize(trait.kind, counted[-ENTRIES_MAX:]))


def _time(entry: Entry) -> int:
    return entry[0]


def _order(entry: Entry) -> tuple[int, str]:
    return entry[0], repr(entry[1])


@dataclass(slots=True)
class Value:
    """What was told last of a trait of a customer."""

    value: Any
    change_time: int


@dataclass(slots=True)
class Computed:
    """What the traits know of one origin, and what was told of the customer that it is."""

    customer_id: str
    states: dict[str, State] = field(default_factory=dict)
    """By ``ComputedTrait.key``."""
    values: dict[str, Value] = field(default_factory=dict)
    """By name. Empty for an origin that is merged into another."""

    def observe(self, traits: Iterable[ComputedTrait], time: int, properties: Mapping[str, Any]) -> None:
        """Let each of ``traits``, all of them of the event's name, take the event in."""
        for trait in traits:
            values = trait.read(properties)
            if values is not None:
                self.states.setdefault(trait.key, State()).observe(trait, time, values)

    def settle(self, traits: Mapping[str, ComputedTrait], now: int) -> None:
        """Forget what no longer counts: entries behind their windows, traits and versions that are gone."""
        keys = {trait.key: trait for trait in traits.values()}
        self.states = {key: state for key, state in self.states.items() if key in keys}
        for key, state in self.states.items():
            state.expire(keys[key], now)

    def due(self, traits: Mapping[str, ComputedTrait], now: int) -> int | None:
        """When something changes by time alone."""
        keys = {trait.key: trait for trait in traits.values()}
        times = [state.due(keys[key], now) for key, state in self.states.items() if key in keys]
        return min((time for time in times if time is not None), default=None)


def values_of(traits: Mapping[str, ComputedTrait], parts: Sequence[Computed], now: int) -> dict[str, Any]:
    """The values of a customer that is made of ``parts``, by name; those that are not there yet are left out."""
    found = {}
    for trait in traits.values():
        states = [part.states[trait.key] for part in parts if trait.key in part.states]
        if trait.status is Status.BACKFILLING and not all(state.whole for state in states):
            continue
        value = value_of(trait, states, now) if states else None
        if value is not None:
            found[trait.name] = value
    return found


def tell_changes(top: Computed, values: Mapping[str, Any], now: int) -> list[tuple[str, Any]]:
    """What is different from what was told of a customer, which is told now: names and values, ``None`` for gone."""
    changed = []
    for name in sorted({*top.values, *values}):
        before, value = top.values.get(name), values.get(name)
        if (before.value if before else None) == value and type(before.value if before else None) is type(value):
            continue
        changed.append((name, value))
        if value is None:
            del top.values[name]
        else:
            top.values[name] = Value(value, max(now, before.change_time + 1 if before else now))
    return changed
