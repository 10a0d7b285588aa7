"""Exports of a person: begin, read, and the work that asks every service and makes one archive of the answers."""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from services.common.clock import Clock, from_micros, to_micros
from services.common.errors import AlreadyExists, Conflict, Refusal, RequestIdReused
from services.profiles.domain.customer_export import (
    PROFILES,
    UNFINISHED_MAX,
    CustomerExport,
    ExportExpired,
    ExportNotFound,
    ExportNotReady,
    ExportTooLarge,
    ServicePart,
    State,
    TooManyExports,
)
from services.profiles.handlers.get_customer import CustomerNotFound
from services.profiles.handlers.personal_data import Holdings, own_records
from services.profiles.handlers.persons import Person, families, locate
from services.profiles.handlers.retrying import retrying
from services.profiles.ports.customer_exports import Archive, Archives, CustomerExports, Lease, PersonalData
from services.profiles.ports.request import Request, Versioned

log = logging.getLogger(__name__)

AT_ONCE = 4
"""How many archives one process makes at once."""
BACKOFF_SECONDS_MAX = 60
PART_BYTES = 512 * 1024
SERVICE_SECONDS_MAX = 600
"""How long one service may take to tell everything."""
FOLLOW_SECONDS = 0.25
FORMAT = "tessera.personal-data/1"


@dataclass(frozen=True, slots=True)
class Exporting:
    """What exports work on."""

    exports: CustomerExports
    others: PersonalData
    holdings: Holdings
    archives: Archives
    clock: Clock
    patience_seconds: int
    """How long services that are down are waited for."""
    keep_seconds: int
    """How long there is an archive."""
    lease_seconds: float
    """After how long another process takes up what a dead one was at."""


async def export_customer(
    exporting: Exporting, request: Request, person: Person, reason: str, requested_by: str
) -> CustomerExport:
    """The export, begun now or before; ``CustomerNotFound``, ``TooManyExports``, ``RequestIdReused``."""
    exports, tenant = exporting.exports, request.tenant
    if before := await exports.created(request):
        return await get_export_job(exporting, tenant, before)
    located = await locate(exporting.holdings.profiles, tenant, [person])
    if person not in located:
        raise CustomerNotFound("nobody is known by what the request names")
    if await exports.unfinished(tenant) >= UNFINISHED_MAX:
        raise TooManyExports(f"{UNFINISHED_MAX} exports are at work; wait for them", maximum=UNFINISHED_MAX)
    wanted = CustomerExport(
        export_id=f"ex_{uuid.uuid4().hex}",
        customer_id=located[person][1],
        requested_by=requested_by,
        reason=reason,
        create_time=to_micros(exporting.clock()),
        parts=tuple(map(ServicePart, _asked(exporting))),
    )
    try:
        await exports.create(request, wanted)
    except RequestIdReused:
        raise
    except AlreadyExists:  # the same request at the same time was faster
        return await get_export_job(exporting, tenant, await exports.created(request) or "")
    return wanted


async def get_export_job(exporting: Exporting, tenant: str, export_id: str) -> CustomerExport:
    """The export; ``ExportNotFound``."""
    read = await exporting.exports.get(tenant, export_id)
    if read is None:
        raise ExportNotFound(f"there is no export {export_id}", export_id=export_id)
    return read.value


async def follow_export_job(exporting: Exporting, tenant: str, export_id: str) -> AsyncIterator[CustomerExport]:
    """The export as it stands, then whenever it has changed, until it has ended; ``ExportNotFound``."""
    told = await get_export_job(exporting, tenant, export_id)
    yield told
    while not told.finished:
        await asyncio.sleep(FOLLOW_SECONDS)
        export = await get_export_job(exporting, tenant, export_id)
        if export != told:
            yield export
        told = export


async def cancel_export(exporting: Exporting, request: Request, export_id: str) -> CustomerExport:
    """The export, which has ended; ``ExportNotFound``, ``RequestIdReused``.

    Whoever is at it cannot write to it any more: every part is kept with the export at its version.
    """
    exports, tenant = exporting.exports, request.tenant

    async def attempt() -> CustomerExport:
        read = await exports.get(tenant, export_id)
        if read is None:
            raise ExportNotFound(f"there is no export {export_id}", export_id=export_id)
        if not read.value.finished and await exports.created(request) is None:
            read = await exports.cancel(request, read, read.value.cancelled(to_micros(exporting.clock())))
        return read.value

    ended = await retrying(attempt)
    if ended.state is State.CANCELLED:
        await exports.clear(tenant, export_id)
    return ended


async def download_export(exporting: Exporting, tenant: str, export_id: str) -> AsyncIterator[bytes]:
    """The parts of the archive; ``ExportNotFound``, ``ExportNotReady``, ``ExportExpired``."""
    export = await get_export_job(exporting, tenant, export_id)
    if export.state is not State.SUCCEEDED:
        raise ExportNotReady(f"there is no archive: {export.message}", export_id=export_id)
    if not export.available(to_micros(exporting.clock())):
        gone = from_micros(export.expire_time).isoformat()
        raise ExportExpired(f"the archive went at {gone}; ask for another", expire_time=gone)
    sent = 0
    async for part in exporting.exports.parts(tenant, export_id):
        sent += len(part)
        yield part
    if sent < export.size_bytes:  # the person was erased, or the time ran out, while it was sent
        raise ExportNotFound(f"export {export_id} was removed meanwhile", export_id=export_id)


async def carry_out_exports(exporting: Exporting) -> None:
    """Do what is due."""
    now = to_micros(exporting.clock())
    while leases := await exporting.exports.claim(now, _lease_end(exporting), AT_ONCE):
        await asyncio.gather(*(_holding(exporting, lease) for lease in leases))


async def _holding(exporting: Exporting, lease: Lease) -> None:
    """Work while the lease is renewed; who loses it stops."""
    work = asyncio.create_task(_try(exporting, lease.tenant, lease.export_id), name=f"export {lease.export_id}")
    try:
        while not work.done():
            await asyncio.wait([work], timeout=exporting.lease_seconds / 3)
            if not work.done():
                lease = await exporting.exports.renew(lease, _lease_end(exporting))
        await _end(exporting, lease, work.result())
    except Conflict:  # the lease ran out and is somebody else's
        log.warning("export %s is taken over by another process", lease.export_id)
    finally:
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work


async def _end(exporting: Exporting, lease: Lease, outcome: int | None) -> None:
    if outcome is None:
        await exporting.exports.settle(lease)
    elif outcome > 0:
        await exporting.exports.renew(lease, outcome)
    else:
        wait = min(2 ** (lease.failures + 1), BACKOFF_SECONDS_MAX)
        await exporting.exports.put_off(lease, to_micros(exporting.clock()) + wait * 1_000_000)


async def _try(exporting: Exporting, tenant: str, export_id: str) -> int | None:
    """When to look again: at a time, 0 for after a while, ``None`` for never."""
    read = await exporting.exports.get(tenant, export_id)
    if read is None:
        return None
    now = to_micros(exporting.clock())
    if read.value.finished:
        if read.value.available(now):
            return read.value.expire_time
        await exporting.exports.clear(tenant, export_id)
        return None
    try:
        if now > read.value.create_time + exporting.patience_seconds * 1_000_000:
            words = f"{read.value.message}, and no longer; see to it and ask for another export"
            return await _fail(exporting, tenant, read, words)
        return await _collect(exporting, tenant, read)
    except Conflict:  # erased, merged, or carried out by another meanwhile: look again
        return 0
    except ExportTooLarge as error:
        fresh = await exporting.exports.get(tenant, export_id)
        return await _fail(exporting, tenant, fresh, error.message) if fresh else None
    except Exception as error:
        log.warning("export %s is put off", export_id, exc_info=error)
        return 0


async def _fail(exporting: Exporting, tenant: str, read: Versioned[CustomerExport], message: str) -> int | None:
    await exporting.exports.replace(tenant, read, read.value.failed(message, to_micros(exporting.clock())))
    await exporting.exports.clear(tenant, read.value.export_id)
    return None


async def _collect(exporting: Exporting, tenant: str, read: Versioned[CustomerExport]) -> int | None:
    exports, profiles = exporting.exports, exporting.holdings.profiles
    found = await families(profiles, tenant, [read.value.customer_id])
    origins = found.get(read.value.customer_id, ())
    if origins:
        # From here on an erasure of any of them finds the export; one that came before is seen by asking again.
        read = await exports.replace(tenant, read, read.value.begun(origins, _asked(exporting)))
        found = await families(profiles, tenant, [read.value.customer_id])
    if not found:
        return await _fail(exporting, tenant, read, "the customer is no longer there")
    if found[read.value.customer_id] != origins:
        raise Conflict("the customer is being merged at the moment")
    await exports.clear(tenant, read.value.export_id)
    with exporting.archives.open() as archive:
        read = await _ask_all(exporting, tenant, read, archive)
        if not all(part.done for part in read.value.parts):
            return 0
        read = await _store(exporting, tenant, read, archive)
    return read.value.expire_time


async def _ask_all(
    exporting: Exporting, tenant: str, read: Versioned[CustomerExport], archive: Archive
) -> Versioned[CustomerExport]:
    """The export with everybody's answer. Who did not answer the last time is asked first, and alone."""
    parts = {part.service: part for part in read.value.parts}
    failed = [part.service for part in read.value.parts if part.problem]
    asked = await _ask(exporting, tenant, read.value, archive, failed)
    if all(part.done for part in asked):
        rest = [service for service in parts if service not in failed]
        asked += await _ask(exporting, tenant, read.value, archive, rest)
    parts |= {part.service: part for part in asked}
    return await exporting.exports.replace(tenant, read, read.value.answered(list(parts.values())))


async def _ask(
    exporting: Exporting, tenant: str, export: CustomerExport, archive: Archive, services: Sequence[str]
) -> list[ServicePart]:
    return list(await asyncio.gather(*(_answer(exporting, tenant, export, archive, each) for each in services)))


async def _answer(
    exporting: Exporting, tenant: str, export: CustomerExport, archive: Archive, service: str
) -> ServicePart:
    origins, count = export.origin_customer_ids, 0
    if service == PROFILES:
        pages = own_records(exporting.holdings, tenant, origins)
    else:
        pages = exporting.others.records(service, tenant, origins[0], origins)
    try:
        async with asyncio.timeout(SERVICE_SECONDS_MAX):
            async for records in pages:
                await asyncio.to_thread(archive.write, service, records)
                count += len(records)
    except (ExportTooLarge, Conflict):
        raise
    except (Refusal, TimeoutError) as error:
        archive.drop(service)
        words = error.message if isinstance(error, Refusal) else f"not done within {SERVICE_SECONDS_MAX} s"
        return ServicePart(service, problem=words)
    return ServicePart(service, done=True, record_count=count)


async def _store(
    exporting: Exporting, tenant: str, read: Versioned[CustomerExport], archive: Archive
) -> Versioned[CustomerExport]:
    export = read.value
    manifest = {
        "format": FORMAT,
        "export_id": export.export_id,
        "customer_id": export.origin_customer_ids[0],
        "origin_customer_ids": list(export.origin_customer_ids),
        "requested_by": export.requested_by,
        "reason": export.reason,
        "request_time": from_micros(export.create_time).isoformat(),
        "collect_time": exporting.clock().isoformat(),
        "services": {part.service: {"records": part.record_count} for part in export.parts},
    }
    size, digest = await asyncio.to_thread(archive.close, manifest)
    offset = 0
    while data := await asyncio.to_thread(archive.read, PART_BYTES):
        read = await exporting.exports.add(tenant, read, offset, data)
        offset += len(data)
    now = to_micros(exporting.clock())
    done = export.succeeded(size, digest, now, now + exporting.keep_seconds * 1_000_000)
    return await exporting.exports.replace(tenant, read, done)


def _asked(exporting: Exporting) -> list[str]:
    return sorted({PROFILES, *exporting.others.services})


def _lease_end(exporting: Exporting) -> int:
    return to_micros(exporting.clock()) + round(exporting.lease_seconds * 1_000_000)
