"""Read propensity models and what they say of customers, and compare that with what came."""

import asyncio

from services.forecasting.domain.propensity import (
    HorizonNotOver,
    Propensity,
    PropensityModel,
    PropensityModelNotFound,
    Quality,
)
from services.forecasting.handlers.fit_propensity import PropensityFitting
from services.forecasting.handlers.fitting import extent_of
from services.forecasting.learning.propensity import load, quality
from services.forecasting.ports import PropensityModels


async def get_propensity_model(models: PropensityModels, tenant: str, model_id: str, version: int) -> PropensityModel:
    """The model of that version, 0 for the newest; ``PropensityModelNotFound``."""
    found = await models.get(tenant, model_id, version)
    if found is None:
        what = f"version {version} of {model_id}" if version else model_id
        raise PropensityModelNotFound(f"there is no propensity model {what}; fit one", model_id=model_id)
    return found


async def list_propensities(
    models: PropensityModels, tenant: str, model_id: str, limit: int, after: str
) -> tuple[list[Propensity], str]:
    """A page of what the newest version says, the likeliest first; ``PropensityModelNotFound``."""
    model = await get_propensity_model(models, tenant, model_id, 0)
    return await models.page(tenant, model_id, model.version, limit, after)


async def monitor_propensity(
    fitting: PropensityFitting, tenant: str, model_id: str, version: int
) -> tuple[int, Quality]:
    """Which version, and its probabilities against what came since; ``HorizonNotOver``, ``PropensityModelNotFound``.

    What it said then is worked out anew from what was known then, so nothing is kept of customers for it.
    """
    newest = await get_propensity_model(fitting.models, tenant, model_id, version)
    extent = await extent_of(fitting.lines, fitting.moments, tenant, newest.goal)
    last = extent.last_time if extent else 0
    model: PropensityModel | None = newest
    while model is not None and model.as_of + model.goal.horizon > last:
        model = None if version else await _before(fitting.models, tenant, model)
    if model is None:
        raise HorizonNotOver(
            f"what is known does not reach to the end of the {newest.goal.horizon_days} days after the model's moment",
            model_id=model_id,
        )
    then = await fitting.moments.moment(tenant, model.currency, model.goal, model.as_of)
    said = await asyncio.to_thread(load(model.learnt).probabilities, then.features)
    return model.version, await asyncio.to_thread(quality, model.as_of, said, then.reached)


async def _before(models: PropensityModels, tenant: str, model: PropensityModel) -> PropensityModel | None:
    """The newest version before this one that is kept."""
    for version in range(model.version - 1, max(model.version - models.kept, 0), -1):
        if found := await models.get(tenant, model.model_id, version):
            return found
    return None
