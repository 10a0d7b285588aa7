"""Fit forecasts: history, what is known ahead, methods, intervals, caveats, stored as the next version."""

import asyncio
import uuid
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from services.common import telemetry
from services.common.clock import Clock, to_micros
from services.forecasting.domain.caveats import caveats
from services.forecasting.domain.forecasts import (
    Accuracy,
    Backtest,
    DriverState,
    Forecast,
    ForecastKey,
    PanelKey,
    StoredModel,
    describe,
)
from services.forecasting.domain.measures import Measure
from services.forecasting.handlers.get_series import get_series
from services.forecasting.handlers.hierarchy import Tree, read_tree
from services.forecasting.handlers.histories import Histories, histories
from services.forecasting.handlers.known_ahead import EVERYTHING, Choice, KnownAhead, read_known_ahead
from services.forecasting.learning.accuracy import Errors
from services.forecasting.learning.known_ahead import LEARNERS, Learners
from services.forecasting.learning.panel import SeriesForecast
from services.forecasting.ports import Drivers, Forecasts, Lines


@dataclass(frozen=True, slots=True)
class PanelFitting:
    """What fitting a panel needs from outside."""

    lines: Lines
    forecasts: Forecasts
    drivers: Drivers
    clock: Clock
    learners: Learners = LEARNERS


@dataclass(frozen=True, slots=True)
class _Panel:
    """A panel that is to be fitted."""

    key: PanelKey
    currency: str
    past: Histories
    known: KnownAhead
    tree: Tree | None
    learners: Learners

    def named(self, series: str) -> ForecastKey:
        return self.tree.key(self.key, series) if self.tree else self.key.key(series)


async def fit_panel(
    fitting: PanelFitting, tenant: str, key: PanelKey, values: Sequence[str] = (), choice: Choice = EVERYTHING
) -> tuple[list[Forecast], int]:
    """Fit and store every series of the panel (or those of ``values``) that has a history; count the others. Of a
    hierarchy everything is fitted, and answered. ``choice``: with which drivers."""
    lines = fitting.lines
    tree = await read_tree(lines, tenant, key) if key.hierarchy else None
    panel = tree.panel if tree else await get_series(lines, tenant, key.selection(tuple(values)))
    past = panel and histories(panel, key.horizon)
    if not panel or not past or not past.series:
        return [], len(panel.values) if panel else max(len(values), 1)
    known = await read_known_ahead(lines, fitting.drivers, tenant, key, past, tree, choice)
    with telemetry.span("forecasting.fit", series=len(past.series), horizon=key.horizon):
        fitted, model = await asyncio.to_thread(_fit, _Panel(key, panel.currency, past, known, tree, fitting.learners))
    stored = await fitting.forecasts.get_many(tenant, [forecast.key for forecast in fitted])
    now = to_micros(fitting.clock())
    versions = {known.key: known.version for known in stored.values()}
    latest = [replace(it, fit_time=now, version=versions.get(it.key, 0) + 1) for it in fitted]
    await fitting.forecasts.put(tenant, latest, model)
    telemetry.counter("forecasting.forecasts.fitted").add(len(latest), {"granularity": key.granularity.name.lower()})
    return latest, len(panel.values) - len(latest)


def _fit(panel: _Panel) -> tuple[list[Forecast], StoredModel | None]:
    known = panel.known
    parents = panel.tree.parents if panel.tree else None
    found = panel.past.forecasts(parents, known.holidays, known.drivers, known.groups, panel.learners)
    answering = any(it.response and it.response.boosting_weight for it in found.series)
    model = None
    if answering and found.models:
        model = StoredModel(f"model_{uuid.uuid4().hex}", tuple(it.text for it in found.models))
    by_name = zip(panel.past.series, found.series, strict=True)
    return [_forecast(panel, name, it, model.model_id if model else "") for name, it in by_name], model


def _forecast(panel: _Panel, series: str, found: SeriesForecast, model_id: str) -> Forecast:
    past, key = panel.past, panel.key
    history = past.series[series]
    warnings = caveats(history, key.granularity, key.horizon, found.origin_count)
    return Forecast(
        key=panel.named(series),
        currency=panel.currency if key.measure is Measure.SALES else "",
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
        warnings=(*warnings, *panel.known.drivers.warnings.get(series, ())),
        parts={name: tuple(part.tolist()) for name, part in found.parts.items()},
        drivers=_state(panel, series, found, model_id),
    )


def _state(panel: _Panel, series: str, found: SeriesForecast, model_id: str) -> DriverState | None:
    it = found.response
    if it is None:
        return None
    row = list(panel.past.series).index(series)
    count = len(panel.past.series[series])
    seen = panel.known.drivers.numbers[row, -len(panel.past.ahead) - count : -len(panel.past.ahead)]
    return DriverState(
        names=it.names,
        around=it.around,
        lowest=seen.min(axis=0),
        highest=seen.max(axis=0),
        regression_weight=it.regression_weight,
        coefficients=it.coefficients,
        covariance=it.covariance,
        boosting_weight=it.boosting_weight,
        level=it.level,
        features=it.features,
        model_id=model_id if it.boosting_weight else "",
    )


def _backtest(found: SeriesForecast) -> Backtest | None:
    if found.accuracy is None or found.seasonal_naive is None or found.coverage is None:
        return None
    coverage = tuple(found.coverage.tolist())
    return Backtest(found.origin_count, _accuracy(found.accuracy), _accuracy(found.seasonal_naive), coverage)


def _accuracy(errors: Errors) -> Accuracy:
    return Accuracy(**asdict(errors))
