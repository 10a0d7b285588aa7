"""Train models, and say what was learnt."""

from dataclasses import dataclass

from services.common.errors import FailedPrecondition, InvalidArgument
from services.recommendation.domain.model import Training
from services.recommendation.ports import (
    Catalogue,
    Interactions,
    Models,
    Parameters,
    Progress,
    Request,
    Requests,
    TrainingJobs,
)

HALF_LIFE_DAYS_MIN = 1.0
HALF_LIFE_DAYS_MAX = 36_525.0


class NoInteractions(FailedPrecondition):
    """There is nothing to learn from yet."""


class TrainingInProgress(FailedPrecondition):
    """Another training of the tenant runs. Metadata ``job_id`` names it."""


class HalfLifeInvalid(InvalidArgument):
    """A half-life out of bounds."""


@dataclass(frozen=True, slots=True)
class Status:
    """What the service has learnt so far."""

    applied_cursor: str
    interaction_count: int
    item_count: int
    live: Training | None
    training: bool


async def train_model(
    models: Models,
    interactions: Interactions,
    jobs: TrainingJobs,
    requests: Requests,
    request: Request,
    parameters: Parameters,
) -> str:
    """Start a training: the id of its job. The job's id is that of the request, so a replay finds the same job."""
    if not HALF_LIFE_DAYS_MIN <= parameters.half_life_days <= HALF_LIFE_DAYS_MAX:
        raise HalfLifeInvalid("half_life_duration must be from one day to 100 years", field="half_life_duration")
    tenant = request.tenant
    answered = await requests.replayed(request)
    job_id = str(answered["job_id"]) if answered else f"train-{request.id}"
    if answered and await jobs.known(tenant, job_id):
        return job_id
    if running := await jobs.unfinished(tenant):
        raise TrainingInProgress(f"training {running} is not done yet; wait for it", job_id=running)
    if not await interactions.count(tenant):
        raise NoInteractions("no purchases are recorded yet; training needs some")
    await requests.remember(request, {"job_id": job_id})
    await _start(models, jobs, tenant, parameters, job_id)
    return job_id


async def train_again(models: Models, jobs: TrainingJobs, tenant: str, parameters: Parameters) -> str:
    """Replace a model that cannot be read: the id of the job."""
    return await _start(models, jobs, tenant, parameters, "")


async def _start(models: Models, jobs: TrainingJobs, tenant: str, parameters: Parameters, job_id: str) -> str:
    async def work(progress: Progress) -> dict[str, str]:
        training = await models.train(tenant, parameters, progress)
        measured = {name: f"{value:.6f}" for name, value in training.metrics.items()}
        return {"model_version": training.model_version, **measured}

    return await jobs.start(tenant, job_id, work)


async def get_status(
    models: Models, interactions: Interactions, catalogue: Catalogue, jobs: TrainingJobs, tenant: str
) -> Status:
    """How far the service is."""
    # The cursor first: what is counted after it is at least what the cursor promises.
    cursor = await interactions.cursor()
    return Status(
        applied_cursor=cursor,
        interaction_count=await interactions.count(tenant),
        item_count=await catalogue.count(tenant),
        live=await models.training_of_live(tenant),
        training=bool(await jobs.unfinished(tenant)),
    )
