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
from services.profiles.adapters.groups import GROUP_COLLECTIONS, group_writes
from services.profiles.adapters.merge_log import MERGES, merge_writes
from services.profiles.adapters.timeline import timeline
from services.profiles.domain.customer import Customer, Group, Lifetime, Trait
from services.profiles.domain.event import Observation
from services.profiles.ports import Change, Changes, EventFilter, Identifier, Recorded, Recording

CUSTOMERS = Collection("customers")
IDENTITIES = Collection("identities", (Index(("customer_id",)),))
EVENTS = Collection("events", (Index(("customer_id", "time")), Index(("customer_id", "name", "time"))), published=True)
COLLECTIONS = (CUSTOMERS, IDENTITIES, EVENTS, CHANGES, MERGES, *COMPUTED_COLLECTIONS, *GROUP_COLLECTIONS)
FEED_BATCH_MAX = 1000
HISTORY_PAGE = 500


class StoredProfiles:
    """The port ``Profiles`` over the document store. An event's id is its message id."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def known_messages(self, tenant: str, message_ids: Sequence[str]) -> frozenset[str]:
        return frozenset(await self._store.get_many(tenant, EVENTS, message_ids))

    async def owners(self, tenant: str, identifiers: Sequence[Identifier]) -> dict[Identifier, str]:
        keys = {identity_key(identifier): identifier for identifier in identifiers}
        found = await self._store.get_many(tenant, IDENTITIES, list(keys))
        return {keys[key]: document.body["customer_id"] for key, document in found.items()}

    async def origins(self, tenant: str, customer_ids: Sequence[str]) -> dict[str, tuple[Customer, int]]:
        found = await self._store.get_many(tenant, CUSTOMERS, customer_ids)
        return {key: (_customer(document), document.version) for key, document in found.items()}

    async def every_event(self, tenant: str, wanted: EventFilter) -> AsyncIterator[list[Recorded]]:
        after = ""
        while True:
            page = await self._store.find(tenant, EVENTS, Query(limit=HISTORY_PAGE, after=after))
            found = [_recorded(tenant, each.id, each.body) for each in page.documents if _is_wanted(each.body, wanted)]
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
        while True:
            wanted = Query(where=where, range=Range("time", at_least=since), limit=HISTORY_PAGE, after=after)
            page = await self._store.find(tenant, EVENTS, wanted)
            for document in page.documents:
                yield document.body["time"], orjson.loads(document.body["json"] or "{}")
            after = page.next_cursor
            if not after:
                return

    async def identifiers(self, tenant: str, customer_id: str, limit: int, after: str) -> tuple[list[Identifier], str]:
        query = Query(where={"customer_id": customer_id}, limit=limit, after=after)
        page = await self._store.find(tenant, IDENTITIES, query)
        found = (document.id.partition(":") for document in page.documents)
        return [(kind, value) for kind, _, value in found], page.next_cursor

    async def page(self, tenant: str, limit: int, after: str) -> tuple[list[Customer], str]:
        found: list[Customer] = []
        while True:  # pages of documents have fewer customers: those that are merged into others are left out
            page = await self._store.find(tenant, CUSTOMERS, Query(limit=limit - len(found), after=after))
            found += (_customer(document) for document in page.documents if not document.body.get("merged_into"))
            after = page.next_cursor
            if len(found) == limit or not after:
                return found, after

    async def timeline(
        self, tenant: str, parts: Sequence[Customer], wanted: EventFilter, limit: int, after: str
    ) -> tuple[list[Recorded], str]:
        documents, token = await timeline(self._store, EVENTS, tenant, parts, wanted, limit, after)
        events = [_recorded(tenant, document.id, document.body) for document in documents]
        return [replace(event, customer_id=parts[0].customer_id) for event in events], token

    async def record(self, tenant: str, recording: Recording) -> None:
        writes: list[Write] = [
            Insert(tenant, IDENTITIES, identity_key(identity), {"customer_id": customer_id})
            for identity, customer_id in recording.identities.items()
        ]
        writes += customer_writes(tenant, recording.changed, recording.versions)
        for merge in recording.merges:
            writes += merge_writes(tenant, merge)
        if recording.computed is not None:
            writes += advance_writes(tenant, recording.computed)
        writes += (
            Insert(tenant, EVENTS, event.message_id, _event_body(event, customer_id, recording))
            for event, customer_id in recording.events
        )
        writes.extend(consent_writes(tenant, recording.consents))
        if recording.groups is not None:
            writes.extend(group_writes(tenant, recording.groups))
        await self._store.commit(writes)
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
            yield Changes([_change(entry) for entry in batch], [entry.position for entry in batch], cursor, caught_up)

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


def _change(entry: Entry) -> Change:
    if entry.collection == CHANGES.name:
        return read(entry.tenant, entry.body)
    return _recorded(entry.tenant, entry.id, entry.body)


def identity_key(identifier: Identifier) -> str:
    """The id of the document that says whose ``identifier`` is."""
    return f"{identifier[0]}:{identifier[1]}"


def customer_writes(tenant: str, changed: Mapping[str, Customer], versions: Mapping[str, int]) -> Iterator[Write]:
    """Those that write ``changed``, each of which is new or still at its version."""
    for customer_id, customer in changed.items():
        version = versions.get(customer_id)
        if version is None:
            yield Insert(tenant, CUSTOMERS, customer_id, _body(customer))
        else:
            yield Replace(tenant, CUSTOMERS, customer_id, _body(customer), version)


def _event_body(event: Observation, customer_id: str, recording: Recording) -> dict[str, Any]:
    body = {
        "customer_id": customer_id,
        "name": event.name,
        "type": int(event.type),
        "time": event.event_time,
        "recorded": recording.record_time,
        "json": event.json,
    }
    if merged_into := recording.changed[customer_id].merged_into:
        body["owner"] = merged_into
    if event.group_id:
        body["group_id"] = event.group_id
    if event.previous_id:
        body["previous_id"] = event.previous_id
        body["joined"] = event.message_id not in recording.unjoined
    if event.context:
        body["context"] = event.context
    if event.integrations:
        body["integrations"] = event.integrations
    return body


def _recorded(tenant: str, message_id: str, body: dict[str, Any]) -> Recorded:
    get = body.get
    return Recorded(
        tenant,
        message_id,
        body["type"],
        body["name"],
        get("owner") or body["customer_id"],
        body["time"],
        body["recorded"],
        body["json"],
        get("group_id", ""),
        get("previous_id", ""),
        get("joined", True),
        get("context", ""),
        get("integrations", ""),
        body["customer_id"],
    )


def _body(customer: Customer) -> dict[str, Any]:
    figures = customer.lifetime
    body = {
        "identifiers": [list(identifier) for identifier in customer.identifiers],
        "traits": _traits_body(customer.traits),
        "events": figures.event_count,
        "orders": figures.order_count,
        "spend": figures.spend_minor,
        "first_order": figures.first_order_time,
        "last_order": figures.last_order_time,
        "first_seen": customer.first_seen_time,
        "last_seen": customer.last_seen_time,
    }
    if customer.groups:
        body["groups"] = [
            [group_id, group.event_time, _traits_body(group.traits)] for group_id, group in customer.groups.items()
        ]
    if sum(customer.identifier_counts.values()) > len(customer.identifiers):
        body["identifier_counts"] = customer.identifier_counts
    if customer.merged_into:
        body.update(merged_into=customer.merged_into, parent=customer.parent, merge_id=customer.merge_id)
    if customer.origins:
        body["origins"] = customer.origins
    return body


def _traits_body(traits: dict[str, Trait]) -> dict[str, Any]:
    return {name: [trait.value, trait.event_time] for name, trait in traits.items()}


def _traits(body: dict[str, Any]) -> dict[str, Trait]:
    return {name: Trait(value, time) for name, (value, time) in body.items()}


def _counts(identifiers: list[list[str]]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for kind, _ in identifiers:
        counts[kind] = counts.get(kind, 0) + 1
    return counts


def _customer(document: Document) -> Customer:
    body = document.body
    return Customer(
        customer_id=document.id,
        identifiers=[(kind, value) for kind, value in body["identifiers"]],
        traits=_traits(body["traits"]),
        lifetime=Lifetime(body["events"], body["orders"], dict(body["spend"]), body["first_order"], body["last_order"]),
        first_seen_time=body["first_seen"],
        last_seen_time=body["last_seen"],
        groups={name: Group(_traits(traits), time) for name, time, traits in body.get("groups", ())},
        merged_into=body.get("merged_into", ""),
        parent=body.get("parent", ""),
        merge_id=body.get("merge_id", ""),
        origins=body.get("origins", []),
        identifier_counts=body.get("identifier_counts") or _counts(body["identifiers"]),
    )
