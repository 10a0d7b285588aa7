"""Take files of customers and of events in: upload in parts, check, record row by row, say what was wrong."""

import asyncio
import contextlib
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from services.common.clock import to_micros
from services.common.errors import AlreadyExists, Conflict, FailedPrecondition, NotFound, RequestIdReused
from services.common.jobs import Job, JobNotFound, Jobs, Progress, State, Work
from services.profiles.domain.event import Incoming, Rejection
from services.profiles.domain.table_import import ERRORS_MAX, IMPORTS_MAX, RowReader, TableImport, ValueInvalid
from services.profiles.handlers.checking import check
from services.profiles.handlers.computing import Computing
from services.profiles.handlers.ingest_events import ingest_events
from services.profiles.handlers.recording import Recorder
from services.profiles.handlers.retrying import retrying
from services.profiles.ports import EventSchemas, Request
from services.profiles.ports.transfer import Imports, RowError

KIND = "import"
PROGRESS_ROWS = 20_000


class ImportNotFound(NotFound):
    """There is no import of this id."""


class TooManyImports(FailedPrecondition):
    """The tenant has as many unfinished imports as it may. Metadata ``maximum``."""


class ImportGap(FailedPrecondition):
    """A part of a file that does not begin where the part before ended. Metadata ``received_bytes``."""


class ImportStarted(FailedPrecondition):
    """The file is complete: its rows are being taken in, or were."""


class ImportTooLarge(FailedPrecondition):
    """The file is larger than files may be. Metadata ``maximum``."""


class ImportEmpty(FailedPrecondition):
    """There is no file yet."""


class ImportCancelled(FailedPrecondition):
    """The import was cancelled; begin another."""


@dataclass(frozen=True, slots=True)
class Importing:
    """What imports work on."""

    imports: Imports
    schemas: EventSchemas
    computing: Computing
    jobs: Jobs
    bytes_max: int


@dataclass(slots=True)
class Tally:
    """What became of the rows so far."""

    rows: int = 0
    recorded: int = 0
    duplicates: int = 0
    errors: int = 0
    kept: int = 0
    wrong: list[RowError] = field(default_factory=list)

    def results(self) -> dict[str, str]:
        """As a job has them."""
        counts = {"rows": self.rows, "recorded": self.recorded, "duplicates": self.duplicates, "errors": self.errors}
        return {name: str(count) for name, count in counts.items()}


async def create_import(importing: Importing, request: Request, wanted: TableImport) -> TableImport:
    """The import, without a file yet; ``ImportInvalid``, ``TooManyImports``, ``RequestIdReused``."""
    wanted.check()
    if before := await importing.imports.created(request):
        return await get_import(importing, request.tenant, before)
    if await importing.imports.unfinished(request.tenant) >= IMPORTS_MAX:
        raise TooManyImports(f"{IMPORTS_MAX} imports are not finished; delete some", maximum=IMPORTS_MAX)
    made = replace(wanted, import_id=uuid.uuid4().hex, create_time=to_micros(importing.computing.clock()))
    try:
        await importing.imports.create(request, made)
    except RequestIdReused:
        raise
    except AlreadyExists:
        return await get_import(importing, request.tenant, await importing.imports.created(request) or "")
    return made


async def get_import(importing: Importing, tenant: str, import_id: str) -> TableImport:
    """The import; ``ImportNotFound``."""
    return (await _found(importing, tenant, import_id))[0]


async def _found(importing: Importing, tenant: str, import_id: str) -> tuple[TableImport, int]:
    found = await importing.imports.get(tenant, import_id)
    if found is None:
        raise ImportNotFound(f"there is no import {import_id}", import_id=import_id)
    return found


async def upload_import_chunk(importing: Importing, tenant: str, import_id: str, offset: int, data: bytes) -> int:
    """How much has come; ``ImportNotFound``, ``ImportStarted``, ``ImportGap``, ``ImportTooLarge``."""

    async def attempt() -> int:
        found, version = await _found(importing, tenant, import_id)
        received = found.received_bytes
        if found.cancelled:
            raise _cancelled(import_id)
        if offset + len(data) <= received:
            return received  # the same part again
        if found.job_id:
            raise ImportStarted("the file is complete: its rows are being taken in; begin another import")
        if offset != received:
            raise ImportGap(f"the next part begins at {received}, not at {offset}", received_bytes=received)
        if offset + len(data) > importing.bytes_max:
            raise ImportTooLarge(f"a file has at most {importing.bytes_max} bytes", maximum=importing.bytes_max)
        grown = replace(found, received_bytes=offset + len(data))
        await importing.imports.add(tenant, grown, version, offset, data)
        return grown.received_bytes

    return await retrying(attempt)


async def start_import(importing: Importing, recorder: Recorder, tenant: str, import_id: str, dry_run: bool) -> Job:
    """The job that takes the rows in, or that is at it; ``ImportNotFound``, ``ImportEmpty``."""
    found, version = await _found(importing, tenant, import_id)
    if found.cancelled and not found.job_id:
        raise _cancelled(import_id)
    if not found.received_bytes:
        raise ImportEmpty("bring the file first, by UploadImportChunk")
    job = await _job_of(importing, tenant, found)
    if job is not None and (found.finished or job.state in (State.PENDING, State.RUNNING)):
        return job
    begun = replace(found, job_id=f"job_{uuid.uuid4().hex}")
    try:
        await importing.imports.replace(tenant, begun, version)
    except Conflict:
        return await start_import(importing, recorder, tenant, import_id, dry_run)
    arguments = {"import_id": import_id, "dry_run": "yes" if dry_run else ""}
    work = _taking_in(importing, recorder, tenant, arguments)
    return await importing.jobs.start(tenant, KIND, work, begun.job_id, arguments)


async def _job_of(importing: Importing, tenant: str, found: TableImport) -> Job | None:
    """None also where the process died before the job began."""
    try:
        return await importing.jobs.get(tenant, found.job_id) if found.job_id else None
    except JobNotFound:
        return None


def resume_imports(importing: Importing, recorder: Recorder) -> None:
    """Let imports go on that another process left behind: rows that it recorded are known by their message ids."""
    importing.jobs.resumable(KIND, lambda tenant, arguments: _taking_in(importing, recorder, tenant, arguments))


def _taking_in(importing: Importing, recorder: Recorder, tenant: str, arguments: Mapping[str, str]) -> Work:
    async def work(progress: Progress) -> dict[str, str]:
        found = await get_import(importing, tenant, arguments["import_id"])
        return await _take_in(importing, recorder, tenant, found, bool(arguments["dry_run"]), progress)

    return work


async def _take_in(
    importing: Importing, recorder: Recorder, tenant: str, wanted: TableImport, dry_run: bool, progress: Progress
) -> dict[str, str]:
    await importing.imports.forget_errors(tenant, wanted.import_id)
    tally, told = Tally(), 0
    async with importing.imports.reading(tenant, wanted) as (rows, digest):
        reader = RowReader(wanted, rows.names, digest)
        while batch := await asyncio.to_thread(rows.next):
            await _take(importing, recorder, tenant, reader, batch, dry_run, tally)
            tally.rows += len(batch)
            await _keep_errors(importing, tenant, wanted.import_id, tally)
            if tally.rows - told >= PROGRESS_ROWS:
                told = tally.rows
                # How many rows a file has is known at its end: the share nears 1 as the rows become many.
                await progress(told / (told + 200_000), f"{told} rows were read, {tally.errors} of them are wrong")
    if not dry_run:
        await _finish(importing, tenant, wanted.import_id)
    return {**tally.results(), "dry_run": str(dry_run).lower()}


async def _take(
    importing: Importing,
    recorder: Recorder,
    tenant: str,
    reader: RowReader,
    batch: Sequence[tuple[int, "list[object] | str"]],
    dry_run: bool,
    tally: Tally,
) -> None:
    events: list[Incoming] = []
    numbers: list[int] = []
    for number, values in batch:
        if isinstance(values, str):
            tally.wrong.append(RowError(number, "", "ROW_UNREADABLE", values))
            continue
        try:
            events.append(reader.read(number, values))
            numbers.append(number)
        except ValueInvalid as wrong:
            tally.wrong.append(RowError(number, wrong.column, "VALUE_INVALID", f"{wrong.column} {wrong.message}"))
    clock = importing.computing.clock
    if dry_run:
        demands, identity = await importing.schemas.demands(tenant), await recorder.settings(tenant)
        rejections: Sequence[Rejection] = check(events, to_micros(clock()), demands, identity).rejections
    elif events:  # wrong rows are listed, and are no dead letters besides
        outcome = await ingest_events(recorder, None, importing.schemas, clock, tenant, events)
        tally.recorded += outcome.recorded_count
        tally.duplicates += outcome.duplicate_count
        rejections = outcome.rejections
    else:
        return
    tally.wrong += [RowError(numbers[it.index], it.path, it.reason, it.message) for it in rejections]


async def _keep_errors(importing: Importing, tenant: str, import_id: str, tally: Tally) -> None:
    wrong, tally.wrong = tally.wrong, []
    tally.errors += len(wrong)
    kept = sorted(wrong, key=lambda each: each.row)[: max(0, ERRORS_MAX - tally.kept)]
    tally.kept += len(kept)
    await importing.imports.keep_errors(tenant, import_id, kept)


async def cancel_import(importing: Importing, request: Request, import_id: str) -> TableImport:
    """The import, which has ended; ``ImportNotFound``, ``RequestIdReused``.

    What its job told before stays. The file goes after the job: a job elsewhere may read it for another second.
    """
    tenant = request.tenant

    async def attempt() -> TableImport:
        found, version = await _found(importing, tenant, import_id)
        if await importing.imports.cancelled(request) or found.finished:
            return found
        ended = replace(found, finished=True, cancelled=True)
        await importing.imports.cancel(request, ended, version)
        return ended

    ended = await retrying(attempt)
    if ended.cancelled:
        await _end_job(importing, tenant, ended)
        await importing.imports.forget_file(tenant, import_id)
    return ended


async def _end_job(importing: Importing, tenant: str, it: TableImport) -> None:
    if it.job_id:
        with contextlib.suppress(JobNotFound):
            await importing.jobs.cancel(tenant, it.job_id)


def _cancelled(import_id: str) -> ImportCancelled:
    return ImportCancelled(f"import {import_id} was cancelled; begin another", import_id=import_id)


async def _finish(importing: Importing, tenant: str, import_id: str) -> None:
    async def attempt() -> None:
        found, version = await _found(importing, tenant, import_id)
        await importing.imports.replace(tenant, replace(found, finished=True), version)

    await retrying(attempt)
    await importing.imports.forget_file(tenant, import_id)


async def delete_import(importing: Importing, request: Request, import_id: str) -> None:
    """Forget an import's file and errors, and end its job; ``ImportNotFound``, ``RequestIdReused``."""
    if found := await importing.imports.get(request.tenant, import_id):
        await _end_job(importing, request.tenant, found[0])
    if not await importing.imports.delete(request, import_id):
        raise ImportNotFound(f"there is no import {import_id}", import_id=import_id)
