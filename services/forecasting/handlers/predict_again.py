"""Predict anew, by the newest model as it was fitted, who has other orders since customers were merged or parted."""

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from typing import Any, Protocol, Self, TypeAlias, TypeVar

from services.forecasting.domain.customers import CustomerModel, FloatArray, Histories, Prediction
from services.forecasting.domain.propensity import Goal, Moment, Propensity, PropensityModel
from services.forecasting.domain.uplift import Uplift, UpliftModel
from services.forecasting.handlers.boosted_values import Shop, features_of, trees_of
from services.forecasting.handlers.fit_propensity import propensities_of
from services.forecasting.handlers.prefer_again import prefer_again
from services.forecasting.handlers.say_uplifts import UpliftSaying
from services.forecasting.handlers.touched import touched
from services.forecasting.handlers.value_customers import predictions, restored
from services.forecasting.learning.lightgbm_runtime import missing
from services.forecasting.learning.propensity import load
from services.forecasting.learning.uplift_kept import load as load_uplift
from services.forecasting.learning.value_trees import ValueTrees
from services.forecasting.ports import CustomerModels, Lines, Moments, PropensityModels
from services.forecasting.ports.fits import Fits
from services.forecasting.ports.preferences import CategoryTastes, PreferenceModels
from services.forecasting.ports.uplifts import UpliftModels

_AT_ONCE = 100


class _Asked(Protocol):
    """A model of a goal that can be asked again."""

    @property
    def model_id(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def goal(self) -> Goal: ...
    @property
    def currency(self) -> str: ...
    @property
    def as_of(self) -> int: ...


class _Said(Protocol):
    """What such a model says of a customer."""

    @property
    def model_id(self) -> str: ...
    @property
    def version(self) -> int: ...
    @property
    def customer_id(self) -> str: ...
    @property
    def percentile(self) -> int: ...
    @property
    def rank(self) -> float: ...
    def at(self, percentile: int) -> Self: ...


M = TypeVar("M", bound=_Asked)
S = TypeVar("S", bound=_Said)
_Ask: TypeAlias = Callable[[M, Moment], Awaitable[list[S] | None]]
"""What a model says of customers; ``None`` where it cannot be asked."""


@dataclass(frozen=True, slots=True)
class PredictingAgain:
    """What is said of customers by models of all kinds, after merges and their undoing."""

    lines: Lines
    moments: Moments
    models: CustomerModels
    propensities: PropensityModels
    uplifts: UpliftModels
    tastes: CategoryTastes
    preferences: PreferenceModels

    async def __call__(self, tenant: str, moved: Collection[tuple[str, str]]) -> None:
        """``moved``: whose orders were, and whose they are. Again, it changes nothing."""
        await predict_again(self.lines, self.moments, self.models, tenant, moved)
        pairs = list(moved)
        for begin in range(0, len(pairs), _AT_ONCE):
            some = pairs[begin : begin + _AT_ONCE]
            for model in await self.propensities.newest(tenant):
                await self._said_again(tenant, self.propensities, model, some, _probable)
            for answer in await self.uplifts.newest(tenant):
                await self._said_again(tenant, self.uplifts, answer, some, partial(self._answers, tenant))
            await prefer_again(self.tastes, self.preferences, tenant, some)

    async def _said_again(
        self, tenant: str, kind: Fits[M, S], model: M, moved: Sequence[tuple[str, str]], ask: "_Ask[M, S]"
    ) -> None:
        """Nothing changes where the model knows nothing of whose orders were."""
        name, sources = model.model_id, [source for source, _ in moved]
        of = touched(moved, await kind.of_customers(tenant, sources, [name]))
        if not of:
            return
        moment = await self.moments.moment(tenant, model.currency, model.goal, model.as_of, of)
        gone = set(of) - set(moment.ids)
        said = await ask(model, moment)
        if said is None:
            await kind.carry(tenant, name, [pair for pair in moved if pair[0] in gone])
            return
        placed = [it.at(await self._percentile(tenant, kind, it)) for it in said]
        await kind.correct(tenant, name, model.version, placed, sorted(gone))

    async def _percentile(self, tenant: str, kind: Fits[M, S], it: S) -> int:
        """The hundredth of who is next below; all others stay in theirs until the next fit."""
        below = await kind.below(tenant, it.model_id, it.version, it.rank)
        return below.percentile if below else 1

    async def _answers(self, tenant: str, model: UpliftModel, moment: Moment) -> list[Uplift] | None:
        """By what the model learnt; ``None`` where that is not kept."""
        learnt = await self.uplifts.learnt(tenant, model.model_id, model.version)
        return None if learnt is None else await asyncio.to_thread(_answering, model, learnt, moment)


async def _probable(model: PropensityModel, moment: Moment) -> list[Propensity] | None:
    return await asyncio.to_thread(_likely, model, moment)


def _likely(model: PropensityModel, moment: Moment) -> list[Propensity] | None:
    """What the model says of these customers; ``None`` where it cannot be asked on this machine, or any more."""
    if not len(moment):
        return []
    trees = None if missing() else load(model.learnt)
    if trees is None or trees.booster.num_feature() != moment.features.shape[1]:
        return None
    said = trees.probabilities(moment.features)
    return list(chain.from_iterable(propensities_of(model, trees, moment, said)))


def _answering(model: UpliftModel, learnt: Mapping[str, Any], moment: Moment) -> list[Uplift] | None:
    """As ``_likely``."""
    if not len(moment):
        return []
    found = None if missing() else load_uplift(learnt, moment.features.shape[1])
    if found is None:
        return None
    saying = UpliftSaying(model, *found)
    uplift, half = saying.trees.uplift(moment.features)
    return list(chain.from_iterable(saying.of(moment, uplift, half, [1] * len(moment))))


async def predict_again(
    lines: Lines, moments: Moments, models: CustomerModels, tenant: str, moved: Collection[tuple[str, str]]
) -> None:
    """``moved``: whose orders were, and whose they are. Nothing changes where the model knows nothing of the former.
    Where its trees cannot be asked, the models of purchases and amounts speak alone."""
    async with models.turn():
        model = await models.get(tenant)
        if model is None:
            return
        of = touched(moved, await models.predictions(tenant, [source for source, _ in moved]))
        if of:
            histories = await lines.histories(tenant, model.currency, model.as_of, model.as_of, of)
            trees, features = await trees_of(models, tenant, model), None
            if trees:
                shop = Shop(tenant, model.currency, model.start)
                features = await features_of(moments, shop, model.as_of, model.horizon_days, histories, everybody=False)
            found = await asyncio.to_thread(_predicted, histories, model, trees, features)
            await models.correct(tenant, found, sorted(set(of) - set(histories.ids)))


def _predicted(
    histories: Histories, model: CustomerModel, trees: ValueTrees | None, features: FloatArray | None
) -> list[Prediction]:
    return list(chain.from_iterable(predictions(histories, restored(model), model, trees, features)))
