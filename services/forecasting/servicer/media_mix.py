"""Media mix in the contract: spend in, models and plans out."""

from collections.abc import Sequence
from datetime import date
from statistics import NormalDist
from typing import Any

import grpc
import numpy as np
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.common.v1.money_pb2 import Money
from tessera.forecasting.v1 import media_mix_pb2 as pb

from services.common.auth import principal
from services.common.idempotency import fingerprint
from services.common.job_messages import to_proto
from services.forecasting.domain.media_mix import (
    NORMAL_90,
    Aim,
    Array,
    Belief,
    Bound,
    MediaMixOptions,
    PriorInvalid,
    Spend,
    SpendInvalid,
    StoredMix,
    belief_between,
    belief_of_experiment,
)
from services.forecasting.domain.periods import WindowInvalid
from services.forecasting.handlers.media_mix import MediaMixing, fit_media_mix, get_media_mix, record_spend
from services.forecasting.handlers.plan_budget import Plan, PlanOptions, plan_budget
from services.forecasting.learning.response import at_maximum, draws

Context = grpc.aio.ServicerContext[Any, Any]
LEVEL_DEFAULT = 90
CURVE_POINTS = 21


class MediaMixRpcs:
    """The rpcs about spend, media mix models and budgets."""

    _mixing: MediaMixing

    async def RecordSpend(self, request: pb.RecordSpendRequest, context: Context) -> pb.RecordSpendResponse:
        rows = [_spend(index, it) for index, it in enumerate(request.spend)]
        tenant, content = principal().tenant, fingerprint(request)
        count = await record_spend(self._mixing, tenant, request.request_id, content, rows)
        return pb.RecordSpendResponse(recorded_count=count)

    async def ListSpendChannels(
        self, request: pb.ListSpendChannelsRequest, context: Context
    ) -> pb.ListSpendChannelsResponse:
        found = await self._mixing.records.channels(principal().tenant)
        return pb.ListSpendChannelsResponse(
            channels=[
                pb.SpendChannel(
                    channel=it.channel,
                    amounts=[_money(amount, currency) for currency, amount in sorted(it.amounts.items())],
                    first_date=it.first.isoformat(),
                    last_date=it.last.isoformat(),
                    region_count=it.region_count,
                )
                for it in found
            ]
        )

    async def FitMediaMix(self, request: pb.FitMediaMixRequest, context: Context) -> pb.FitMediaMixResponse:
        options, content = _options(request), fingerprint(request)
        job = await fit_media_mix(self._mixing, principal().tenant, request.request_id, content, options)
        return pb.FitMediaMixResponse(job=to_proto(job))

    async def GetMediaMix(self, request: pb.GetMediaMixRequest, context: Context) -> pb.GetMediaMixResponse:
        mix = await get_media_mix(self._mixing.mixes, principal().tenant, request.version)
        return pb.GetMediaMixResponse(media_mix=_media_mix(mix, request.level or LEVEL_DEFAULT))

    async def PlanBudget(self, request: pb.PlanBudgetRequest, context: Context) -> pb.PlanBudgetResponse:
        plan = await plan_budget(self._mixing.mixes, principal().tenant, _plan_options(request))
        return pb.PlanBudgetResponse(plan=_plan(plan))


def _spend(index: int, it: pb.Spend) -> Spend:
    if it.amount.amount_minor < 0:
        raise SpendInvalid(f"spend[{index}] is below zero", field=f"spend[{index}].amount")
    try:
        day = date.fromisoformat(it.date)
    except ValueError as error:
        raise SpendInvalid(f"spend[{index}].date: there is no day {it.date}", field=f"spend[{index}].date") from error
    return Spend(it.channel, it.region, day, it.amount.amount_minor, it.amount.currency)


def _options(request: pb.FitMediaMixRequest) -> MediaMixOptions:
    beliefs: dict[str, Belief] = {}
    for prior in request.priors:
        if not 0 < prior.roi_low < prior.roi_high < np.inf:
            raise PriorInvalid(f"the prior of {prior.channel} needs 0 < roi_low < roi_high", channel=prior.channel)
        beliefs[prior.channel] = belief_between(prior.roi_low, prior.roi_high)
    for found in request.experiments:
        if not (0 < found.roi < np.inf and 0 < found.standard_error < np.inf):
            raise PriorInvalid(f"the experiment on {found.channel} needs figures above 0", channel=found.channel)
        beliefs[found.channel] = belief_of_experiment(found.roi, found.standard_error)
    return MediaMixOptions(
        daily=request.daily,
        first=_date(request.first_date, "first_date"),
        last=_date(request.last_date, "last_date"),
        currency=request.currency,
        time_zone=request.time_zone,
        store_regions=dict(request.store_regions) or None,
        beliefs=beliefs,
    )


def _date(text: str, field: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as error:
        raise WindowInvalid(f"there is no day {text}", field=field) from error


def _plan_options(request: pb.PlanBudgetRequest) -> PlanOptions:
    aim = request.WhichOneof("aim")
    return PlanOptions(
        version=request.version,
        period_count=request.period_count or 1,
        aim=Aim(
            request.total_minor if aim == "total_minor" else None,
            request.target_roi if aim == "target_roi" else None,
            request.target_marginal_roi if aim == "target_marginal_roi" else None,
        ),
        share_min=request.share_min,
        share_max=request.share_max,
        bounds=[
            Bound(it.channel, it.region, it.minimum_minor, it.maximum_minor if it.HasField("maximum_minor") else None)
            for it in request.bounds
        ],
    )


def _media_mix(it: StoredMix, level: int) -> pb.MediaMix:
    order = np.argsort(-it.contributions.sum(axis=0), kind="stable").tolist()
    effects = _effects(it, level)
    return pb.MediaMix(
        version=it.version,
        fit_time=Timestamp(seconds=it.fit_time // 1_000_000, nanos=it.fit_time % 1_000_000 * 1000),
        currency=it.currency,
        daily=it.daily,
        first_date=it.dates[0],
        last_date=it.last_date,
        period_count=len(it.dates),
        regions=it.regions,
        channels=[effects[column] for column in order],
        sales=_money(it.sales.sum(), it.currency),
        baseline_sales=_money(it.sales.sum() - it.contributions.sum(), it.currency),
        periods=[_period(it, number, order) for number in range(len(it.dates))],
        r_squared=it.r_squared,
        holdout_wape=it.holdout_wape,
        warnings=it.warnings,
    )


def _period(it: StoredMix, number: int, order: Sequence[int]) -> pb.MediaMixPeriod:
    return pb.MediaMixPeriod(
        date=it.dates[number],
        sales=_money(it.sales[number], it.currency),
        fitted_sales=_money(it.fitted[number], it.currency),
        contributions=[_money(it.contributions[number, column], it.currency) for column in order],
    )


def _effects(it: StoredMix, level: int) -> list[pb.ChannelEffect]:
    """What the model says of each channel, in its order."""
    ends = ((100 - level) / 200, (100 + level) / 200)
    likely, drawn = at_maximum(it), draws(it)
    shares = it.mean_spend / it.mean_spend.sum(axis=0)
    deviation = np.sqrt(np.diag(it.covariance)).reshape(3, -1)
    normal = _normal_quantile(level)
    marginal = (likely.slope(it.mean_spend) * shares).sum(axis=1)[0]
    marginals = np.quantile((drawn.slope(it.mean_spend) * shares).sum(axis=1), ends, axis=0)
    grid = np.linspace(0, 2, CURVE_POINTS)[:, None] * it.period_spend.max(axis=0)
    steps = grid[:, None, :] * shares
    curve = np.array([likely.outcome(step)[0].sum(axis=0) for step in steps])
    bands = np.array([np.quantile(drawn.outcome(step).sum(axis=1), ends, axis=0) for step in steps])
    logit = it.theta[1] + np.array([[0.0], [-normal], [normal]]) * deviation[1]
    half = np.exp(it.theta[2] + np.array([[0.0], [-normal], [normal]]) * deviation[2]) * it.units * it.sizes.sum()
    roi = np.exp(it.theta[0] + np.array([[0.0], [-normal], [normal]]) * deviation[0])
    prior = np.exp(it.beliefs[0] + np.array([[0.0], [-NORMAL_90], [NORMAL_90]]) * it.beliefs[1])
    return [
        pb.ChannelEffect(
            channel=name,
            spend=_money(it.period_spend[:, column].sum(), it.currency),
            contribution=_money(it.contributions[:, column].sum(), it.currency),
            roi=_estimate(roi[:, column]),
            marginal_roi=_estimate(np.array([marginal[column], *marginals[:, column]])),
            retention=_estimate(1 / (1 + np.exp(-logit[:, column]))),
            half_saturation_spend=_estimate(half[:, column]),
            curve=[
                pb.ResponsePoint(
                    spend=_money(grid[point, column], it.currency),
                    sales=_money(curve[point, column], it.currency),
                    sales_lower=_money(bands[point, 0, column], it.currency),
                    sales_upper=_money(bands[point, 1, column], it.currency),
                )
                for point in range(CURVE_POINTS)
            ],
            prior_roi=_estimate(prior[:, column]),
        )
        for column, name in enumerate(it.channels)
    ]


def _normal_quantile(level: int) -> float:
    return NormalDist().inv_cdf((100 + level) / 200)


def _estimate(values: Array) -> pb.Estimate:
    return pb.Estimate(value=values[0], lower=values[1], upper=values[2])


def _plan(it: Plan) -> pb.BudgetPlan:
    currency, total = it.mix.currency, float(it.spend.sum())
    order = np.argsort(-it.spend.sum(axis=0), kind="stable").tolist()
    return pb.BudgetPlan(
        version=it.mix.version,
        period_count=it.period_count,
        total=_money(total, currency),
        sales=_sales(it.total_sales, currency),
        sales_in_past_proportions=_sales(it.past_sales, currency),
        roi=it.total_sales[0] / total if total else 0.0,
        marginal_roi=it.marginal_roi,
        channels=[_channel(it, column) for column in order],
    )


def _channel(it: Plan, column: int) -> pb.ChannelBudget:
    currency, planned = it.mix.currency, float(it.spend[:, column].sum())
    weights = it.spend[:, column] if planned else it.mix.sizes
    by_region = it.mix.regions if it.mix.regions != [""] else []
    return pb.ChannelBudget(
        channel=it.mix.channels[column],
        planned=_money(planned, currency),
        past=_money(it.past[:, column].sum(), currency),
        sales=_money(it.sales[:, column].sum(), currency),
        marginal_roi=float(np.average(it.slope[:, column], weights=weights)),
        limit=_limit(planned, it.low[column], it.high[column]),
        regions=[
            pb.RegionBudget(
                region=name,
                planned=_money(it.spend[row, column], currency),
                sales=_money(it.sales[row, column], currency),
            )
            for row, name in enumerate(by_region)
        ],
    )


def _limit(planned: float, low: float, high: float) -> pb.BudgetLimit.ValueType:
    if planned <= low * (1 + 1e-6):
        return pb.BUDGET_LIMIT_MINIMUM
    return pb.BUDGET_LIMIT_MAXIMUM if planned >= high * (1 - 1e-6) else pb.BUDGET_LIMIT_UNSPECIFIED


def _sales(values: Sequence[float], currency: str) -> pb.SalesEstimate:
    value, lower, upper = (_money(it, currency) for it in values)
    return pb.SalesEstimate(value=value, lower=lower, upper=upper)


def _money(amount: float, currency: str) -> Money:
    return Money(currency=currency, amount_minor=round(float(amount)))
