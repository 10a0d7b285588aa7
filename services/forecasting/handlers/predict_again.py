"""Predict anew, by the newest model as it was fitted, who has other orders since customers were merged or parted."""

import asyncio
from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import Any

from services.forecasting.domain.customers import CustomerModel, Histories, Prediction
from services.forecasting.domain.propensity import Moment, Propensity, PropensityModel
from services.forecasting.handlers.fit_propensity import propensities_of
from services.forecasting.handlers.value_customers import predictions, restored
from services.forecasting.learning.lightgbm_runtime import missing
from services.forecasting.learning.propensity import load
from services.forecasting.ports import CustomerModels, Lines, Moments, PropensityModels
from services.forecasting.ports.fits import Fits

_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class PredictingAgain:
    """What is said of customers by models of all kinds, after merges and their undoing.

    ``others``: models that cannot be asked again. Of who is left is said what was said of them.
    """

    lines: Lines
    moments: Moments
    models: CustomerModels
    propensities: PropensityModels
    others: Sequence[Fits[Any, Any]]

    async def __call__(self, tenant: str, moved: Collection[tuple[str, str]]) -> None:
        """``moved``: whose orders were, and whose they are. Again, it changes nothing."""
        await predict_again(self.lines, self.models, tenant, moved)
        pairs = list(moved)
        for begin in range(0, len(pairs), _AT_ONCE):
            some = pairs[begin : begin + _AT_ONCE]
            for model in await self.propensities.newest(tenant):
                await self._likely_again(tenant, model, some)
            for kind in self.others:
                for model in await kind.newest(tenant):
                    sources = [source for source, _ in some]
                    left = await self.lines.histories(tenant, model.currency, model.as_of, model.as_of, sources)
                    gone = [pair for pair in some if pair[0] not in set(left.ids)]
                    if gone:
                        await kind.carry(tenant, model.model_id, gone)

    async def _likely_again(self, tenant: str, model: PropensityModel, moved: Sequence[tuple[str, str]]) -> None:
        """Nothing changes where the model knows nothing of whose orders were."""
        name, sources = model.model_id, [source for source, _ in moved]
        known = {it.customer_id for it in await self.propensities.of_customers(tenant, sources, [name])}
        touched = sorted(set(chain.from_iterable(pair for pair in moved if pair[0] in known)))
        if not touched:
            return
        moment = await self.moments.moment(tenant, model.currency, model.goal, model.as_of, touched)
        gone = set(touched) - set(moment.ids)
        said = await asyncio.to_thread(_likely, model, moment)
        if said is None:
            await self.propensities.carry(tenant, name, [pair for pair in moved if pair[0] in gone])
            return
        placed = [replace(it, percentile=await self._place(tenant, it)) for it in said]
        await self.propensities.correct(tenant, name, model.version, placed, sorted(gone))

    async def _place(self, tenant: str, it: Propensity) -> int:
        """The hundredth of who is next below; all others stay in theirs until the next fit."""
        below = await self.propensities.below(tenant, it.model_id, it.version, it.probability)
        return below.percentile if below else 1


def _likely(model: PropensityModel, moment: Moment) -> list[Propensity] | None:
    """What the model says of these customers; ``None`` where it cannot be asked on this machine, or any more."""
    if not len(moment):
        return []
    trees = None if missing() else load(model.learnt)
    if trees is None or trees.booster.num_feature() != moment.features.shape[1]:
        return None
    said = trees.probabilities(moment.features)
    return list(chain.from_iterable(propensities_of(model, trees, moment, said)))


async def predict_again(lines: Lines, models: CustomerModels, tenant: str, moved: Collection[tuple[str, str]]) -> None:
    """``moved``: whose orders were, and whose they are. Nothing changes where the model knows nothing of the former."""
    async with models.turn():
        model = await models.get(tenant)
        if model is None:
            return
        known = {it.customer_id for it in await models.predictions(tenant, [source for source, _ in moved])}
        touched = sorted(set(chain.from_iterable(pair for pair in moved if pair[0] in known)))
        if touched:
            histories = await lines.histories(tenant, model.currency, model.as_of, model.as_of, touched)
            found = await asyncio.to_thread(_predicted, histories, model)
            await models.correct(tenant, found, sorted(set(touched) - set(histories.ids)))


def _predicted(histories: Histories, model: CustomerModel) -> list[Prediction]:
    return list(chain.from_iterable(predictions(histories, restored(model), model)))
