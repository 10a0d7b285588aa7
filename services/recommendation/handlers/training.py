"""Train models, and say what was learnt."""

from dataclasses import dataclass

from services.common.errors import FailedPrecondition, NotFound
from services.recommendation.domain.demand import HalfLifeInvalid
from services.recommendation.domain.drift import Drift
from services.recommendation.domain.drift_settings import USUAL, DriftSettings
from services.recommendation.domain.model import Training
from services.recommendation.handlers.drift import measure_drift
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


class ModelNotFound(NotFound):
    """No model has this version."""


class NoOtherModel(FailedPrecondition):
    """There is no earlier model to return to."""


class ModelNotKept(FailedPrecondition):
    """Only the figures of this model are left."""


@dataclass(frozen=True, slots=True)
class Status:
    """What the service has learnt so far."""

    applied_cursor: str
    interaction_count: int
    item_count: int
    live: Training | None
    training: bool
    drift: Drift | None = None
    """Unset before the first training."""


def check_half_life(days: float) -> None:
    """``HalfLifeInvalid`` out of the range; 0 is to be chosen."""
    if days and not HALF_LIFE_DAYS_MIN <= days <= HALF_LIFE_DAYS_MAX:
        raise HalfLifeInvalid("half_life_duration must be from one day to 100 years", field="half_life_duration")


async def train_model(
    models: Models,
    interactions: Interactions,
    jobs: TrainingJobs,
    requests: Requests,
    request: Request,
    parameters: Parameters,
) -> str:
    """Start a training: the id of its job. The job's id is that of the request, so a replay finds the same job."""
    check_half_life(parameters.half_life_days)
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


async def train_if_due(
    models: Models,
    interactions: Interactions,
    jobs: TrainingJobs,
    tenant: str,
    parameters: Parameters,
    made_before: int,
) -> str:
    """Train again if the live model was made before a time (in microseconds), something has happened since, and no
    training is at work: the id of the job, or empty."""
    live = await models.training_of_live(tenant)
    if live is None or live.create_time > made_before:
        return ""
    if await jobs.unfinished(tenant) or not await interactions.anything_since(tenant, live.position):
        return ""
    return await _start(models, jobs, tenant, parameters, "")


async def _start(models: Models, jobs: TrainingJobs, tenant: str, parameters: Parameters, job_id: str) -> str:
    async def work(progress: Progress) -> dict[str, str]:
        training = await models.train(tenant, parameters, progress)
        measured = {name: f"{value:.6f}" for name, value in training.metrics.items()}
        went_live = parameters.accept_worse or not training.worse_than_live
        return {"model_version": training.model_version, "went_live": str(went_live).lower(), **measured}

    return await jobs.start(tenant, job_id, work)


async def rollback_model(models: Models, requests: Requests, request: Request, version: str) -> Training:
    """Make a kept model live, the one before the live one if none is named. ``ModelNotFound``, ``NoOtherModel``,
    ``ModelNotKept``."""
    tenant = request.tenant
    if answered := await requests.replayed(request):
        return await _known(models, tenant, str(answered["model_version"]))
    kept = await models.kept(tenant)
    if not version:
        live = await models.training_of_live(tenant)
        earlier = [each for each in kept if live is None or each < live.model_version]
        if not earlier:
            raise NoOtherModel("no earlier model is kept; train one, or name a model that is kept")
        version = earlier[-1]
    training = await _known(models, tenant, version)
    if version not in kept:
        raise ModelNotKept(f"the arrays of model {version} were removed; train again", model_version=version)
    await models.make_live(request, version)
    return training


async def _known(models: Models, tenant: str, version: str) -> Training:
    if (training := await models.find(tenant, version)) is None:
        raise ModelNotFound(f"there is no model {version}", model_version=version)
    return training


async def get_status(
    models: Models,
    interactions: Interactions,
    catalogue: Catalogue,
    jobs: TrainingJobs,
    tenant: str,
    settings: DriftSettings = USUAL,
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
        drift=await measure_drift(models, interactions, catalogue, tenant, settings),
    )
