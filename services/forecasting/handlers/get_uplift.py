"""Read uplift models and what they say of customers."""

from services.forecasting.domain.uplift import Uplift, UpliftModel, UpliftModelNotFound
from services.forecasting.ports.uplifts import UpliftModels


async def get_uplift_model(models: UpliftModels, tenant: str, model_id: str, version: int) -> UpliftModel:
    """The model of that version, 0 for the newest; ``UpliftModelNotFound``."""
    found = await models.get(tenant, model_id, version)
    if found is None:
        what = f"version {version} of {model_id}" if version else model_id
        raise UpliftModelNotFound(f"there is no uplift model {what}; fit one", model_id=model_id)
    return found


async def list_uplifts(
    models: UpliftModels, tenant: str, model_id: str, limit: int, after: str
) -> tuple[list[Uplift], str]:
    """A page of what the newest version says, the highest uplift first; ``UpliftModelNotFound``."""
    model = await get_uplift_model(models, tenant, model_id, 0)
    return await models.page(tenant, model_id, model.version, limit, after)
