"""Compare what a customer model said with what came, once its horizon has passed."""

import asyncio
from dataclasses import dataclass

import numpy as np

from services.forecasting.domain.customers import (
    CustomerModel,
    CustomerModelNotFound,
    FloatArray,
    Histories,
    Holdout,
    ModelError,
)
from services.forecasting.domain.periods import DAY
from services.forecasting.domain.propensity import HorizonNotOver
from services.forecasting.handlers.boosted_values import CORRECTING, Shop, features_of, trees_of
from services.forecasting.handlers.fit_customer_model import CustomerFitting
from services.forecasting.handlers.fitting import check_learner
from services.forecasting.handlers.get_customers import get_customer_model
from services.forecasting.handlers.value_customers import against, predictions, restored
from services.forecasting.learning.holdout import compare
from services.forecasting.learning.value_trees import ValueTrees
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
    since; ``CustomerModelNotFound``, ``HorizonNotOver``, ``LearnerMissing``.

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
    trees, features = await _learnt(fitting, tenant, model, then)
    return model.version, model.currency, await asyncio.to_thread(_outcome, model, then, trees, features)


async def _learnt(
    fitting: CustomerFitting, tenant: str, model: CustomerModel, then: Histories
) -> tuple[ValueTrees | None, FloatArray | None]:
    """The trees of a version that has some, and what was known of each customer then."""
    if model.method not in CORRECTING:
        return None, None
    check_learner()
    trees = await trees_of(fitting.models, tenant, model)
    if trees is None:
        raise CustomerModelNotFound(f"the trees of version {model.version} are not kept any more; ask for a newer one")
    shop, days = Shop(tenant, model.currency, model.start), model.horizon_days
    return trees, await features_of(fitting.moments, shop, model.as_of, days, then, everybody=True)


def _end(model: CustomerModel) -> int:
    return model.as_of + model.horizon_days * DAY


async def _before(models: CustomerModels, tenant: str, version: int, newest: int) -> CustomerModel | None:
    """The next older version, not too long before the newest; fits that failed left their numbers unused."""
    for older in range(version - 1, max(newest - VERSIONS_MAX, 0), -1):
        if found := await models.get(tenant, older):
            return found
    return None


def _outcome(model: CustomerModel, then: Histories, trees: ValueTrees | None, features: FloatArray | None) -> Holdout:
    agreement = compare(_said(model, then, trees, features), then.later_count, then.later_minor)
    error = ModelError(model.model, agreement.order_rmse, agreement.order_bias, model.purchase_log_likelihood)
    return against(agreement, model.as_of, len(then.ids), [error], {model.method: agreement})


def _said(model: CustomerModel, then: Histories, trees: ValueTrees | None, features: FloatArray | None) -> Said:
    chunks = [
        np.array([(it.expected_orders, it.expected_revenue, 1 - it.churn_probability) for it in chunk])
        for chunk in predictions(then, restored(model), model, trees, features)
    ]
    return Said(*np.concatenate(chunks).T)
