"""Drivers that are made of orders: what a unit cost, and by how much it was reduced."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from services.forecasting.domain.drivers import Calendar, Driver, DriverSource, carried
from services.forecasting.domain.forecasts import PanelKey
from services.forecasting.domain.measures import Dimension, Hierarchy, Measure
from services.forecasting.domain.mixes import Given, Mix, Scope
from services.forecasting.domain.series import Panel, fold
from services.forecasting.handlers.get_series import get_series
from services.forecasting.handlers.histories import Histories
from services.forecasting.ports import Lines

FloatArray = npt.NDArray[np.float64]
_WHOLES = (Dimension.TOTAL, Dimension.CATEGORY)


@dataclass(frozen=True, slots=True)
class OrderFigures:
    """What was paid, what it would have been without discounts, and how many units, by scope and period."""

    rows: Mapping[Scope, int]
    paid: FloatArray
    listed: FloatArray
    units: FloatArray

    def of(self, source: DriverSource) -> FloatArray:
        """The driver by scope and period; NaN where nothing was sold."""
        if source is DriverSource.AVERAGE_PRICE:
            return _ratio(self.paid, self.units)
        return np.clip(1 - _ratio(self.paid, self.listed), 0.0, 1.0)


async def read_order_figures(
    lines: Lines, tenant: str, key: PanelKey, past: Histories, scopes: Sequence[Scope], mix: Mix, come: int
) -> OrderFigures:
    """Of the products that ``scopes`` are made of, and of the stores among them: in the periods of the history and the
    first ``come`` after it."""
    theirs = {scope for scope in scopes if scope[0] not in _WHOLES}
    theirs |= {it for it in mix.below([it for it in scopes if it[0] in _WHOLES]) if it[0] is Dimension.PRODUCT}
    rows: dict[Scope, int] = {}
    found: list[tuple[FloatArray, FloatArray, FloatArray]] = []
    for dimension in (Dimension.PRODUCT, Dimension.STORE):
        values = tuple(sorted(value for kind, value in theirs if kind is dimension))
        if values:
            rows |= {(dimension, value): len(rows) + place for place, value in enumerate(values)}
            own = replace(key, dimension=dimension, hierarchy=Hierarchy.NONE)
            found.append(await _read(lines, tenant, own, values, past, come))
    width = len(past.past) + come
    paid, listed, units = (np.concatenate([np.zeros((0, width)), *(it[kind] for it in found)]) for kind in range(3))
    return OrderFigures(rows, paid, listed, units)


async def _read(
    lines: Lines, tenant: str, key: PanelKey, values: tuple[str, ...], past: Histories, come: int
) -> tuple[FloatArray, FloatArray, FloatArray]:
    sales, units = [
        replace(key, measure=measure, event_name="").selection(values) for measure in (Measure.SALES, Measure.UNITS)
    ]
    paid, sold = await get_series(lines, tenant, sales), await get_series(lines, tenant, units)
    if paid is None or sold is None:
        nothing = np.zeros((len(values), len(past.past) + come))
        return nothing, nothing, nothing
    sums = await lines.listed(tenant, replace(sales, currency=paid.currency), paid.periods)
    listed = replace(paid, figures=fold(sums, paid.periods, paid.values))
    return _within(paid, past, come), _within(listed, past, come), _within(sold, past, come)


def _within(panel: Panel, past: Histories, come: int) -> FloatArray:
    """The figures of the history's periods and of the first ``come`` after it; zero where there are no orders yet, or
    no more: what is forecast may have begun earlier than they did."""
    columns = {start: column for column, start in enumerate(panel.periods.starts[:-1])}
    wanted = [columns.get(start, -1) for start in (*past.past.starts[:-1], *past.ahead.starts[:come])]
    there = np.array(wanted) >= 0
    return np.where(there, panel.figures[:, np.where(there, wanted, 0)], 0.0)


def order_driver(
    driver: Driver, figures: OrderFigures, scopes: Sequence[Scope], planned: Given, mix: Mix, calendar: Calendar
) -> FloatArray:
    """The driver by scope and period. Behind the orders the default holds, or without one the last figure, save on the
    days for which something else is ``planned``. Of a category and of the total it is the mean of their products, by
    their shares."""
    known = figures.of(driver.source)
    behind = known.shape[1]
    width = len(calendar.firsts)
    everything = np.concatenate([known, np.full((len(known), width - behind), np.nan)], axis=1)
    everything = carried(everything)
    if driver.default is not None:
        everything[:, behind:] = driver.default
    for scope, row in figures.rows.items():
        everything[row] = _replanned(everything[row], planned.of(scope, Mix(), None)[0], behind, calendar)
    found = np.zeros((len(scopes), width))
    for place, scope in enumerate(scopes):
        if scope in figures.rows:
            found[place] = everything[figures.rows[scope]]
        else:
            shares = {it: share for it, share in _leaves(scope, mix).items() if it in figures.rows}
            if shares:
                mean = sum(share * everything[figures.rows[it]] for it, share in shares.items()) / sum(shares.values())
                own = planned.days.get(scope)
                found[place] = mean if own is None else _replanned(mean, own, behind, calendar)
    return found


def _replanned(numbers: FloatArray, planned: FloatArray, behind: int, calendar: Calendar) -> FloatArray:
    """``numbers`` by period with what was ``planned`` by day, for the periods from ``behind`` on."""
    share = calendar.means(np.isfinite(planned).astype(np.float64))
    there = calendar.means(np.nan_to_num(planned)) + (1 - share) * numbers
    return np.where(np.arange(len(numbers)) >= behind, there, numbers)


def _leaves(scope: Scope, mix: Mix) -> dict[Scope, float]:
    """The products of a whole with their shares of it."""
    found: dict[Scope, float] = {}
    for part, share in next(iter(mix.divisions.get(scope, ())), {}).items():
        if part[0] is Dimension.PRODUCT:
            found[part] = share
        else:
            found |= {it: share * theirs for it, theirs in _leaves(part, mix).items()}
    return found


def _ratio(above: FloatArray, below: FloatArray) -> FloatArray:
    return np.where(below > 0, above / np.where(below > 0, below, 1.0), np.nan)
