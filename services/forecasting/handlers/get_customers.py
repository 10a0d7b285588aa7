"""Read the customer model, and what it says of customers."""

from services.forecasting.domain.customers import (
    CustomerModel,
    CustomerModelNotFound,
    CustomerPredictionNotFound,
    Prediction,
)
from services.forecasting.ports import CustomerModels


async def get_customer_model(models: CustomerModels, tenant: str, version: int) -> CustomerModel:
    """The model of that version, 0 for the newest; ``CustomerModelNotFound``."""
    found = await models.get(tenant, version)
    if found is None:
        what = f"version {version} was not fitted" if version else "no customer model was fitted; fit one"
        raise CustomerModelNotFound(what)
    return found


async def get_customer_prediction(models: CustomerModels, tenant: str, customer_id: str) -> Prediction:
    """What the newest model says of the customer; ``CustomerPredictionNotFound``."""
    found = await models.predictions(tenant, [customer_id])
    if not found:
        raise CustomerPredictionNotFound(
            f"the newest customer model does not know {customer_id}", customer_id=customer_id
        )
    return found[0]
