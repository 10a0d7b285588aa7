"""Fit the forecasts of a panel: history, methods, intervals, caveats, stored as the next version."""

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime

import numpy as np
import numpy.typing as npt

from services.common import telemetry
from services.common.clock import Clock, to_micros
from services.forecasting.domain.caveats import caveats
from services.forecasting.domain.forecasts import Accuracy, Backtest, Forecast, PanelKey, describe
from services.forecasting.domain.measures import Granularity, Measure
from services.forecasting.domain.periods import DAY, Periods, periods_from
from services.forecasting.domain.seasons import calendar_features, history_length_max, season_length
from services.forecasting.domain.series import Panel
from services.forecasting.handlers.get_series import get_series
from services.forecasting.learning.accuracy import Errors
from services.forecasting.learning.panel import SeriesForecast, forecast_panel
from services.forecasting.ports import Forecasts, Lines

FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Histories:
    """The complete periods of a panel, the periods ahead, and each series from its first order on."""

    past: Periods
    ahead: Periods
    series: dict[str, FloatArray]


async def fit_panel(
    lines: Lines, forecasts: Forecasts, clock: Clock, tenant: str, key: PanelKey, values: Sequence[str] = ()
) -> tuple[list[Forecast], int]:
    """Fit and store every series of the panel (or those of ``values``) that has a history; count the others."""
    panel = await get_series(lines, tenant, key.selection(tuple(values)))
    histories = panel and _histories(panel, key.horizon)
    if not panel or not histories or not histories.series:
        return [], len(panel.values) if panel else max(len(values), 1)
    with telemetry.span("forecasting.fit", series=len(histories.series), horizon=key.horizon):
        fitted = await asyncio.to_thread(_fit, key, panel.currency, histories)
    stored = await forecasts.get_many(tenant, [forecast.key for forecast in fitted])
    now = to_micros(clock())
    versions = {known.key: known.version for known in stored.values()}
    latest = [replace(it, fit_time=now, version=versions.get(it.key, 0) + 1) for it in fitted]
    await forecasts.put(tenant, latest)
    telemetry.counter("forecasting.forecasts.fitted").add(len(latest), {"granularity": key.granularity.name.lower()})
    return latest, len(panel.values) - len(latest)


def _histories(panel: Panel, horizon: int) -> Histories | None:
    periods, granularity = panel.periods, panel.periods.granularity
    last = panel.complete_count()
    first = max(int(_begins_in_midst(panel)), last - history_length_max(granularity))
    if last <= first:
        return None
    series = {}
    for value, figures in zip(panel.values, panel.figures[:, :last], strict=True):
        if figures.any():
            begin = max(first, int(np.flatnonzero(figures)[0]))
            series[value] = figures[min(begin, last - 1) :]
    past = Periods(
        granularity, periods.zone, periods.starts[first : last + 1], periods.keys[first:last], periods.buckets
    )
    return Histories(past, periods_from(granularity, periods.zone, past.end, horizon), series)


def _begins_in_midst(panel: Panel) -> bool:
    """Whether the orders begin later than on the first day of the first week or month: its figure is then too low."""
    first_day = panel.first_time - panel.periods.starts[0]
    long = panel.periods.granularity in (Granularity.WEEK, Granularity.MONTH)
    return long and first_day >= DAY and len(panel.periods) > 1


def _fit(key: PanelKey, currency: str, histories: Histories) -> list[Forecast]:
    series = list(histories.series.values())
    longest = max(len(one) for one in series)
    calendar = calendar_features(key.granularity, _dates(histories, longest))
    found = forecast_panel(series, season_length(key.granularity, longest), key.horizon, calendar)
    return [_forecast(key, value, currency, histories, one) for value, one in zip(histories.series, found, strict=True)]


def _dates(histories: Histories, longest: int) -> list[datetime]:
    return [*histories.past.dates()[-longest:], *histories.ahead.dates()]


def _forecast(key: PanelKey, value: str, currency: str, histories: Histories, found: SeriesForecast) -> Forecast:
    history = histories.series[value]
    return Forecast(
        key=key.key(value),
        currency=currency if key.measure is Measure.SALES else "",
        starts=histories.ahead.starts[:-1],
        values=tuple(found.points.tolist()),
        scale=tuple(found.scale.tolist()),
        quantiles=tuple(found.quantiles.tolist()),
        non_negative=bool(history.min() >= 0),
        model=describe(found.weights),
        history_start=histories.past.starts[len(histories.past) - len(history)],
        history_end=histories.past.end,
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
