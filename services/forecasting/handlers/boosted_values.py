"""Trees of what customers spend, from moments of a tenant's own past whose horizons are over."""

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from services.forecasting.domain.customers import (
    REPEAT_CUSTOMERS_MIN,
    CustomerModel,
    FloatArray,
    Histories,
    ModelName,
    ValueMethod,
)
from services.forecasting.domain.propensity import FEATURES, Goal, Moment
from services.forecasting.handlers.fit_propensity import MOMENTS_MAX, moments_until
from services.forecasting.learning.customer_value import Spending, expect, fit_value_model
from services.forecasting.learning.lightgbm_runtime import missing
from services.forecasting.learning.propensity import sampled
from services.forecasting.learning.purchases import Purchases, purchases
from services.forecasting.learning.value_trees import ROWS_MAX, Examples, Known, ValueTrees, grow, load, together
from services.forecasting.ports import CustomerModels, Moments

READ_MAX = 2_000_000
"""Of how many customers at moments of the past figures are made for one set of trees, about: of large shops fewer
moments are read, as even those are thinned to ``ROWS_MAX``."""
_MOMENTS_MIN = 2
_AT_ONCE = 5_000
CORRECTING = {ValueMethod.BOOSTING: False, ValueMethod.COMBINATION: True}
"""The methods of trees, and whether those correct what the models of purchases and amounts expect."""


@dataclass(frozen=True, slots=True)
class Shop:
    """Whose customers, and since when (microseconds) there are orders."""

    tenant: str
    currency: str
    first: int


@dataclass(frozen=True, slots=True)
class Learnt:
    """The trees of each method, and of how many moments."""

    trees: Mapping[ValueMethod, ValueTrees]
    moment_count: int


async def learn(
    moments: Moments,
    shop: Shop,
    end: int,
    horizon_days: int,
    name: ModelName,
    methods: Sequence[ValueMethod],
) -> Learnt | None:
    """Trees of each method, knowing nothing after ``end``; ``None`` where the past shows too little."""
    goal, found = Goal(horizon_days, absent=True), list[Examples]()
    times, limit = moments_until(shop.first, end, goal.horizon), MOMENTS_MAX
    for number, at in enumerate(times):
        if number >= limit:
            break
        moment = await moments.moment(shop.tenant, shop.currency, goal, at)
        limit = min(max(READ_MAX // max(len(moment), 1), _MOMENTS_MIN), MOMENTS_MAX)
        share = ROWS_MAX / max(len(moment) * min(limit, len(times)), 1)
        found += await asyncio.to_thread(_examples, sampled(moment, share), at, horizon_days, name)
    came = sum(float(it.came.sum()) for it in found)
    if not 0 < came < sum(len(it.ids) for it in found):
        return None
    return await asyncio.to_thread(_grown, found, methods)


def _grown(examples: Sequence[Examples], methods: Sequence[ValueMethod]) -> Learnt:
    joined = together(examples)
    return Learnt({it: grow(joined, correcting=CORRECTING[it]) for it in methods}, len(examples))


def _examples(moment: Moment, at: int, horizon_days: int, name: ModelName) -> list[Examples]:
    """The moment's customers, with what the models expect that are fitted to them as they were then; none where too few
    of them had come back to tell."""
    rows, spending = _rows(moment)
    if int((spending.count > 1).sum()) < REPEAT_CUSTOMERS_MIN:
        return []
    model = fit_value_model(name.name.lower(), rows, spending)
    known = Known(moment.features, expect(model, rows, spending, horizon_days, horizon_days, 0.0))
    return [Examples(moment.ids, known, (~moment.reached).astype(np.float64), moment.amount)]


def _rows(moment: Moment) -> tuple[Purchases, Spending]:
    """What the models of purchases and amounts know of the moment's customers."""
    columns = ("purchase_days", "tenure_days", "recency_days", "amount")
    count, tenure, recency, amount = (moment.features[:, FEATURES.index(it)] for it in columns)
    rows = purchases(count.astype(np.int64) - 1, (tenure - recency).astype(np.int64), tenure.astype(np.int64))
    return rows, Spending(count.astype(np.int64), amount / count)


async def features_of(
    moments: Moments, shop: Shop, at: int, horizon_days: int, histories: Histories, *, everybody: bool
) -> FloatArray:
    """What is known at a moment of those of ``histories``, in their order; NaN of who is not there any more.

    ``everybody``: whether these are all customers.
    """
    goal, ids = Goal(horizon_days, absent=True), histories.ids
    if everybody:
        return _aligned([await moments.moment(shop.tenant, shop.currency, goal, at)], ids)
    rest, found = iter(ids), list[Moment]()
    while some := list(islice(rest, _AT_ONCE)):
        found.append(await moments.moment(shop.tenant, shop.currency, goal, at, some))
    return _aligned(found, ids)


def _aligned(found: Sequence[Moment], ids: Sequence[str]) -> FloatArray:
    if len(found) == 1 and list(found[0].ids) == list(ids):
        return found[0].features
    place = {customer_id: number for number, customer_id in enumerate(ids)}
    features = np.full((len(ids), len(FEATURES)), np.nan)
    for moment in found:
        at = np.array([place.get(customer_id, -1) for customer_id in moment.ids], dtype=np.int64)
        features[at[at >= 0]] = moment.features[at >= 0]
    return features


async def trees_of(models: CustomerModels, tenant: str, model: CustomerModel) -> ValueTrees | None:
    """The trees of a model as it was fitted; ``None`` for one without, or that cannot be asked on this machine or any
    more."""
    plain = None if missing() else await models.learnt(tenant, model.version)
    if model.method not in CORRECTING or plain is None:
        return None
    trees = await asyncio.to_thread(load, plain)
    return trees if trees.asks(len(FEATURES)) else None
