"""Say where to put a budget, by a media mix model."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from services.forecasting.domain.media_mix import (
    Aim,
    Array,
    Bound,
    BudgetInvalid,
    StoredMix,
    TargetOutOfReach,
)
from services.forecasting.handlers.media_mix import get_media_mix
from services.forecasting.learning.response import Bounds, Response, at_maximum, best_at, best_within, draws
from services.forecasting.ports import MediaMixes

SHARE_MAX_DEFAULT = 3.0
_BISECTIONS = 60
_PRICE_LOW, _PRICE_HIGH = 1e-9, 1e9


@dataclass(frozen=True, slots=True)
class PlanOptions:
    """What is to be planned."""

    version: int
    period_count: int
    aim: Aim
    share_min: float
    share_max: float
    bounds: Sequence[Bound]


@dataclass(frozen=True, slots=True)
class Plan:
    """A plan over all its periods, in minor units; shapes (regions, channels)."""

    mix: StoredMix
    period_count: int
    spend: Array
    past: Array
    sales: Array
    slope: Array
    low: Array
    """The least that each channel may get. Shape (channels,)."""
    high: Array
    total_sales: Sequence[float]
    """Most likely, and the ends of the interval."""
    past_sales: Sequence[float]
    marginal_roi: float


async def plan_budget(mixes: MediaMixes, tenant: str, options: PlanOptions) -> Plan:
    """The best plan; refusals as in the contract."""
    mix = await get_media_mix(mixes, tenant, options.version)
    return await asyncio.to_thread(_plan, mix, options)


def _plan(mix: StoredMix, options: PlanOptions) -> Plan:
    bounds, response = _bounds(mix, options), at_maximum(mix)
    if (bounds.least > bounds.most).any():
        name = mix.channels[int((bounds.least > bounds.most).argmax())]
        raise BudgetInvalid(f"the bounds of {name} contradict each other", field="bounds", channel=name)
    spend = _spend(response, bounds, options)
    drawn, count = draws(mix), options.period_count
    past = mix.mean_spend * (spend.sum() / mix.mean_spend.sum())
    free = (spend.sum(axis=0) > bounds.least * (1 + 1e-6)) & (spend.sum(axis=0) < bounds.most * (1 - 1e-6))
    slope = response.slope(spend)[0]
    inside = (spend > bounds.region_low) & (spend < bounds.region_high) & free
    return Plan(
        mix=mix,
        period_count=count,
        spend=spend * count,
        past=mix.mean_spend * count,
        sales=response.outcome(spend)[0] * count,
        slope=slope,
        low=bounds.least * count,
        high=bounds.most * count,
        total_sales=_estimate(response, drawn, spend, count),
        past_sales=_estimate(response, drawn, past, count),
        marginal_roi=float(slope[inside].mean()) if inside.any() else 0.0,
    )


def _estimate(response: Response, drawn: Response, spend: Array, count: int) -> tuple[float, float, float]:
    ends = np.quantile(drawn.outcome(spend).sum(axis=(1, 2)), [0.05, 0.95]) * count
    return float(response.outcome(spend).sum()) * count, float(ends[0]), float(ends[1])


def _spend(response: Response, bounds: Bounds, options: PlanOptions) -> Array:
    """Spend a period. Shape (regions, channels)."""
    aim = options.aim
    if aim.total_minor is not None:
        total, least, most = aim.total_minor / options.period_count, bounds.least.sum(), bounds.most.sum()
        if not least <= total <= most * (1 + 1e-12):
            low, high = (round(end * options.period_count) for end in (least, most))
            raise BudgetInvalid(
                f"within the bounds {low} to {high} can be spent, not {aim.total_minor}", field="total_minor"
            )
        return best_within(response, bounds, total)
    if aim.marginal_roi is not None:
        return best_at(response, bounds, _positive(aim.marginal_roi, "target_marginal_roi"))
    if aim.roi is None:
        raise BudgetInvalid("say a total, a target ROI or a target marginal ROI", field="aim")
    return _at_roi(response, bounds, _positive(aim.roi, "target_roi"))


def _positive(value: float, field: str) -> float:
    if not _PRICE_LOW < value < _PRICE_HIGH:
        raise BudgetInvalid("the target must lie above 0 and below a billion", field=field)
    return value


def _at_roi(response: Response, bounds: Bounds, target: float) -> Array:
    """As much as can be spent with at least this return on all of it: it falls as spend grows."""
    low, high = _PRICE_LOW, _PRICE_HIGH  # of one more unit: at `low` all is spent, at `high` the least
    if _roi(response, best_at(response, bounds, high)) < target:
        reached = _roi(response, best_at(response, bounds, high))
        raise TargetOutOfReach(f"the least spend within the bounds returns {reached:.2f}, less than {target:.2f}")
    if _roi(response, best_at(response, bounds, low)) >= target:
        return best_at(response, bounds, low)
    for _ in range(_BISECTIONS):
        middle = float(np.sqrt(low * high))
        if _roi(response, best_at(response, bounds, middle)) >= target:
            high = middle
        else:
            low = middle
    return best_at(response, bounds, high)


def _roi(response: Response, spend: Array) -> float:
    total = float(spend.sum())
    return float(response.outcome(spend).sum()) / total if total > 0 else np.inf


def _bounds(mix: StoredMix, options: PlanOptions) -> Bounds:
    share_max = options.share_max or SHARE_MAX_DEFAULT
    if not 0 <= options.share_min <= 1 or not options.share_min <= share_max:
        raise BudgetInvalid("share_min must lie between 0 and 1 and not above share_max", field="share_min")
    past = mix.mean_spend.sum(axis=0)
    low, high = options.share_min * past, share_max * past
    shape = mix.mean_spend.shape
    region_low, region_high = np.zeros(shape), np.full(shape, np.inf)
    for bound in options.bounds:
        row, column = _place(mix, bound)
        least = bound.low / options.period_count
        most = np.inf if bound.high is None else bound.high / options.period_count
        if most < least:
            raise BudgetInvalid(f"the bounds of {bound.channel} contradict each other", field="bounds")
        if row is None:
            low[column], high[column] = least, most
        else:
            region_low[row, column], region_high[row, column] = least, most
    return Bounds(low, high, region_low, np.minimum(region_high, 1e15))


def _place(mix: StoredMix, bound: Bound) -> tuple[int | None, int]:
    if bound.channel not in mix.channels:
        raise BudgetInvalid(f"the model has no channel {bound.channel}", field="bounds", channel=bound.channel)
    if bound.region and bound.region not in mix.regions:
        raise BudgetInvalid(f"the model has no region {bound.region}", field="bounds", region=bound.region)
    row = list(mix.regions).index(bound.region) if bound.region else None
    return row, list(mix.channels).index(bound.channel)
