"""What an event, a merge or time does to computed traits: what they know then, and what is told of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from services.common import json
from services.profiles.domain.computed_trait import Computed, ComputedTrait, tell_changes, values_of


class Definitions:
    """The computed traits of a tenant, by name and by the event that they are about."""

    def __init__(self, traits: Mapping[str, ComputedTrait]) -> None:
        self.traits = traits
        self.by_event: dict[str, list[ComputedTrait]] = {}
        for trait in traits.values():
            self.by_event.setdefault(trait.event_name, []).append(trait)


@dataclass(frozen=True, slots=True)
class ComputedTraitChanged:
    """A computed trait has another value, ``null`` for none."""

    tenant: str
    customer_id: str
    name: str
    value_json: str
    change_time: int


@dataclass(slots=True)
class Advance:
    """What computed traits know after something happened, and what is told of it; written in one commit."""

    changed: dict[str, Computed] = field(default_factory=dict)
    """By the origin's id."""
    versions: dict[str, int] = field(default_factory=dict)
    """Of those that were there before."""
    due: dict[str, int | None] = field(default_factory=dict)
    """When time alone changes something."""
    told: list[ComputedTraitChanged] = field(default_factory=list)
    marks: dict[str, int] = field(default_factory=dict)
    """Customers that were to be looked at again, and now were, with the versions of their marks."""
    gone: list[str] = field(default_factory=list)
    """Origins that are no more."""

    @property
    def customer_ids(self) -> set[str]:
        """Of whom something is written."""
        return {*self.changed, *(change.customer_id for change in self.told)}


@dataclass(slots=True)
class Families:
    """Customers and the origins that each is made of, by the id of the one that survives, which comes first."""

    origins: dict[str, list[str]] = field(default_factory=dict)

    def ids(self) -> list[str]:
        """All origins."""
        return list(dict.fromkeys(origin for family in self.origins.values() for origin in family))


def advanced(
    tenant: str, definitions: Definitions, families: Families, known: Mapping[str, tuple[Computed, int]], now: int
) -> Advance:
    """What the traits of ``families`` come to at ``now``; ``known`` is what they were, and is changed."""
    traits = definitions.traits
    advance = Advance(versions={key: version for key, (_, version) in known.items()})
    for top_id, family in families.origins.items():
        parts = [known[origin][0] for origin in family if origin in known]
        for part in parts:
            part.settle(traits, now)
        top = known[top_id][0] if top_id in known else Computed(top_id)
        told = [(top, *each) for each in tell_changes(top, values_of(traits, parts, now), now)]
        merged = [part for part in parts if part is not top]
        told += [(part, *each) for part in merged for each in tell_changes(part, {}, now)]  # nobody's id any more
        for part in [*parts, *([top] if told and top_id not in known else [])]:
            advance.changed[part.customer_id] = part
            advance.due[part.customer_id] = part.due(traits, now)
        advance.told += (_told(tenant, part, name, value, now) for part, name, value in told)
    return advance


def _told(tenant: str, part: Computed, name: str, value: Any, now: int) -> ComputedTraitChanged:
    moment = part.values[name].change_time if name in part.values else now
    return ComputedTraitChanged(tenant, part.customer_id, name, json.write(value), moment)
