"""Background jobs whose state is stored: training, fitting, import, export. One at a time a kind and tenant."""

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum

from services.common.clock import Clock, from_micros, to_micros
from services.common.errors import NotFound, Refusal
from services.common.store.port import Body, Collection, Index, Page, Put, Query, Store

log = logging.getLogger(__name__)

JOBS = Collection("jobs", (Index(("create_time",)), Index(("state",))))
_TENANTS = Collection("job_tenants")
COLLECTIONS = (JOBS, _TENANTS)
FOLLOW_SECONDS = 0.25


class JobNotFound(NotFound):
    """No job has this id."""


class State(IntEnum):
    """Where a job stands; the numbers are those of ``tessera.common.v1.JobState``."""

    PENDING = 1
    RUNNING = 2
    SUCCEEDED = 3
    FAILED = 4


@dataclass(frozen=True, slots=True)
class Job:
    """One piece of background work."""

    job_id: str
    kind: str
    state: State
    create_time: datetime
    progress: float = 0.0
    message: str = ""
    end_time: datetime | None = None
    results: dict[str, str] = field(default_factory=dict)


Progress = Callable[[float, str], Awaitable[None]]
Work = Callable[[Progress], Awaitable[dict[str, str]]]


class Jobs:
    """Starts jobs and keeps their state. Jobs of one kind and tenant run one after the other."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._queues: dict[tuple[str, str], asyncio.Lock] = {}
        self._running: set[asyncio.Task[None]] = set()

    async def recover(self) -> None:
        """Fail the jobs that the last process left unfinished; called once, when the service starts."""
        tenants = await self._store.find("*", _TENANTS, Query(limit=10_000))
        for tenant in (document.id for document in tenants.documents):
            for state in (State.PENDING, State.RUNNING):
                page = await self._store.find(tenant, JOBS, Query(where={"state": int(state)}, limit=1000))
                for document in page.documents:
                    await self._fail(tenant, _job(document.id, document.body), "the service stopped; start it again")

    async def start(self, tenant: str, kind: str, work: Work, job_id: str = "") -> Job:
        """Accept a job; it runs as soon as those of its kind that came before have ended."""
        job = Job(job_id or f"job_{uuid.uuid4().hex}", kind, State.PENDING, self._clock())
        await self._store.commit([Put("*", _TENANTS, tenant, {}), _put(tenant, job)])
        task = asyncio.create_task(self._run(tenant, job, work), name=f"{kind} {job.job_id}")
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        return job

    async def get(self, tenant: str, job_id: str) -> Job:
        """The job; ``JobNotFound``."""
        document = await self._store.get(tenant, JOBS, job_id)
        if document is None:
            raise JobNotFound(f"there is no job {job_id}", job_id=job_id)
        return _job(document.id, document.body)

    async def follow(self, tenant: str, job_id: str) -> AsyncIterator[Job]:
        """The job as it stands, then whenever it has changed, until it has ended; ``JobNotFound``.

        It looks into the store, because another process of the service may be the one that works.
        """
        told = await self.get(tenant, job_id)
        yield told
        while told.end_time is None:
            await asyncio.sleep(FOLLOW_SECONDS)
            job = await self.get(tenant, job_id)
            if job != told:
                yield job
            told = job

    async def list(self, tenant: str, limit: int, after: str) -> tuple[tuple[Job, ...], str]:
        """A page of jobs, newest first, and the token of the next page."""
        query = Query(order_by="create_time", descending=True, limit=limit, after=after)
        page: Page = await self._store.find(tenant, JOBS, query)
        return tuple(_job(document.id, document.body) for document in page.documents), page.next_cursor

    async def close(self) -> None:
        """Stop what runs; it is marked failed, so that nobody waits for it."""
        for task in tuple(self._running):
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    async def _run(self, tenant: str, job: Job, work: Work) -> None:
        async with self._queues.setdefault((tenant, job.kind), asyncio.Lock()):
            current = replace(job, state=State.RUNNING)

            async def progress(share: float, message: str) -> None:
                nonlocal current
                current = replace(current, progress=min(max(share, 0.0), 1.0), message=message)
                await self._store.commit([_put(tenant, current)])

            try:
                await progress(0.0, "started")
                results = await work(progress)
                done = replace(current, state=State.SUCCEEDED, progress=1.0, message="done", results=results)
                await self._store.commit([_put(tenant, replace(done, end_time=self._clock()))])
            except asyncio.CancelledError:
                await self._fail(tenant, current, "the service stopped; start it again")
            except Refusal as refusal:
                await self._fail(tenant, current, refusal.message)
            except Exception as error:
                log.exception("job %s (%s) failed", job.job_id, job.kind)
                await self._fail(tenant, current, f"internal error: {type(error).__name__}; the log has more")

    async def _fail(self, tenant: str, job: Job, message: str) -> None:
        failed = replace(job, state=State.FAILED, message=message, end_time=self._clock())
        await self._store.commit([_put(tenant, failed)])


def _put(tenant: str, job: Job) -> Put:
    body: Body = {
        "kind": job.kind,
        "state": int(job.state),
        "create_time": to_micros(job.create_time),
        "progress": job.progress,
        "message": job.message,
        "end_time": to_micros(job.end_time) if job.end_time else None,
        "results": job.results,
    }
    return Put(tenant, JOBS, job.job_id, body)


def _job(job_id: str, body: Body) -> Job:
    end = body["end_time"]
    return Job(
        job_id=job_id,
        kind=body["kind"],
        state=State(body["state"]),
        create_time=from_micros(body["create_time"]),
        progress=body["progress"],
        message=body["message"],
        end_time=from_micros(end) if end is not None else None,
        results=dict(body["results"]),
    )
