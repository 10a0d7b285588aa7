"""Fit of which categories each customer is likely to buy: a job."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from services.common import telemetry
from services.common.clock import Clock, to_micros
from services.common.jobs import Job, Jobs, Progress
from services.forecasting.domain.measures import Dimension, Granularity, Measure
from services.forecasting.domain.periods import DAY
from services.forecasting.domain.preference import (
    HORIZON_DAYS,
    KEPT,
    MODEL_ID,
    CategoryPreferenceModel,
    CategoryPreferences,
    PreferenceQuality,
    Ranking,
    RankingMethod,
    Tastes,
    TooFewCategories,
)
from services.forecasting.domain.propensity import EXAMPLES_MIN, HORIZONS_MIN, TooFewExamples
from services.forecasting.domain.series import Selection
from services.forecasting.handlers.fit_propensity import MOMENTS_MAX, moments_until, too_short
from services.forecasting.handlers.fitting import check_learner, drop_erased, with_orders
from services.forecasting.handlers.get_series import check_instant
from services.forecasting.handlers.start_once import start_once
from services.forecasting.learning.preference import (
    PAIR_FEATURES,
    ROWS_MAX,
    Crowd,
    chunks,
    crowd,
    examples,
    liked,
    measure,
    pairs,
)
from services.forecasting.learning.propensity import PropensityTrees, fit, importance
from services.forecasting.ports import Lines, Requests
from services.forecasting.ports.preferences import CategoryTastes, PreferenceModels

KIND = "fit_category_preferences"
_IMPORTANCE_CUSTOMERS = 200
_CALIBRATION_BAD = 0.1


@dataclass(frozen=True, slots=True)
class PreferenceFitting:
    """What fitting category preferences needs from outside."""

    lines: Lines
    tastes: CategoryTastes
    models: PreferenceModels
    requests: Requests
    jobs: Jobs
    clock: Clock
    examples_min: int = EXAMPLES_MIN


@dataclass(frozen=True, slots=True)
class PreferenceOrder:
    """What is asked of a fit."""

    horizon_days: int = HORIZON_DAYS
    kept: int = KEPT
    """How many categories of each customer."""
    currency: str = ""
    as_of: int | None = None

    @property
    def horizon(self) -> int:
        """In microseconds."""
        return self.horizon_days * DAY


async def fit_preferences(
    fitting: PreferenceFitting, tenant: str, request_id: str, fingerprint: str, order: PreferenceOrder
) -> Job:
    """The job that fits; a request that came before gets the job of then. Refusals as in the contract."""
    check_instant(order.as_of, "as_of_time")

    async def prepare() -> _Work:
        return await _prepared(fitting, tenant, order)

    return await start_once(fitting.requests, fitting.jobs, tenant, request_id, fingerprint, KIND, prepare)


async def _prepared(fitting: PreferenceFitting, tenant: str, order: PreferenceOrder) -> "_Work":
    check_learner()
    extent = await fitting.lines.extent(tenant)
    if extent is None:
        raise too_short(0, order.horizon_days)
    currency = extent.currency(Selection(Measure.SALES, Dimension.TOTAL, Granularity.DAY, currency=order.currency))
    as_of = extent.last_time if order.as_of is None else order.as_of
    span = (as_of - extent.first_time) // DAY
    if span < HORIZONS_MIN * order.horizon_days:
        raise too_short(max(span, 0), order.horizon_days)
    work = _Work(fitting, tenant, order, currency, extent.first_time, as_of)
    for number in (1, 2):
        _check(await work.tastes(as_of - number * order.horizon), number, fitting.examples_min)
    return work


def _check(it: Tastes, number: int, examples_min: int) -> None:
    when = "the last horizon" if number == 1 else "the horizon before the last"
    if len(it.names) < 2:
        raise TooFewCategories(
            f"before {when} orders name {len(it.names)} categories and 2 are needed: send `category` with the products",
            count=len(it.names),
            minimum=2,
        )
    if (reached := len(it.bought_later)) < examples_min:
        raise TooFewExamples(
            f"in {when} known customers bought of categories {reached} times; {examples_min} are needed: choose a "
            "longer horizon",
            reached=reached,
            minimum=examples_min,
        )


@dataclass(frozen=True, slots=True)
class _Work:
    fitting: PreferenceFitting
    tenant: str
    order: PreferenceOrder
    currency: str
    first: int
    as_of: int

    async def tastes(self, at: int) -> Tastes:
        return await self.fitting.tastes.tastes(self.tenant, self.currency, self.order.horizon_days, at)

    async def __call__(self, progress: Progress) -> dict[str, str]:
        models, days = self.fitting.models, self.order.horizon_days
        with telemetry.span("forecasting.fit_category_preferences", horizon_days=days):
            await progress(0.05, "learning without the last horizon")
            measured = await self._measured()
            await progress(0.4, "learning from all moments")
            trees, moments = await self._learnt(self.as_of)
            now = await self.tastes(self.as_of)
            version = await models.claim(self.tenant, MODEL_ID)
            known = await asyncio.to_thread(crowd, now)
            model = await asyncio.to_thread(self._model, version, trees, moments, now, known, measured)
            await self._write(model, trees, now, known, progress)
            there = await with_orders(self.fitting.lines, self.tenant, self.currency, self.as_of)
            await drop_erased(models, self.tenant, MODEL_ID, version, now.moment.ids, there)
            await models.publish(self.tenant, model)
        hit_rate = _by_method(measured)[RankingMethod.MODEL].hit_rate
        return {"version": str(version), "customer_count": str(len(now)), "hit_rate": f"{hit_rate:.4f}"}

    async def _measured(self) -> PreferenceQuality:
        """How the procedure does on the last horizon when it knows nothing of it."""
        start = self.as_of - self.order.horizon
        (trees, _), held = await self._learnt(start), await self.tastes(start)
        return await asyncio.to_thread(measure, start, trees, held, self.order.horizon_days)

    async def _learnt(self, end: int) -> tuple[PropensityTrees, int]:
        """Trees that know nothing after ``end``, and of how many moments they learnt."""
        times, days = moments_until(self.first, end, self.order.horizon), self.order.horizon_days
        found = [await asyncio.to_thread(examples, await self.tastes(at), days, ROWS_MAX // len(times)) for at in times]
        return await asyncio.to_thread(fit, found), len(times)

    def _model(
        self,
        version: int,
        trees: PropensityTrees,
        moments: int,
        now: Tastes,
        known: Crowd,
        measured: PreferenceQuality,
    ) -> CategoryPreferenceModel:
        some = slice(0, min(len(now), _IMPORTANCE_CUSTOMERS))
        moved = trees.contributions(pairs(now, known, some, self.order.horizon_days))
        return CategoryPreferenceModel(
            version=version,
            horizon_days=self.order.horizon_days,
            currency=self.currency,
            fit_time=to_micros(self.fitting.clock()),
            as_of=self.as_of,
            customer_count=len(now),
            categories=now.names,
            moment_count=moments,
            quality=measured,
            importance=importance(moved, PAIR_FEATURES),
            warnings=tuple(_warnings(moments, measured)),
            kept=self.order.kept,
            learnt=trees.dump() | {"crowd": known.dump()},
        )

    async def _write(
        self, model: CategoryPreferenceModel, trees: PropensityTrees, now: Tastes, known: Crowd, progress: Progress
    ) -> None:
        for rows in chunks(len(now)):
            await self.fitting.models.write(
                self.tenant, await asyncio.to_thread(sayings, model, trees, now, known, rows)
            )
            await progress(0.7 + 0.25 * rows.stop / len(now), f"{rows.stop} customers predicted")


def sayings(
    model: CategoryPreferenceModel, trees: PropensityTrees, now: Tastes, known: Crowd, rows: slice
) -> list[CategoryPreferences]:
    """What the model says of some customers."""
    best = liked(model.categories, trees, now, known, rows, model.horizon_days, model.kept)
    return [
        CategoryPreferences(model.version, who, model.as_of, model.horizon_days, categories, fit_time=model.fit_time)
        for who, categories in zip(now.moment.ids[rows], best, strict=True)
    ]


def _by_method(measured: PreferenceQuality) -> dict[RankingMethod, Ranking]:
    return {it.method: it for it in measured.rankings}


def _warnings(moments: int, measured: PreferenceQuality) -> Iterator[str]:
    if moments < MOMENTS_MAX:
        yield f"The history allows {moments} of {MOMENTS_MAX} moments to learn from: wait for more orders."
    found = _by_method(measured)
    if found[RankingMethod.MODEL].log_loss >= found[RankingMethod.PERSONAL_FREQUENCY].log_loss:
        yield "On the last horizon the probabilities were no better than how often each customer bought before."
    if measured.calibration_error > _CALIBRATION_BAD:
        gap = 100 * measured.calibration_error
        yield f"On the last horizon the probabilities were off by {gap:.0f} points: more, or fewer, came than before."
