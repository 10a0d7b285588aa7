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
from services.forecasting.domain.series import Panel
from services.forecasting.handlers.get_series import get_series
from services.forecasting.handlers.hierarchy import Tree, read_tree
from services.forecasting.handlers.histories import Histories, histories
from services.forecasting.handlers.known_ahead import EVERYTHING, Choice, KnownAhead, read_known_ahead
from services.forecasting.handlers.over_time import Beside, agreeing, side_by_side
from services.forecasting.learning.accuracy import Errors
from services.forecasting.learning.known_ahead import LEARNERS, Learners
from services.forecasting.learning.panel import SeriesForecast, Weighed, conclude
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
class _Read:
    """What is read of a panel: its figures."""

    key: PanelKey
    figures: Panel
    tree: Tree | None


@dataclass(frozen=True, slots=True)
class _Panel:
    """A panel that is to be fitted."""

    key: PanelKey
    currency: str
    past: Histories
    known: KnownAhead
    tree: Tree | None
    learners: Learners
    beside: Beside | None = None
    """Where its periods lie beside those that it agrees with."""

    def named(self, series: str) -> ForecastKey:
        return self.tree.key(self.key, series) if self.tree else self.key.key(series)

    def weighed(self) -> Weighed:
        """Its forecasts, nothing adding up yet."""
        parents = self.tree.parents if self.tree else None
        known, held_out = self.known, self.beside.span.held_out[1:] if self.beside else None
        return self.past.weighed(parents, known.holidays, known.drivers, known.groups, self.learners, held_out)


async def fit_panel(
    fitting: PanelFitting, tenant: str, key: PanelKey, values: Sequence[str] = (), choice: Choice = EVERYTHING
) -> tuple[list[Forecast], int]:
    """Fit and store every series of the panel (or those of ``values``) that has a history; count the others. Of a
    hierarchy everything is fitted, and answered, and so is every length of periods of a time hierarchy. ``choice``:
    with which drivers."""
    keys = [replace(key, granularity=length) for length in key.time_hierarchy.levels] or [key]
    read = [it for it in [await _read(fitting.lines, tenant, each, values) for each in keys] if it]
    panels = await _panels(fitting, tenant, read, choice)
    counted = sum(len(it.figures.values) for it in read)
    if not panels:
        return [], counted or max(len(values), 1)
    with telemetry.span("forecasting.fit", series=len(panels[0].past.series), horizon=key.horizon):
        fitted, models = await asyncio.to_thread(_fit, panels)
    stored = await fitting.forecasts.get_many(tenant, [forecast.key for forecast in fitted])
    now = to_micros(fitting.clock())
    versions = {known.key: known.version for known in stored.values()}
    latest = [replace(it, fit_time=now, version=versions.get(it.key, 0) + 1) for it in fitted]
    await fitting.forecasts.put(tenant, latest, models)
    telemetry.counter("forecasting.forecasts.fitted").add(len(latest), {"granularity": key.granularity.name.lower()})
    return latest, counted - len(latest)


async def _read(lines: Lines, tenant: str, key: PanelKey, values: Sequence[str]) -> _Read | None:
    if key.hierarchy:
        tree = await read_tree(lines, tenant, key)
        return _Read(key, tree.panel, tree) if tree else None
    figures = await get_series(lines, tenant, key.selection(tuple(values)), as_of=key.as_of)
    return _Read(key, figures, None) if figures else None


async def _panels(fitting: PanelFitting, tenant: str, read: Sequence[_Read], choice: Choice) -> list[_Panel]:
    """The panels with what is known ahead of them; none without histories."""
    if not read:
        return []
    if read[0].key.time_hierarchy:
        beside = side_by_side([it.figures for it in read], read[0].key.horizon)
        pasts: list[Histories | None] = [it.past for it in beside]
    else:
        beside, pasts = [], [histories(read[0].figures, read[0].key.horizon)]
    panels = []
    for place, (it, past) in enumerate(zip(read, pasts, strict=False)):
        if past is None or not past.series:
            return []
        known = await read_known_ahead(fitting.lines, fitting.drivers, tenant, it.key, past, it.tree, choice)
        there = beside[place] if beside else None
        panels.append(_Panel(it.key, it.figures.currency, past, known, it.tree, fitting.learners, there))
    return panels


def _fit(panels: Sequence[_Panel]) -> tuple[list[Forecast], list[StoredModel]]:
    weighed = [it.weighed().adding_up() for it in panels]
    lengths = [it.beside for it in panels if it.beside]
    if lengths:
        weighed = agreeing(lengths, weighed)
    fitted, models = [], []
    for panel, it in zip(panels, weighed, strict=True):
        found = conclude(it)
        model = None
        if found.models and any(one.response and one.response.boosting_weight for one in found.series):
            model = StoredModel(f"model_{uuid.uuid4().hex}", tuple(one.text for one in found.models))
            models.append(model)
        by_name = zip(panel.past.series, found.series, strict=True)
        fitted += [_forecast(panel, name, one, model.model_id if model else "") for name, one in by_name]
    return fitted, models


def _forecast(panel: _Panel, series: str, found: SeriesForecast, model_id: str) -> Forecast:
    past, key = panel.past, panel.key
    history = past.series[series]
    steps = panel.beside.span.counts[0] if panel.beside else key.horizon
    warnings = caveats(history, key.granularity, steps, found.origin_count)
    return Forecast(
        key=panel.named(series),
        currency=panel.currency if key.measure is Measure.SALES else "",
        starts=past.ahead.starts[:steps],
        values=tuple(found.points[:steps].tolist()),
        scale=tuple(found.scale[:steps].tolist()),
        quantiles=tuple(found.quantiles.tolist()),
        non_negative=bool(history.min() >= 0),
        model=describe(found.weights),
        history_start=past.past.starts[len(past.past) - len(history)],
        history_end=past.past.end,
        history_count=len(history),
        backtest=_backtest(found),
        warnings=(*past.notes.get(series, ()), *warnings, *panel.known.drivers.warnings.get(series, ())),
        parts={name: tuple(part[:steps].tolist()) for name, part in found.parts.items()},
        drivers=_state(panel, series, found, model_id, steps),
    )


def _state(panel: _Panel, series: str, found: SeriesForecast, model_id: str, steps: int) -> DriverState | None:
    it = found.response
    if it is None:
        return None
    row = list(panel.past.series).index(series)
    count = len(panel.past.series[series])
    seen = panel.known.drivers.numbers[row, -len(panel.past.ahead) - count : -len(panel.past.ahead)]
    return DriverState(
        names=it.names,
        around=it.around[: steps + 2],
        lowest=seen.min(axis=0),
        highest=seen.max(axis=0),
        regression_weight=it.regression_weight,
        coefficients=it.coefficients,
        covariance=it.covariance,
        boosting_weight=it.boosting_weight,
        level=it.level,
        features=it.features[:steps],
        model_id=model_id if it.boosting_weight else "",
    )


def _backtest(found: SeriesForecast) -> Backtest | None:
    if found.accuracy is None or found.seasonal_naive is None or found.coverage is None:
        return None
    coverage = tuple(found.coverage.tolist())
    before = _accuracy(found.unreconciled) if found.unreconciled else None
    return Backtest(found.origin_count, _accuracy(found.accuracy), _accuracy(found.seasonal_naive), coverage, before)


def _accuracy(errors: Errors) -> Accuracy:
    return Accuracy(**asdict(errors))
