"""Fit what a treatment changes for each customer, from an experiment: a job."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from services.common import telemetry
from services.common.clock import Clock, to_micros
from services.common.jobs import Job, Jobs, Progress
from services.forecasting.domain.measures import Dimension, Granularity, Measure
from services.forecasting.domain.propensity import (
    EXAMPLES_MIN,
    FloatArray,
    Goal,
    GoalInvalid,
    Moment,
    check_goal,
)
from services.forecasting.domain.series import Extent, Selection
from services.forecasting.domain.uplift import (
    TIMES_MAX,
    ExperimentNotFound,
    ExperimentUnfit,
    Outcome,
    Recommendation,
    Treatment,
    Trial,
    UpliftModel,
    UpliftQuality,
    ValueInvalid,
    Worth,
    waves,
)
from services.forecasting.handlers.fitting import (
    GoalExtent,
    check_learner,
    check_room,
    drop_erased,
    extent_of,
    who_is_known,
)
from services.forecasting.handlers.get_series import check_instant
from services.forecasting.handlers.say_uplifts import UpliftSaying
from services.forecasting.handlers.start_once import start_once
from services.forecasting.learning.propensity import importance, percentiles
from services.forecasting.learning.qini import uplift_quality
from services.forecasting.learning.uplift import ROWS_MAX, UpliftTrees, fit, taken
from services.forecasting.learning.uplift_kept import UpliftMeans, dump
from services.forecasting.ports import Lines, Requests, Treatments
from services.forecasting.ports.properties import GoalMoments
from services.forecasting.ports.uplifts import UpliftModels

KIND = "fit_uplift_model"
_IMPORTANCE_ROWS = 5_000


@dataclass(frozen=True, slots=True)
class UpliftFitting:
    """What fitting uplifts needs from outside."""

    lines: Lines
    moments: GoalMoments
    treatments: Treatments
    models: UpliftModels
    requests: Requests
    jobs: Jobs
    clock: Clock
    examples_min: int = EXAMPLES_MIN


@dataclass(frozen=True, slots=True)
class UpliftOrder:
    """What is asked of a fit. Currencies are empty where no amount is given."""

    model_id: str
    experiment_id: str
    goal: Goal
    goal_currency: str
    currency: str
    as_of: int | None
    worth: Worth | None
    worth_currencies: tuple[str, ...]
    outcome: Outcome = Outcome.REACHED

    def check(self) -> None:
        """Refuse what makes no sense, whatever the tenant has."""
        check_instant(self.as_of, "as_of_time")
        check_goal(self.goal, self.goal_currency)
        of_amounts = self.outcome is Outcome.AMOUNT
        if of_amounts and self.goal.event_name:
            raise GoalInvalid("events come to no amount; foresee whether the goal is reached", field="goal.event_name")
        if of_amounts and (self.goal.min_orders != 1 or self.goal.min_amount or self.goal.absent):
            raise GoalInvalid(
                "an amount is that of all lines that count: leave out number of orders, least amount and absent",
                field="goal",
            )
        if self.worth is None:
            return
        if self.worth.contact_cost < 0 or not (0 < self.worth.margin <= 1 if of_amounts else self.worth.goal_value > 0):
            what = (
                "a margin must be above 0 and at most 1"
                if of_amounts
                else "a reached goal must be worth more than zero"
            )
            raise ValueInvalid(
                f"{what} and a contact cost zero or more; give both or neither",
                field="margin" if of_amounts else "goal_value",
            )
        if self.worth.goal_value and self.worth.margin:
            raise ValueInvalid("a margin is of amounts, a value of goals that are reached", field="margin")


async def fit_uplift(fitting: UpliftFitting, tenant: str, request_id: str, fingerprint: str, order: UpliftOrder) -> Job:
    """The job that fits; a request that came before gets the job of then. Refusals as in the contract."""
    order.check()

    async def prepare() -> _Work:
        return await _prepared(fitting, tenant, order)

    return await start_once(fitting.requests, fitting.jobs, tenant, request_id, fingerprint, KIND, prepare)


async def _prepared(fitting: UpliftFitting, tenant: str, order: UpliftOrder) -> "_Work":
    check_learner()
    check_room(await fitting.models.names(tenant), order.model_id)
    if not await fitting.treatments.has(tenant, order.experiment_id):
        raise ExperimentNotFound(
            f"there is no experiment {order.experiment_id}; RecordTreatments begins one, or a campaign that holds back",
            experiment=order.experiment_id,
        )
    orders = await fitting.lines.extent(tenant)
    extent = await extent_of(fitting.lines, fitting.moments, tenant, order.goal)
    if extent is None:
        what = f"events {order.goal.event_name}" if order.goal.event_name else "orders"
        raise ExperimentUnfit(f"there are no {what}: nothing shows what the treatment changed")
    currency = _currency(orders, order)
    as_of = extent.last_time if order.as_of is None else order.as_of
    work = _Work(fitting, tenant, order, currency, extent, as_of)
    work.check(await work.treated())
    return work


def _currency(orders: Extent | None, order: UpliftOrder) -> str:
    """Of all amounts; without orders that of the order, or what its value and cost are in."""
    chosen = Selection(Measure.SALES, Dimension.TOTAL, Granularity.DAY, currency=order.currency)
    given = order.worth_currencies if order.worth else ()
    currency = orders.currency(chosen) if orders else order.currency or next(iter(given), "")
    if order.goal_currency not in ("", currency):
        raise GoalInvalid(f"the least amount must be in {currency}, as the orders are", field="goal.min_amount")
    if given and set(given) != {currency}:
        raise ValueInvalid(f"value and cost must be in {currency}, as the orders are", field="goal_value")
    return currency


@dataclass(frozen=True, slots=True)
class _Treated:
    """Whom the experiment can show something of, and how many were left out."""

    treatments: Sequence[Treatment]
    both: int
    early: int
    undescribed: int
    """Who was treated before the properties that the goal asks for are known."""
    wave: str
    """How long the waves are that treatments were taken together to; empty: they were not."""


@dataclass(frozen=True, slots=True)
class _Work:
    fitting: UpliftFitting
    tenant: str
    order: UpliftOrder
    currency: str
    extent: GoalExtent
    as_of: int

    async def treated(self) -> _Treated:
        found, both = await self.fitting.treatments.treatments(self.tenant, self.order.experiment_id)
        over = [it for it in found if it.time + self.order.goal.horizon <= self.extent.last_time]
        described = [it for it in over if it.time >= self.extent.described_from]
        together, wave = waves(described)
        return _Treated(together, both, len(found) - len(over), len(over) - len(described), wave)

    def check(self, found: _Treated) -> None:
        """Whether there is enough to learn from, before anything is read of the customers."""
        least = self.fitting.examples_min
        treated = sum(it.treated for it in found.treatments)
        control = len(found.treatments) - treated
        if min(treated, control) < least:
            raise ExperimentUnfit(
                f"{treated} customers were treated and {control} held back {self.order.goal.horizon_days} days or more "
                f"before the last {'event' if self.order.goal.event_name else 'order'}; {least} of each are needed",
                treated=treated,
                control=control,
                minimum=least,
            )
        times = len({it.time for it in found.treatments})
        if times > TIMES_MAX:
            raise ExperimentUnfit(
                f"the treatments began on {times} days; at most {TIMES_MAX} are looked at: record the moment at which "
                "each wave began",
                times=times,
                maximum=TIMES_MAX,
            )

    async def __call__(self, progress: Progress) -> dict[str, str]:
        with telemetry.span("forecasting.fit_uplift", horizon_days=self.order.goal.horizon_days):
            await progress(0.05, "reading the experiment")
            found = await self.treated()
            self.check(found)
            trial = await self._trial(found.treatments)
            await progress(0.15, f"learning from {len(trial)} customers")
            trees, tested, drawn = await asyncio.to_thread(fit, trial)
            measured = await asyncio.to_thread(uplift_quality, trial, tested)
            await progress(0.7, "telling the customers of now apart")
            now = await self._moment(self.as_of)
            warnings = (*self.extent.warnings, *_warnings(found, trial, measured, drawn, _known(self.order.goal)))
            version = await self.fitting.models.claim(self.tenant, self.order.model_id)
            model = await self._written(version, measured, warnings, trees, now, progress)
            asked = (self.tenant, self.currency, self.order.goal, self.as_of)
            known = await who_is_known(self.fitting.lines, self.fitting.moments, *asked)
            await drop_erased(self.fitting.models, self.tenant, model.model_id, version, now.ids, known)
            await self.fitting.models.publish(self.tenant, model)
        return {"version": str(version), "customer_count": str(len(now)), "qini": f"{measured.qini.value:.5f}"}

    async def _moment(self, at: int) -> Moment:
        return await self.fitting.moments.moment(self.tenant, self.currency, self.order.goal, at)

    async def _trial(self, treatments: Sequence[Treatment]) -> Trial:
        """The customers who were known before their treatment began; at most so many as can be learnt from."""
        parts: list[Trial] = []
        for number, at in enumerate(sorted({it.time for it in treatments})):
            moment = await self._moment(at)
            treated = {it.customer_id: it.treated for it in treatments if it.time == at}
            rows = np.array([at for at, who in enumerate(moment.ids) if who in treated], dtype=np.int64)
            ids = tuple(moment.ids[row] for row in rows.tolist())
            group = np.array([treated[who] for who in ids], dtype=np.bool_)
            stratum = np.full(len(ids), number, dtype=np.int64)
            of_amounts = self.order.outcome is Outcome.AMOUNT
            outcome = (moment.amount if of_amounts else moment.reached.astype(np.float64))[rows]
            parts.append(Trial(ids, moment.features[rows], group, outcome, stratum, of_amounts))
        whole = _joined(parts)
        self._check_trial(whole)
        every = -(-len(whole) // ROWS_MAX)
        return taken(whole, np.arange(len(whole)) % every == 0) if every > 1 else whole

    def _check_trial(self, trial: Trial) -> None:
        least = self.fitting.examples_min
        for treated, what in ((True, "treated"), (False, "held back")):
            of_group = trial.treated == treated
            reached = int((trial.outcome[of_group] > 0).sum())
            if min(int(of_group.sum()), reached) < least:
                came = "bought" if trial.of_amounts else "reached the goal"
                raise ExperimentUnfit(
                    f"of {int(of_group.sum())} customers who were {what} and had {_known(self.order.goal)} before, "
                    f"{reached} {came}; {least} are needed: choose a wider goal or a longer horizon",
                    reached=reached,
                    minimum=least,
                )

    async def _written(
        self,
        version: int,
        measured: UpliftQuality,
        warnings: tuple[str, ...],
        trees: UpliftTrees,
        now: Moment,
        progress: Progress,
    ) -> UpliftModel:
        sample = now.features[:: max(len(now) // _IMPORTANCE_ROWS, 1)]
        uplift, half = await asyncio.to_thread(trees.uplift, now.features)
        model = UpliftModel(
            model_id=self.order.model_id,
            version=version,
            experiment_id=self.order.experiment_id,
            goal=self.order.goal,
            currency=self.currency,
            fit_time=to_micros(self.fitting.clock()),
            as_of=self.as_of,
            customer_count=len(now),
            quality=measured,
            importance=importance(await asyncio.to_thread(trees.effects.parts, sample), self.order.goal.features),
            recommendation=recommendation(self.order.worth, uplift) if self.order.worth else None,
            warnings=warnings,
            outcome=self.order.outcome,
        )
        means = await asyncio.to_thread(UpliftMeans.of, trees, sample)
        learnt = await asyncio.to_thread(dump, trees, means)
        await self.fitting.models.keep(self.tenant, model.model_id, version, learnt)
        chunks, done = UpliftSaying(model, trees, means).of(now, uplift, half, percentiles(uplift)), 0
        while chunk := await asyncio.to_thread(next, chunks, None):
            await self.fitting.models.write(self.tenant, chunk)
            done += len(chunk)
            await progress(0.75 + 0.2 * done / len(now), f"{done} customers told apart")
        return model


def _known(goal: Goal) -> str:
    """What those had done of whom models of the goal say something."""
    return "done anything" if goal.event_name else "ordered"


def _joined(parts: Sequence[Trial]) -> Trial:
    return Trial(
        tuple(it for part in parts for it in part.ids),
        np.vstack([it.features for it in parts]),
        np.concatenate([it.treated for it in parts]),
        np.concatenate([it.outcome for it in parts]),
        np.concatenate([it.stratum for it in parts]),
        all(it.of_amounts for it in parts),
    )


def recommendation(worth: Worth, uplift: FloatArray) -> Recommendation:
    """Treat whom it pays to treat, of customers with these uplifts."""
    chosen = uplift[uplift >= worth.uplift_min]
    gained = float(chosen.sum())
    return Recommendation(
        worth=worth,
        customer_count=len(chosen),
        expected_reached=gained,
        expected_profit=worth.profit(gained, len(chosen)),
        profit_of_all=worth.profit(float(uplift.sum()), len(uplift)),
    )


def _warnings(found: _Treated, trial: Trial, measured: UpliftQuality, drawn: bool, known: str) -> Iterator[str]:
    if found.both:
        yield f"{found.both} customers were recorded in both groups, as merged customers may be, and were left out."
    if found.early:
        yield f"The horizon of {found.early} customers is not over yet; they were left out."
    if found.undescribed:
        yield f"{found.undescribed} customers were treated before properties of events are known; they were left out."
    if found.wave:
        yield (
            f"The treatments began at more than {TIMES_MAX} moments. They are taken together to waves of {found.wave}, "
            "and horizons begin with the first treatment of the wave."
        )
    if unknown := len(found.treatments) - len(trial):
        yield f"{unknown} customers were left out: they had not {known} before, or there are too many to learn from."
    if not drawn:
        yield (
            "Who was treated was not drawn by lot: what was known of customers tells it. That is allowed for, but not "
            "what was not known: hold back customers by lot."
        )
    if measured.qini.low <= 0:
        yield (
            "The experiment does not show that customers answer differently: choosing whom to treat may be no better "
            "than chance. Repeat it with more customers."
        )
    if measured.effect.low <= 0 <= measured.effect.high:
        yield "The experiment does not show that the treatment changes anything on the whole."
