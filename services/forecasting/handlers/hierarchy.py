"""The series of a hierarchy: the leaves as they were sold, and above them their sums."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from services.forecasting.domain.forecasts import ForecastKey, PanelKey
from services.forecasting.domain.measures import Dimension, Hierarchy
from services.forecasting.domain.series import Panel, TooManySeries
from services.forecasting.handlers.get_series import get_series
from services.forecasting.ports import Lines

SERIES_MAX = 5_000
_TOTAL = f"{Dimension.TOTAL}:"


@dataclass(frozen=True, slots=True)
class Tree:
    """All series of a hierarchy. A series' name is its dimension's number and its value; a whole comes before its
    parts."""

    panel: Panel
    parents: Mapping[str, str]

    def key(self, panel: PanelKey, name: str) -> ForecastKey:
        """The forecast of the series with this name."""
        dimension, _, value = name.partition(":")
        return replace(panel, dimension=Dimension(int(dimension))).key(value)


async def read_tree(lines: Lines, tenant: str, key: PanelKey) -> Tree | None:
    """The hierarchy of ``key``, ``None`` without any order; ``TooManySeries``."""
    leaves = await get_series(
        lines, tenant, replace(key, dimension=key.hierarchy.levels[-1]).selection(), as_of=key.as_of
    )
    if leaves is None:
        return None
    parents = _parents(key.hierarchy, leaves, await _categories(lines, tenant, key.hierarchy))
    names = [_TOTAL, *parents]
    if len(names) > SERIES_MAX:
        raise TooManySeries(
            f"the hierarchy has {len(names):,} series, more than {SERIES_MAX:,}; take a hierarchy with fewer levels",
            field="hierarchy",
        )
    return Tree(replace(leaves, values=tuple(names), figures=_figures(leaves, names, parents)), parents)


async def _categories(lines: Lines, tenant: str, hierarchy: Hierarchy) -> Mapping[str, str]:
    return await lines.categories(tenant) if hierarchy is Hierarchy.CATEGORY_PRODUCT else {}


def _parents(hierarchy: Hierarchy, leaves: Panel, categories: Mapping[str, str]) -> dict[str, str]:
    """Of which each series is a part; categories come before products, and products in the order of ``leaves``."""
    leaf = hierarchy.levels[-1]
    if hierarchy is not Hierarchy.CATEGORY_PRODUCT:
        return {f"{leaf}:{value}": _TOTAL for value in leaves.values}
    above = {f"{leaf}:{value}": f"{Dimension.CATEGORY}:{categories.get(value, '')}" for value in leaves.values}
    return dict.fromkeys(sorted(set(above.values())), _TOTAL) | above


def _figures(leaves: Panel, names: list[str], parents: Mapping[str, str]) -> npt.NDArray[np.float64]:
    figures = np.zeros((len(names), leaves.figures.shape[1]))
    figures[len(names) - len(leaves.values) :] = leaves.figures
    places = {name: place for place, name in enumerate(names)}
    for place in range(len(names) - 1, 0, -1):
        figures[places[parents[names[place]]]] += figures[place]
    return figures
