"""Read what is known ahead of a panel: its drivers and holidays."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from services.forecasting.domain.drivers import (
    FIGURES_MAX,
    DriverNotFound,
    DriverSource,
    Resolved,
    days_of,
    given_days,
    resolve,
)
from services.forecasting.domain.forecasts import PanelKey
from services.forecasting.domain.holidays import WESTERN, HolidayCalendar
from services.forecasting.domain.mixes import EVERY, Scope
from services.forecasting.domain.series import TooManySeries
from services.forecasting.handlers.hierarchy import Tree
from services.forecasting.handlers.histories import Histories
from services.forecasting.handlers.mix import read_mix
from services.forecasting.handlers.order_drivers import order_driver, read_order_figures
from services.forecasting.ports import Drivers, Lines

_NEUTRAL = np.zeros((0, 0, 0))


@dataclass(frozen=True, slots=True)
class KnownAhead:
    """What is known of the periods of a panel beside its figures."""

    holidays: HolidayCalendar = WESTERN
    drivers: Resolved = field(default_factory=lambda: Resolved((), _NEUTRAL, {}))
    groups: tuple[int, ...] = ()
    """By series, which group it belongs to; empty where there are none."""

    def until(self, count: int) -> "KnownAhead":
        """The same for the first so many periods."""
        return replace(self, drivers=replace(self.drivers, numbers=self.drivers.numbers[:, :count]))


@dataclass(frozen=True, slots=True)
class Choice:
    """Which drivers are used, and how."""

    names: tuple[str, ...] | None = None
    """``None``: all."""
    refusing: bool = True
    """Whether what is missing of a driver that is required ahead is refused; else it is a warning."""
    come: int = 0
    """How many of the periods ahead have come: their orders count for the drivers that are made of orders."""


EVERYTHING = Choice()


async def read_known_ahead(
    lines: Lines,
    drivers: Drivers,
    tenant: str,
    key: PanelKey,
    past: Histories,
    tree: Tree | None = None,
    choice: Choice = EVERYTHING,
) -> KnownAhead:
    """Of the series of ``past``; ``DriverUnknownAhead``, ``TooManySeries``."""
    calendar, defined = await drivers.calendar(tenant), await drivers.all(tenant)
    if choice.names is not None:
        defined = [it for it in defined if it.name in choice.names]
    scopes = {name: _scope(key, name, tree) for name in past.series}
    days = days_of(past.past, past.ahead)
    if len(defined) * len(scopes) * (days.end - days.first) > FIGURES_MAX:
        raise TooManySeries(
            f"{len(defined)} drivers of {len(scopes)} series are more than {FIGURES_MAX:,} figures; name values, or "
            "delete drivers",
            field="values",
        )
    resolved = Resolved((), np.zeros((len(scopes), len(days.firsts), 0)), {})
    if defined:
        mix = await read_mix(lines, tenant, key, past, scopes.values())
        everything = [*dict.fromkeys([*scopes.values(), EVERY, *mix.below(list(scopes.values()))])]
        rows = await drivers.days(tenant, [it.driver_id for it in defined], everything, days.end)
        recorded = [it for it in defined if it.source is DriverSource.RECORDED]
        resolved = resolve(recorded, rows, scopes, days, len(past.ahead), mix, refusing=choice.refusing)
        if ordered := [it for it in defined if it.source is not DriverSource.RECORDED]:
            figures = await read_order_figures(lines, tenant, key, past, [*scopes.values()], mix, choice.come)
            plans = given_days(ordered, rows, days)
            of_orders = [
                order_driver(it, figures, [*scopes.values()], plan, mix, days)
                for it, plan in zip(ordered, plans, strict=True)
            ]
            resolved = replace(
                resolved,
                names=(*resolved.names, *(it.name for it in ordered)),
                numbers=np.concatenate([resolved.numbers, np.stack(of_orders, axis=2)], axis=2),
            )
    return KnownAhead(calendar, resolved, _groups(past, tree))


async def check_names(drivers: Drivers, tenant: str, names: Sequence[str]) -> None:
    """``DriverNotFound`` unless there are drivers of these names."""
    there = {it.name for it in await drivers.all(tenant)} if names else set()
    for name in names:
        if name not in there:
            raise DriverNotFound(f"there is no driver {name}; PutDriver makes one", driver=name)


def _scope(key: PanelKey, name: str, tree: Tree | None) -> Scope:
    named = tree.key(key, name) if tree else key.key(name)
    return named.panel.dimension, named.value


def _groups(past: Histories, tree: Tree | None) -> tuple[int, ...]:
    """Of a hierarchy, the parts of a whole are a group."""
    if tree is None:
        return ()
    wholes: dict[str, int] = {}
    return tuple(wholes.setdefault(tree.parents.get(name, ""), len(wholes)) for name in past.series)
