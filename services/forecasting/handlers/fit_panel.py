"""Fit forecasts: history, methods, intervals, caveats, stored as the next version."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, replace

import numpy as np
import numpy.typing as npt

from services.common import telemetry
from services.common.clock import Clock, to_micros
from services.forecasting.domain.caveats import caveats
from services.forecasting.domain.forecasts import Accuracy, Backtest, Forecast, ForecastKey, PanelKey, describe
from services.forecasting.domain.measures import Measure
from services.forecasting.handlers.get_series import get_series
from services.forecasting.handlers.hierarchy import Tree, read_tree
from services.forecasting.handlers.histories import Histories, histories
from services.forecasting.learning.accuracy import Errors
from services.forecasting.learning.panel import SeriesForecast
from services.forecasting.ports import Forecasts, Lines

FloatArray = npt.NDArray[np.float64]


async def fit_panel(
    lines: Lines, forecasts: Forecasts, clock: Clock, tenant: str, key: PanelKey, values: Sequence[str] = ()
) -> tuple[list[Forecast], int]:
    """Fit and store every series of the panel (or those of ``values``) that has a history; count the others. Of a
    hierarchy everything is fitted, and answered."""
    tree = await read_tree(lines, tenant, key) if key.hierarchy else None
    panel = tree.panel if tree else await get_series(lines, tenant, key.selection(tuple(values)))
    past = panel and histories(panel, key.horizon)
    if not panel or not past or not past.series:
        return [], len(panel.values) if panel else max(len(values), 1)
    with telemetry.span("forecasting.fit", series=len(past.series), horizon=key.horizon):
        fitted = await asyncio.to_thread(_fit, key, panel.currency, past, tree)
    stored = await forecasts.get_many(tenant, [forecast.key for forecast in fitted])
    now = to_micros(clock())
    versions = {known.key: known.version for known in stored.values()}
    latest = [replace(it, fit_time=now, version=versions.get(it.key, 0) + 1) for it in fitted]
    await forecasts.put(tenant, latest)
    telemetry.counter("forecasting.forecasts.fitted").add(len(latest), {"granularity": key.granularity.name.lower()})
    return latest, len(panel.values) - len(latest)


def _fit(key: PanelKey, currency: str, past: Histories, tree: Tree | None) -> list[Forecast]:
    if tree is None:
        return [_forecast(key.key(value), currency, past, value, it) for value, it in past.forecasts().items()]
    found = past.forecasts(tree.parents)
    return [_forecast(tree.key(key, name), currency, past, name, it) for name, it in found.items()]


def _forecast(named: ForecastKey, currency: str, past: Histories, series: str, found: SeriesForecast) -> Forecast:
    history, key = past.series[series], named.panel
    return Forecast(
        key=named,
        currency=currency if key.measure is Measure.SALES else "",
        starts=past.ahead.starts[:-1],
        values=tuple(found.points.tolist()),
        scale=tuple(found.scale.tolist()),
        quantiles=tuple(found.quantiles.tolist()),
        non_negative=bool(history.min() >= 0),
        model=describe(found.weights),
        history_start=past.past.starts[len(past.past) - len(history)],
        history_end=past.past.end,
        history_count=len(history),
        backtest=_backtest(found),
        warnings=caveats(history, key.granularity, key.horizon, found.origin_count),
    )


def _backtest(found: SeriesForecast) -> Backtest | None:
    if found.accuracy is None or found.seasonal_naive is None or found.coverage is None:
        return None
    coverage = tuple(found.coverage.tolist())
    return Backtest(found.origin_count, _accuracy(found.accuracy), _accuracy(found.seasonal_naive), coverage)


def _accuracy(errors: Errors) -> Accuracy:
    return Accuracy(**asdict(errors))
