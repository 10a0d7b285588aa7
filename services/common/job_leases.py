"""Whose a job is: a lease beside it, which its process renews and which ends with it.

Each write of a job is made against the version that its holder knows, and whoever takes a job over writes it: a process
that was only slow, and not dead, can write nothing any more of what is another's.
"""

import uuid
from collections.abc import Collection as Some
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar

from services.common.clock import Clock, to_micros
from services.common.errors import AlreadyExists, Conflict
from services.common.job_record import JOBS, Job, JobNotFound, State, job_body, job_of
from services.common.store.port import (
    Body,
    Collection,
    Delete,
    Document,
    Index,
    Insert,
    Query,
    Range,
    Replace,
    Store,
    Write,
)

PLATFORM = "*"
OPEN_JOBS = Collection("open_jobs", (Index(("lease",)),))
JOB_TENANTS = Collection("job_tenants")
"""From before there were leases: the tenants that had jobs."""
AT_ONCE = 1000
ATTEMPTS_MAX = 20
CANCELLED = "cancelled by request"


class LeaseLost(Exception):
    """The job was cancelled, or is another process's."""


@dataclass(slots=True)
class Lease:
    """The right to work on a job; ``version`` is that of the lease, ``job_version`` that of the job."""

    tenant: str
    job_id: str
    version: int
    job_version: int
    arguments: dict[str, str] = field(default_factory=dict)
    takeovers: int = 0

    @property
    def key(self) -> str:
        """The id of its document."""
        return f"{self.tenant}:{self.job_id}"


class Leases:
    """The leases of all jobs of a service, and the writes of jobs under them."""

    COLLECTIONS: ClassVar = (JOBS, OPEN_JOBS, JOB_TENANTS)

    def __init__(self, store: Store, clock: Clock, seconds: float) -> None:
        self._store, self._clock, self._micros = store, clock, round(seconds * 1_000_000)
        self._owner = uuid.uuid4().hex

    async def begin(self, tenant: str, job: Job, arguments: Mapping[str, str]) -> Lease:
        """Keep a new job and hold it; ``AlreadyExists``."""
        lease = Lease(tenant, job.job_id, 1, 1, dict(arguments))
        kept = Insert(tenant, JOBS, job.job_id, job_body(job))
        await self._store.commit([kept, Insert(PLATFORM, OPEN_JOBS, lease.key, self._body(lease))])
        return lease

    async def write(self, lease: Lease, job: Job) -> None:
        """Keep how far a job is; ``LeaseLost``."""
        await self._commit([_replace(lease, job)])
        lease.job_version += 1

    async def end(self, lease: Lease, job: Job) -> None:
        """Keep how a job ended; ``LeaseLost``."""
        await self._commit([_replace(lease, job), Delete(PLATFORM, OPEN_JOBS, lease.key, lease.version)])

    async def renew(self, lease: Lease) -> None:
        """Hold it for longer; ``LeaseLost``."""
        await self._commit([Replace(PLATFORM, OPEN_JOBS, lease.key, self._body(lease), lease.version)])
        lease.version += 1

    async def release(self, lease: Lease) -> None:
        """Let go of it: whoever looks next takes it up; ``LeaseLost``."""
        body = {**self._body(lease), "lease": 0}
        await self._commit([Replace(PLATFORM, OPEN_JOBS, lease.key, body, lease.version)])

    async def take(self, found: Lease, job: Job) -> Lease:
        """Hold what nobody holds; ``LeaseLost`` if another was faster."""
        taken = replace(found, takeovers=found.takeovers + 1)
        held = Replace(PLATFORM, OPEN_JOBS, taken.key, self._body(taken), found.version)
        await self._commit([held, _replace(found, job)])
        return replace(taken, version=found.version + 1, job_version=found.job_version + 1)

    async def held(self, leases: Some[Lease]) -> set[str]:
        """The keys of those that there still are, whoever holds them."""
        return set(await self._store.get_many(PLATFORM, OPEN_JOBS, [lease.key for lease in leases]))

    async def left_behind(self, *, everything: bool) -> list[Lease]:
        """Those that have run out, or all that there are."""
        latest = None if everything else to_micros(self._clock())
        query = Query(range=Range("lease", at_least=0, at_most=latest), order_by="lease", limit=AT_ONCE)
        page = await self._store.find(PLATFORM, OPEN_JOBS, query)
        return [_lease(document) for document in page.documents]

    async def job(self, lease: Lease) -> Job | None:
        """The job, whose version ``lease`` knows from now on; none if it has ended: the lease is gone then."""
        document = await self._store.get(lease.tenant, JOBS, lease.job_id)
        if document is None or job_of(document).end_time is not None:
            await self._store.commit([Delete(PLATFORM, OPEN_JOBS, lease.key, lease.version)])
            return None
        lease.job_version = document.version
        return job_of(document)

    async def cancel(self, tenant: str, job_id: str) -> Job:
        """End a job for whoever holds it; one that has ended stays as it is. ``JobNotFound``."""
        for _ in range(ATTEMPTS_MAX):
            document = await self._store.get(tenant, JOBS, job_id)
            if document is None:
                raise JobNotFound(f"there is no job {job_id}", job_id=job_id)
            job = job_of(document)
            if job.end_time is not None:
                return job
            ended = replace(job, state=State.CANCELLED, message=CANCELLED, end_time=self._clock())
            gone = Delete(PLATFORM, OPEN_JOBS, f"{tenant}:{job_id}")
            try:
                await self._store.commit([Replace(tenant, JOBS, job_id, job_body(ended), document.version), gone])
            except Conflict:  # it told its progress at this moment
                continue
            return ended
        raise Conflict(f"job {job_id} changes too often to be cancelled; try again", job_id=job_id)

    async def adopt_old(self, *, alone: bool) -> None:
        """Give a lease to unfinished jobs from before there were leases; what has died does not renew it."""
        tenants = await self._store.find(PLATFORM, JOB_TENANTS, Query(limit=10_000))
        for tenant in (document.id for document in tenants.documents):
            for state in (State.PENDING, State.RUNNING):
                page = await self._store.find(tenant, JOBS, Query(where={"state": int(state)}, limit=1000))
                for document in page.documents:
                    lease = Lease(tenant, document.id, 1, document.version)
                    body = {**self._body(lease), **({"lease": 0} if alone else {})}
                    await self._insert(Insert(PLATFORM, OPEN_JOBS, lease.key, body))
            await self._store.commit([Delete(PLATFORM, JOB_TENANTS, tenant)])

    async def _insert(self, write: Insert) -> None:
        try:
            await self._store.commit([write])
        except AlreadyExists:  # another process adopts it too
            return

    async def _commit(self, writes: list[Write]) -> None:
        try:
            await self._store.commit(writes)
        except Conflict as error:
            raise LeaseLost from error

    def _body(self, lease: Lease) -> Body:
        return {
            "tenant": lease.tenant,
            "job_id": lease.job_id,
            "owner": self._owner,
            "lease": to_micros(self._clock()) + self._micros,
            "arguments": lease.arguments,
            "takeovers": lease.takeovers,
        }


def _replace(lease: Lease, job: Job) -> Replace:
    return Replace(lease.tenant, JOBS, job.job_id, job_body(job), lease.job_version)


def _lease(document: Document) -> Lease:
    body = document.body
    arguments = dict(body["arguments"])
    return Lease(body["tenant"], body["job_id"], document.version, 0, arguments, body["takeovers"])
