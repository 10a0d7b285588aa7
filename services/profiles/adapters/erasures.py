"""Erasures as documents."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from services.common.idempotency import remember, replayed
from services.common.privacy import Removal, Removed
from services.common.store import Collection, Document, Index, Insert, Put, Query, Range, Replace, Store, Write
from services.profiles.domain.erasure import Erasure, ErasureMode, ErasureState, Part
from services.profiles.ports import Request, Versioned

ERASURES = Collection("erasures", (Index(("time",)), Index(("state", "time"))))
OPEN_ERASURES = Collection("open_erasures", (Index(("due",)),))
ERASURE_COLLECTIONS = (ERASURES, OPEN_ERASURES)
PLATFORM = "*"
CHUNK_MAX = 250
BACKOFF_SECONDS_MAX = 300


class StoredErasures:
    """The port ``Erasures``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def get(self, tenant: str, erasure_id: str) -> Versioned[Erasure] | None:
        return (await self.get_many(tenant, [erasure_id])).get(erasure_id)

    async def get_many(self, tenant: str, erasure_ids: Sequence[str]) -> dict[str, Versioned[Erasure]]:
        found = await self._store.get_many(tenant, ERASURES, erasure_ids)
        return {key: Versioned(erasure_of(document), document.version) for key, document in found.items()}

    async def page(self, tenant: str, state: ErasureState | None, limit: int, after: str) -> tuple[list[Erasure], str]:
        where = {} if state is None else {"state": int(state)}
        query = Query(where=where, order_by="time", descending=True, limit=limit, after=after)
        page = await self._store.find(tenant, ERASURES, query)
        return [erasure_of(document) for document in page.documents], page.next_cursor

    async def answered(self, request: Request) -> dict[str, Any] | None:
        return await replayed(self._store, request.tenant, request.id, request.fingerprint)

    async def answer(self, request: Request, body: dict[str, Any]) -> None:
        if request.id:
            await self._store.commit(remember(request.tenant, request.id, request.fingerprint, body))

    async def accept(self, tenant: str, erasures: Sequence[Erasure]) -> None:
        for begin in range(0, len(erasures), CHUNK_MAX):
            writes: list[Write] = []
            for each in erasures[begin : begin + CHUNK_MAX]:
                writes.append(Insert(tenant, ERASURES, each.erasure_id, erasure_body(each)))
                body = {"tenant": tenant, "erasure_id": each.erasure_id, "due": each.request_time, "failures": 0}
                writes.append(Put(PLATFORM, OPEN_ERASURES, open_id(tenant, each.erasure_id), body))
            await self._store.commit(writes)

    async def replace(self, tenant: str, read: Versioned[Erasure], erasure: Erasure) -> Versioned[Erasure]:
        body = erasure_body(erasure)
        await self._store.commit([Replace(tenant, ERASURES, erasure.erasure_id, body, read.version)])
        return Versioned(erasure, read.version + 1)

    async def due(self, now: int, limit: int) -> list[tuple[str, str]]:
        query = Query(range=Range("due", at_most=now), order_by="due", limit=limit)
        page = await self._store.find(PLATFORM, OPEN_ERASURES, query)
        return [(document.body["tenant"], document.body["erasure_id"]) for document in page.documents]

    async def put_off(self, tenant: str, erasure_id: str, problem: str, now: int) -> None:
        read = await self.get(tenant, erasure_id)
        waiting = await self._store.get(PLATFORM, OPEN_ERASURES, open_id(tenant, erasure_id))
        if read is None or waiting is None or read.value.own.done:
            return
        failures = waiting.body["failures"] + 1
        due = now + min(2**failures, BACKOFF_SECONDS_MAX) * 1_000_000
        body = {**waiting.body, "failures": failures, "due": due}
        failed = erasure_body(replace(read.value, problem=problem))
        await self._store.commit(
            [
                Replace(PLATFORM, OPEN_ERASURES, waiting.id, body, waiting.version),
                Replace(tenant, ERASURES, erasure_id, failed, read.version),
            ]
        )


def open_id(tenant: str, erasure_id: str) -> str:
    """The id of the document by which an erasure is found that profiles has still to carry out."""
    return f"{tenant}:{erasure_id}"


def erasure_body(erasure: Erasure) -> dict[str, Any]:
    """The erasure as a document."""
    return {
        "customer_id": erasure.customer_id,
        "pseudonym": erasure.pseudonym,
        "requested_by": erasure.requested_by,
        "reason": erasure.reason,
        "time": erasure.request_time,
        "state": int(erasure.state),
        "origins": list(erasure.origin_customer_ids),
        "suppress": erasure.suppress,
        "suppressed": erasure.suppressed_count,
        "finish_time": erasure.finish_time,
        "problem": erasure.problem,
        "mode": int(erasure.mode),
        "parts": [_part_body(part) for part in erasure.parts],
    }


def erasure_of(document: Document) -> Erasure:
    """The erasure in a document."""
    body = document.body
    return Erasure(
        erasure_id=document.id,
        customer_id=body["customer_id"],
        pseudonym=body["pseudonym"],
        requested_by=body["requested_by"],
        reason=body["reason"],
        request_time=body["time"],
        parts=tuple(map(_part, body["parts"])),
        origin_customer_ids=tuple(body["origins"]),
        suppress=body["suppress"],
        suppressed_count=body["suppressed"],
        finish_time=body["finish_time"],
        problem=body["problem"],
        mode=ErasureMode(body.get("mode", ErasureMode.DELETE)),
    )


def _part_body(part: Part) -> dict[str, Any]:
    return {
        "service": part.service,
        "removed": [[each.kind, each.count, int(each.removal)] for each in part.removed],
        "remove_time": part.remove_time,
        "acknowledge_time": part.acknowledge_time,
    }


def _part(body: dict[str, Any]) -> Part:
    removed = tuple(Removed(kind, count, Removal(removal)) for kind, count, removal in body["removed"])
    return Part(body["service"], removed, body["remove_time"], body["acknowledge_time"])
