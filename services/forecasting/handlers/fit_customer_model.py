"""Fit when customers buy, when they stop and how much they spend, and what follows for each: a job."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from services.common import telemetry
from services.common.clock import Clock, to_micros
from services.common.jobs import Job, Jobs, Progress
from services.forecasting.domain.customers import (
    REPEAT_CUSTOMERS_MIN,
    CustomerModel,
    DiscountRateInvalid,
    FitOptions,
    FloatArray,
    Histories,
    Holdout,
    ModelName,
    TooFewRepeatCustomers,
    ValueMethod,
)
from services.forecasting.domain.measures import Dimension, Granularity, Measure
from services.forecasting.domain.periods import DAY
from services.forecasting.domain.propensity import (
    EXAMPLES_MIN,
    HORIZONS_MIN,
    LearnerMissing,
    TooFewExamples,
    TooLittleHistory,
)
from services.forecasting.domain.series import Selection
from services.forecasting.handlers.boosted_values import CORRECTING, Learnt, Shop, features_of, learn
from services.forecasting.handlers.fit_propensity import MOMENTS_MAX, too_short
from services.forecasting.handlers.fitting import check_learner
from services.forecasting.handlers.get_series import check_instant
from services.forecasting.handlers.start_once import start_once
from services.forecasting.handlers.value_customers import (
    by_method,
    changed_since,
    chosen,
    evaluate,
    fit,
    frequency_amount_correlation,
    holdout_of,
    predictions,
)
from services.forecasting.learning.customer_value import FittedValueModel
from services.forecasting.learning.value_trees import ValueTrees
from services.forecasting.ports import CustomerModels, Lines, Moments, Requests

KIND = "fit_customer_model"
HOLDOUT_DAYS_MIN = 7
DISCOUNT_RATE_MAX = 10.0
_ALL = (ModelName.BG_NBD, ModelName.MBG_NBD, ModelName.PARETO_NBD)
_CORRELATION_HIGH, _BIAS_HIGH = 0.3, 0.2


@dataclass(frozen=True, slots=True)
class CustomerFitting:
    """What fitting customers needs from outside."""

    lines: Lines
    moments: Moments
    models: CustomerModels
    requests: Requests
    jobs: Jobs
    clock: Clock
    published: Callable[[], None]
    """Hears that there is a newer model."""
    examples_min: int = EXAMPLES_MIN
    """How many customers must have come, and how many not, within each of the last two horizons for trees."""


async def fit_customer_model(
    fitting: CustomerFitting, tenant: str, request_id: str, fingerprint: str, options: FitOptions
) -> Job:
    """The job that fits; a request that came before gets the job of then. Refusals as in the contract."""
    if not 0 <= options.discount_rate <= DISCOUNT_RATE_MAX:
        raise DiscountRateInvalid(f"the discount rate must lie between 0 and {DISCOUNT_RATE_MAX:.0f} a year")
    check_instant(options.as_of, "as_of_time")

    async def prepare() -> _Work:
        return await _prepared(fitting, tenant, options)

    return await start_once(fitting.requests, fitting.jobs, tenant, request_id, fingerprint, KIND, prepare)


async def _prepared(fitting: CustomerFitting, tenant: str, options: FitOptions) -> "_Work":
    extent = await fitting.lines.extent(tenant)
    if extent is None:
        raise _too_few(0)
    sales = Selection(Measure.SALES, Dimension.TOTAL, Granularity.DAY, currency=options.currency)
    currency = extent.currency(sales)
    as_of = extent.last_time if options.as_of is None else options.as_of
    histories = await fitting.lines.histories(tenant, currency, as_of, as_of)
    if histories.repeat_count < REPEAT_CUSTOMERS_MIN:
        raise _too_few(histories.repeat_count)
    work = _Work(fitting, tenant, options, currency, as_of, histories)
    if options.method is ValueMethod.PROBABILISTIC:
        return work
    try:
        await _check_trees(work)
    except (LearnerMissing, TooLittleHistory, TooFewExamples) as why:
        if options.method is not ValueMethod.BEST:
            raise
        return replace(work, obstacle=str(why))
    return work


async def _check_trees(work: "_Work") -> None:
    """``LearnerMissing``, ``TooLittleHistory``, ``TooFewExamples`` where no trees can be grown and compared."""
    check_learner()
    horizon = work.options.horizon_days
    span = (work.as_of - work.shop.first) // DAY
    if span < HORIZONS_MIN * horizon:
        raise too_short(span, horizon)
    least = work.fitting.examples_min
    for number in (1, 2):
        start = work.as_of - number * horizon * DAY
        then = await work.fitting.lines.histories(work.tenant, work.currency, start, start + horizon * DAY)
        came = int((then.later_count > 0).sum())
        missed = len(then.ids) - came
        if min(came, missed) < least or then.repeat_count < REPEAT_CUSTOMERS_MIN:
            raise TooFewExamples(
                f"{came} customers ordered within the {number}. horizon from the last and {missed} did not, and "
                f"{then.repeat_count} had come back before it; it takes {least}, {least} and {REPEAT_CUSTOMERS_MIN}",
                reached=came,
                missed=missed,
                minimum=least,
            )


def _too_few(count: int) -> TooFewRepeatCustomers:
    return TooFewRepeatCustomers(
        f"{count} customers bought on two days or more; {REPEAT_CUSTOMERS_MIN} are needed, wait for more orders",
        repeat_customers=count,
        minimum=REPEAT_CUSTOMERS_MIN,
    )


@dataclass(frozen=True, slots=True)
class _Way:
    """What was found out before the fit on all days: how it is told what customers will do."""

    names: Sequence[ModelName]
    method: ValueMethod
    holdout: Holdout | None


@dataclass(frozen=True, slots=True)
class _Fitted:
    """The models of all days, with trees and what these know of each customer, if there are any."""

    name: ModelName
    models: FittedValueModel
    learnt: Learnt | None = None
    features: FloatArray | None = None

    @property
    def trees(self) -> ValueTrees | None:
        return next(iter(self.learnt.trees.values())) if self.learnt else None


@dataclass(frozen=True, slots=True)
class _Work:
    fitting: CustomerFitting
    tenant: str
    options: FitOptions
    currency: str
    as_of: int
    histories: Histories
    obstacle: str = ""
    """Why no trees can be grown."""

    @property
    def shop(self) -> Shop:
        return Shop(self.tenant, self.currency, int(self.histories.first_day.min()) * DAY)

    async def __call__(self, progress: Progress) -> dict[str, str]:
        models = self.fitting.models
        with telemetry.span("forecasting.fit_customers", customers=len(self.histories.ids)):
            await progress(0.05, "comparing models with the last days")
            way = await self._way()
            await progress(0.2, "fitting on all days")
            fitted = await self._fitted(way)
            version = await models.claim(self.tenant)
            model = self._model(version, fitted, way)
            await self._write(model, fitted, progress)
            async with models.turn():  # what merges and erasures change comes before it, or after it
                await self._bring_up_to_date(model, fitted)
                model = replace(model, fit_time=to_micros(self.fitting.clock()))
                await models.publish(self.tenant, model, fitted.trees.dump() if fitted.trees else None)
            self.fitting.published()
        return _results(model)

    def _names(self) -> Sequence[ModelName]:
        return _ALL if self.options.model is ModelName.BEST else [self.options.model]

    async def _way(self) -> _Way:
        wanted = self.options.method
        without = _Way(self._names(), wanted or ValueMethod.PROBABILISTIC, None)
        days = _holdout_days(self.options, self.histories, self.as_of)
        if days < HOLDOUT_DAYS_MIN:
            return without
        until = self.as_of - days * DAY
        histories = await self.fitting.lines.histories(self.tenant, self.currency, until, self.as_of)
        if histories.repeat_count < REPEAT_CUSTOMERS_MIN:
            return without
        tried = await asyncio.to_thread(evaluate, histories, until, days, self._names(), self.options)
        agreements = {ValueMethod.PROBABILISTIC: tried[0].agreement}
        if learnt := await self._learnt(self._methods(), until, days, tried[0].name):
            features = await features_of(self.fitting.moments, self.shop, until, days, histories, everybody=True)
            agreements = await asyncio.to_thread(by_method, tried[0], histories, days, learnt.trees, features)
        method = chosen(agreements, wanted)
        holdout = holdout_of(tried, agreements, method, until, len(histories.ids))
        return _Way([tried[0].name], method, holdout)

    def _methods(self) -> Sequence[ValueMethod]:
        return list(CORRECTING) if self.options.method is ValueMethod.BEST else [self.options.method]

    async def _learnt(self, methods: Sequence[ValueMethod], end: int, days: int, name: ModelName) -> Learnt | None:
        wanted = [it for it in methods if it in CORRECTING]
        if self.obstacle or not wanted:
            return None
        return await learn(self.fitting.moments, self.shop, end, days, name, wanted)

    async def _fitted(self, way: _Way) -> _Fitted:
        name, models = await asyncio.to_thread(fit, self.histories, self.as_of, way.names)
        days, it = self.options.horizon_days, self.fitting.moments
        learnt = await self._learnt([way.method], self.as_of, days, name)
        if learnt is None:
            return _Fitted(name, models)
        features = await features_of(it, self.shop, self.as_of, days, self.histories, everybody=True)
        return _Fitted(name, models, learnt, features)

    async def _write(self, model: CustomerModel, fitted: _Fitted, progress: Progress) -> None:
        chunks = predictions(self.histories, fitted.models, model, fitted.trees, fitted.features)
        done = 0
        while chunk := await asyncio.to_thread(next, chunks, None):
            await self.fitting.models.write(self.tenant, chunk)
            done += len(chunk)
            await progress(0.3 + 0.65 * done / model.customer_count, f"{done} customers predicted")

    async def _bring_up_to_date(self, model: CustomerModel, fitted: _Fitted) -> None:
        """Predict anew whose orders changed since the fit began, by a merge or late; drop who is not there any more."""
        it, before = self.fitting, self.histories
        now = await it.lines.histories(self.tenant, self.currency, self.as_of, self.as_of)
        changed = await asyncio.to_thread(changed_since, before, now)
        features, days = None, self.options.horizon_days
        if fitted.trees:
            features = await features_of(it.moments, self.shop, self.as_of, days, changed, everybody=False)
        for chunk in predictions(changed, fitted.models, model, fitted.trees, features):
            await it.models.write(self.tenant, chunk)
        await it.models.drop(self.tenant, model.version, sorted(set(before.ids) - set(now.ids)))

    def _model(self, version: int, found: _Fitted, way: _Way) -> CustomerModel:
        fitted, holdout = found.models, way.holdout
        correlation = frequency_amount_correlation(self.histories)
        return CustomerModel(
            version=version,
            fit_time=0,
            model=found.name,
            purchase_parameters=fitted.timing.parameters,
            purchase_log_likelihood=fitted.timing_fit.log_likelihood,
            spending_parameters=fitted.spending.parameters,
            spending_log_likelihood=fitted.spending_fit.log_likelihood,
            currency=self.currency,
            start=int(self.histories.first_day.min()) * DAY,
            as_of=self.as_of,
            customer_count=len(self.histories.ids),
            repeat_customer_count=self.histories.repeat_count,
            frequency_amount_correlation=correlation,
            horizon_days=self.options.horizon_days,
            lifetime_days=self.options.lifetime_days,
            discount_rate=self.options.discount_rate,
            holdout=holdout,
            warnings=(*self._warnings(fitted, holdout, correlation), *self._of_trees(found.learnt, way)),
            method=way.method if found.learnt else ValueMethod.PROBABILISTIC,
            moment_count=found.learnt.moment_count if found.learnt else 0,
        )

    def _of_trees(self, learnt: Learnt | None, way: _Way) -> Iterator[str]:
        """What a reader should know of the method."""
        fixed = self.options.method is not ValueMethod.BEST
        if self.obstacle:
            yield f"The models of purchases and amounts alone are used; trees need more: {self.obstacle}."
        elif self.options.method is ValueMethod.PROBABILISTIC:
            return
        elif learnt is None and way.method in CORRECTING:
            yield "The models of purchases and amounts alone are used: the past shows too little for trees to learn."
        elif way.holdout is None or len(way.holdout.methods) == 1:
            told = "as was asked" if fixed else "as nothing tells whether trees do better"
            yield f"The method was not compared with others in a holdout; it is used {told}."
        if learnt and learnt.moment_count < MOMENTS_MAX:
            yield f"Trees learnt from {learnt.moment_count} of {MOMENTS_MAX} moments, as there are no more."

    def _warnings(self, fitted: FittedValueModel, holdout: Holdout | None, correlation: float | None) -> list[str]:
        found = []
        if holdout is None:
            found.append("The history is too short to hold days out: nothing tells how good the expectations are.")
        elif (days := (self.as_of - holdout.start) // DAY) < self.options.holdout_days:
            found.append(f"{days} days were held out, a third of the history, instead of {self.options.holdout_days}.")
        if holdout and holdout.order_bias is not None and abs(holdout.order_bias) > _BIAS_HIGH:
            found.append(f"In the holdout {_percent(holdout.order_bias)} orders were expected than came.")
        if not fitted.timing_fit.converged:
            found.append("The orders do not tell when customers stop, or how much they differ: a parameter is extreme.")
        if not fitted.spending_fit.converged:
            found.append("The amounts do not tell how much customers differ: a parameter is extreme.")
        if correlation is not None and abs(correlation) > _CORRELATION_HIGH:
            found.append(f"How often and how much customers buy go together ({correlation:.2f}): revenue is biased.")
        return found


def _holdout_days(options: FitOptions, histories: Histories, as_of: int) -> int:
    span = as_of // DAY - int(histories.first_day.min())
    return min(options.holdout_days, span // 3)


def _percent(bias: float) -> str:
    return f"{abs(100 * bias):.0f} % {'more' if bias > 0 else 'fewer'}"


def _results(model: CustomerModel) -> dict[str, str]:
    method = model.method.name.lower()
    results = {"version": str(model.version), "customer_count": str(model.customer_count), "value_method": method}
    if model.holdout and model.holdout.order_bias is not None:
        results["order_bias"] = f"{model.holdout.order_bias:.4f}"
    if model.holdout and model.holdout.churn_auc is not None:
        results["churn_auc"] = f"{model.holdout.churn_auc:.4f}"
    return results
