"""Say when to order how much: order up to a level whenever what is there and on order falls to the reorder point.

The policy is periodic review with a reorder point (Silver, Pyke and Thomas 2017, chapter 7): demand of lead time and
review is to be covered with the service level. Demand is negative binomial (Poisson where it varies no more than that)
if units are whole, else gamma, with the mean of the forecast and the variance of its error over the whole time.
"""

import asyncio
import math
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

import numpy as np
from scipy import stats

from services.forecasting.domain.caveats import caveats
from services.forecasting.domain.demand import ReorderLine, StockInvalid, StockItem
from services.forecasting.domain.forecasts import panel_of
from services.forecasting.domain.measures import Dimension, Granularity, Measure
from services.forecasting.domain.series import Panel, Selection
from services.forecasting.handlers.get_series import get_series
from services.forecasting.handlers.histories import histories
from services.forecasting.handlers.known_ahead import Choice, KnownAhead, read_known_ahead
from services.forecasting.learning.panel import SeriesForecast
from services.forecasting.ports import Drivers, Lines

SERVICE_LEVEL_DEFAULT = 95
_NO_HISTORY = "there is no complete day with an order of it; wait for orders"


async def plan_reorder(
    lines: Lines,
    drivers: Drivers,
    tenant: str,
    items: Sequence[StockItem],
    service_level: int,
    review_days: int,
    time_zone: str,
) -> list[ReorderLine]:
    """A line for each item, in their order; refusals as in the contract."""
    _check(items)
    products = tuple(dict.fromkeys(it.product_id for it in items))
    selection = Selection(Measure.UNITS, Dimension.PRODUCT, Granularity.DAY, products, time_zone=time_zone)
    panel = await get_series(lines, tenant, selection)
    if panel is None:
        return [ReorderLine(it.product_id, error=_NO_HISTORY) for it in items]
    longest = max(it.lead_time_days for it in items) + review_days
    past, known = histories(panel, longest), KnownAhead()
    if past and past.series:
        key, choice = panel_of(selection, longest), Choice(refusing=False)
        known = await read_known_ahead(lines, drivers, tenant, key, past, choice=choice)
    return await asyncio.to_thread(_plan, panel, known, items, service_level / 100, review_days)


def _check(items: Sequence[StockItem]) -> None:
    for index, it in enumerate(items):
        figures = {"on_order": it.on_order, "pack_size": it.pack_size, "minimum_order": it.minimum_order}
        for name, figure in figures.items():
            if not (math.isfinite(figure) and figure >= 0):
                raise StockInvalid(f"items[{index}].{name} must not be below zero", field=f"items[{index}].{name}")
        if not math.isfinite(it.on_hand):
            raise StockInvalid(f"items[{index}].on_hand is no number", field=f"items[{index}].on_hand")


def _plan(panel: Panel, known: KnownAhead, items: Sequence[StockItem], level: float, review: int) -> list[ReorderLine]:
    by_days: dict[int, list[int]] = defaultdict(list)
    for index, it in enumerate(items):
        by_days[it.lead_time_days + review].append(index)
    lines: list[ReorderLine] = [ReorderLine(it.product_id, error=_NO_HISTORY) for it in items]
    for days, places in by_days.items():
        past = histories(panel, days)
        if not past or not past.series:
            continue
        found = past.by_name(known.holidays, known.until(len(past.past) + days).drivers)
        for index in places:
            item = items[index]
            if item.product_id in found:
                history = past.series[item.product_id]
                notes = caveats(history, Granularity.DAY, days, found[item.product_id].origin_count)
                notes = (*past.notes.get(item.product_id, ()), *notes, *known.drivers.warnings.get(item.product_id, ()))
                whole = bool((history == np.round(history)).all())
                lines[index] = _line(item, found[item.product_id], level, review, whole, notes)
    return lines


def _line(
    item: StockItem, forecast: SeriesForecast, level: float, review: int, whole: bool, notes: Sequence[str]
) -> ReorderLine:
    days = len(forecast.points)
    mean, deviation = float(forecast.points.sum()), forecast.total_deviation
    daily, position = mean / days, item.on_hand + item.on_order
    point = float(_demand(mean, deviation, whole).ppf(level)) if mean > 0 else 0.0
    lead = item.lead_time_days
    share = math.sqrt(lead / days)
    until_it_comes = _demand(float(forecast.points[:lead].sum()), deviation * share, whole)
    return ReorderLine(
        product_id=item.product_id,
        daily_demand=daily,
        expected_demand=mean,
        demand_deviation=deviation,
        safety_stock=max(point - mean, 0.0),
        reorder_point=point,
        order_quantity=_quantity(item, point + daily * review - position) if position <= point and mean > 0 else 0.0,
        stockout_probability=float(until_it_comes.sf(max(position, 0.0))) if position >= 0 else 1.0,
        days_of_cover=max(position, 0.0) / daily if daily > 0 else None,
        warnings=notes,
    )


def _quantity(item: StockItem, wanted: float) -> float:
    """At least what is wanted and what can be ordered, in whole packs."""
    pack = item.pack_size or 1.0
    return math.ceil(max(wanted, item.minimum_order, 0.0) / pack - 1e-9) * pack


def _demand(mean: float, deviation: float, whole: bool) -> Any:
    """The distribution of demand, frozen."""
    mean, variance = max(mean, 1e-9), max(deviation**2, 1e-12)
    if not whole:
        return stats.gamma(mean**2 / variance, scale=variance / mean)
    if variance <= mean:
        return stats.poisson(mean)
    share = mean / variance
    return stats.nbinom(mean * share / (1 - share), share)
