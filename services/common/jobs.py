"""Background jobs whose state is stored: training, fitting, import, export. One at a time a kind and tenant.

A process holds a job by a lease that it renews. What a process leaves behind when it dies is taken up by another one
once the lease has run out: it goes on where that was said to be possible, and is failed otherwise.
"""

import asyncio
import contextlib
import logging
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace

from services.common.clock import Clock
from services.common.errors import AlreadyExists, Conflict, Refusal
from services.common.job_leases import Lease, LeaseLost, Leases
from services.common.job_record import JOBS, Job, JobNotFound, State, job_of
from services.common.store.port import Page, Query, Store

__all__ = ["COLLECTIONS", "JOBS", "Job", "JobNotFound", "Jobs", "Progress", "State", "Work"]

log = logging.getLogger(__name__)

COLLECTIONS = Leases.COLLECTIONS
FOLLOW_SECONDS = 0.25
LEASE_SECONDS = 15.0
LOOK_SECONDS = 1.0
"""How often a process looks whether its jobs were cancelled through another one."""
TAKEOVERS_MAX = 3
"""How often a job is taken over: one that ends each process that runs it must not end them all."""
STOPPED = "the service stopped; start it again"

Progress = Callable[[float, str], Awaitable[None]]
Work = Callable[[Progress], Awaitable[dict[str, str]]]
Resume = Callable[[str, Mapping[str, str]], Work]
"""Makes the work of a job anew, of its tenant and its arguments."""


@dataclass(slots=True, eq=False)
class _Held:
    """A job of this process."""

    job: Job
    lease: Lease
    task: asyncio.Task[None] | None = None
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    lost: bool = False


class Jobs:
    """Starts jobs and keeps their state. In a process, jobs of one kind and tenant run one after the other."""

    def __init__(self, store: Store, clock: Clock, lease_seconds: float = LEASE_SECONDS) -> None:
        self._store, self._clock, self._lease_seconds = store, clock, lease_seconds
        self._leases = Leases(store, clock, lease_seconds)
        self._queues: dict[tuple[str, str], asyncio.Lock] = {}
        self._held: dict[tuple[str, str], _Held] = {}
        self._resumes: dict[str, Resume] = {}
        self._keeper: asyncio.Task[None] | None = None

    def resumable(self, kind: str, resume: Resume) -> None:
        """Jobs of this kind go on in another process when theirs has died: doing them twice must be harmless."""
        self._resumes[kind] = resume

    async def recover(self, *, alone: bool = False) -> None:
        """Take up what dead processes left behind, now and from now on; called once, when the service starts.

        ``alone``: no other process uses the store, so whatever is unfinished was left behind.
        """
        await self._leases.adopt_old(alone=alone)
        await self._take_over(alone=alone)
        self._keep()

    async def start(
        self, tenant: str, kind: str, work: Work, job_id: str = "", arguments: Mapping[str, str] | None = None
    ) -> Job:
        """Accept a job; it runs as soon as those of its kind that came before have ended.

        A job that there is already is answered as it stands. ``arguments`` are what a resumable one is made of again.
        """
        job = Job(job_id or f"job_{uuid.uuid4().hex}", kind, State.PENDING, self._clock())
        try:
            lease = await self._leases.begin(tenant, job, arguments or {})
        except AlreadyExists:
            return await self.get(tenant, job.job_id)
        self._begin(_Held(job, lease), work)
        return job

    async def get(self, tenant: str, job_id: str) -> Job:
        """The job; ``JobNotFound``."""
        document = await self._store.get(tenant, JOBS, job_id)
        if document is None:
            raise JobNotFound(f"there is no job {job_id}", job_id=job_id)
        return job_of(document)

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
        return tuple(map(job_of, page.documents)), page.next_cursor

    async def cancel(self, tenant: str, job_id: str) -> Job:
        """End a job before it is done; one that has ended stays as it is. ``JobNotFound``.

        Where this process runs it, it has stopped when this returns; where another does, about a second later.
        """
        held = self._held.get((tenant, job_id))
        job = await self._leases.cancel(tenant, job_id)
        if held is not None and job.state is State.CANCELLED:
            await self._stop(held)
        return job

    async def close(self) -> None:
        """Stop what runs. What can go on elsewhere is let go; the rest is failed, so that nobody waits for it."""
        if self._keeper is not None:
            self._keeper.cancel()
            await asyncio.wait([self._keeper])
        left = [each for each in self._held.values() if each.task is not None]
        for held in left:
            if held.task is not None:
                held.task.cancel()
        if left:
            await asyncio.wait([held.task for held in left if held.task is not None])
        for held in left:  # whose work had not begun knows nothing of it
            if held.job.end_time is None and not held.lost:
                await self._leave(held)

    def _begin(self, held: _Held, work: Work) -> None:
        key = held.lease.tenant, held.job.job_id
        self._held[key] = held
        held.task = asyncio.create_task(self._run(held, work), name=f"{held.job.kind} {held.job.job_id}")
        held.task.add_done_callback(lambda _: self._held.pop(key, None))
        self._keep()

    async def _run(self, held: _Held, work: Work) -> None:
        async def progress(share: float, message: str) -> None:
            held.job = replace(held.job, progress=min(max(share, 0.0), 1.0), message=message)
            await self._tell(held)

        try:
            async with self._queues.setdefault((held.lease.tenant, held.job.kind), asyncio.Lock()):
                held.job = replace(held.job, state=State.RUNNING)
                await progress(0.0, "started")
                results = await work(progress)
                await self._end(held, State.SUCCEEDED, "done", results)
        except LeaseLost:
            log.warning("job %s (%s) was cancelled, or is another process's", held.job.job_id, held.job.kind)
        except asyncio.CancelledError:
            await self._leave(held)
        except Refusal as refusal:
            await self._end(held, State.FAILED, refusal.message)
        except Exception as error:
            log.exception("job %s (%s) failed", held.job.job_id, held.job.kind)
            await self._end(held, State.FAILED, f"internal error: {type(error).__name__}; the log has more")

    async def _tell(self, held: _Held) -> None:
        # Who is cancelled in the middle of a commit would not know at which version the job is.
        await asyncio.shield(self._write(held))

    async def _write(self, held: _Held) -> None:
        async with held.turn:
            if held.lost:
                raise LeaseLost
            await self._leases.write(held.lease, held.job)

    async def _end(self, held: _Held, state: State, message: str, results: dict[str, str] | None = None) -> None:
        share = 1.0 if state is State.SUCCEEDED else held.job.progress
        held.job = replace(
            held.job, state=state, progress=share, message=message, results=results or {}, end_time=self._clock()
        )
        async with held.turn:
            with contextlib.suppress(LeaseLost):  # it was cancelled, or is another process's
                if not held.lost:
                    await self._leases.end(held.lease, held.job)

    async def _leave(self, held: _Held) -> None:
        """Let go of a job because this process stops."""
        if held.job.kind not in self._resumes:
            await self._end(held, State.FAILED, STOPPED)
            return
        async with held.turn:
            with contextlib.suppress(LeaseLost):
                if not held.lost:
                    await self._leases.release(held.lease)

    async def _stop(self, held: _Held) -> None:
        held.lost = True
        if held.task is not None:
            held.task.cancel()
            await asyncio.wait([held.task])

    def _keep(self) -> None:
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep_leases(), name="leases of jobs")

    async def _keep_leases(self) -> None:
        loop, pause = asyncio.get_running_loop(), self._lease_seconds / 3
        due = loop.time() + pause
        while True:
            await asyncio.sleep(min(LOOK_SECONDS, pause))
            try:
                await self._look()
                if loop.time() >= due:
                    due = loop.time() + pause
                    await self._renew()
                    await self._take_over(alone=False)
            except Exception:
                log.exception("the leases of jobs cannot be kept at the moment; it is tried again")

    async def _look(self) -> None:
        held = tuple(self._held.values())
        left = await self._leases.held([each.lease for each in held]) if held else set()
        for each in held:
            if each.lease.key not in left and not each.turn.locked() and self._is_at_work(each):
                await self._stop(each)

    def _is_at_work(self, held: _Held) -> bool:
        return held.task is not None and not held.task.done() and held.job.end_time is None

    async def _renew(self) -> None:
        for held in tuple(self._held.values()):
            if not await asyncio.shield(self._still_held(held)):
                await self._stop(held)

    async def _still_held(self, held: _Held) -> bool:
        """Hold it for longer; whether that was possible, or it has ended."""
        async with held.turn:
            if held.lost or held.job.end_time is not None:
                return True
            try:
                await self._leases.renew(held.lease)
            except LeaseLost:
                held.lost = True
            return not held.lost

    async def _take_over(self, *, alone: bool) -> None:
        """Take up those that nobody holds; of two processes that try, one succeeds."""
        own = {each.lease.key for each in self._held.values()}
        for found in await self._leases.left_behind(everything=alone):
            if found.key in own:
                continue
            try:
                await self._take(found)
            except (Conflict, LeaseLost):
                continue

    async def _take(self, found: Lease) -> None:
        job = await self._leases.job(found)
        if job is None:
            return
        resume = self._resumes.get(job.kind)
        if resume is None or found.takeovers >= TAKEOVERS_MAX:
            log.warning("job %s (%s) is failed: its process died", job.job_id, job.kind)
            failed = replace(job, state=State.FAILED, message=STOPPED, end_time=self._clock())
            await self._leases.end(found, failed)
            return
        taken = replace(job, state=State.PENDING, message="the process that ran it died; another one goes on")
        lease = await self._leases.take(found, taken)
        log.warning("job %s (%s) goes on here: its process died", job.job_id, job.kind)
        self._begin(_Held(taken, lease), resume(lease.tenant, lease.arguments))
