"""Trainings as background jobs."""

from collections.abc import Awaitable, Callable

from services.common.jobs import JobNotFound, Jobs, State
from services.recommendation.ports import Progress

TRAIN_MODEL = "train_model"


class StoredTrainingJobs:
    """The port ``TrainingJobs``; every job of this service is a training."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs

    async def unfinished(self, tenant: str) -> str:
        newest, _ = await self._jobs.list(tenant, 1, "")
        return next((job.job_id for job in newest if job.state in (State.PENDING, State.RUNNING)), "")

    async def known(self, tenant: str, job_id: str) -> bool:
        try:
            await self._jobs.get(tenant, job_id)
        except JobNotFound:
            return False
        return True

    async def start(self, tenant: str, job_id: str, work: Callable[[Progress], Awaitable[dict[str, str]]]) -> str:
        return (await self._jobs.start(tenant, TRAIN_MODEL, work, job_id)).job_id
