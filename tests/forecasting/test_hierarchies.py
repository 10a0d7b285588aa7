"""Forecasts of a hierarchy add up, are kept together, and say what cannot be made to add up. Over gRPC."""

from collections.abc import Sequence
from typing import Any

import grpc
import numpy as np
import pytest
from tessera.forecasting.v1 import forecasting_service_pb2 as pb
from tessera.forecasting.v1 import series_pb2

from tests.forecasting.conftest import Shop, instant, line, order
from tests.forecasting.test_servicer import many_days, refusal

TOTAL, CATEGORY, PRODUCT, STORE = (
    series_pb2.DIMENSION_TOTAL,
    series_pb2.DIMENSION_CATEGORY,
    series_pb2.DIMENSION_PRODUCT,
    series_pb2.DIMENSION_STORE,
)
PRODUCTS: dict[str, Any] = {
    "hierarchy": series_pb2.HIERARCHY_CATEGORY_PRODUCT,
    "measure": series_pb2.MEASURE_SALES,
    "granularity": series_pb2.GRANULARITY_DAY,
    "horizon": 14,
}


def key(dimension: series_pb2.Dimension.ValueType, value: str = "", **fields: Any) -> pb.ForecastKey:
    return pb.ForecastKey(**PRODUCTS | {"dimension": dimension, "value": value} | fields)


async def forecasts(shop: Shop, keys: Sequence[pb.ForecastKey]) -> list[pb.Forecast]:
    request = pb.BatchGetForecastsRequest(keys=keys)
    answers = (await shop.forecasting.BatchGetForecasts(request, metadata=shop.header())).answers
    assert not [answer.error for answer in answers if answer.error]
    return [answer.forecast for answer in answers]


def values(found: pb.Forecast) -> np.ndarray[Any, Any]:
    return np.array([point.value for point in found.points])


async def test_total_categories_and_products_add_up_at_every_day(shop: Shop) -> None:
    await shop.sell(many_days(70, ["FOOD", "DRINK", "FOOD"]))
    total, food, drink, *products = await forecasts(
        shop, [key(TOTAL), key(CATEGORY, "FOOD"), key(CATEGORY, "DRINK"), *(key(PRODUCT, f"p{n}") for n in range(3))]
    )
    np.testing.assert_allclose(values(total), values(food) + values(drink), rtol=1e-9)
    np.testing.assert_allclose(values(food), values(products[0]) + values(products[2]), rtol=1e-9)
    assert values(total).min() > 0
    assert total.key.hierarchy == series_pb2.HIERARCHY_CATEGORY_PRODUCT
    assert all(each.version == 1 and each.backtest.origin_count for each in (total, food, drink, *products))


async def test_forecasts_of_a_hierarchy_add_up_over_parts_and_over_time(shop: Shop) -> None:
    await shop.sell(many_days(70, ["FOOD", "DRINK", "FOOD"]))
    agreeing: dict[str, Any] = {"hierarchy": series_pb2.HIERARCHY_CATEGORY, "horizon": 2}
    agreeing |= {"time_hierarchy": series_pb2.TIME_HIERARCHY_DAY_WEEK}
    by_week = agreeing | {"granularity": series_pb2.GRANULARITY_WEEK}
    keys = [key(TOTAL, **agreeing), key(CATEGORY, "FOOD", **agreeing), key(CATEGORY, "DRINK", **agreeing)]
    keys += [key(TOTAL, **by_week), key(CATEGORY, "FOOD", **by_week), key(CATEGORY, "DRINK", **by_week)]
    total, food, drink, weeks, food_weeks, drink_weeks = await forecasts(shop, keys)
    np.testing.assert_allclose(values(total), values(food) + values(drink), rtol=1e-9)
    np.testing.assert_allclose(values(weeks), values(food_weeks) + values(drink_weeks), rtol=1e-9)
    np.testing.assert_allclose(values(weeks)[1], values(total)[-7:].sum(), rtol=1e-9)
    assert len(weeks.points) == 2
    assert {it.version for it in (total, food, weeks, food_weeks)} == {1}  # one fit made all of them
    assert weeks.key.time_hierarchy == series_pb2.TIME_HIERARCHY_DAY_WEEK
    assert weeks.backtest.HasField("unreconciled")
    wrong = pb.GetForecastRequest(key=key(TOTAL, **agreeing | {"granularity": series_pb2.GRANULARITY_MONTH}))
    error = await refusal(shop.forecasting.GetForecast(wrong, metadata=shop.header()))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "DAY_WEEK has DAY, WEEK, not MONTH" in (error.details() or "")


async def test_a_hierarchy_is_fitted_by_a_job_beside_forecasts_of_their_own(shop: Shop) -> None:
    await shop.sell(many_days(40))
    alone = await forecasts(shop, [key(TOTAL, hierarchy=series_pb2.HIERARCHY_UNSPECIFIED)])
    spec = pb.ForecastSpec(dimension=TOTAL, **PRODUCTS)
    request = pb.FitForecastsRequest(request_id="tree", specs=[spec])
    job = (await shop.forecasting.FitForecasts(request, metadata=shop.header())).job
    assert dict((await shop.finished(job.job_id)).results)["fitted_count"] == "5"  # the total, two and two
    assert await forecasts(shop, [key(TOTAL, hierarchy=series_pb2.HIERARCHY_UNSPECIFIED)]) == alone


async def test_all_lines_of_a_product_count_for_its_newest_category(shop: Shop) -> None:
    renamed = [
        order(f"o{day}", instant(f"2026-03-{day:02}T12:00"), [line("p0", 10.0, "FOOD" if day < 20 else "MEALS")])
        for day in range(1, 29)
    ]
    await shop.sell(renamed)
    [meals] = await forecasts(shop, [key(CATEGORY, "MEALS")])
    assert meals.history_count == 27
    error = await refusal(
        shop.forecasting.GetForecast(pb.GetForecastRequest(key=key(CATEGORY, "FOOD")), metadata=shop.header())
    )
    assert error.code() is grpc.StatusCode.FAILED_PRECONDITION


@pytest.mark.parametrize(
    "wrong",
    [{"measure": series_pb2.MEASURE_ORDERS}, {"dimension": STORE}, {"hierarchy": series_pb2.HIERARCHY_STORE}],
)
async def test_what_does_not_add_up_is_refused(shop: Shop, wrong: dict[str, Any]) -> None:
    fields: dict[str, Any] = {"dimension": CATEGORY} | wrong
    request = pb.GetForecastRequest(key=pb.ForecastKey(**PRODUCTS | fields))
    error = await refusal(shop.forecasting.GetForecast(request, metadata=shop.header()))
    assert error.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert "hierarchy" in (error.details() or "") or "add up" in (error.details() or "")
