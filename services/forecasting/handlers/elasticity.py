"""Read how demand answers to price and promotion out of the orders."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from services.forecasting.domain.drivers import Driver, DriverNotFound, DriverSource, carried, days_of, resolve
from services.forecasting.domain.elasticity import (
    PERIODS_MIN,
    PRODUCTS_MAX,
    Elasticities,
    Elasticity,
    ElasticityInvalid,
    Pooled,
    TooFewPeriods,
)
from services.forecasting.domain.measures import Dimension, Granularity, Measure
from services.forecasting.domain.periods import DAY
from services.forecasting.domain.propensity import FloatArray
from services.forecasting.domain.series import Panel, Selection
from services.forecasting.handlers.get_series import get_series
from services.forecasting.learning.elasticity import (
    VARIATION_MIN,
    WIDTH,
    Answers,
    Drawn,
    answers,
    drawn_together,
    grouped,
)
from services.forecasting.ports import Drivers, Lines

YEARS_DEFAULT = 3
_DAYS = {Granularity.DAY: 1.0, Granularity.WEEK: 7.0}
_ZERO_SHARE = 0.3


@dataclass(frozen=True, slots=True)
class ElasticityQuery:
    """What is asked. Times are microseconds; empty names mean the price in the orders, and no promotions."""

    dimension: Dimension
    values: tuple[str, ...] = ()
    granularity: Granularity = Granularity.WEEK
    currency: str = ""
    time_zone: str = ""
    start: int | None = None
    end: int | None = None
    price_driver: str = ""
    promotion_driver: str = ""


@dataclass(frozen=True, slots=True)
class _Market:
    """What was sold and at which price, by product and complete period."""

    products: tuple[str, ...]
    categories: tuple[str, ...]
    units: FloatArray
    prices: FloatArray
    promotions: FloatArray
    start: int
    end: int


async def get_elasticities(lines: Lines, drivers: Drivers, tenant: str, query: ElasticityQuery) -> Elasticities:
    """The elasticities. Refusals as in the contract."""
    if query.dimension not in (Dimension.PRODUCT, Dimension.CATEGORY):
        raise ElasticityInvalid("elasticities are of products or of categories", field="dimension")
    if query.granularity not in _DAYS:
        raise ElasticityInvalid("prices are compared by week or by day", field="granularity")
    market = await _market(lines, drivers, tenant, query)
    return await asyncio.to_thread(_found, market, query)


async def _market(lines: Lines, drivers: Drivers, tenant: str, query: ElasticityQuery) -> _Market:
    categories = await lines.categories(tenant)
    most = [name for name, _ in await lines.values(tenant, Dimension.PRODUCT, PRODUCTS_MAX)]
    named = query.values if query.dimension is Dimension.PRODUCT else ()
    products = tuple(dict.fromkeys([*most, *(name for name in named if name in categories)]))
    panels = [await _panel(lines, tenant, query, products, measure) for measure in (Measure.UNITS, Measure.SALES)]
    units, sales = panels
    count = units.complete_count() if units else 0
    if units is None or sales is None or count < PERIODS_MIN:
        raise TooFewPeriods(
            f"there are {count} complete periods and {PERIODS_MIN} are needed: wait, or compare prices by day",
            periods=count,
            minimum=PERIODS_MIN,
        )
    sold, paid = units.figures[:, :count], sales.figures[:, :count]
    names = units.values
    found = _Market(
        names,
        tuple(categories.get(name, "") for name in names),
        np.maximum(sold, 0.0),
        carried(np.where((sold > 0) & (paid > 0), paid / np.where(sold > 0, sold, 1.0), np.nan)),
        np.zeros_like(sold),
        units.periods.starts[0],
        units.periods.starts[count],
    )
    if query.price_driver:
        found = replace(found, prices=await _driven(drivers, tenant, query.price_driver, units, count))
    if query.promotion_driver:
        found = replace(found, promotions=await _driven(drivers, tenant, query.promotion_driver, units, count))
    return found


async def _panel(
    lines: Lines, tenant: str, query: ElasticityQuery, products: tuple[str, ...], measure: Measure
) -> Panel | None:
    """Without products there is nothing to add up."""
    if not products:
        return None
    extent = await lines.extent(tenant)
    last = extent.last_time if extent else 0
    end = last + 1 if query.end is None else query.end
    start = max(end - round(YEARS_DEFAULT * 365.25) * DAY, extent.first_time if extent else 0)
    begin = min(start, end - 1) if query.start is None else query.start
    currency = query.currency
    if extent is not None:  # units of several currencies have no price
        sales = Selection(Measure.SALES, Dimension.PRODUCT, query.granularity, currency=query.currency)
        currency = extent.currency(sales)
    selection = Selection(measure, Dimension.PRODUCT, query.granularity, products, currency, query.time_zone)
    return await get_series(lines, tenant, selection, begin, end)


async def _driven(drivers: Drivers, tenant: str, name: str, panel: Panel, count: int) -> FloatArray:
    """What a recorded driver is, by product and period."""
    driver = next((it for it in await drivers.all(tenant) if it.name == name), None)
    if driver is None or driver.source is not DriverSource.RECORDED:
        raise DriverNotFound(f"there is no recorded driver {name}; PutDriver makes one", driver=name)
    scopes = {product: (Dimension.PRODUCT, product) for product in panel.values}
    days = days_of(panel.periods)
    asked = [*scopes.values(), (Dimension.TOTAL, "")]
    rows = await drivers.days(tenant, [driver.driver_id], asked, days.end)
    resolved = resolve([_lenient(driver)], rows, scopes, days, 1)
    if not resolved.names:
        return np.zeros((len(panel.values), count))
    return resolved.numbers[:, :count, 0]


def _lenient(driver: Driver) -> Driver:
    """What is not known of the future is of no matter here."""
    return replace(driver, required_ahead=False)


def _found(market: _Market, query: ElasticityQuery) -> Elasticities:
    told = answers(market.units, market.prices, market.promotions, _DAYS[query.granularity], PERIODS_MIN)
    group, names = grouped(market.categories)
    price, promotion = (drawn_together(own, group, len(names)) for own in (told.price, told.promotion))
    if query.dimension is Dimension.PRODUCT:
        every = {it.name: it for it in _products(market, told, price, promotion)}
        wanted: Sequence[str] = query.values or market.products
    else:
        every = {it.name: it for it in _categories(market, told, price, promotion, names)}
        sold = {name: float(market.units[group == number].sum()) for number, name in enumerate(names)}
        wanted = query.values or sorted(names, key=lambda name: -sold[name])
    return Elasticities(
        found=[every[name] for name in wanted if name in every],
        overall=_overall(market, price, promotion),
        start=market.start,
        end=market.end,
        product_count=len(market.products),
        informative_count=int(np.isfinite(told.price.value).sum()),
    )


def _products(market: _Market, told: Answers, price: Drawn | None, promotion: Drawn | None) -> Iterator[Elasticity]:
    for row, name in enumerate(market.products):
        own, lift = _finite(told.price.value[row]), _finite(told.promotion.value[row])
        units = market.units[row]
        sold = np.flatnonzero(units > 0)
        periods = int(sold[-1] - sold[0] + 1) if len(sold) else 0
        yield Elasticity(
            name=name,
            price=_pooled(price.value[row], price.error[row], own) if price else None,
            promotion_lift=_lifted(promotion.value[row], promotion.error[row], lift) if promotion else None,
            period_count=periods,
            units=float(units.sum()),
            price_variation=float(told.variation[row]),
            warnings=tuple(_warnings(own, told.variation[row], periods, len(sold))),
        )


def _categories(
    market: _Market, told: Answers, price: Drawn | None, promotion: Drawn | None, names: Sequence[str]
) -> Iterator[Elasticity]:
    for number, name in enumerate(names):
        rows = np.array([category == name for category in market.categories])
        informative = int(np.isfinite(told.price.value[rows]).sum())
        warning = "No price of its products moved enough: it has the mean over all, where there is one."
        yield Elasticity(
            name=name,
            price=_pooled(price.group_value[number], price.group_error[number], None) if price else None,
            promotion_lift=_lifted(promotion.group_value[number], promotion.group_error[number], None)
            if promotion
            else None,
            period_count=int((market.units[rows] > 0).sum()),
            units=float(market.units[rows].sum()),
            price_variation=None,
            warnings=() if informative else (warning,),
        )


def _overall(market: _Market, price: Drawn | None, promotion: Drawn | None) -> Elasticity | None:
    if price is None:
        return None
    return Elasticity(
        name="",
        price=_pooled(price.mean, price.mean_error, None),
        promotion_lift=_lifted(promotion.mean, promotion.mean_error, None) if promotion else None,
        period_count=int((market.units > 0).sum()),
        units=float(market.units.sum()),
        price_variation=None,
    )


def _pooled(value: float, error: float, own: float | None) -> Pooled:
    return Pooled(float(value), float(value - WIDTH * error), float(value + WIDTH * error), own)


def _lifted(value: float, error: float, own: float | None) -> Pooled:
    """The share by which units rise, of a coefficient in logarithms."""
    found = _pooled(value, error, own)
    value, low, high = (float(np.expm1(it)) for it in (found.value, found.low, found.high))
    return Pooled(value, low, high, None if own is None else float(np.expm1(own)))


def _finite(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None


def _warnings(own: float | None, variation: float, periods: int, sold: int) -> Iterator[str]:
    if periods < PERIODS_MIN:
        yield f"It was sold over {periods} periods, and {PERIODS_MIN} are needed: it says nothing by itself."
    elif own is None and variation < VARIATION_MIN:
        yield f"Its price moved by less than {100 * VARIATION_MIN:.0f} %: it says nothing by itself."
    elif own is None:
        yield "Its history is too short for all that moves demand: it says nothing by itself."
    elif own > 0:
        yield "By itself more seems to be sold at higher prices: prices may follow demand here, or the shop's supply."
    if periods >= PERIODS_MIN and sold < (1 - _ZERO_SHARE) * periods:
        yield "In many periods nothing was sold; whether it was out of stock or not wanted is not known."
