"""A customer: identifiers, traits (the newest by event time wins) and figures over the whole history."""

from dataclasses import dataclass, field
from typing import Any

from services.profiles.domain.event import EventType, Observation

GROUPS_MAX = 100
IDENTIFIERS_MAX = 200
"""How many identifiers are kept with an origin; all others are in the directory of identities alone."""


@dataclass(slots=True)
class Trait:
    """A value and the time of the event that said so. A value of ``None`` was forgotten at that time."""

    value: Any
    event_time: int


@dataclass(slots=True)
class Lifetime:
    """Figures over every event of the customer; times are microseconds, 0 for never."""

    event_count: int = 0
    order_count: int = 0
    spend_minor: dict[str, int] = field(default_factory=dict)
    first_order_time: int = 0
    last_order_time: int = 0


@dataclass(slots=True)
class Group:
    """A group that the person belongs to, as far as the person's events tell of it."""

    traits: dict[str, Trait] = field(default_factory=dict)
    event_time: int = 0


@dataclass(slots=True)
class Customer:
    """A person, as far as the retailer knows them."""

    customer_id: str
    identifiers: list[tuple[str, str]] = field(default_factory=list)
    """The first of them."""
    traits: dict[str, Trait] = field(default_factory=dict)
    lifetime: Lifetime = field(default_factory=Lifetime)
    first_seen_time: int = 0
    last_seen_time: int = 0
    groups: dict[str, Group] = field(default_factory=dict)
    merged_into: str = ""
    """The customer that is left, if this one is merged into another."""
    parent: str = ""
    """The origin that this one was merged into, by ``merge_id``; see ``merge``."""
    merge_id: str = ""
    origins: list[str] = field(default_factory=list)
    """Of a customer that is left: the others that it is made of."""
    identifier_counts: dict[str, int] = field(default_factory=dict)
    """How many there are of each type."""

    @property
    def surviving_id(self) -> str:
        """Whose events these are at the moment."""
        return self.merged_into or self.customer_id

    def observe(self, observation: Observation) -> None:
        """Learn from an event. The outcome does not depend on the order in which events arrive."""
        time = observation.event_time
        self.lifetime.event_count += 1
        self.first_seen_time = min(self.first_seen_time or time, time)
        self.last_seen_time = max(self.last_seen_time, time)
        if observation.type is EventType.IDENTIFY:
            _learn(self.traits, observation.traits, time)
        elif observation.type is EventType.GROUP:
            self._join(observation.group_id, observation.traits, time)
        if observation.order is not None:
            self._order(observation.order.currency, observation.order.total_minor, time)

    def know_as(self, identifier: tuple[str, str]) -> None:
        """Add an identifier. Whoever has more than are kept here is not asked again about one that they have."""
        if identifier in self.identifiers:
            return
        kind = identifier[0]
        self.identifier_counts[kind] = self.identifier_counts.get(kind, 0) + 1
        if len(self.identifiers) < IDENTIFIERS_MAX:
            self.identifiers.append(identifier)

    def _join(self, group_id: str, traits: dict[str, Any], time: int) -> None:
        group = self.groups.setdefault(group_id, Group())
        group.event_time = max(group.event_time, time)
        _learn(group.traits, traits, time)
        if len(self.groups) > GROUPS_MAX:
            del self.groups[min(self.groups, key=lambda name: (self.groups[name].event_time, name))]

    def _order(self, currency: str, total_minor: int, time: int) -> None:
        figures = self.lifetime
        figures.order_count += 1
        figures.spend_minor[currency] = figures.spend_minor.get(currency, 0) + total_minor
        figures.first_order_time = min(figures.first_order_time or time, time)
        figures.last_order_time = max(figures.last_order_time, time)


def _learn(known: dict[str, Trait], traits: dict[str, Any], time: int) -> None:
    for name, value in traits.items():
        before = known.get(name)
        if before is None or time > before.event_time or newer(Trait(value, time), before):
            known[name] = Trait(value, time)


def newer(one: Trait, other: Trait) -> bool:
    """Whether ``one`` holds. Of two from one instant the larger text does, so that arrival order does not matter."""
    if one.event_time != other.event_time:
        return one.event_time > other.event_time
    return repr(one.value) > repr(other.value)
