"""By which names a tenant knows people and devices, and what it does not take for a name."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from typing import Any

from services.common.errors import InvalidArgument
from services.profiles.domain.event import IDENTITY_LENGTH_MAX

Identifier = tuple[str, str]

VALUES_MAX = 10_000
EXTERNAL_IDS_MAX = 20
"""How many ``context.externalIds`` of an event are read."""
USER_ID, ANONYMOUS_ID = "user_id", "anonymous_id"
NAMELESS = frozenset(
    {"", "-1", "null", "nil", "none", "undefined", "nan", "n/a", "na", "anonymous", "guest", "unknown", "true", "false"}
    | {"[object object]"}
)
"""What sources send where they have no name."""


class IdentitySettingsInvalid(InvalidArgument):
    """Settings that contradict themselves. Metadata ``field``."""


@dataclass(frozen=True, slots=True)
class IdentifierType:
    """One type of identifier."""

    name: str
    person: bool
    values_max: int
    traits: tuple[str, ...] = ()
    context_fields: tuple[str, ...] = ()
    ignores_case: bool = False


@dataclass(frozen=True)
class IdentitySettings:
    """The types, the strongest first, and what is no identifier of any; times are microseconds."""

    types: tuple[IdentifierType, ...]
    blocked_values: tuple[str, ...] = tuple(sorted(NAMELESS - {""}))
    blocked_patterns: tuple[str, ...] = ()
    version: int = 0
    update_time: int = 0

    @cached_property
    def by_name(self) -> Mapping[str, IdentifierType]:
        """The types by their names."""
        return {each.name: each for each in self.types}

    @cached_property
    def rank(self) -> Mapping[str, int]:
        """How strong a type is: 0 is the strongest."""
        return {each.name: place for place, each in enumerate(self.types)}

    @cached_property
    def persons(self) -> frozenset[str]:
        """The types that name a person."""
        return frozenset(each.name for each in self.types if each.person)

    @cached_property
    def reads_context(self) -> bool:
        """Whether fields of the context are identifiers."""
        return any(each.context_fields for each in self.types)

    @cached_property
    def trait_types(self) -> tuple[tuple[str, str], ...]:
        """Traits that are identifiers, with the type."""
        return tuple((trait, each.name) for each in self.types for trait in each.traits)

    @cached_property
    def is_plain(self) -> bool:
        """Whether events without external ids have no identifiers but the two they are sent with, as they are."""
        as_sent = not (self.by_name[USER_ID].ignores_case or self.by_name[ANONYMOUS_ID].ignores_case)
        return as_sent and not self.reads_context and not self.trait_types

    @cached_property
    def _blocked(self) -> frozenset[str]:
        return frozenset(value.casefold() for value in self.blocked_values)

    def blocks(self, value: str) -> bool:
        """Whether ``value`` is no identifier."""
        if not value.strip("0-") or (folded := value.casefold().strip()) in self._blocked or not folded:
            return True
        return bool(self.blocked_patterns) and any(
            fnmatchcase(folded, pattern.casefold()) for pattern in self.blocked_patterns
        )

    def values_max(self, kind: str) -> int:
        """How many values of the type a customer may have; none of a type that is no longer one."""
        known = self.by_name.get(kind)
        return known.values_max if known else 0

    def check(self) -> None:
        """``IdentitySettingsInvalid``."""
        names = [each.name for each in self.types]
        if len(set(names)) < len(names):
            raise IdentitySettingsInvalid("settings.types names a type twice", field="settings.types")
        for name, person in ((USER_ID, True), (ANONYMOUS_ID, False)):
            if name not in self.by_name or self.by_name[name].person != person:
                what = "a person" if person else "a device"
                raise IdentitySettingsInvalid(f"{name} must be there and name {what}", field="settings.types")
        if [each.person for each in self.types] != sorted((each.person for each in self.types), reverse=True):
            text = "types that name a person come before those that name a device"
            raise IdentitySettingsInvalid(text, field="settings.types")


DEFAULT = IdentitySettings(
    (
        IdentifierType(USER_ID, person=True, values_max=1),
        IdentifierType("loyalty_card", person=True, values_max=10),
        IdentifierType("email", person=True, values_max=10, ignores_case=True),
        IdentifierType("phone", person=True, values_max=10),
        IdentifierType("device_id", person=False, values_max=100),
        IdentifierType(ANONYMOUS_ID, person=False, values_max=VALUES_MAX),
    )
)
"""What a tenant begins with. Traits and fields of the context are no identifiers until the tenant says so."""


@dataclass(slots=True)
class Names:
    """The identifiers of one event, the strongest first, and what of it is none."""

    identities: tuple[Identifier, ...] = ()
    notices: list[tuple[str, str]] = field(default_factory=list)
    """Reason and sentence."""


def names_of(
    settings: IdentitySettings, user_id: str, anonymous_id: str, traits: Mapping[str, Any], context: Mapping[str, Any]
) -> Names:
    """The identifiers that an event carries."""
    if settings.is_plain and "externalIds" not in context:  # as most events are
        is_known = bool(user_id) and not settings.blocks(user_id)
        is_visitor = bool(anonymous_id) and not settings.blocks(anonymous_id)
        if is_known == bool(user_id) and is_visitor == bool(anonymous_id):
            visitor = ((ANONYMOUS_ID, anonymous_id),) if is_visitor else ()
            return Names(((USER_ID, user_id), *visitor) if is_known else visitor)
    names = Names()
    found: dict[Identifier, None] = {}
    for kind, value in _said(settings, user_id, anonymous_id, traits, context, names):
        known = settings.by_name.get(kind)
        if known is None:
            names.notices.append(("IDENTIFIER_TYPE_UNKNOWN", f"{kind[:64]} is not a type of the identity settings"))
        elif settings.blocks(value):
            names.notices.append(("IDENTIFIER_BLOCKED", f"this {kind} is a value that nobody is known by"))
        elif len(value) > IDENTITY_LENGTH_MAX or "\0" in value:
            text = f"a {kind} has at most {IDENTITY_LENGTH_MAX} characters, and no NUL"
            names.notices.append(("IDENTIFIER_INVALID", text))
        else:
            found[kind, value.casefold() if known.ignores_case else value] = None
    names.identities = tuple(found)
    if len(found) > 1:
        names.identities = tuple(sorted(found, key=lambda name: settings.rank[name[0]]))
    return names


def _said(
    settings: IdentitySettings,
    user_id: str,
    anonymous_id: str,
    traits: Mapping[str, Any],
    context: Mapping[str, Any],
    names: Names,
) -> Iterator[Identifier]:
    if user_id:
        yield USER_ID, user_id
    if anonymous_id:
        yield ANONYMOUS_ID, anonymous_id
    if traits:
        for trait, kind in settings.trait_types:
            if value := _text(traits.get(trait)):
                yield kind, value
    if context:
        yield from _in_context(settings, context, names)


def _in_context(settings: IdentitySettings, context: Mapping[str, Any], names: Names) -> Iterator[Identifier]:
    if settings.reads_context:
        for each in settings.types:
            for path in each.context_fields:
                if value := _text(_at(context, path)):
                    yield each.name, value
    external = context.get("externalIds")
    if external is None:
        return
    if not isinstance(external, list):
        names.notices.append(("IDENTIFIER_INVALID", "context.externalIds must be a list"))
        return
    for index, entry in enumerate(external[:EXTERNAL_IDS_MAX]):
        kind, value = (entry.get("type"), _text(entry.get("id"))) if isinstance(entry, dict) else (None, "")
        if isinstance(kind, str) and value:
            yield kind, value
        else:
            text = f"context.externalIds[{index}] needs the texts id and type"
            names.notices.append(("IDENTIFIER_INVALID", text))
    if len(external) > EXTERNAL_IDS_MAX:
        names.notices.append(("IDENTIFIER_INVALID", f"context.externalIds has more than {EXTERNAL_IDS_MAX} entries"))


def _at(context: Mapping[str, Any], path: str) -> Any:
    value: Any = context
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _text(value: Any) -> str:
    """An identifier as text: numbers are written as such; anything else is none."""
    if isinstance(value, str):
        return value.strip()
    return str(value) if isinstance(value, int) and not isinstance(value, bool) else ""
