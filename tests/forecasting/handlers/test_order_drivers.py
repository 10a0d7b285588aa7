"""Prices and discounts of orders by product, category, total and store; and what is planned."""

from datetime import date

import numpy as np

from services.forecasting.domain.drivers import Calendar, Driver, DriverSource, day_number
from services.forecasting.domain.measures import Dimension
from services.forecasting.domain.mixes import EVERY, Given, Mix, Scope
from services.forecasting.handlers.order_drivers import OrderFigures, order_driver

FIRST = day_number(date(2026, 3, 2))
CALENDAR = Calendar(np.arange(FIRST, FIRST + 5), np.arange(FIRST + 1, FIRST + 6))
FOOD: Scope = (Dimension.CATEGORY, "FOOD")
BREAD, MILK, SHOP = (Dimension.PRODUCT, "bread"), (Dimension.PRODUCT, "milk"), (Dimension.STORE, "1")
SCOPES = [EVERY, FOOD, BREAD, SHOP]
MIX = Mix({EVERY: ({FOOD: 1.0}, {SHOP: 1.0}), FOOD: ({BREAD: 0.5, MILK: 0.5},)})
PRICE = Driver("p", "price", DriverSource.AVERAGE_PRICE)
# Three days: bread at 2, then 1; milk always 4. The store's customers buy ever more milk.
UNITS = np.array([[8.0, 0.0, 4.0], [1.0, 9.0, 90.0], [9.0, 9.0, 94.0]])
PAID = np.array([[16.0, 0.0, 4.0], [4.0, 36.0, 360.0], [20.0, 36.0, 364.0]])
LISTED = np.array([[16.0, 0.0, 8.0], [4.0, 36.0, 300.0], [20.0, 36.0, 400.0]])
FIGURES = OrderFigures({BREAD: 0, MILK: 1, SHOP: 2}, PAID, LISTED, UNITS)
NOTHING = Given({}, 5, holding=True)


def planned(scope: Scope, number: float, day: int) -> Given:
    days = np.full(5, np.nan)
    days[day] = number
    return Given({scope: days}, 5, holding=True)


def found(driver: Driver, plan: Given = NOTHING) -> dict[Scope, list[float]]:
    numbers = order_driver(driver, FIGURES, SCOPES, plan, MIX, CALENDAR)
    return dict(zip(SCOPES, numbers.tolist(), strict=True))


def test_the_price_of_a_category_moves_with_prices_and_not_with_what_is_bought() -> None:
    numbers = found(PRICE)
    assert numbers[BREAD] == [2, 2, 1, 1, 1]
    assert numbers[FOOD] == numbers[EVERY] == [3, 3, 2.5, 2.5, 2.5]
    assert numbers[SHOP][1] == 4  # a store's price is what its units cost


def test_a_discount_is_a_share_of_what_lines_would_have_cost() -> None:
    numbers = found(Driver("d", "discount", DriverSource.AVERAGE_DISCOUNT, default=0.0))
    assert numbers[BREAD] == [0, 0, 0.5, 0, 0]
    # Milk cost more than listed, which is no discount.
    assert numbers[FOOD] == [0, 0, 0.25, 0, 0]
    held = found(Driver("d", "discount", DriverSource.AVERAGE_DISCOUNT))
    assert held[BREAD] == [0, 0, 0.5, 0.5, 0.5]


def test_what_is_planned_holds_on_its_days_behind_the_orders_alone() -> None:
    assert found(PRICE, planned(BREAD, 3.0, 3))[FOOD] == [3, 3, 2.5, 3.5, 2.5]
    assert found(PRICE, planned(FOOD, 9.0, 4))[FOOD] == [3, 3, 2.5, 2.5, 9]
    every = found(PRICE, planned(EVERY, 9.0, 4))
    assert all(numbers[4] == 9 for numbers in every.values())
    assert found(PRICE, planned(BREAD, 3.0, 1)) == found(PRICE)


def test_a_planned_day_counts_for_its_part_of_a_longer_period() -> None:
    weeks = Calendar(FIRST + 7 * np.arange(4), FIRST + 7 * np.arange(1, 5))
    days = np.full(28, np.nan)
    days[21:23] = 8.0
    numbers = order_driver(PRICE, FIGURES, [BREAD], Given({BREAD: days}, 28, holding=True), MIX, weeks)
    assert numbers[0].tolist() == [2, 2, 1, (2 * 8 + 5 * 1) / 7]


def test_a_series_without_any_order_has_a_driver_of_zero() -> None:
    empty = OrderFigures({}, np.zeros((0, 3)), np.zeros((0, 3)), np.zeros((0, 3)))
    assert not order_driver(PRICE, empty, [EVERY, BREAD], NOTHING, Mix(), CALENDAR).any()
