"""Read what categories and the total are made of: products and stores, by their share of the sales of a history."""

from collections.abc import Iterable, Mapping
from dataclasses import replace

from services.forecasting.domain.forecasts import PanelKey
from services.forecasting.domain.measures import Dimension, Granularity, Measure
from services.forecasting.domain.mixes import EVERY, Mix, Parts, Scope
from services.forecasting.domain.periods import periods_between
from services.forecasting.domain.series import Selection
from services.forecasting.handlers.histories import Histories
from services.forecasting.ports import Lines

PARTS_MAX = 1_000
"""The drivers of so many products, those with the highest sales, make up those of categories and of the total."""


async def read_mix(lines: Lines, tenant: str, key: PanelKey, past: Histories, scopes: Iterable[Scope]) -> Mix:
    """The mix of ``scopes``; nothing is read where none of them has parts. A product is part of the category of its
    newest line."""
    dimensions = {dimension for dimension, _ in scopes}
    if not dimensions & {Dimension.TOTAL, Dimension.CATEGORY}:
        return Mix()
    products = await _sold(lines, tenant, key, past, Dimension.PRODUCT)
    categories = await lines.categories(tenant)
    divisions = _by_category(products, categories)
    if Dimension.TOTAL in dimensions:
        stores = await _sold(lines, tenant, key, past, Dimension.STORE)
        divisions[EVERY] = (*divisions[EVERY], _shares(Dimension.STORE, stores))
    return Mix(divisions)


def _by_category(products: Mapping[str, float], categories: Mapping[str, str]) -> dict[Scope, tuple[Parts, ...]]:
    whole: dict[str, float] = {}
    for product, amount in products.items():
        name = categories.get(product, "")
        whole[name] = whole.get(name, 0.0) + amount
    divisions: dict[Scope, tuple[Parts, ...]] = {EVERY: (_shares(Dimension.CATEGORY, whole),)}
    parts: dict[str, dict[Scope, float]] = {}
    for product in sorted(products, key=lambda it: (-products[it], it))[:PARTS_MAX]:
        name = categories.get(product, "")
        parts.setdefault(name, {})[Dimension.PRODUCT, product] = products[product] / whole[name]
    return divisions | {(Dimension.CATEGORY, name): (it,) for name, it in parts.items()}


def _shares(dimension: Dimension, amounts: Mapping[str, float]) -> Parts:
    total = sum(amounts.values())
    return {(dimension, value): amount / total for value, amount in amounts.items()}


async def _sold(lines: Lines, tenant: str, key: PanelKey, past: Histories, dimension: Dimension) -> dict[str, float]:
    """By value, the sales within the history, in units where they are in several currencies; those above zero."""
    extent = await lines.extent(tenant)
    one = key.currency or (extent is not None and len(extent.currencies) == 1)
    selection = Selection(Measure.SALES if one else Measure.UNITS, dimension, Granularity.MONTH, (), key.currency)
    first, end = past.past.starts[0], past.past.end
    months = periods_between(Granularity.MONTH, past.past.zone, first, end - 1)
    sums = await lines.sums(tenant, selection, replace(months, starts=(first, *months.starts[1:-1], end)))
    found: dict[str, float] = {}
    for value, figure in zip(sums.values, sums.figures.tolist(), strict=True):
        found[value] = found.get(value, 0.0) + figure
    return {value: figure for value, figure in found.items() if figure > 0}
