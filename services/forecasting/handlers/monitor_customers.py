"""Compare what a customer model said with what came, once its horizon has passed."""

import asyncio
from dataclasses import asdict, dataclass

import numpy as np

from services.forecasting.domain.customers import CustomerModel, Decile, FloatArray, Histories, Holdout, ModelError
from services.forecasting.domain.periods import DAY
from services.forecasting.domain.propensity import HorizonNotOver
from services.forecasting.handlers.fit_customer_model import CustomerFitting
from services.forecasting.handlers.get_customers import get_customer_model
from services.forecasting.handlers.value_customers import predictions, restored
from services.forecasting.learning.holdout import compare
from services.forecasting.ports import CustomerModels

VERSIONS_MAX = 20
"""So many versions before the newest are looked at for one whose horizon has passed."""


@dataclass(frozen=True, slots=True)
class Said:
    """What was expected of customers, one row each."""

    orders: FloatArray
    revenue: FloatArray
    probability_of_order: FloatArray


async def monitor_customers(fitting: CustomerFitting, tenant: str, version: int) -> tuple[int, str, Holdout]:
    """Which version (0: the newest whose horizon has passed), its currency, and its expectations against what came
    since; ``CustomerModelNotFound``, ``HorizonNotOver``.

    What it said then is worked out anew from what was known then, so nothing is kept of customers for it.
    """
    newest = await get_customer_model(fitting.models, tenant, version)
    extent = await fitting.lines.extent(tenant)
    last = extent.last_time if extent else 0
    model: CustomerModel | None = newest
    while model is not None and _end(model) > last:
        model = None if version else await _before(fitting.models, tenant, model.version, newest.version)
    if model is None:
        raise HorizonNotOver(
            f"orders do not reach to the end of the {newest.horizon_days} days after the model's moment; ask again then"
        )
    then = await fitting.lines.histories(tenant, model.currency, model.as_of, _end(model))
    return model.version, model.currency, await asyncio.to_thread(_outcome, model, then)


def _end(model: CustomerModel) -> int:
    return model.as_of + model.horizon_days * DAY


async def _before(models: CustomerModels, tenant: str, version: int, newest: int) -> CustomerModel | None:
    """The next older version, not too long before the newest; fits that failed left their numbers unused."""
    for older in range(version - 1, max(newest - VERSIONS_MAX, 0), -1):
        if found := await models.get(tenant, older):
            return found
    return None


def _outcome(model: CustomerModel, then: Histories) -> Holdout:
    agreement = compare(_said(model, then), then.later_count, then.later_minor)
    errors = ModelError(model.model, agreement.order_rmse, agreement.order_bias, model.purchase_log_likelihood)
    return Holdout(
        start=model.as_of,
        customer_count=len(then.ids),
        order_rmse=agreement.order_rmse,
        order_bias=agreement.order_bias,
        revenue_bias=agreement.revenue_bias,
        revenue_rank_correlation=agreement.revenue_rank_correlation,
        brier=agreement.brier,
        churn_auc=agreement.churn_auc,
        top_decile_revenue_share=agreement.top_decile_revenue_share,
        deciles=tuple(Decile(**asdict(part)) for part in agreement.parts),
        errors=(errors,),
    )


def _said(model: CustomerModel, then: Histories) -> Said:
    chunks = [
        np.array([(it.expected_orders, it.expected_revenue, 1 - it.churn_probability) for it in chunk])
        for chunk in predictions(then, restored(model), model)
    ]
    return Said(*np.concatenate(chunks).T)
