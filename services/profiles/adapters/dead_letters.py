"""Dead letters as documents."""

import asyncio
import os
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import fields
from typing import Any

from services.common.errors import AlreadyExists
from services.common.idempotency import remember, replayed
from services.common.sealing import KEY_BYTES
from services.common.store import Collection, Delete, Document, Index, Insert, Query, Store, Write
from services.profiles.adapters.customer_keys import ContentKeys, Keys, seal_content, unseal_content
from services.profiles.domain.dead_letter import NAME_LENGTH_MIN, DeadLetter, may_name, names_in
from services.profiles.domain.event import Incoming
from services.profiles.ports import Identifier, Replayed, Request

DEAD_LETTERS = Collection("dead_letters", (Index(("time",)), Index(("reason", "time")), Index(("opaque",))))
DEAD_LETTER_NAMES = Collection("dead_letter_names", (Index(("name",)),))
DEAD_LETTER_COLLECTIONS = (DEAD_LETTERS, DEAD_LETTER_NAMES)

LETTERS_AT_ONCE = 50
KEPT_AT_ONCE = 500
PURPOSE = "dead letter"
EVENT_FIELDS = tuple(field.name for field in fields(Incoming) if field.name != "receive_time")


class StoredDeadLetters:
    """The port ``DeadLetters``. One commit a tenant at a time, so that the limit holds whoever floods us."""

    def __init__(self, store: Store, keys: ContentKeys, maximum: int) -> None:
        self._store, self._keys, self._maximum = store, keys, maximum
        self._locks: defaultdict[str, asyncio.Lock] = defaultdict(asyncio.Lock)

    async def keep(self, tenant: str, letters: Sequence[DeadLetter]) -> None:
        async with self._locks[tenant]:
            known = await self._store.get_many(tenant, DEAD_LETTERS, [letter.dead_letter_id for letter in letters])
            fresh = {letter.dead_letter_id: letter for letter in letters if letter.dead_letter_id not in known}
            kept = list(fresh.values())[-self._maximum :]
            for begin in range(0, len(kept), KEPT_AT_ONCE):
                await self._keep(tenant, kept[begin : begin + KEPT_AT_ONCE])

    async def _keep(self, tenant: str, letters: Sequence[DeadLetter]) -> None:
        while letters:
            try:
                room = await self._room_for(tenant, len(letters))
                await self._store.commit([*room, *await self._new(tenant, letters)])
                return
            except AlreadyExists:  # another process keeps one of them
                known = await self._store.get_many(tenant, DEAD_LETTERS, [each.dead_letter_id for each in letters])
                letters = [each for each in letters if each.dead_letter_id not in known]

    async def _new(self, tenant: str, letters: Sequence[DeadLetter]) -> list[Write]:
        secrets = {letter.dead_letter_id: os.urandom(KEY_BYTES) for letter in letters}
        key = await self._keys.tenant_keys.get(tenant)
        writes: list[Write] = [*await self._keys.writes(tenant, secrets)]
        for letter in letters:
            letter_id, values = letter.dead_letter_id, may_name(letter)
            names = [key.blind(PURPOSE, value) for value in values or ()]
            body = _body(tenant, letter, secrets[letter_id])
            writes.append(Insert(tenant, DEAD_LETTERS, letter_id, {**body, "names": names, "opaque": values is None}))
            writes += (Insert(tenant, DEAD_LETTER_NAMES, _name_id(name, letter_id), {"name": name}) for name in names)
        return writes

    async def _room_for(self, tenant: str, more: int) -> list[Write]:
        surplus = await self._store.count(tenant, DEAD_LETTERS) + more - self._maximum
        if surplus <= 0:
            return []
        oldest = await self._store.find(tenant, DEAD_LETTERS, Query(order_by="time", limit=surplus))
        return self.deletes(tenant, oldest.documents)

    def deletes(self, tenant: str, documents: Iterable[Document]) -> list[Write]:
        """Those that forget letters, with their keys and all that leads to them."""
        writes: list[Write] = []
        for document in documents:
            writes += (Delete(tenant, DEAD_LETTERS, document.id), self._keys.destroy(tenant, document.id))
            names = document.body.get("names", ())
            writes += (Delete(tenant, DEAD_LETTER_NAMES, _name_id(name, document.id)) for name in names)
        return writes

    async def get_many(self, tenant: str, dead_letter_ids: Sequence[str]) -> dict[str, DeadLetter]:
        found = await self._store.get_many(tenant, DEAD_LETTERS, dead_letter_ids)
        return {letter.dead_letter_id: letter for letter in await self._letters(tenant, list(found.values()))}

    async def page(self, tenant: str, reason: str, limit: int, after: str) -> tuple[list[DeadLetter], str]:
        where = {"reason": reason} if reason else {}
        query = Query(where=where, order_by="time", descending=True, limit=limit, after=after)
        page = await self._store.find(tenant, DEAD_LETTERS, query)
        return await self._letters(tenant, page.documents), page.next_cursor

    async def naming(self, tenant: str, names: Sequence[Identifier]) -> AsyncIterator[list[DeadLetter]]:
        async for documents in self.documents_naming(tenant, names, anywhere=False):
            yield await self._letters(tenant, documents)

    async def documents_naming(
        self, tenant: str, names: Sequence[Identifier], *, anywhere: bool
    ) -> AsyncIterator[list[Document]]:
        """The letters about somebody with one of the names, some at a time.

        ``anywhere``: of what could not be read as an event anything may be a name, however short.
        """
        values = {value for _, value in names}
        async for documents in self._candidates(tenant, values):
            keys = await self._keys.read(tenant, [document.id for document in documents])
            found = []
            for document in documents:
                letter = letter_of(tenant, document, keys)
                shortest = 1 if anywhere and letter is not None and letter.source else NAME_LENGTH_MIN
                if letter is not None and names_in(letter, values, shortest):
                    found.append(document)
            yield found

    async def _candidates(self, tenant: str, values: Iterable[str]) -> AsyncIterator[Sequence[Document]]:
        """Those that a name leads to; then those that have to be looked into, or are from before names led to any."""
        key = await self._keys.tenant_keys.get(tenant)
        for name in [key.blind(PURPOSE, value) for value in sorted(values)]:
            async for leads in self._pages(tenant, DEAD_LETTER_NAMES, {"name": name}):
                found = await self._store.get_many(tenant, DEAD_LETTERS, [_letter_id(each.id) for each in leads])
                yield list(found.values())
        for opaque in (True, None):
            async for documents in self._pages(tenant, DEAD_LETTERS, {"opaque": opaque}):
                yield documents

    async def _pages(
        self, tenant: str, collection: Collection, where: dict[str, Any]
    ) -> AsyncIterator[Sequence[Document]]:
        after = ""
        while True:
            query = Query(where=where, limit=LETTERS_AT_ONCE, after=after)
            page = await self._store.find(tenant, collection, query)
            if page.documents:
                yield page.documents
            after = page.next_cursor
            if not after:
                return

    async def _letters(self, tenant: str, documents: Sequence[Document]) -> list[DeadLetter]:
        keys = await self._keys.read(tenant, [document.id for document in documents])
        found = (letter_of(tenant, document, keys) for document in documents)
        return [letter for letter in found if letter is not None]

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
        there = await self._store.get_many(request.tenant, DEAD_LETTERS, dead_letter_ids)
        deletes = self.deletes(request.tenant, there.values())
        await self._store.commit([*deletes, *remember(request.tenant, request.id, request.fingerprint, answer)])


def _name_id(name: str, letter_id: str) -> str:
    return f"{name}:{letter_id}"


def _letter_id(name_id: str) -> str:
    return name_id.rpartition(":")[2]


def _body(tenant: str, letter: DeadLetter, key: bytes) -> dict[str, Any]:
    """The document of a letter. Sealed is what came, and the message, which may repeat some of it."""
    event = [getattr(letter.event, name) for name in EVENT_FIELDS]
    content = [letter.message, letter.source, letter.path, dict(zip(EVENT_FIELDS, event, strict=True))]
    return {
        "reason": letter.reason,
        "time": letter.reject_time,
        "truncated": letter.truncated,
        "sealed": seal_content(key, content, _place(tenant, letter.dead_letter_id)),
    }


def letter_of(tenant: str, document: Document, keys: Keys) -> DeadLetter | None:
    """The dead letter in a document; ``None`` where its key is destroyed."""
    body = document.body
    if "sealed" in body:
        key = keys.get(document.id)
        if key is None:
            return None
        message, source, path, told = unseal_content(key, body["sealed"], _place(tenant, document.id))
    else:  # from before they were sealed
        message, source, path, told = body["message"], body["source"], body.get("path", ""), body["event"]
    event = Incoming(**{name: told[name] for name in EVENT_FIELDS})
    return DeadLetter(document.id, body["reason"], message, event, body["time"], body["truncated"], source, path)


def _place(tenant: str, letter_id: str) -> str:
    return f"dead letter\0{tenant}\0{letter_id}"
