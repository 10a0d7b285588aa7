"""Imports as documents: the file in parts, so that any server can read what another one received."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence, Set
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from services.common.errors import AlreadyExists
from services.common.idempotency import remember, replayed
from services.common.jobs import JOBS, State
from services.common.privacy import Removed
from services.common.store import Collection, Delete, Document, Index, Insert, Put, Query, Range, Replace, Store, Write
from services.profiles.adapters.customer_keys import ContentKeys, Keys, seal_content, unseal_content
from services.profiles.adapters.scratch import scratch
from services.profiles.adapters.tables import TableReader, TableUnreadable, open_table
from services.profiles.domain.dead_letter import NAME_LENGTH_MIN, values_in, words_among
from services.profiles.domain.table_import import ColumnMapping, ColumnType, ImportKind, TableFormat, TableImport
from services.profiles.ports.request import Identifier, Request
from services.profiles.ports.transfer import RowError, Rows

IMPORTS = Collection("imports", (Index(("finished",)),))
IMPORT_CHUNKS = Collection("import_chunks", (Index(("import_id", "offset")),))
IMPORT_ERRORS = Collection("import_errors", (Index(("import_id", "row")),))
IMPORT_EXPIRIES = Collection("import_expiries", (Index(("due",)),))
IMPORT_COLLECTIONS = (IMPORTS, IMPORT_CHUNKS, IMPORT_ERRORS, IMPORT_EXPIRIES)
PLATFORM = "*"
NAMING = frozenset({"user_id", "anonymous_id"})
CHUNKS_AT_ONCE = 4
FORGET_AT_ONCE = 500
KNOWN_MAX = 100
"""Of how many files, and of how many tenants' wrong rows, it is remembered whom they do not name."""

Commit = Callable[[Sequence[Write], Removed], Awaitable[None]]
Expected = Callable[[], Awaitable[Set[str]]]
"""The names of who will be erased soon."""


class StoredImports:
    """The port ``Imports``."""

    def __init__(self, store: Store, keys: ContentKeys, keep_seconds: int) -> None:
        self._store, self._keys, self._keep_micros = store, keys, keep_seconds * 1_000_000
        self._innocent: dict[tuple[str, str, int], Set[str]] = {}
        self._innocent_errors: dict[str, tuple[frozenset[tuple[str, int]], Set[str]]] = {}

    async def created(self, request: Request) -> str | None:
        answer = await replayed(self._store, request.tenant, request.id, request.fingerprint)
        return answer["import_id"] if answer else None

    async def create(self, request: Request, wanted: TableImport) -> None:
        known = remember(request.tenant, request.id, request.fingerprint, {"import_id": wanted.import_id})
        tenant, key = request.tenant, wanted.import_id
        due = {"tenant": tenant, "import_id": key, "due": wanted.create_time + self._keep_micros}
        expiry = Insert(PLATFORM, IMPORT_EXPIRIES, _expiry_id(tenant, key), due)
        await self._store.commit([Insert(tenant, IMPORTS, key, _body(wanted)), expiry, *known])

    async def forget_old(self, now: int, limit: int) -> int:
        query = Query(range=Range("due", at_most=now), order_by="due", limit=limit)
        old = (await self._store.find(PLATFORM, IMPORT_EXPIRIES, query)).documents
        for document in old:
            tenant, import_id = document.body["tenant"], document.body["import_id"]
            await self.forget_errors(tenant, import_id)
            await self.forget_file(tenant, import_id)
            await self._store.commit(_gone(tenant, import_id))
        return len(old)

    async def cancelled(self, request: Request) -> bool:
        return await replayed(self._store, request.tenant, request.id, request.fingerprint) is not None

    async def cancel(self, request: Request, ended: TableImport, version: int) -> None:
        known = remember(request.tenant, request.id, request.fingerprint, {})
        gone = self._keys.destroy(request.tenant, _file_key(ended.import_id))
        replaced = Replace(request.tenant, IMPORTS, ended.import_id, _body(ended), version)
        await self._store.commit([replaced, gone, *known])

    async def unfinished(self, tenant: str) -> int:
        return await self._store.count(tenant, IMPORTS, Query(where={"finished": 0}))

    async def get(self, tenant: str, import_id: str) -> tuple[TableImport, int] | None:
        document = await self._store.get(tenant, IMPORTS, import_id)
        return (_import(document), document.version) if document else None

    async def add(self, tenant: str, grown: TableImport, version: int, offset: int, data: bytes) -> None:
        keys, made = await self._key(tenant, _file_key(grown.import_id))
        place = _place(tenant, grown.import_id, "file", offset)
        body = {"import_id": grown.import_id, "offset": offset, "sealed": seal_content(keys, data, place)}
        await self._store.commit(
            [
                *made,
                Insert(tenant, IMPORT_CHUNKS, f"{grown.import_id}:{offset:015}", body),
                Replace(tenant, IMPORTS, grown.import_id, _body(grown), version),
            ]
        )

    async def replace(self, tenant: str, changed: TableImport, version: int) -> None:
        await self._store.commit([Replace(tenant, IMPORTS, changed.import_id, _body(changed), version)])

    @asynccontextmanager
    async def reading(self, tenant: str, wanted: TableImport) -> AsyncIterator[tuple[TableReader, str]]:
        keys = await self._keys.read(tenant, [_file_key(wanted.import_id)])
        with scratch("tessera-import-") as folder:
            path, digest, after = folder / "rows", hashlib.blake2b(digest_size=16), ""
            with path.open("wb") as file:
                while True:
                    where = {"import_id": wanted.import_id}
                    query = Query(where=where, order_by="offset", limit=CHUNKS_AT_ONCE, after=after)
                    page = await self._store.find(tenant, IMPORT_CHUNKS, query)
                    for document in page.documents:
                        data = _chunk(tenant, document, keys)
                        digest.update(data)
                        await asyncio.to_thread(file.write, data)
                    after = page.next_cursor
                    if not after:
                        break
            reader = await open_table(path, wanted.format)
            try:
                yield reader, digest.hexdigest()
            finally:
                reader.close()

    async def keep_errors(self, tenant: str, import_id: str, errors: Sequence[RowError]) -> None:
        if not errors:
            return
        key, made = await self._key(tenant, _errors_key(import_id))
        writes: list[Write] = [*made]
        for each in errors:
            body = _error_body(tenant, import_id, each, key)
            writes.append(Put(tenant, IMPORT_ERRORS, f"{import_id}:{each.row:012}", body))
        await self._store.commit(writes)

    async def _key(self, tenant: str, name: str) -> tuple[bytes, Sequence[Write]]:
        """A key, and the writes that keep it if it is new."""
        keys, made = await self._keys.for_writing(tenant, [name], [name])
        return keys[name], await self._keys.writes(tenant, made)

    async def errors(self, tenant: str, import_id: str, limit: int, after: str) -> tuple[list[RowError], str]:
        query = Query(where={"import_id": import_id}, order_by="row", limit=limit, after=after)
        page = await self._store.find(tenant, IMPORT_ERRORS, query)
        return await self._errors(tenant, page.documents), page.next_cursor

    async def _errors(self, tenant: str, documents: Sequence[Document]) -> list[RowError]:
        keys = await self._keys.read(tenant, {_errors_key(each.body["import_id"]) for each in documents})
        return [_error(tenant, document, keys) for document in documents]

    async def forget_errors(self, tenant: str, import_id: str) -> None:
        await self._store.commit([self._keys.destroy(tenant, _errors_key(import_id))])
        await self._forget(tenant, IMPORT_ERRORS, import_id, "row", FORGET_AT_ONCE)

    async def forget_file(self, tenant: str, import_id: str) -> None:
        await self._store.commit([self._keys.destroy(tenant, _file_key(import_id))])
        await self._forget(tenant, IMPORT_CHUNKS, import_id, "offset", CHUNKS_AT_ONCE)

    async def delete(self, request: Request, import_id: str) -> bool:
        tenant = request.tenant
        if await replayed(self._store, tenant, request.id, request.fingerprint) is not None:
            return True
        if await self._store.get(tenant, IMPORTS, import_id) is None:
            return False
        await self.forget_errors(tenant, import_id)
        await self.forget_file(tenant, import_id)
        known = remember(tenant, request.id, request.fingerprint, {})
        try:
            await self._store.commit([*_gone(tenant, import_id), *known])
        except AlreadyExists:  # the same request at the same time was faster
            return True
        return True

    async def forget_person(self, tenant: str, names: Sequence[Identifier], commit: Commit, expected: Expected) -> None:
        """Delete wrong rows that name a person, and files that do and are not being taken in.

        Of a file that is being taken in the person's rows are refused, and it goes at its end. A file is read once for
        all who are ``expected`` to be erased soon, not once for each of them.
        """
        values = {value for _, value in names}
        await self._forget_errors_of(tenant, values, commit, expected)
        async for documents in self._pages(tenant, IMPORTS, {"finished": 0}):
            for document in documents:
                if document.body["received"] and not await self._at_work(tenant, document.body["job_id"]):
                    await self._forget_file_of(tenant, document, values, commit, expected)

    async def _forget_errors_of(self, tenant: str, values: Set[str], commit: Commit, expected: Expected) -> None:
        own = {value for value in values if len(value) >= NAME_LENGTH_MIN}
        state, at_work = await self._state(tenant)
        known, innocent = self._innocent_errors.get(tenant, (state, frozenset()))
        if known == state and own <= innocent:
            return
        wanted = own | {value for value in await expected() if len(value) >= NAME_LENGTH_MIN}
        found: set[str] = set()
        async for documents in self._pages(tenant, IMPORT_ERRORS, {}):
            named = await asyncio.to_thread(_words_among, await self._errors(tenant, documents), wanted)
            found.update(*named)
            wrong = [document for document, words in zip(documents, named, strict=True) if words & own]
            if wrong:
                deletes = [Delete(tenant, IMPORT_ERRORS, each.id) for each in wrong]
                await commit(deletes, Removed("import_error", len(wrong)))
        if not at_work:  # nothing is added before an import changes
            self._innocent_errors[tenant] = state, (wanted - found) | own
            _bound(self._innocent_errors)

    async def _state(self, tenant: str) -> tuple[frozenset[tuple[str, int]], bool]:
        """Which imports there are, each as it is, and whether one of them is being taken in."""
        state, at_work = set(), False
        async for documents in self._pages(tenant, IMPORTS, {}):
            state |= {(document.id, document.version) for document in documents}
            jobs = [each.body["job_id"] for each in documents if not each.body["finished"]]
            for job_id in filter(None, jobs):
                at_work = at_work or await self._at_work(tenant, job_id)
        return frozenset(state), at_work

    async def _forget_file_of(
        self, tenant: str, document: Document, values: Set[str], commit: Commit, expected: Expected
    ) -> None:
        found = _import(document)
        key = tenant, document.id, document.version
        if values <= self._innocent.get(key, frozenset()):
            return
        wanted = values | await expected()
        try:
            async with self.reading(tenant, found) as (rows, _):
                told = await asyncio.to_thread(_names_among, rows, _named_columns(found), wanted, values)
            named = told is None or not told.isdisjoint(values)
            if told is not None and not named:
                self._innocent[key] = wanted - told
                _bound(self._innocent)
        except TableUnreadable:  # not to be told whether the person is in it
            named = True
        if named:
            empty = _body(replace(found, received_bytes=0, job_id=""))
            gone = self._keys.destroy(tenant, _file_key(document.id))
            emptied = Replace(tenant, IMPORTS, document.id, empty, document.version)
            await commit([emptied, gone], Removed("import_file", 1))
            await self.forget_file(tenant, document.id)

    async def _at_work(self, tenant: str, job_id: str) -> bool:
        job = await self._store.get(tenant, JOBS, job_id) if job_id else None
        return job is not None and job.body["state"] in (State.PENDING, State.RUNNING)

    async def _pages(
        self, tenant: str, collection: Collection, where: dict[str, Any]
    ) -> AsyncIterator[tuple[Document, ...]]:
        after, more = "", True
        while more:
            page = await self._store.find(tenant, collection, Query(where=where, limit=FORGET_AT_ONCE, after=after))
            yield page.documents
            after, more = page.next_cursor, bool(page.next_cursor)

    async def _forget(self, tenant: str, collection: Collection, import_id: str, order: str, limit: int) -> None:
        while True:
            query = Query(where={"import_id": import_id}, order_by=order, limit=limit)
            page = await self._store.find(tenant, collection, query)
            if not page.documents:
                return
            await self._store.commit([Delete(tenant, collection, document.id) for document in page.documents])


def _bound(known: dict[Any, Any]) -> None:
    while len(known) > KNOWN_MAX:
        del known[next(iter(known))]


def _words_among(errors: Sequence[RowError], values: Set[str]) -> list[set[str]]:
    lengths = {len(value) for value in values}
    return [words_among(error.message, values, lengths) for error in errors]


def _named_columns(it: TableImport) -> Set[str]:
    """The columns that hold names of people."""
    mapped = {each.column: each.target for each in it.columns}
    return NAMING | {column for column, target in mapped.items() if target in NAMING}


def _names_among(rows: Rows, columns: Set[str], values: Set[str], enough: Set[str]) -> set[str] | None:
    """Which of ``values`` stand in a file, to its end or to the first of ``enough``; ``None``: it may be any."""
    anywhere = {value for value in values if len(value) >= NAME_LENGTH_MIN}
    wanted = [values if name in columns else anywhere for name in rows.names]
    found: set[str] = set()
    while batch := rows.next():
        for _, cells in batch:
            if isinstance(cells, str):
                return None  # what cannot be read may name anybody
            for some, cell in zip(wanted, cells, strict=False):
                found |= some & values_in(cell)
        if not found.isdisjoint(enough):
            break
    return found


def _gone(tenant: str, import_id: str) -> list[Write]:
    return [
        Delete(tenant, IMPORTS, import_id),
        Delete(PLATFORM, IMPORT_EXPIRIES, _expiry_id(tenant, import_id)),
    ]


def _expiry_id(tenant: str, import_id: str) -> str:
    return f"{tenant}:{import_id}"


def _body(it: TableImport) -> dict[str, Any]:
    return {
        "kind": int(it.kind),
        "format": int(it.format),
        "columns": [[each.column, each.target, int(each.type)] for each in it.columns],
        "created": it.create_time,
        "received": it.received_bytes,
        "job_id": it.job_id,
        "finished": int(it.finished),
        "cancelled": it.cancelled,
    }


def _import(document: Document) -> TableImport:
    body = document.body
    columns = tuple(ColumnMapping(column, target, ColumnType(kind)) for column, target, kind in body["columns"])
    return TableImport(
        document.id,
        ImportKind(body["kind"]),
        TableFormat(body["format"]),
        columns,
        body["created"],
        body["received"],
        body["job_id"],
        bool(body["finished"]),
        body.get("cancelled", False),
    )


def _chunk(tenant: str, document: Document, keys: Keys) -> bytes:
    """A part of a file; ``TableUnreadable`` where its key is destroyed."""
    body = document.body
    if "sealed" not in body:  # from before they were sealed
        plain: bytes = body["data"]
        return plain
    key = keys.get(_file_key(body["import_id"]))
    if key is None:
        raise TableUnreadable("the file was removed; bring it again")
    data: bytes = unseal_content(key, body["sealed"], _place(tenant, body["import_id"], "file", body["offset"]))
    return data


def _error_body(tenant: str, import_id: str, error: RowError, key: bytes) -> dict[str, Any]:
    """The document of a wrong row. Sealed is the message, which may repeat what the row says."""
    place = _place(tenant, import_id, "error", error.row)
    return {
        "import_id": import_id,
        "row": error.row,
        "column": error.column,
        "reason": error.reason,
        "sealed": seal_content(key, error.message, place),
    }


def _error(tenant: str, document: Document, keys: Keys) -> RowError:
    body = document.body
    message, key = body.get("message", ""), keys.get(_errors_key(body["import_id"]))
    if "sealed" in body and key is not None:
        message = unseal_content(key, body["sealed"], _place(tenant, body["import_id"], "error", body["row"]))
    return RowError(body["row"], body["column"], body["reason"], message)


def _file_key(import_id: str) -> str:
    return f"import:{import_id}"


def _errors_key(import_id: str) -> str:
    return f"import-errors:{import_id}"


def _place(tenant: str, import_id: str, kind: str, number: int) -> str:
    return f"import {kind}\0{tenant}\0{import_id}\0{number}"
