"""Fit how likely each customer is to reach a goal, and what follows for each: a job."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from services.common import telemetry
from services.common.clock import Clock, to_micros
from services.common.jobs import Job, Jobs, Progress
from services.forecasting.domain.measures import Dimension, Granularity, Measure
from services.forecasting.domain.periods import DAY
from services.forecasting.domain.propensity import (
    EXAMPLES_MIN,
    HORIZONS_MIN,
    FloatArray,
    Goal,
    GoalInvalid,
    Moment,
    Propensity,
    PropensityModel,
    Quality,
    TooFewExamples,
    TooLittleHistory,
    check_goal,
)
from services.forecasting.domain.series import Selection
from services.forecasting.handlers.fitting import check_learner, check_room, drop_erased, extent_of, who_is_known
from services.forecasting.handlers.get_series import check_instant
from services.forecasting.handlers.start_once import start_once
from services.forecasting.learning.propensity import (
    ROWS_MAX,
    PropensityTrees,
    fit,
    importance,
    percentiles,
    quality,
    reasons,
    sampled,
)
from services.forecasting.ports import Lines, PropensityModels, Requests
from services.forecasting.ports.properties import GoalMoments

KIND = "fit_propensity_model"
MOMENTS_MAX = 8
_STEPS_PER_HORIZON = 6
_CHUNK = 10_000
_IMPORTANCE_ROWS = 5_000
_CALIBRATION_BAD = 0.1


@dataclass(frozen=True, slots=True)
class PropensityFitting:
    """What fitting propensities needs from outside."""

    lines: Lines
    moments: GoalMoments
    models: PropensityModels
    requests: Requests
    jobs: Jobs
    clock: Clock
    examples_min: int = EXAMPLES_MIN


@dataclass(frozen=True, slots=True)
class PropensityOrder:
    """What is asked of a fit."""

    model_id: str
    goal: Goal
    goal_currency: str
    currency: str
    as_of: int | None


async def fit_propensity(
    fitting: PropensityFitting, tenant: str, request_id: str, fingerprint: str, order: PropensityOrder
) -> Job:
    """The job that fits; a request that came before gets the job of then. Refusals as in the contract."""
    check_instant(order.as_of, "as_of_time")
    check_goal(order.goal, order.goal_currency)

    async def prepare() -> _Work:
        return await _prepared(fitting, tenant, order)

    return await start_once(fitting.requests, fitting.jobs, tenant, request_id, fingerprint, KIND, prepare)


async def _prepared(fitting: PropensityFitting, tenant: str, order: PropensityOrder) -> "_Work":
    check_learner()
    check_room(await fitting.models.names(tenant), order.model_id)
    orders = await fitting.lines.extent(tenant)
    extent = await extent_of(fitting.lines, fitting.moments, tenant, order.goal)
    if extent is None:
        raise too_short(0, order.goal.horizon_days)
    chosen = Selection(Measure.SALES, Dimension.TOTAL, Granularity.DAY, currency=order.currency)
    currency = orders.currency(chosen) if orders else order.currency
    if order.goal_currency not in ("", currency):
        raise GoalInvalid(f"the least amount must be in {currency}, as the orders are", field="goal.min_amount")
    as_of = extent.last_time if order.as_of is None else order.as_of
    span = (as_of - extent.first_time) // DAY
    if span < HORIZONS_MIN * order.goal.horizon_days:
        raise too_short(max(span, 0), order.goal.horizon_days)
    work = _Work(fitting, tenant, order, currency, extent.first_time, as_of, extent.warnings)
    for number in (1, 2):
        _check(await work.moment(as_of - number * order.goal.horizon), number, fitting.examples_min)
    return work


def too_short(span: int, horizon_days: int) -> TooLittleHistory:
    """The refusal of a history of ``span`` days."""
    needed = HORIZONS_MIN * horizon_days
    return TooLittleHistory(
        f"the history spans {span} days and {needed} are needed, three times the horizon: wait, or shorten the horizon",
        days=span,
        minimum=needed,
    )


def _check(moment: Moment, number: int, examples_min: int) -> None:
    reached = int(moment.reached.sum())
    missed = len(moment) - reached
    if min(reached, missed) < examples_min:
        when = "the last horizon" if number == 1 else "the horizon before the last"
        raise TooFewExamples(
            f"in {when} {reached} customers reached the goal and {missed} did not; {examples_min} of each are needed: "
            "choose a wider goal or another horizon",
            reached=reached,
            missed=missed,
            minimum=examples_min,
        )


def moments_until(first: int, end: int, horizon: int) -> list[int]:
    """From when to learn what comes within ``horizon``, knowing nothing after ``end``: the newest first.

    Each moment's horizon is over by ``end``, and there is a horizon of history before it. All in microseconds.
    """
    step = max(horizon // DAY // _STEPS_PER_HORIZON, 1) * DAY
    newest = end - horizon
    found = [newest - number * step for number in range(MOMENTS_MAX)]
    return [it for it in found if it == newest or it >= first + horizon]


@dataclass(frozen=True, slots=True)
class _Work:
    fitting: PropensityFitting
    tenant: str
    order: PropensityOrder
    currency: str
    first: int
    as_of: int
    warnings: tuple[str, ...]

    async def moment(self, at: int) -> Moment:
        return await self.fitting.moments.moment(self.tenant, self.currency, self.order.goal, at)

    async def __call__(self, progress: Progress) -> dict[str, str]:
        goal, models = self.order.goal, self.fitting.models
        with telemetry.span("forecasting.fit_propensity", horizon_days=goal.horizon_days):
            await progress(0.05, "learning without the last horizon")
            measured = await self._measured()
            await progress(0.4, "learning from all moments")
            learnt = await self._learnt(self.as_of)
            now = await self.moment(self.as_of)
            version = await models.claim(self.tenant, self.order.model_id)
            model = await asyncio.to_thread(self._model, version, learnt, now, measured)
            await self._write(model, learnt.trees, now, progress)
            asked = (self.tenant, self.currency, self.order.goal, self.as_of)
            known = await who_is_known(self.fitting.lines, self.fitting.moments, *asked)
            await drop_erased(models, self.tenant, model.model_id, version, now.ids, known)
            await models.publish(self.tenant, model)
        auc = {} if measured.auc is None else {"auc": f"{measured.auc:.4f}"}
        return {"version": str(version), "customer_count": str(len(now)), **auc}

    async def _measured(self) -> Quality:
        """How the procedure does on the last horizon when it knows nothing of it."""
        start = self.as_of - self.order.goal.horizon
        learnt, held = await self._learnt(start), await self.moment(start)
        said = await asyncio.to_thread(learnt.trees.probabilities, held.features)
        return await asyncio.to_thread(quality, start, said, held.reached)

    async def _learnt(self, end: int) -> "_Learnt":
        times = moments_until(self.first, end, self.order.goal.horizon)
        found: list[Moment] = []
        for at in times:
            moment = await self.moment(at)
            share = ROWS_MAX / max(len(moment) * len(times), 1)
            found.append(sampled(moment, share))
        return _Learnt(await asyncio.to_thread(fit, found), found)

    def _model(self, version: int, learnt: "_Learnt", now: Moment, measured: Quality) -> PropensityModel:
        every = max(len(now) // _IMPORTANCE_ROWS, 1)
        moved = learnt.trees.contributions(now.features[::every])
        return PropensityModel(
            model_id=self.order.model_id,
            version=version,
            goal=self.order.goal,
            currency=self.currency,
            fit_time=to_micros(self.fitting.clock()),
            as_of=self.as_of,
            customer_count=len(now),
            moment_count=len(learnt.moments),
            reached_count=learnt.reached,
            missed_count=sum(map(len, learnt.moments)) - learnt.reached,
            quality=measured,
            importance=importance(moved, self.order.goal.features),
            learnt=learnt.trees.dump(),
            warnings=(*self.warnings, *_warnings(learnt, measured)),
        )

    async def _write(self, model: PropensityModel, trees: PropensityTrees, now: Moment, progress: Progress) -> None:
        said = await asyncio.to_thread(trees.probabilities, now.features)
        chunks = propensities_of(model, trees, now, said)
        done = 0
        while chunk := await asyncio.to_thread(next, chunks, None):
            await self.fitting.models.write(self.tenant, chunk)
            done += len(chunk)
            await progress(0.7 + 0.25 * done / len(now), f"{done} customers predicted")


@dataclass(frozen=True, slots=True)
class _Learnt:
    trees: PropensityTrees
    moments: Sequence[Moment]

    @property
    def reached(self) -> int:
        return sum(int(it.reached.sum()) for it in self.moments)


def propensities_of(
    model: PropensityModel, trees: PropensityTrees, now: Moment, said: FloatArray
) -> Iterator[list[Propensity]]:
    """What the model says of each customer, some thousands at a time."""
    percentile = percentiles(said)
    for begin in range(0, len(said), _CHUNK):
        rows = slice(begin, begin + _CHUNK)
        because = reasons(model.goal.features, now.features[rows], trees.contributions(now.features[rows]))
        yield [
            Propensity(
                model.model_id, model.version, who, likely, part,
                model.as_of, model.goal.horizon_days, why, model.fit_time,
            )
            for who, likely, part, why in zip(
                now.ids[rows], said[rows].tolist(), percentile[rows], because, strict=True
            )
        ]  # fmt: skip


def _warnings(learnt: _Learnt, measured: Quality) -> Iterator[str]:
    if len(learnt.moments) < MOMENTS_MAX:
        yield f"The history allows {len(learnt.moments)} of {MOMENTS_MAX} moments to learn from: wait for more orders."
    if measured.brier >= measured.base_brier:
        yield "On the last horizon the probabilities were no better than the base rate for everybody."
    if measured.calibration_error > _CALIBRATION_BAD:
        gap = 100 * measured.calibration_error
        yield f"On the last horizon the probabilities were off by {gap:.0f} points: more, or fewer, came than before."
