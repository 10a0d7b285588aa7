"""Read models of category preferences and what they say of customers, and compare that with what came."""

import asyncio

from services.forecasting.domain.preference import (
    MODEL_ID,
    CategoryPreferenceModel,
    CategoryPreferenceModelNotFound,
    CategoryPreferences,
    ModelNotKept,
    PreferenceQuality,
)
from services.forecasting.domain.propensity import HorizonNotOver
from services.forecasting.handlers.fit_preferences import PreferenceFitting
from services.forecasting.handlers.fitting import check_learner
from services.forecasting.learning.preference import measure, restored
from services.forecasting.ports.preferences import PreferenceModels


async def get_preference_model(models: PreferenceModels, tenant: str, version: int) -> CategoryPreferenceModel:
    """The model of that version, 0 for the newest; ``CategoryPreferenceModelNotFound``."""
    found = await models.get(tenant, MODEL_ID, version)
    if found is None:
        what = f"no version {version} of the model" if version else "no model"
        raise CategoryPreferenceModelNotFound(f"there is {what} of category preferences; fit one", version=version)
    return found


async def list_preferences(
    models: PreferenceModels, tenant: str, category: str, limit: int, after: str
) -> tuple[list[CategoryPreferences], str]:
    """A page of what the newest version says of the customers whose likeliest category this is (empty: of all), those
    surest of it first; ``CategoryPreferenceModelNotFound``."""
    model = await get_preference_model(models, tenant, 0)
    return await models.page_of(tenant, model.version, category, limit, after)


async def monitor_preferences(fitting: PreferenceFitting, tenant: str, version: int) -> tuple[int, PreferenceQuality]:
    """Which version, and its probabilities against what came since; ``HorizonNotOver``,
    ``CategoryPreferenceModelNotFound``, ``ModelNotKept``, ``LearnerMissing``.

    What it said then is worked out anew from what was known then, so nothing is kept of customers for it.
    """
    asked = await get_preference_model(fitting.models, tenant, version)
    kept = [asked] if version else await fitting.models.versions(tenant, MODEL_ID)
    extent = await fitting.lines.extent(tenant)
    last = extent.last_time if extent else 0
    model = next((it for it in kept if it.as_of + it.horizon <= last), None)
    if model is None:
        raise HorizonNotOver(
            f"what is known does not reach to the end of the {asked.horizon_days} days after the model's moment",
            version=asked.version,
        )
    check_learner()
    trees = await asyncio.to_thread(restored, model.learnt)
    if trees is None:
        raise ModelNotKept(
            f"version {model.version} cannot be asked again: it was fitted before its trees were kept; fit another, as "
            "of a moment whose horizon is over",
            version=model.version,
        )
    days = model.horizon_days
    then = await fitting.tastes.tastes(tenant, model.currency, days, model.as_of, model.categories)
    return model.version, await asyncio.to_thread(measure, model.as_of, trees, then, days)
