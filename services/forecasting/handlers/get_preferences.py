"""Read models of category preferences and what they say of customers."""

from services.forecasting.domain.preference import (
    MODEL_ID,
    CategoryPreferenceModel,
    CategoryPreferenceModelNotFound,
    CategoryPreferences,
)
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
