"""Computed traits as documents: their definitions, what they know of each origin, and what is to be looked at again."""

import asyncio
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from tessera.common.v1 import rule_pb2

from services.common.idempotency import remember, replayed
from services.common.rules import Comparison, wire
from services.common.store import Collection, Delete, Document, Index, Insert, Put, Query, Range, Replace, Store, Write
from services.profiles.adapters.changes import tell_value
from services.profiles.adapters.customer_keys import CustomerKeys, Keys, seal_content, unseal_content
from services.profiles.domain.computed_trait import TRAITS_MAX, Computed, ComputedTrait, State, Status, Value
from services.profiles.domain.computing import Advance, Definitions
from services.profiles.domain.figures import Kind
from services.profiles.ports import Request

COMPUTED_TRAITS = Collection("computed_traits")
COMPUTED = Collection("computed", (Index(("due",)),))
COMPUTED_MARKS = Collection("computed_marks")
COMPUTED_TENANTS = Collection("computed_tenants")
COMPUTED_COLLECTIONS = (COMPUTED_TRAITS, COMPUTED, COMPUTED_MARKS, COMPUTED_TENANTS)
PLATFORM = "*"
TENANTS_MAX = 100_000


class StoredComputedTraits:
    """The port ``ComputedTraits``."""

    def __init__(
        self, store: Store, keys: CustomerKeys, reread_seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._store, self._keys, self._clock = store, keys, clock
        self.reread_seconds = reread_seconds
        self._known: dict[str, tuple[float, Definitions]] = {}
        self._turns: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    def turn(self, tenant: str) -> asyncio.Lock:
        return self._turns[tenant]

    async def definitions(self, tenant: str, *, fresh: bool = False) -> Definitions:
        known = self._known.get(tenant)
        if known is not None and not fresh and self._clock() < known[0]:
            return known[1]
        page = await self._store.find(tenant, COMPUTED_TRAITS, Query(limit=TRAITS_MAX + 50))
        definitions = Definitions({document.id: _trait(document.body) for document in page.documents})
        self._known[tenant] = self._clock() + self.reread_seconds, definitions
        return definitions

    async def get(self, tenant: str, name: str) -> tuple[ComputedTrait, int] | None:
        document = await self._store.get(tenant, COMPUTED_TRAITS, name)
        return (_trait(document.body), document.version) if document else None

    async def page(self, tenant: str, limit: int, after: str) -> tuple[list[ComputedTrait], str]:
        page = await self._store.find(tenant, COMPUTED_TRAITS, Query(limit=limit, after=after))
        return [_trait(document.body) for document in page.documents], page.next_cursor

    async def tenants(self) -> list[str]:
        page = await self._store.find(PLATFORM, COMPUTED_TENANTS, Query(limit=TENANTS_MAX))
        return [document.id for document in page.documents]

    async def answered(self, request: Request) -> Mapping[str, Any] | None:
        return await replayed(self._store, request.tenant, request.id, request.fingerprint)

    async def answered_trait(self, request: Request) -> ComputedTrait | None:
        answer = await self.answered(request)
        return _trait(answer) if answer else None

    async def define(self, request: Request | None, tenant: str, trait: ComputedTrait, version: int | None) -> None:
        body = _trait_body(trait)
        write = (
            Insert(tenant, COMPUTED_TRAITS, trait.name, body)
            if version is None
            else Replace(tenant, COMPUTED_TRAITS, trait.name, body, version)
        )
        known = remember(request.tenant, request.id, request.fingerprint, body) if request else []
        await self._store.commit([write, Put(PLATFORM, COMPUTED_TENANTS, tenant, {}), *known])
        self._known.pop(tenant, None)

    async def forget(self, request: Request, name: str, version: int, answer: Mapping[str, Any]) -> None:
        tenant = request.tenant
        known = remember(tenant, request.id, request.fingerprint, dict(answer))
        await self._store.commit([Delete(tenant, COMPUTED_TRAITS, name, version), *known])
        self._known.pop(tenant, None)

    async def remember(self, request: Request, answer: Mapping[str, Any]) -> None:
        known = remember(request.tenant, request.id, request.fingerprint, dict(answer))
        if known:
            await self._store.commit(known)

    async def read(self, tenant: str, customer_ids: Sequence[str]) -> dict[str, tuple[Computed, int]]:
        found = await self._store.get_many(tenant, COMPUTED, customer_ids)
        keys = await self._keys.read(tenant, found)
        read = {key: (_computed(tenant, document, keys), document.version) for key, document in found.items()}
        return {key: (computed, version) for key, (computed, version) in read.items() if computed is not None}

    async def advance(self, tenant: str, advance: Advance) -> None:
        keys, made = await self._keys.for_writing(tenant, advance.customer_ids, advance.customer_ids)
        writes: list[Write] = [*await self._keys.writes(tenant, made), *advance_writes(tenant, advance, keys)]
        writes += [Delete(tenant, COMPUTED_MARKS, key, version) for key, version in advance.marks.items()]
        writes += [Delete(tenant, COMPUTED, key) for key in advance.gone]
        if writes:
            await self._store.commit(writes)
        self._keys.remember(tenant, made)

    async def due(self, tenant: str, now: int, limit: int) -> list[str]:
        page = await self._store.find(tenant, COMPUTED, Query(range=Range("due", at_most=now), limit=limit))
        return [document.id for document in page.documents]

    async def marks(self, tenant: str, limit: int) -> dict[str, int]:
        page = await self._store.find(tenant, COMPUTED_MARKS, Query(limit=limit))
        return {document.id: document.version for document in page.documents}

    async def ids(self, tenant: str, limit: int, after: str) -> tuple[list[str], str]:
        page = await self._store.find(tenant, COMPUTED, Query(limit=limit, after=after))
        return [document.id for document in page.documents], page.next_cursor


def mark(tenant: str, customer_ids: Sequence[str], moment: int) -> list[Write]:
    """The writes by which customers are looked at again: put them into the commit that changes who they are."""
    return [Put(tenant, COMPUTED_MARKS, customer_id, {"time": moment}) for customer_id in dict.fromkeys(customer_ids)]


def advance_writes(tenant: str, advance: Advance, keys: Keys) -> Iterator[Write]:
    """What the traits know now, and what the feed is told of it, sealed with the keys of those whom it concerns."""
    for customer_id, computed in advance.changed.items():
        body = _body(tenant, computed, advance.due.get(customer_id), keys[customer_id])
        version = advance.versions.get(customer_id)
        if version is None:
            yield Insert(tenant, COMPUTED, customer_id, body)
        else:
            yield Replace(tenant, COMPUTED, customer_id, body, version)
    for change in advance.told:
        version = advance.versions.get(change.customer_id, 0)
        place = f"{change.customer_id}:{change.name}:{version}:{change.change_time}"
        yield tell_value(change, place, keys[change.customer_id])


def _body(tenant: str, computed: Computed, due: int | None, key: bytes) -> dict[str, Any]:
    states = [
        [name, [list(entry) for entry in state.entries], state.summary, state.whole]
        for name, state in computed.states.items()
    ]
    values = [[name, value.value, value.change_time] for name, value in computed.values.items()]
    return {
        "due": due,
        "count": len(values),
        "sealed": seal_content(key, [states, values], _place(tenant, computed.customer_id)),
    }


def _computed(tenant: str, document: Document, keys: Keys) -> Computed | None:
    """What is known of an origin; ``None`` where the key is destroyed."""
    body = document.body
    if "sealed" in body:
        key = keys.get(document.id)
        if key is None:
            return None
        states, values = unseal_content(key, body["sealed"], _place(tenant, document.id))
    else:  # from before it was sealed
        states, values = body["states"], body["values"]
    return Computed(
        document.id,
        {
            name: State([(time, said) for time, said in entries], summary, whole)
            for name, entries, summary, whole in states
        },
        {name: Value(value, time) for name, value, time in values},
    )


def value_count(document: Document) -> int:
    """How many traits an origin has."""
    return document.body["count"] if "sealed" in document.body else len(document.body["values"])


def _place(tenant: str, customer_id: str) -> str:
    return f"computed\0{tenant}\0{customer_id}"


def _trait_body(trait: ComputedTrait) -> dict[str, Any]:
    return {
        "name": trait.name,
        "kind": int(trait.kind),
        "event_name": trait.event_name,
        "property": trait.property_path,
        "where": [wire.write(comparison).SerializeToString() for comparison in trait.where],
        "window": trait.window,
        "description": trait.description,
        "version": trait.version,
        "status": int(trait.status),
        "created": trait.create_time,
        "updated": trait.update_time,
        "job_id": trait.job_id,
    }


def _trait(body: Mapping[str, Any]) -> ComputedTrait:
    where = [wire.read(rule_pb2.Rule.FromString(stored)) for stored in body["where"]]
    return ComputedTrait(
        body["name"],
        Kind(body["kind"]),
        body["event_name"],
        body["property"],
        tuple(comparison for comparison in where if isinstance(comparison, Comparison)),
        body["window"],
        body["description"],
        body["version"],
        Status(body["status"]),
        body["created"],
        body["updated"],
        body["job_id"],
    )
