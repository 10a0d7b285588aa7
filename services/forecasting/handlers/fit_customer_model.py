"""Fit when customers buy, when they stop and how much they spend, and what follows for each: a job."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from services.common import telemetry
from services.common.clock import Clock, to_micros
from services.common.jobs import Job, Jobs, Progress
from services.forecasting.domain.customers import (
    REPEAT_CUSTOMERS_MIN,
    CustomerModel,
    DiscountRateInvalid,
    FitOptions,
    Histories,
    Holdout,
    ModelName,
    TooFewRepeatCustomers,
)
from services.forecasting.domain.measures import Dimension, Granularity, Measure
from services.forecasting.domain.periods import DAY
from services.forecasting.domain.series import Selection
from services.forecasting.handlers.get_series import check_instant
from services.forecasting.handlers.start_once import start_once
from services.forecasting.handlers.value_customers import (
    best_of,
    changed_since,
    fit,
    frequency_amount_correlation,
    hold_out,
    predictions,
)
from services.forecasting.learning.customer_value import FittedValueModel
from services.forecasting.ports import CustomerModels, Lines, Requests

KIND = "fit_customer_model"
HOLDOUT_DAYS_MIN = 7
DISCOUNT_RATE_MAX = 10.0
_ALL = (ModelName.BG_NBD, ModelName.MBG_NBD, ModelName.PARETO_NBD)
_CORRELATION_HIGH, _BIAS_HIGH = 0.3, 0.2


@dataclass(frozen=True, slots=True)
class CustomerFitting:
    """What fitting customers needs from outside."""

    lines: Lines
    models: CustomerModels
    requests: Requests
    jobs: Jobs
    clock: Clock
    published: Callable[[], None]
    """Hears that there is a newer model."""


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
    return _Work(fitting, tenant, options, currency, as_of, histories)


def _too_few(count: int) -> TooFewRepeatCustomers:
    return TooFewRepeatCustomers(
        f"{count} customers bought on two days or more; {REPEAT_CUSTOMERS_MIN} are needed, wait for more orders",
        repeat_customers=count,
        minimum=REPEAT_CUSTOMERS_MIN,
    )


@dataclass(frozen=True, slots=True)
class _Work:
    fitting: CustomerFitting
    tenant: str
    options: FitOptions
    currency: str
    as_of: int
    histories: Histories

    async def __call__(self, progress: Progress) -> dict[str, str]:
        with telemetry.span("forecasting.fit_customers", customers=len(self.histories.ids)):
            await progress(0.05, "comparing models with the last days")
            holdout = await self._held_out()
            await progress(0.2, "fitting on all days")
            names = self._names() if holdout is None else [best_of(holdout)]
            name, fitted = await asyncio.to_thread(fit, self.histories, self.as_of, names)
            version = await self.fitting.models.claim(self.tenant)
            model = self._model(version, name, fitted, holdout)
            await self._write(model, fitted, progress)
            async with self.fitting.models.turn():  # what merges and erasures change comes before it, or after it
                await self._bring_up_to_date(model, fitted)
                model = replace(model, fit_time=to_micros(self.fitting.clock()))
                await self.fitting.models.publish(self.tenant, model)
            self.fitting.published()
        return _results(model)

    def _names(self) -> Sequence[ModelName]:
        return _ALL if self.options.model is ModelName.BEST else [self.options.model]

    async def _held_out(self) -> Holdout | None:
        days = _holdout_days(self.options, self.histories, self.as_of)
        if days < HOLDOUT_DAYS_MIN:
            return None
        until = self.as_of - days * DAY
        histories = await self.fitting.lines.histories(self.tenant, self.currency, until, self.as_of)
        if histories.repeat_count < REPEAT_CUSTOMERS_MIN:
            return None
        return await asyncio.to_thread(hold_out, histories, until, days, self._names(), self.options)

    async def _write(self, model: CustomerModel, fitted: FittedValueModel, progress: Progress) -> None:
        chunks = predictions(self.histories, fitted, model)
        done = 0
        while chunk := await asyncio.to_thread(next, chunks, None):
            await self.fitting.models.write(self.tenant, chunk)
            done += len(chunk)
            await progress(0.3 + 0.65 * done / model.customer_count, f"{done} customers predicted")

    async def _bring_up_to_date(self, model: CustomerModel, fitted: FittedValueModel) -> None:
        """Predict anew whose orders changed since the fit began, by a merge or late; drop who is not there any more."""
        it, before = self.fitting, self.histories
        now = await it.lines.histories(self.tenant, self.currency, self.as_of, self.as_of)
        changed = await asyncio.to_thread(changed_since, before, now)
        for chunk in predictions(changed, fitted, model):
            await it.models.write(self.tenant, chunk)
        await it.models.drop(self.tenant, model.version, sorted(set(before.ids) - set(now.ids)))

    def _model(self, version: int, name: ModelName, fitted: FittedValueModel, holdout: Holdout | None) -> CustomerModel:
        correlation = frequency_amount_correlation(self.histories)
        return CustomerModel(
            version=version,
            fit_time=0,
            model=name,
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
            warnings=tuple(self._warnings(fitted, holdout, correlation)),
        )

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
    results = {"version": str(model.version), "customer_count": str(model.customer_count)}
    if model.holdout and model.holdout.order_bias is not None:
        results["order_bias"] = f"{model.holdout.order_bias:.4f}"
    if model.holdout and model.holdout.churn_auc is not None:
        results["churn_auc"] = f"{model.holdout.churn_auc:.4f}"
    return results
