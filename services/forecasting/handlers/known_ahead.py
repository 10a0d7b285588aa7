"""Read what is known ahead of a panel: its drivers and holidays."""

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from services.forecasting.domain.drivers import (
    EVERY,
    FIGURES_MAX,
    Driver,
    DriverSource,
    Resolved,
    Scope,
    carried,
    days_of,
    resolve,
)
from services.forecasting.domain.forecasts import PanelKey
from services.forecasting.domain.holidays import WESTERN, HolidayCalendar
from services.forecasting.domain.measures import Measure
from services.forecasting.domain.series import Panel, TooManySeries
from services.forecasting.handlers.get_series import get_series
from services.forecasting.handlers.hierarchy import Tree, read_tree
from services.forecasting.handlers.histories import Histories
from services.forecasting.ports import Drivers, Lines

FloatArray = npt.NDArray[np.float64]
_NEUTRAL = np.zeros((0, 0, 0))


@dataclass(frozen=True, slots=True)
class KnownAhead:
    """What is known of the periods of a panel beside its figures."""

    holidays: HolidayCalendar = WESTERN
    drivers: Resolved = field(default_factory=lambda: Resolved((), _NEUTRAL, {}))
    groups: tuple[int, ...] = ()
    """By series, which group it belongs to; empty where there are none."""


async def read_known_ahead(
    lines: Lines, drivers: Drivers, tenant: str, key: PanelKey, past: Histories, tree: Tree | None
) -> KnownAhead:
    """Of the series of ``past``; ``DriverUnknownAhead``, ``TooManySeries``."""
    calendar, defined = await drivers.calendar(tenant), await drivers.all(tenant)
    scopes = {name: _scope(key, name, tree) for name in past.series}
    days = days_of(past.past, past.ahead)
    if len(defined) * len(scopes) * (days.end - days.first) > FIGURES_MAX:
        raise TooManySeries(
            f"{len(defined)} drivers of {len(scopes)} series are more than {FIGURES_MAX:,} figures; name values, or "
            "delete drivers",
            field="values",
        )
    recorded = [it for it in defined if it.source is DriverSource.RECORDED]
    prices = [it for it in defined if it.source is DriverSource.AVERAGE_PRICE]
    resolved = Resolved((), np.zeros((len(scopes), len(days.firsts), 0)), {})
    if recorded:
        everything = [*dict.fromkeys([*scopes.values(), EVERY])]
        rows = await drivers.days(tenant, [it.driver_id for it in recorded], everything, days.end)
        resolved = resolve(recorded, rows, scopes, days, len(past.ahead))
    if prices:
        found = await _prices(lines, tenant, key, past, tree)
        resolved = _with(resolved, prices, found)
    return KnownAhead(calendar, resolved, _groups(past, tree))


def _scope(key: PanelKey, name: str, tree: Tree | None) -> Scope:
    named = tree.key(key, name) if tree else key.key(name)
    return named.panel.dimension, named.value


def _with(resolved: Resolved, prices: list[Driver], found: FloatArray) -> Resolved:
    """The price beside the recorded drivers, under each name that it was given."""
    numbers = np.concatenate([resolved.numbers, *[found[:, :, None]] * len(prices)], axis=2)
    return replace(resolved, names=(*resolved.names, *(it.name for it in prices)), numbers=numbers)


async def _prices(lines: Lines, tenant: str, key: PanelKey, past: Histories, tree: Tree | None) -> FloatArray:
    """The mean price of a unit, by series and period: the last one holds where nothing is sold, and ahead."""
    sales, units = [
        await _panel(lines, tenant, replace(key, measure=measure), tuple(past.series), tree)
        for measure in (Measure.SALES, Measure.UNITS)
    ]
    count, ahead = len(past.past), len(past.ahead)
    found = np.full((len(past.series), count + ahead), np.nan)
    if sales is not None and units is not None:
        sold, paid = _of_past(units, past), _of_past(sales, past)
        found[:, :count] = np.where(sold > 0, paid / np.where(sold > 0, sold, 1.0), np.nan)
    return carried(found)


async def _panel(lines: Lines, tenant: str, key: PanelKey, names: tuple[str, ...], tree: Tree | None) -> Panel | None:
    if tree is not None:
        found = await read_tree(lines, tenant, key)
        return found.panel if found else None
    return await get_series(lines, tenant, key.selection(names))


def _of_past(panel: Panel, past: Histories) -> FloatArray:
    """The figures of the series of a history, in its periods."""
    rows = {value: row for row, value in enumerate(panel.values)}
    first = panel.periods.starts.index(past.past.starts[0])
    figures = panel.figures[:, first : first + len(past.past)]
    return np.stack([figures[rows[name]] for name in past.series])


def _groups(past: Histories, tree: Tree | None) -> tuple[int, ...]:
    """Of a hierarchy, the parts of a whole are a group."""
    if tree is None:
        return ()
    wholes: dict[str, int] = {}
    return tuple(wholes.setdefault(tree.parents.get(name, ""), len(wholes)) for name in past.series)
