"""Histories of events, merges and unmerges: a shop that lives through one, and a follower that hears of it."""

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from typing import Any

from hypothesis import strategies as st

from services.common.errors import Conflict
from services.common.idempotency import REQUESTS
from services.common.sealing import MasterKey
from services.common.store import Collection, Store
from services.profiles.adapters.computed_traits import StoredComputedTraits
from services.profiles.adapters.consents import CONSENT_COLLECTIONS, StoredConsents
from services.profiles.adapters.customer_keys import CustomerKeys
from services.profiles.adapters.groups import StoredGroups
from services.profiles.adapters.identity_settings import IDENTITY_SETTINGS, StoredIdentitySettings
from services.profiles.adapters.keys import TENANT_KEYS, TenantKeys
from services.profiles.adapters.merges import StoredMerges
from services.profiles.adapters.store import COLLECTIONS, StoredProfiles
from services.profiles.adapters.suppressions import SUPPRESSIONS, StoredSuppressions
from services.profiles.domain.customer import Customer
from services.profiles.domain.event import EventType, Observation
from services.profiles.domain.merge import Merge
from services.profiles.domain.order import Order
from services.profiles.handlers.get_customer import batch_get_customers, list_customers, list_events
from services.profiles.handlers.merging import Asked, MergeStore, merge_customers, unmerge_customer
from services.profiles.handlers.recording import Books, Recorder
from services.profiles.ports import CustomersMerged, CustomersUnmerged, EventFilter, Recorded, Request

KEPT: tuple[Collection, ...] = (
    *COLLECTIONS,
    *CONSENT_COLLECTIONS,
    IDENTITY_SETTINGS,
    SUPPRESSIONS,
    TENANT_KEYS,
    REQUESTS,
)
EVERYTHING = EventFilter()


@dataclass(frozen=True)
class See:
    """Somebody does something; ``traits`` says what is learnt."""

    user: str = ""
    device: str = ""
    alias: bool = False
    """Whether the device is the name before."""
    time: int = 1
    traits: tuple[tuple[str, int], ...] = ()
    amount: int = 0

    def observation(self, number: int) -> Observation:
        kind = EventType.ALIAS if self.alias else EventType.IDENTIFY if self.traits else EventType.TRACK
        previous, anonymous = (self.device, "") if self.alias else ("", self.device)
        order = Order("o", "EUR", self.amount) if self.amount else None
        key = f"m{number:04}"
        content = {} if self.traits else {"amount": self.amount}
        return Observation(
            message_id=key,
            type=kind,
            name="n",
            user_id=self.user,
            anonymous_id=anonymous,
            event_time=self.time,
            json=json.dumps(content),
            traits=dict(self.traits),
            order=order,
            previous_id=previous,
            content=content,
        )


@dataclass(frozen=True)
class Join:
    """Two of the customers that are left become one, by their place in the list."""

    one: int
    other: int


@dataclass(frozen=True)
class Part:
    """A merge that holds is taken back, by its place in the log."""

    which: int


USERS, DEVICES = st.sampled_from(["ann", "bob", "cid"]), st.sampled_from(["d1", "d2", "d3", "d4"])
_SAID = {
    "time": st.integers(1, 9),
    "traits": st.sampled_from([(), (("city", 1),), (("city", 2), ("age", 3))]),
    "amount": st.sampled_from([0, 0, 5]),
}
SIGHTS = st.one_of(
    st.builds(See, USERS, st.just(""), **_SAID),
    st.builds(See, st.just(""), DEVICES, **_SAID),
    st.builds(See, USERS, DEVICES, **_SAID),
    st.builds(See, USERS, DEVICES, st.just(True), time=_SAID["time"]),
)
PLACES = st.integers(0, 99)
STEPS = st.one_of(SIGHTS, SIGHTS, st.builds(Join, PLACES, PLACES), st.builds(Part, PLACES))


def _now() -> datetime:
    return datetime(2026, 5, 1, tzinfo=UTC)


def _new_id() -> str:
    return uuid.uuid4().hex


@dataclass
class Shop:
    """One tenant's customers in a real store, and all that was seen."""

    store: Store
    tenant: str = field(default_factory=lambda: f"t{uuid.uuid4().hex}")
    seen: dict[str, Observation] = field(default_factory=dict)
    numbers: Iterator[int] = field(default_factory=count)

    def __post_init__(self) -> None:
        tenant_keys = TenantKeys(self.store, [MasterKey("test", bytes(32))])
        keys = CustomerKeys(self.store, tenant_keys)
        self.profiles, self.merges = StoredProfiles(self.store, keys), StoredMerges(self.store, keys)
        self.computed = StoredComputedTraits(self.store, keys, 0)
        consents, identity = StoredConsents(self.store, keys), StoredIdentitySettings(self.store)
        suppressions = StoredSuppressions(self.store, tenant_keys)
        groups = StoredGroups(self.store)
        self.recorder = Recorder(Books(self.profiles, consents, self.computed, identity, groups, suppressions), _new_id)
        self.merging = MergeStore(self.profiles, self.merges, _now, _new_id)

    async def see(self, *sights: See) -> None:
        observations = [sight.observation(next(self.numbers)) for sight in sights]
        self.seen.update((each.message_id, each) for each in observations)
        try:
            await self.recorder.record(self.tenant, observations, 5)
        except Conflict:
            for each in observations:
                del self.seen[each.message_id]
            raise

    def asked(self, request_id: str = "") -> Asked:
        return Asked(Request(self.tenant, request_id, request_id), "clerk", "because")

    async def merge(self, survivor: str, merged: str) -> None:
        await merge_customers(self.merging, self.asked(), survivor, [merged])

    async def unmerge(self, merge_id: str) -> None:
        await unmerge_customer(self.merging, self.asked(), merge_id)

    async def customers(self) -> list[Customer]:
        """All that are left."""
        found, token = await list_customers(self.profiles, self.tenant, 1000, "")
        assert not token
        return found

    async def log(self) -> list[Merge]:
        """The merges that hold, the oldest first."""
        found, _ = await self.merges.page(self.tenant, (), 1000, "")
        return [merge for merge in reversed(found) if not merge.unmerge_time]

    async def live(self, steps: Sequence[See | Join | Part], *, people_only: bool = False) -> None:
        """Go through ``steps``; with ``people_only``, merge nobody who has no user id."""
        for step in steps:
            if isinstance(step, See):
                await self.see(step)
            elif isinstance(step, Join):
                found = [each for each in await self.customers() if not people_only or _is_person(each)]
                found.sort(key=lambda each: sorted(each.identifiers))
                if found and (one := found[step.one % len(found)]) is not (other := found[step.other % len(found)]):
                    await self.merge(one.customer_id, other.customer_id)
            elif holds := [merge for merge in await self.log() if not people_only or merge.actor]:
                await self.unmerge(holds[step.which % len(holds)].merge_id)

    async def unmerge_all(self, order: Sequence[int], *, requested_only: bool = False) -> None:
        """Take back every merge that holds, in some order."""
        for place in order:
            if holds := [merge for merge in await self.log() if merge.actor or not requested_only]:
                await self.unmerge(holds[place % len(holds)].merge_id)
        for merge in await self.log():
            if merge.actor or not requested_only:
                await self.unmerge(merge.merge_id)

    async def state(self) -> dict[frozenset[tuple[str, str]], Any]:
        """Everything that is known, by the names of the customers: ids differ between shops."""
        found: dict[frozenset[tuple[str, str]], Any] = {}
        for customer in await self.customers():
            events, _ = await list_events(self.profiles, self.tenant, customer.customer_id, EVERYTHING, 1000, "")
            names = frozenset(customer.identifiers)
            keys = [event.message_id for event in events]
            found[names] = (customer.traits, customer.lifetime, customer.first_seen_time, customer.last_seen_time, keys)
        return found

    async def check(self) -> None:
        """What is read is what the raw events say, put together as a follower of the feed would."""
        follower = await Follower.of(self)
        expected: dict[str, Customer] = {}
        timelines: dict[str, list[Observation]] = {}
        for key, origin in follower.origins.items():
            owner = follower.owners.get(origin, origin)
            expected.setdefault(owner, Customer(owner)).observe(self.seen[key])
            timelines.setdefault(owner, []).append(self.seen[key])
        names = {name for each in self.seen.values() for name in (*each.identities, *each.previous)}
        for name, origin in (await self.profiles.owners(self.tenant, sorted(names))).items():
            owner = follower.owners.get(origin, origin)
            expected.setdefault(owner, Customer(owner)).know_as(name)
        found = {customer.customer_id: customer for customer in await self.customers()}
        assert {key: _plain(customer) for key, customer in found.items()} == {
            key: _plain(customer) for key, customer in expected.items()
        }
        customers, events, _ = await self.profiles.statistics(self.tenant)
        assert (customers, events) == (len(found), len(self.seen))
        for owner, sights in timelines.items():
            wanted = [each.message_id for each in sorted(sights, key=lambda it: (it.event_time, it.message_id))][::-1]
            listed, _ = await list_events(self.profiles, self.tenant, owner, EVERYTHING, 1000, "")
            assert [event.message_id for event in listed] == wanted
        for old_id, owner in follower.owners.items():
            (customer,) = await batch_get_customers(self.profiles, self.tenant, [old_id])
            assert customer.customer_id == owner


@dataclass
class Follower:
    """What a follower of the feed knows: the origin of each event, and whose the origins are."""

    origins: dict[str, str] = field(default_factory=dict)
    owners: dict[str, str] = field(default_factory=dict)

    @classmethod
    async def of(cls, shop: Shop) -> "Follower":
        follower = cls()
        if shop.seen:
            async for batch in shop.profiles.changes("", shop.tenant):
                for change in batch.changes:
                    follower.hear(change)
                if len(follower.origins) == len(shop.seen) and batch.caught_up:
                    break
        return follower

    def hear(self, change: object) -> None:
        if isinstance(change, CustomersMerged):
            self.owners.update(dict.fromkeys(change.origin_customer_ids, change.customer_id))
        elif isinstance(change, CustomersUnmerged):
            self.owners.update(dict.fromkeys(change.origin_customer_ids, change.restored_customer_id))
        else:
            assert isinstance(change, Recorded)
            self.origins[change.message_id] = change.origin


def _is_person(customer: Customer) -> bool:
    return any(kind == "user_id" for kind, _ in customer.identifiers)


def _plain(customer: Customer) -> object:
    times = customer.first_seen_time, customer.last_seen_time
    return sorted(customer.identifiers), customer.traits, customer.lifetime, times
