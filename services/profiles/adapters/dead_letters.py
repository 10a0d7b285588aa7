"""Dead letters as documents."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence
from dataclasses import fields
from typing import Any

from services.common.errors import AlreadyExists
from services.common.idempotency import remember, replayed
from services.common.store import Collection, Delete, Document, Index, Put, Query, Store, Write
from services.profiles.domain.dead_letter import NAME_LENGTH_MIN, DeadLetter, names_in
from services.profiles.domain.event import Incoming
from services.profiles.ports import Identifier, Replayed, Request

DEAD_LETTERS = Collection(
    "dead_letters",
    (Index(("time",)), Index(("reason", "time")), Index(("user",)), Index(("anonymous",)), Index(("unreadable",))),
)

PAGE = 500
EVENT_FIELDS = tuple(field.name for field in fields(Incoming) if field.name != "receive_time")


class StoredDeadLetters:
    """The port ``DeadLetters``. One commit a tenant at a time, so that the limit holds whoever floods us."""

    def __init__(self, store: Store, maximum: int) -> None:
        self._store, self._maximum = store, maximum
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def keep(self, tenant: str, letters: Sequence[DeadLetter]) -> None:
        async with self._locks[tenant]:
            known = await self._store.get_many(tenant, DEAD_LETTERS, [letter.dead_letter_id for letter in letters])
            fresh = {letter.dead_letter_id: letter for letter in letters if letter.dead_letter_id not in known}
            kept = list(fresh.values())[-self._maximum :]
            if kept:
                writes: list[Write] = [Put(tenant, DEAD_LETTERS, each.dead_letter_id, _body(each)) for each in kept]
                await self._store.commit([*await self._room_for(tenant, len(kept)), *writes])

    async def _room_for(self, tenant: str, more: int) -> list[Delete]:
        surplus = await self._store.count(tenant, DEAD_LETTERS) + more - self._maximum
        if surplus <= 0:
            return []
        oldest = await self._store.find(tenant, DEAD_LETTERS, Query(order_by="time", limit=surplus))
        return [Delete(tenant, DEAD_LETTERS, document.id) for document in oldest.documents]

    async def get_many(self, tenant: str, dead_letter_ids: Sequence[str]) -> dict[str, DeadLetter]:
        found = await self._store.get_many(tenant, DEAD_LETTERS, dead_letter_ids)
        return {key: letter_of(document) for key, document in found.items()}

    async def page(self, tenant: str, reason: str, limit: int, after: str) -> tuple[list[DeadLetter], str]:
        where = {"reason": reason} if reason else {}
        query = Query(where=where, order_by="time", descending=True, limit=limit, after=after)
        page = await self._store.find(tenant, DEAD_LETTERS, query)
        return [letter_of(document) for document in page.documents], page.next_cursor

    async def naming(self, tenant: str, names: Sequence[Identifier]) -> AsyncIterator[list[DeadLetter]]:
        values, after = {value for _, value in names}, ""
        while True:
            page = await self._store.find(tenant, DEAD_LETTERS, Query(limit=PAGE, after=after))
            letters = [letter_of(document) for document in page.documents]
            yield [letter for letter in letters if names_in(letter, values, NAME_LENGTH_MIN)]
            after = page.next_cursor
            if not after:
                return

    async def replayed(self, request: Request) -> Replayed | None:
        answer = await replayed(self._store, request.tenant, request.id, request.fingerprint)
        if answer is None:
            return None
        rejections = tuple((key, reason, message) for key, reason, message in answer["rejections"])
        return Replayed(answer["recorded"], answer["duplicates"], rejections)

    async def settle(self, request: Request, dead_letter_ids: Sequence[str], answer: Replayed) -> None:
        body = {
            "recorded": answer.recorded_count,
            "duplicates": answer.duplicate_count,
            "rejections": [list(rejection) for rejection in answer.rejections],
        }
        await self._forget(request, dead_letter_ids, body)

    async def delete(self, request: Request, dead_letter_ids: Sequence[str]) -> int:
        if answer := await replayed(self._store, request.tenant, request.id, request.fingerprint):
            return int(answer["deleted"])
        there = await self._store.get_many(request.tenant, DEAD_LETTERS, dead_letter_ids)
        try:
            await self._forget(request, list(there), {"deleted": len(there)})
        except AlreadyExists:  # the same request at the same time was faster
            return await self.delete(request, dead_letter_ids)
        return len(there)

    async def _forget(self, request: Request, dead_letter_ids: Sequence[str], answer: dict[str, Any]) -> None:
        deletes = [Delete(request.tenant, DEAD_LETTERS, key) for key in dead_letter_ids]
        await self._store.commit([*deletes, *remember(request.tenant, request.id, request.fingerprint, answer)])


def _body(letter: DeadLetter) -> dict[str, Any]:
    return {
        "reason": letter.reason,
        "message": letter.message,
        "time": letter.reject_time,
        "truncated": letter.truncated,
        "source": letter.source,
        "path": letter.path,
        "event": {name: getattr(letter.event, name) for name in EVENT_FIELDS},
        # By which the dead letters of a person are found.
        "user": letter.event.user_id or None,
        "anonymous": letter.event.anonymous_id or None,
        "unreadable": bool(letter.source),
    }


def letter_of(document: Document) -> DeadLetter:
    """The dead letter in a document."""
    body = document.body
    event = Incoming(**{name: body["event"][name] for name in EVENT_FIELDS})
    return DeadLetter(
        document.id,
        body["reason"],
        body["message"],
        event,
        body["time"],
        body["truncated"],
        body["source"],
        body.get("path", ""),
    )
