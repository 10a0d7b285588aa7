"""Exports of a person as documents: the work, who is in it, and the archive in sealed parts."""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import asdict, replace
from typing import Any

from cryptography.exceptions import InvalidTag

from services.common.errors import Conflict, DataLoss
from services.common.idempotency import remember, replayed
from services.common.sealing import seal, unseal
from services.common.store import (
    Collection,
    Delete,
    Document,
    Index,
    Insert,
    Put,
    Query,
    Range,
    Replace,
    Store,
    Write,
)
from services.profiles.adapters.customer_keys import ContentKeys
from services.profiles.domain.customer_export import CustomerExport, ServicePart, State
from services.profiles.ports.customer_exports import Lease
from services.profiles.ports.request import Request, Versioned

CUSTOMER_EXPORTS = Collection(
    "customer_exports", (Index(("time",)), Index(("customer_id", "time")), Index(("finished",)))
)
EXPORT_SUBJECTS = Collection("export_subjects", (Index(("origin",)),))
EXPORT_PARTS = Collection("export_parts", (Index(("export_id", "offset")),))
OPEN_EXPORTS = Collection("open_exports", (Index(("due",)),))
EXPORT_COLLECTIONS = (CUSTOMER_EXPORTS, EXPORT_SUBJECTS, EXPORT_PARTS, OPEN_EXPORTS)
PLATFORM = "*"
PARTS_AT_ONCE = 4


class ArchiveUnreadable(DataLoss):
    """A part of an archive is not what was kept."""


class StoredCustomerExports:
    """The port ``CustomerExports``."""

    def __init__(self, store: Store, keys: ContentKeys) -> None:
        self._store, self._keys = store, keys

    async def created(self, request: Request) -> str | None:
        answer = await replayed(self._store, request.tenant, request.id, request.fingerprint)
        return answer["export_id"] if answer else None

    async def create(self, request: Request, wanted: CustomerExport) -> None:
        tenant, key = request.tenant, wanted.export_id
        due = {"tenant": tenant, "export_id": key, "due": wanted.create_time, "failures": 0}
        writes: list[Write] = [
            Insert(tenant, CUSTOMER_EXPORTS, key, _body(wanted)),
            _subject(tenant, key, wanted.customer_id),
            Insert(PLATFORM, OPEN_EXPORTS, open_export_id(tenant, key), due),
            *remember(tenant, request.id, request.fingerprint, {"export_id": key}),
        ]
        await self._store.commit(writes)

    async def unfinished(self, tenant: str) -> int:
        return await self._store.count(tenant, CUSTOMER_EXPORTS, Query(where={"finished": 0}))

    async def get(self, tenant: str, export_id: str) -> Versioned[CustomerExport] | None:
        document = await self._store.get(tenant, CUSTOMER_EXPORTS, export_id)
        return Versioned(_export(document), document.version) if document else None

    async def page(self, tenant: str, customer_id: str, limit: int, after: str) -> tuple[list[CustomerExport], str]:
        where = {"customer_id": customer_id} if customer_id else {}
        query = Query(where=where, order_by="time", descending=True, limit=limit, after=after)
        page = await self._store.find(tenant, CUSTOMER_EXPORTS, query)
        return [_export(document) for document in page.documents], page.next_cursor

    async def replace(
        self, tenant: str, read: Versioned[CustomerExport], changed: CustomerExport
    ) -> Versioned[CustomerExport]:
        key = changed.export_id
        new = set(changed.origin_customer_ids) - set(read.value.origin_customer_ids)
        writes: list[Write] = [_subject(tenant, key, origin) for origin in sorted(new)]
        await self._store.commit([*writes, Replace(tenant, CUSTOMER_EXPORTS, key, _body(changed), read.version)])
        return Versioned(changed, read.version + 1)

    async def cancel(
        self, request: Request, read: Versioned[CustomerExport], ended: CustomerExport
    ) -> Versioned[CustomerExport]:
        tenant, key = request.tenant, ended.export_id
        known = remember(tenant, request.id, request.fingerprint, {"export_id": key})
        await self._store.commit([Replace(tenant, CUSTOMER_EXPORTS, key, _body(ended), read.version), *known])
        return Versioned(ended, read.version + 1)

    async def add(
        self, tenant: str, read: Versioned[CustomerExport], offset: int, data: bytes
    ) -> Versioned[CustomerExport]:
        key, export = read.value.export_id, read.value
        name = _key_name(key)
        keys, made = await self._keys.for_writing(tenant, [name], [name])
        body = {"export_id": key, "offset": offset, "data": seal(keys[name], data, _place(tenant, key, offset))}
        await self._store.commit(
            [
                *await self._keys.writes(tenant, made),
                Insert(tenant, EXPORT_PARTS, f"{key}:{offset:015}", body),
                Replace(tenant, CUSTOMER_EXPORTS, key, _body(export), read.version),
            ]
        )
        return replace(read, version=read.version + 1)

    async def clear(self, tenant: str, export_id: str) -> None:
        await clear_parts(self._store, self._keys, tenant, export_id)

    async def parts(self, tenant: str, export_id: str) -> AsyncIterator[bytes]:
        keys, after = await self._keys.read(tenant, [_key_name(export_id)]), ""
        # Archives from before they had keys of their own are sealed with the tenant's.
        key = keys.get(_key_name(export_id)) or (await self._keys.tenant_keys.get(tenant)).wrapping
        while True:
            query = Query(where={"export_id": export_id}, order_by="offset", limit=PARTS_AT_ONCE, after=after)
            page = await self._store.find(tenant, EXPORT_PARTS, query)
            for document in page.documents:
                offset = document.body["offset"]
                try:
                    yield unseal(key, document.body["data"], _place(tenant, export_id, offset))
                except InvalidTag as error:
                    text = f"the archive of export {export_id} cannot be read at {offset}"
                    raise ArchiveUnreadable(text, export_id=export_id) from error
            after = page.next_cursor
            if not after:
                return

    async def claim(self, now: int, until: int, limit: int) -> list[Lease]:
        query = Query(range=Range("due", at_most=now), order_by="due", limit=limit)
        leases = []
        for document in (await self._store.find(PLATFORM, OPEN_EXPORTS, query)).documents:
            body = document.body
            lease = Lease(body["tenant"], body["export_id"], body["failures"], document.version)
            try:
                leases.append(await self.renew(lease, until))
            except Conflict:  # another process was faster
                continue
        return leases

    async def renew(self, lease: Lease, until: int) -> Lease:
        return await self._keep(lease, until, lease.failures)

    async def put_off(self, lease: Lease, due: int) -> None:
        await self._keep(lease, due, lease.failures + 1)

    async def settle(self, lease: Lease) -> None:
        key = open_export_id(lease.tenant, lease.export_id)
        await self._store.commit([Delete(PLATFORM, OPEN_EXPORTS, key, lease.version)])

    async def _keep(self, lease: Lease, due: int, failures: int) -> Lease:
        key = open_export_id(lease.tenant, lease.export_id)
        body = {"tenant": lease.tenant, "export_id": lease.export_id, "due": due, "failures": failures}
        await self._store.commit([Replace(PLATFORM, OPEN_EXPORTS, key, body, lease.version)])
        return replace(lease, failures=failures, version=lease.version + 1)


async def clear_parts(store: Store, keys: ContentKeys, tenant: str, export_id: str) -> None:
    """Destroy the key of an archive, and delete all its parts."""
    await store.commit([keys.destroy(tenant, _key_name(export_id))])
    while True:
        query = Query(where={"export_id": export_id}, order_by="offset", limit=PARTS_AT_ONCE)
        page = await store.find(tenant, EXPORT_PARTS, query)
        if not page.documents:
            return
        await store.commit([Delete(tenant, EXPORT_PARTS, document.id) for document in page.documents])


async def forget_exports(
    store: Store, keys: ContentKeys, tenant: str, origin: str, commit: Callable[[Sequence[Write], int], Awaitable[None]]
) -> None:
    """Delete the archives that an origin is in, those that are being made too.

    ``commit`` gets the last writes of each export, and whether it was one. ``Conflict``: do it again.
    """
    while True:
        page = await store.find(tenant, EXPORT_SUBJECTS, Query(where={"origin": origin}, limit=PARTS_AT_ONCE))
        if not page.documents:
            return
        for subject in page.documents:
            export_id = subject.body["export_id"]
            found = await store.get(tenant, CUSTOMER_EXPORTS, export_id)
            if found is not None:  # first of all, so that whoever is at it can add nothing any more
                body = {**found.body, "state": int(State.FAILED), "finished": 1}
                await store.commit([Replace(tenant, CUSTOMER_EXPORTS, export_id, body, found.version)])
            await clear_parts(store, keys, tenant, export_id)
            writes = [
                Delete(tenant, CUSTOMER_EXPORTS, export_id),
                Delete(tenant, EXPORT_SUBJECTS, subject.id),
                Delete(PLATFORM, OPEN_EXPORTS, open_export_id(tenant, export_id)),
            ]
            await commit(writes, int(found is not None))


def open_export_id(tenant: str, export_id: str) -> str:
    """The id of the document that says when there is something to be done on an export."""
    return f"{tenant}:{export_id}"


def _key_name(export_id: str) -> str:
    return f"export:{export_id}"


def _subject(tenant: str, export_id: str, origin: str) -> Put:
    return Put(tenant, EXPORT_SUBJECTS, f"{origin}:{export_id}", {"origin": origin, "export_id": export_id})


def _place(tenant: str, export_id: str, offset: int) -> bytes:
    return f"export\0{tenant}\0{export_id}\0{offset}".encode()


def _body(export: CustomerExport) -> dict[str, Any]:
    body = asdict(export)
    del body["export_id"]
    return {
        **body,
        "time": export.create_time,
        "state": int(export.state),
        "finished": int(export.finished),
        "origin_customer_ids": list(export.origin_customer_ids),
        "parts": [[part.service, part.done, part.record_count, part.problem] for part in export.parts],
    }


def _export(document: Document) -> CustomerExport:
    body = {name: value for name, value in document.body.items() if name not in ("time", "finished")}
    body["state"] = State(body["state"])
    body["origin_customer_ids"] = tuple(body["origin_customer_ids"])
    body["parts"] = tuple(ServicePart(*part) for part in body["parts"])
    return CustomerExport(export_id=document.id, **body)
