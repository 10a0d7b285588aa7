"""Start a job once for one request id."""

import uuid
from collections.abc import Awaitable, Callable

from services.common.errors import AlreadyExists
from services.common.jobs import Job, JobNotFound, Jobs, Work
from services.forecasting.ports import Requests


async def start_once(
    requests: Requests,
    jobs: Jobs,
    tenant: str,
    request_id: str,
    fingerprint: str,
    kind: str,
    prepare: Callable[[], Awaitable[Work]],
) -> Job:
    """The job of what ``prepare`` answers, which may refuse; a request that came before gets the job of then."""
    answer = await requests.replayed(tenant, request_id, fingerprint)
    work = None
    if answer is None:
        work = await prepare()
        answer = {"job_id": f"job_{uuid.uuid4().hex}"}
        try:
            await requests.remember(tenant, request_id, fingerprint, answer)
        except AlreadyExists:
            answer = await requests.replayed(tenant, request_id, fingerprint) or answer
    try:
        return await jobs.get(tenant, answer["job_id"])
    except JobNotFound:
        return await jobs.start(tenant, kind, work or await prepare(), answer["job_id"])
