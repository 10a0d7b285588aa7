"""Customers, identities and events as documents."""

from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import orjson

from services.common import telemetry
from services.common.store import Change as Entry
from services.common.store import Collection, Document, Index, Insert, Query, Range, Replace, Store, Write
from services.profiles.adapters.changes import CHANGES, read
from services.profiles.adapters.computed_traits import COMPUTED_COLLECTIONS, advance_writes
from services.profiles.adapters.consents import consent_writes
from services.profiles.adapters.customer_keys import CUSTOMER_KEYS, CustomerKeys, Keys
from services.profiles.adapters.groups import GROUP_COLLECTIONS, group_writes
from services.profiles.adapters.identities import IDENTITIES, Identities
from services.profiles.adapters.merge_log import MERGES, merge_writes
from services.profiles.adapters.sealed import CUSTOMERS, customer_body, customer_of, event_body, recorded, said
from services.profiles.adapters.timeline import timeline
from services.profiles.domain.customer import Customer
from services.profiles.ports import Change, Changes, EventFilter, Identifier, Recorded, Recording

EVENTS = Collection("events", (Index(("customer_id", "time")), Index(("customer_id", "name", "time"))), published=True)
COLLECTIONS = (CUSTOMERS, CUSTOMER_KEYS, IDENTITIES, EVENTS, CHANGES, MERGES, *COMPUTED_COLLECTIONS, *GROUP_COLLECTIONS)
FEED_BATCH_MAX = 1000
HISTORY_PAGE = 500


class StoredProfiles:
    """The port ``Profiles`` over the document store. An event's id is its message id."""

    def __init__(self, store: Store, keys: CustomerKeys) -> None:
        self._store, self._keys = store, keys
        self.identities = Identities(store, keys)

    async def known_messages(self, tenant: str, message_ids: Sequence[str]) -> frozenset[str]:
        return frozenset(await self._store.get_many(tenant, EVENTS, message_ids))

    async def owners(self, tenant: str, identifiers: Sequence[Identifier]) -> dict[Identifier, str]:
        return await self.identities.owners(tenant, identifiers)

    async def origins(self, tenant: str, customer_ids: Sequence[str]) -> dict[str, tuple[Customer, int]]:
        found = await self._store.get_many(tenant, CUSTOMERS, customer_ids)
        keys = await self._keys.read(tenant, found)
        read = ((document, customer_of(tenant, document, keys)) for document in found.values())
        return {document.id: (customer, document.version) for document, customer in read if customer is not None}

    async def every_event(self, tenant: str, wanted: EventFilter) -> AsyncIterator[list[Recorded]]:
        after = ""
        while True:
            page = await self._store.find(tenant, EVENTS, Query(limit=HISTORY_PAGE, after=after))
            found = await self._events(tenant, [each for each in page.documents if _is_wanted(each.body, wanted)])
            owners = await self.origins(tenant, list({event.origin for event in found}))
            yield [
                replace(event, customer_id=owners[event.origin][0].surviving_id)
                for event in found
                if event.origin in owners
            ]
            after = page.next_cursor
            if not after:
                return

    async def origin_ids(self, tenant: str, limit: int, after: str) -> tuple[list[str], str]:
        page = await self._store.find(tenant, CUSTOMERS, Query(limit=limit, after=after))
        return [document.id for document in page.documents], page.next_cursor

    async def history(
        self, tenant: str, origin: str, event_name: str, since: int
    ) -> AsyncIterator[tuple[int, dict[str, Any]]]:
        where, after = {"customer_id": origin, "name": event_name}, ""
        keys = await self._keys.read(tenant, [origin])
        while True:
            wanted = Query(where=where, range=Range("time", at_least=since), limit=HISTORY_PAGE, after=after)
            page = await self._store.find(tenant, EVENTS, wanted)
            for document in page.documents:
                if (text := said(tenant, document.id, document.body, keys)) is not None:
                    yield document.body["time"], orjson.loads(text or "{}")
            after = page.next_cursor
            if not after:
                return

    async def identifiers(self, tenant: str, customer_id: str, limit: int, after: str) -> tuple[list[Identifier], str]:
        return await self.identities.page(tenant, customer_id, limit, after)

    async def page(self, tenant: str, limit: int, after: str) -> tuple[list[Customer], str]:
        found: list[Customer] = []
        while True:  # pages of documents have fewer customers: those that are merged into others are left out
            page = await self._store.find(tenant, CUSTOMERS, Query(limit=limit - len(found), after=after))
            tops = [document for document in page.documents if not document.body.get("merged_into")]
            keys = await self._keys.read(tenant, [document.id for document in tops])
            read = (customer_of(tenant, document, keys) for document in tops)
            found += (customer for customer in read if customer is not None)
            after = page.next_cursor
            if len(found) == limit or not after:
                return found, after

    async def timeline(
        self, tenant: str, parts: Sequence[Customer], wanted: EventFilter, limit: int, after: str
    ) -> tuple[list[Recorded], str]:
        keys = await self._keys.read(tenant, [part.customer_id for part in parts])

        def says(document: Document) -> str:
            return said(tenant, document.id, document.body, keys) or ""

        documents, token = await timeline(self._store, EVENTS, tenant, parts, wanted, limit, after, says)
        events = await self._events(tenant, documents)
        return [replace(event, customer_id=parts[0].customer_id) for event in events], token

    async def _events(self, tenant: str, documents: Sequence[Document]) -> list[Recorded]:
        """The events in documents, without those whose keys are destroyed."""
        keys = await self._keys.read(tenant, {document.body["customer_id"] for document in documents})
        read = (recorded(tenant, document.id, document.body, keys) for document in documents)
        return [event for event in read if event is not None]

    async def record(self, tenant: str, recording: Recording) -> None:
        whose, known = set(recording.changed), set(recording.versions)
        if recording.computed is not None:
            known |= recording.computed.customer_ids - whose
            whose |= recording.computed.customer_ids
        keys, made = await self._keys.for_writing(tenant, whose, known)
        writes: list[Write] = [*await self._keys.writes(tenant, made)]
        writes += await self.identities.writes(tenant, recording.identities, keys)
        writes += customer_writes(tenant, recording.changed, recording.versions, keys)
        for merge in recording.merges:
            writes += merge_writes(tenant, merge)
        if recording.computed is not None:
            writes += advance_writes(tenant, recording.computed, keys)
        writes += (
            Insert(
                tenant, EVENTS, event.message_id, event_body(tenant, event, customer_id, recording, keys[customer_id])
            )
            for event, customer_id in recording.events
        )
        writes.extend(consent_writes(tenant, recording.consents, keys))
        if recording.groups is not None:
            writes.extend(group_writes(tenant, recording.groups))
        await self._store.commit(writes)
        self._keys.remember(tenant, made)
        for merge in recording.merges:
            telemetry.counter("profiles.customers.merged").add(1, {"rule": merge.rule})
        telemetry.counter("profiles.events.recorded").add(len(recording.events))

    async def statistics(self, tenant: str) -> tuple[int, int, str]:
        merged = await self._store.count(tenant, MERGES, Query(where={"active": True}))
        customers = await self._store.count(tenant, CUSTOMERS) - merged
        events = await self._store.count(tenant, EVENTS)
        return customers, events, await self._store.end_of_feed()

    async def changes(self, after: str, tenant: str | None) -> AsyncIterator[Changes]:
        async for batch in self._store.changes(after, tenant=tenant, limit=FEED_BATCH_MAX):
            cursor = batch[-1].cursor
            # A short batch is all there was; one tenant's cursor need not be the end of the whole feed.
            caught_up = len(batch) < FEED_BATCH_MAX or cursor == await self._store.end_of_feed()
            told = await self._told(batch)
            positions = [position for position, _ in told]
            yield Changes([change for _, change in told], positions, cursor, caught_up, batch[-1].position)

    async def _told(self, batch: Sequence[Entry]) -> list[tuple[int, Change]]:
        """The changes with their positions, without the events of who is being erased."""
        authors: dict[str, set[str]] = {}
        for entry in batch:
            if entry.collection == EVENTS.name or "sealed" in entry.body:
                authors.setdefault(entry.tenant, set()).add(entry.body["customer_id"])
        keys = {tenant: await self._keys.read(tenant, ids) for tenant, ids in authors.items()}
        read = ((entry.position, _change(entry, keys.get(entry.tenant, {}))) for entry in batch)
        return [(position, change) for position, change in read if change is not None]

    async def position(self, cursor: str) -> int:
        return await self._store.feed_position(cursor)

    async def end_of_feed(self) -> str:
        return await self._store.end_of_feed()


def _is_wanted(body: dict[str, Any], wanted: EventFilter) -> bool:
    if wanted.names and body["name"] not in wanted.names:
        return False
    if wanted.from_time is not None and body["time"] < wanted.from_time:
        return False
    return wanted.before_time is None or body["time"] < wanted.before_time


def _change(entry: Entry, keys: Keys) -> Change | None:
    if entry.collection == CHANGES.name:
        return read(entry.tenant, entry.id, entry.body, keys)
    return recorded(entry.tenant, entry.id, entry.body, keys)


def customer_writes(
    tenant: str, changed: Mapping[str, Customer], versions: Mapping[str, int], keys: Keys
) -> Iterator[Write]:
    """Those that write ``changed``, each of which is new or still at its version."""
    for customer_id, customer in changed.items():
        version, body = versions.get(customer_id), customer_body(tenant, customer, keys[customer_id])
        if version is None:
            yield Insert(tenant, CUSTOMERS, customer_id, body)
        else:
            yield Replace(tenant, CUSTOMERS, customer_id, body, version)
