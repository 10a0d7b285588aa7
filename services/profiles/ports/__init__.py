"""What the use cases of profiles need from outside."""

from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from services.profiles.domain.computing import Advance, ComputedTraitChanged
from services.profiles.domain.customer import Customer
from services.profiles.domain.dead_letter import DeadLetter
from services.profiles.domain.event import Observation
from services.profiles.domain.group import GroupChanges, GroupMembershipChanged, GroupTraitsChanged
from services.profiles.domain.identity_settings import IdentitySettings
from services.profiles.domain.merge import Merge
from services.profiles.domain.write_key import WriteKey
from services.profiles.ports.computed import ComputedTraits
from services.profiles.ports.event_schemas import Demand, EventSchemas
from services.profiles.ports.groups import Groups
from services.profiles.ports.privacy import (
    ConsentBook,
    ConsentChanged,
    ConsentUpdate,
    CustomerErased,
    Erasures,
    Forgetting,
    Suppressions,
)
from services.profiles.ports.request import Identifier, Request, Versioned

__all__ = [
    "ComputedTraits",
    "ConsentBook",
    "ConsentChanged",
    "ConsentUpdate",
    "CustomerErased",
    "Demand",
    "Erasures",
    "EventSchemas",
    "Forgetting",
    "Groups",
    "Identifier",
    "Request",
    "Suppressions",
    "Versioned",
]


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events of a timeline are wanted; times are microseconds."""

    names: frozenset[str] = frozenset()
    """Empty for all."""
    from_time: int | None = None
    before_time: int | None = None
    properties: Mapping[str, Any] = field(default_factory=dict)
    """What top-level properties have to be equal to."""


@dataclass(slots=True)
class Recorded:
    """An event as it was recorded; times are microseconds.

    Nobody changes one; it is not frozen because a frozen one takes twice as long to make.
    """

    tenant: str
    message_id: str
    type: int
    name: str
    customer_id: str
    event_time: int
    record_time: int
    json: str
    group_id: str = ""
    previous_id: str = ""
    joined: bool = True
    """For an alias: whether both names are one customer's."""
    context: str = ""
    integrations: str = ""
    origin: str = ""
    """Whom its names belong to; empty for ``customer_id``."""
    anonymised: bool = False
    """Whether it was a person's who is anonymous now."""


@dataclass(frozen=True, slots=True)
class Recording:
    """One batch to be recorded whole: new events with their origins, and the customers as they are afterwards."""

    events: Sequence[tuple[Observation, str]]
    record_time: int
    changed: Mapping[str, Customer]
    versions: Mapping[str, int]
    """Versions of the customers that existed before; the others are new."""
    identities: Mapping[Identifier, str]
    """New identifiers and whose they are."""
    unjoined: Collection[str] = ()
    """The message ids of aliases that left two customers two."""
    consents: Sequence[ConsentUpdate] = ()
    """What the events said of consents."""
    merges: Sequence[Merge] = ()
    """Those that rules made."""
    computed: Advance | None = None
    """What computed traits come to."""
    groups: GroupChanges | None = None
    """What the events said of groups."""


@dataclass(frozen=True, slots=True)
class CustomersMerged:
    """Two customers are one; times are microseconds."""

    tenant: str
    merge_id: str
    customer_id: str
    merged_customer_id: str
    origin_customer_ids: tuple[str, ...]
    merge_time: int


@dataclass(frozen=True, slots=True)
class CustomersUnmerged:
    """A merge was taken back."""

    tenant: str
    merge_id: str
    customer_id: str
    restored_customer_id: str
    origin_customer_ids: tuple[str, ...]
    unmerge_time: int


Change = (
    Recorded
    | CustomersMerged
    | CustomersUnmerged
    | ConsentChanged
    | ComputedTraitChanged
    | CustomerErased
    | GroupTraitsChanged
    | GroupMembershipChanged
)


@dataclass(frozen=True, slots=True)
class Changes:
    """Changes in commit order, and the cursor after them."""

    changes: Sequence[Change]
    positions: Sequence[int]
    """Where each is in the feed: they grow."""
    cursor: str
    caught_up: bool
    end: int
    """The position up to which this is all there is."""


class Profiles(Protocol):
    """The customers, identities and events of all tenants."""

    async def known_messages(self, tenant: str, message_ids: Sequence[str]) -> frozenset[str]:
        """Those message ids that were recorded before."""
        ...

    async def owners(self, tenant: str, identifiers: Sequence[Identifier]) -> dict[Identifier, str]:
        """Whose the identifiers are, as far as they are known."""
        ...

    async def origins(self, tenant: str, customer_ids: Sequence[str]) -> dict[str, tuple[Customer, int]]:
        """Those that exist, with their versions: each as its own events made it, merged or not."""
        ...

    def every_event(self, tenant: str, wanted: EventFilter) -> AsyncIterator[list[Recorded]]:
        """All that are wanted, by message id, some at a time, with the customers that they belong to now."""
        ...

    async def origin_ids(self, tenant: str, limit: int, after: str) -> tuple[list[str], str]:
        """A page of all origins, merged or not, and the token of the next."""
        ...

    def history(
        self, tenant: str, origin: str, event_name: str, since: int
    ) -> AsyncIterator[tuple[int, dict[str, Any]]]:
        """Of an origin's events of a name, the oldest first, from a time on: when they happened, and what they say."""
        ...

    async def identifiers(self, tenant: str, customer_id: str, limit: int, after: str) -> tuple[list[Identifier], str]:
        """A page of the identifiers of one origin, by type and value, and the token of the next."""
        ...

    async def page(self, tenant: str, limit: int, after: str) -> tuple[list[Customer], str]:
        """A page of origins by id that are not merged into others, and the token of the next."""
        ...

    async def timeline(
        self, tenant: str, parts: Sequence[Customer], wanted: EventFilter, limit: int, after: str
    ) -> tuple[list[Recorded], str]:
        """A page of the events of a customer, the first of ``parts``, and its other origins, and the next token.

        Newest first. A page may be short and have a next one: it looks at 10,000 events at most.
        """
        ...

    async def record(self, tenant: str, recording: Recording) -> None:
        """Commit a batch. ``Conflict`` or ``AlreadyExists`` if another writer was faster: read again and retry."""
        ...

    async def statistics(self, tenant: str) -> tuple[int, int, str]:
        """How many customers and events, and the feed's newest cursor."""
        ...

    def changes(self, after: str, tenant: str | None) -> AsyncIterator[Changes]:
        """The feed after a cursor, of one tenant or of all, live and without end."""
        ...

    async def position(self, cursor: str) -> int:
        """Where in the feed a follower is who has ``cursor``; 0 at the beginning. ``InvalidCursor``."""
        ...

    async def end_of_feed(self) -> str:
        """The newest cursor."""
        ...


@dataclass(frozen=True, slots=True)
class Replayed:
    """What became of dead letters that were ingested again; of the rejected id, reason and message."""

    recorded_count: int
    duplicate_count: int
    rejections: tuple[tuple[str, str, str], ...]


class DeadLetters(Protocol):
    """The rejected events of all tenants, of each the newest up to a limit."""

    async def keep(self, tenant: str, letters: Sequence[DeadLetter]) -> None:
        """Keep those that are not there yet; the oldest go where there are too many."""
        ...

    async def get_many(self, tenant: str, dead_letter_ids: Sequence[str]) -> dict[str, DeadLetter]:
        """Those that are there."""
        ...

    async def page(self, tenant: str, reason: str, limit: int, after: str) -> tuple[list[DeadLetter], str]:
        """A page, newest first, of one reason or of all, and the token of the next."""
        ...

    def naming(self, tenant: str, names: Sequence[Identifier]) -> AsyncIterator[list[DeadLetter]]:
        """Those that are about somebody with one of these names, some at a time."""
        ...

    async def replayed(self, request: Request) -> Replayed | None:
        """The answer that ``request`` got before; ``RequestIdReused``."""
        ...

    async def settle(self, request: Request, dead_letter_ids: Sequence[str], answer: Replayed) -> None:
        """Forget dead letters, and remember the answer. ``AlreadyExists`` if the request was carried out meanwhile."""
        ...

    async def delete(self, request: Request, dead_letter_ids: Sequence[str]) -> int:
        """Forget dead letters; how many there were, also to the same request again. ``RequestIdReused``."""
        ...


class WriteKeys(Protocol):
    """The write keys of all tenants: hashes of their secrets, and never the secrets."""

    async def created(self, request: Request) -> WriteKey | None:
        """The key that ``request`` made before; ``RequestIdReused``."""
        ...

    async def create(self, request: Request, key: WriteKey, digest: str) -> None:
        """Keep a new key. ``AlreadyExists`` if the request was carried out meanwhile."""
        ...

    async def count(self, tenant: str) -> int:
        """How many are not revoked."""
        ...

    async def get(self, tenant: str, write_key_id: str) -> WriteKey | None:
        """The key, revoked or not."""
        ...

    async def page(self, tenant: str, limit: int, after: str) -> tuple[list[WriteKey], str]:
        """A page, newest first, and the token of the next."""
        ...

    async def revoke(self, tenant: str, key: WriteKey) -> None:
        """Keep ``key`` as revoked; its secret resolves no longer."""
        ...

    async def resolve(self, digest: str) -> tuple[str, str] | None:
        """The tenant and the id of the key that is not revoked, by the hash of its secret."""
        ...


@dataclass(frozen=True, slots=True)
class Movement:
    """What merging or unmerging changes, in one commit."""

    changed: Mapping[str, Customer]
    versions: Mapping[str, int]
    made: Sequence[Merge] = ()
    taken_back: Merge | None = None
    taken_from: str = ""
    """Whose the origins that go back were until now."""
    moved: tuple[str, ...] = ()
    """The origins that go back."""


class Merges(Protocol):
    """The merge log of all tenants."""

    async def get(self, tenant: str, merge_id: str) -> Merge | None:
        """The merge, taken back or not."""
        ...

    async def page(self, tenant: str, customers: Sequence[str], limit: int, after: str) -> tuple[list[Merge], str]:
        """A page, newest first, of those in which any of ``customers`` took part (none: all), and the next token."""
        ...

    async def answered(self, request: Request) -> list[Merge] | None:
        """What ``request`` was answered before; ``RequestIdReused``."""
        ...

    async def move(self, request: Request, movement: Movement) -> None:
        """Commit. ``Conflict`` or ``AlreadyExists`` if another writer was faster: read again and retry."""
        ...


class IdentityBook(Protocol):
    """What the tenants take for names of customers."""

    async def settings(self, tenant: str) -> IdentitySettings:
        """Those that hold; perhaps some seconds old."""
        ...

    async def update(self, request: Request, settings: IdentitySettings) -> IdentitySettings:
        """Keep ``settings``, which follow those of the version before; what ``request`` was answered before.

        ``Conflict``, ``RequestIdReused``.
        """
        ...
