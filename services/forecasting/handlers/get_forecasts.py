"""Read forecasts; what was never fitted is fitted now."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from weakref import WeakValueDictionary

from services.common.errors import Refusal
from services.forecasting.domain.forecasts import Forecast, ForecastKey, NothingToForecast, PanelKey
from services.forecasting.domain.measures import Dimension
from services.forecasting.handlers.fit_panel import PanelFitting, fit_panel

WHOLE_PANEL_MAX = 500
"""Up to so many categories all are fitted with the one that is asked for: they inform each other's methods and
intervals, and the answer does not depend on which one was asked for first."""


class GetForecasts:
    """The use case, with the locks that keep two calls from fitting one panel at once."""

    def __init__(self, fitting: PanelFitting) -> None:
        self._fitting_panels, self._lines, self._forecasts = fitting, fitting.lines, fitting.forecasts
        self._fitting: WeakValueDictionary[tuple[str, PanelKey], asyncio.Lock] = WeakValueDictionary()

    async def __call__(self, tenant: str, keys: Sequence[ForecastKey]) -> list[Forecast | Refusal]:
        """For each key its forecast, or why there is none."""
        found = await self._forecasts.get_many(tenant, keys)
        missing: dict[PanelKey, list[ForecastKey]] = defaultdict(list)
        for key in dict.fromkeys(keys):
            if key not in found:
                missing[key.panel].append(key)
        refused: dict[PanelKey, Refusal] = {}
        for panel, wanted in missing.items():
            try:
                found |= await self._fit(tenant, panel, wanted)
            except Refusal as refusal:
                refused[panel] = refusal
        return [found.get(key) or refused.get(key.panel) or _nothing(key) for key in keys]

    async def _fit(self, tenant: str, panel: PanelKey, wanted: list[ForecastKey]) -> dict[ForecastKey, Forecast]:
        lock = self._fitting.setdefault((tenant, panel.fitted_with), asyncio.Lock())
        async with lock:
            found = await self._forecasts.get_many(tenant, wanted)
            if len(found) == len(wanted):
                return found
            values = await self._to_fit(tenant, panel, [key.value for key in wanted if key not in found])
            if values is None:
                return found
            fitted, _ = await fit_panel(self._fitting_panels, tenant, panel, values)
            return found | {forecast.key: forecast for forecast in fitted}

    async def _to_fit(self, tenant: str, panel: PanelKey, wanted: list[str]) -> list[str] | None:
        """Which series to fit, none of them meaning all; ``None`` if there is nothing to fit."""
        if panel.hierarchy:
            whole = panel.fitted_with.key("")
            return None if await self._forecasts.get_many(tenant, [whole]) else []
        if panel.dimension is Dimension.TOTAL:
            return []
        known = [
            value
            for value, _ in await self._lines.values(tenant, panel.dimension, WHOLE_PANEL_MAX + 1, panel.selection())
        ]
        if len(known) > WHOLE_PANEL_MAX:
            return wanted
        if not set(wanted) & set(known):
            return None
        stored = await self._forecasts.get_many(tenant, [panel.key(value) for value in known])
        return [value for value in wanted if value in known] if stored else []


def _nothing(key: ForecastKey) -> NothingToForecast:
    dimension, measure = key.panel.dimension, key.panel.measure
    name, hint = key.value or "the total", "wait for more"
    if dimension is not Dimension.TOTAL and not key.value:
        name, hint = f"what has no {dimension.name.lower()}", f"name a {dimension.name.lower()} as the value"
    what = f"events {key.panel.event_name}" if key.panel.event_name else measure.name.lower().replace("_", " ")
    return NothingToForecast(f"{name} has no complete period with {what} other than zero; {hint}", value=key.value)
