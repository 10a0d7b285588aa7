"""Find what was unusual: the last periods beside what was to be expected before them."""

import asyncio

from services.forecasting.domain.demand import Anomalies, Anomaly
from services.forecasting.domain.forecasts import panel_of
from services.forecasting.domain.series import Panel, Selection
from services.forecasting.handlers.get_series import get_series
from services.forecasting.handlers.histories import Histories, histories
from services.forecasting.handlers.known_ahead import Choice, KnownAhead, read_known_ahead
from services.forecasting.ports import Drivers, Lines

PERIODS_DEFAULT, LEVEL_DEFAULT, FOUND_MAX = 28, 99, 1000
HISTORY_MIN = 8
_ROUNDING = 1e-9


async def detect_anomalies(
    lines: Lines, drivers: Drivers, tenant: str, selection: Selection, count: int, level: int
) -> Anomalies:
    """What was unusual in the last ``count`` complete periods, given the drivers that they had; refusals as in the
    contract."""
    panel = await get_series(lines, tenant, selection)
    past = panel and histories(panel, count, held_out=count)
    long = past and past.only({value for value, one in past.series.items() if len(one) >= HISTORY_MIN})
    if panel is None or not long or not long.series:
        return Anomalies((), 0, len(panel.values) if panel else 0)
    choice = Choice(refusing=False, come=count)
    known = await read_known_ahead(lines, drivers, tenant, panel_of(selection, count), long, choice=choice)
    return await asyncio.to_thread(_detect, panel, long, known, count, level)


def _detect(panel: Panel, past: Histories, known: KnownAhead, count: int, level: int) -> Anomalies:
    looked_at = past.series
    expected = past.by_name(known.holidays, known.drivers)
    row = {value: index for index, value in enumerate(panel.values)}
    end = panel.complete_count()
    found = []
    for value, forecast in expected.items():
        actuals = panel.figures[row[value], end - count : end]
        floor = 0.0 if looked_at[value].min() >= 0 else float("-inf")
        for step, (actual, point) in enumerate(zip(actuals.tolist(), forecast.points.tolist(), strict=True)):
            half = float(forecast.scale[step] * forecast.quantiles[level - 1])
            # Of a series that never varied the interval is a point, and the forecast off by a rounding.
            if abs(actual - point) > max(half, _ROUNDING * abs(point)):
                score = abs(actual - point) / half if half else float("inf")
                lower = max(point - half, floor)
                start = past.ahead.starts[step]
                found.append(Anomaly(value, start, actual, point, lower, point + half, min(score, 1e6)))
    found.sort(key=lambda it: (-it.score, it.value, it.start))
    return Anomalies(found, len(looked_at), len(panel.values) - len(looked_at))
