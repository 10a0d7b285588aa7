"""How far drivers reach: discounts of orders, categories, the total, anomalies, goals, reorder plans. Over gRPC."""

from collections.abc import Sequence
from datetime import timedelta

import numpy as np
import pytest
from tessera.forecasting.v1 import demand_pb2, drivers_pb2, series_pb2
from tessera.forecasting.v1 import forecasting_service_pb2 as pb

from tests.forecasting.conftest import Shop, order
from tests.forecasting.test_drivers import (
    DAYS,
    FIRST,
    HORIZON,
    KEY,
    day,
    forecast,
    promote,
    promoted,
    put,
    record,
    refusal,
    sell,
    value,
)

CATEGORY, PRODUCT = series_pb2.DIMENSION_CATEGORY, series_pb2.DIMENSION_PRODUCT
PLANNED = range(DAYS + 3, DAYS + 6)


async def sell_at_a_discount(shop: Shop) -> None:
    """Bread, milk and tea for 2.00; some days bread is a quarter off and sells half as much again."""
    random = np.random.default_rng(3)
    events = []
    for number in range(DAYS + 1):
        bread, milk, tea = (round(float(random.normal(100, 3))) for _ in range(3))
        off = 0.25 * promoted(number)
        bread = round(bread * (1 + 2 * off))
        lines = [
            {
                "product_id": product,
                "category": category,
                "price": 2.0,
                "quantity": units,
                "total": 2 * units * (1 - share),
            }
            for product, category, units, share in (
                ("bread", "FOOD", bread, off),
                ("milk", "FOOD", milk, 0.0),
                ("tea", "DRINK", tea, 0.0),
            )
        ]
        events.append(order(f"o{number}", FIRST + timedelta(days=number), lines))
    await shop.sell(events)


def of(dimension: series_pb2.Dimension.ValueType, name: str) -> pb.ForecastKey:
    found = pb.ForecastKey()
    found.CopyFrom(KEY)
    found.dimension, found.value = dimension, name
    return found


async def test_discounts_of_a_product_in_orders_and_planned_ones_move_its_category_and_the_total(shop: Shop) -> None:
    await sell_at_a_discount(shop)
    source = drivers_pb2.DRIVER_SOURCE_AVERAGE_DISCOUNT
    await put(shop, "discount", source=source, default_value=0)
    plan = value(day(PLANNED[0]), 0.25, driver="discount", last_date=day(PLANNED[-1]), dimension=PRODUCT, value="bread")
    await record(shop, [plan])
    planned = np.array([DAYS + step in PLANNED for step in range(HORIZON)])
    for key in (of(CATEGORY, "FOOD"), KEY):
        found = await forecast(shop, key)
        assert list(found.drivers) == ["discount"]
        values = np.array([point.value for point in found.points])
        assert values[planned].mean() - values[~planned].mean() == pytest.approx(50, abs=12)
    drink = await forecast(shop, of(CATEGORY, "DRINK"))
    assert np.ptp([point.value for point in drink.points]) < 10


async def fitted(shop: Shop, drivers: pb.DriverChoice | None) -> pb.Forecast:
    """The forecast of the total, fitted again with these drivers."""
    spec = pb.ForecastSpec(
        measure=KEY.measure,
        dimension=KEY.dimension,
        granularity=KEY.granularity,
        horizon=KEY.horizon,
        drivers=drivers,
    )
    request = pb.FitForecastsRequest(request_id=f"fit {drivers}", specs=[spec])
    started = await shop.forecasting.FitForecasts(request, metadata=shop.header())
    await shop.finished(started.job.job_id)
    return await forecast(shop)


async def test_a_fit_uses_the_drivers_that_it_names(shop: Shop) -> None:
    await sell(shop)
    await promote(shop)
    await put(shop, "price", source=drivers_pb2.DRIVER_SOURCE_AVERAGE_PRICE)
    assert (await fitted(shop, None)).drivers == ["promotion", "price"]
    assert (await fitted(shop, pb.DriverChoice(names=["promotion"]))).drivers == ["promotion"]
    assert not (await fitted(shop, pb.DriverChoice())).drivers
    unknown = fitted(shop, pb.DriverChoice(names=["price", "weather"]))
    reason, metadata = await refusal(unknown)
    assert (reason, metadata["driver"]) == ("DRIVER_NOT_FOUND", "weather")


async def unusual(shop: Shop) -> Sequence[int]:
    """The days of the last four weeks that were unusual."""
    request = demand_pb2.DetectAnomaliesRequest(
        measure=KEY.measure, dimension=KEY.dimension, granularity=KEY.granularity
    )
    found = (await shop.forecasting.DetectAnomalies(request, metadata=shop.header())).anomalies
    return sorted((it.start_time.ToDatetime().date() - FIRST.date()).days for it in found)


async def stands(shop: Shop) -> demand_pb2.GoalProgress:
    answer = await shop.forecasting.ListGoals(demand_pb2.ListGoalsRequest(), metadata=shop.header())
    return answer.goals[0]


async def reorder(shop: Shop) -> demand_pb2.ReorderLine:
    item = demand_pb2.StockItem(product_id="1", on_hand=500, lead_time_days=6)
    request = demand_pb2.PlanReorderRequest(items=[item])
    return (await shop.forecasting.PlanReorder(request, metadata=shop.header())).lines[0]


async def test_anomalies_goals_and_reorder_points_know_promotions(shop: Shop) -> None:
    await sell(shop, uplift=1.0)
    campaign = range(DAYS, DAYS + 7)
    goal = demand_pb2.CreateGoalRequest(
        request_id="g",
        name="a good week",
        measure=KEY.measure,
        dimension=KEY.dimension,
        first_date=day(campaign[0]),
        last_date=day(campaign[-1]),
        target=2_400,
    )
    await shop.forecasting.CreateGoal(goal, metadata=shop.header())
    await put(shop, default_value=0, required_ahead=True)
    await record(shop, [value(day(number)) for number in range(DAYS) if promoted(number)])
    assert not await unusual(shop)
    quiet, few = await stands(shop), await reorder(shop)
    assert quiet.probability < 0.05
    await record(shop, [value(day(campaign[0]), last_date=day(campaign[-1]))], "the campaign")
    busy, many = await stands(shop), await reorder(shop)
    assert busy.probability > 0.95
    assert busy.expected == pytest.approx(2 * quiet.expected, rel=0.1)
    assert many.expected_demand == pytest.approx(2 * few.expected_demand, rel=0.1)
    assert many.reorder_point > 1.8 * few.reorder_point
    busiest = max(number for number in range(DAYS) if promoted(number))
    await record(shop, [value(day(busiest), 0.0)], "it was not promoted after all")
    assert await unusual(shop) == [busiest]
