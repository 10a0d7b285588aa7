"""Imports as documents: the file in parts, so that any server can read what another one received."""

import asyncio
import hashlib
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from services.common.errors import AlreadyExists
from services.common.idempotency import remember, replayed
from services.common.store import Collection, Delete, Document, Index, Insert, Put, Query, Replace, Store, Write
from services.profiles.adapters.tables import TableReader
from services.profiles.domain.table_import import ColumnMapping, ColumnType, ImportKind, TableFormat, TableImport
from services.profiles.ports.request import Request
from services.profiles.ports.transfer import RowError

IMPORTS = Collection("imports", (Index(("finished",)),))
IMPORT_CHUNKS = Collection("import_chunks", (Index(("import_id", "offset")),))
IMPORT_ERRORS = Collection("import_errors", (Index(("import_id", "row")),))
IMPORT_COLLECTIONS = (IMPORTS, IMPORT_CHUNKS, IMPORT_ERRORS)
CHUNKS_AT_ONCE = 4
FORGET_AT_ONCE = 500


class StoredImports:
    """The port ``Imports``."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def created(self, request: Request) -> str | None:
        answer = await replayed(self._store, request.tenant, request.id, request.fingerprint)
        return answer["import_id"] if answer else None

    async def create(self, request: Request, wanted: TableImport) -> None:
        known = remember(request.tenant, request.id, request.fingerprint, {"import_id": wanted.import_id})
        await self._store.commit([Insert(request.tenant, IMPORTS, wanted.import_id, _body(wanted)), *known])

    async def unfinished(self, tenant: str) -> int:
        return await self._store.count(tenant, IMPORTS, Query(where={"finished": 0}))

    async def get(self, tenant: str, import_id: str) -> tuple[TableImport, int] | None:
        document = await self._store.get(tenant, IMPORTS, import_id)
        return (_import(document), document.version) if document else None

    async def add(self, tenant: str, grown: TableImport, version: int, offset: int, data: bytes) -> None:
        body = {"import_id": grown.import_id, "offset": offset, "data": data}
        await self._store.commit(
            [
                Insert(tenant, IMPORT_CHUNKS, f"{grown.import_id}:{offset:015}", body),
                Replace(tenant, IMPORTS, grown.import_id, _body(grown), version),
            ]
        )

    async def replace(self, tenant: str, changed: TableImport, version: int) -> None:
        await self._store.commit([Replace(tenant, IMPORTS, changed.import_id, _body(changed), version)])

    @asynccontextmanager
    async def reading(self, tenant: str, wanted: TableImport) -> AsyncIterator[tuple[TableReader, str]]:
        with tempfile.TemporaryDirectory(prefix="tessera-import-") as folder:
            path, digest, after = Path(folder) / "rows", hashlib.blake2b(digest_size=16), ""
            with path.open("wb") as file:
                while True:
                    where = {"import_id": wanted.import_id}
                    query = Query(where=where, order_by="offset", limit=CHUNKS_AT_ONCE, after=after)
                    page = await self._store.find(tenant, IMPORT_CHUNKS, query)
                    for document in page.documents:
                        digest.update(document.body["data"])
                        await asyncio.to_thread(file.write, document.body["data"])
                    after = page.next_cursor
                    if not after:
                        break
            reader = await asyncio.to_thread(TableReader, path, wanted.format)
            try:
                yield reader, digest.hexdigest()
            finally:
                reader.close()

    async def keep_errors(self, tenant: str, import_id: str, errors: Sequence[RowError]) -> None:
        writes: list[Write] = [
            Put(tenant, IMPORT_ERRORS, f"{import_id}:{each.row:012}", _error_body(import_id, each)) for each in errors
        ]
        if writes:
            await self._store.commit(writes)

    async def errors(self, tenant: str, import_id: str, limit: int, after: str) -> tuple[list[RowError], str]:
        query = Query(where={"import_id": import_id}, order_by="row", limit=limit, after=after)
        page = await self._store.find(tenant, IMPORT_ERRORS, query)
        found = [document.body for document in page.documents]
        return [RowError(it["row"], it["column"], it["reason"], it["message"]) for it in found], page.next_cursor

    async def forget_errors(self, tenant: str, import_id: str) -> None:
        await self._forget(tenant, IMPORT_ERRORS, import_id, "row", FORGET_AT_ONCE)

    async def forget_file(self, tenant: str, import_id: str) -> None:
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
            await self._store.commit([Delete(tenant, IMPORTS, import_id), *known])
        except AlreadyExists:  # the same request at the same time was faster
            return True
        return True

    async def _forget(self, tenant: str, collection: Collection, import_id: str, order: str, limit: int) -> None:
        while True:
            query = Query(where={"import_id": import_id}, order_by=order, limit=limit)
            page = await self._store.find(tenant, collection, query)
            if not page.documents:
                return
            await self._store.commit([Delete(tenant, collection, document.id) for document in page.documents])


def _body(it: TableImport) -> dict[str, Any]:
    return {
        "kind": int(it.kind),
        "format": int(it.format),
        "columns": [[each.column, each.target, int(each.type)] for each in it.columns],
        "created": it.create_time,
        "received": it.received_bytes,
        "job_id": it.job_id,
        "finished": int(it.finished),
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
    )


def _error_body(import_id: str, error: RowError) -> dict[str, Any]:
    return {
        "import_id": import_id,
        "row": error.row,
        "column": error.column,
        "reason": error.reason,
        "message": error.message,
    }
