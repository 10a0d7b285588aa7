"""Sales by period and their forecast, as ``make run`` leaves them, against the raw tables."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import Any

import pytest
from tessera.forecasting.v1 import series_pb2

from tests.platform.demo import Client
from tests.platform.retailer import WEEK, Retailer

pytestmark = pytest.mark.timeout(500)

SERIES = """query Series($granularity: Granularity!, $dimension: Dimension!) {
  series(measure: SALES, granularity: $granularity, dimension: $dimension) {
    currency series { value points { startTime value incomplete } }
  }
}"""
FORECAST = """{
  forecast(measure: SALES, granularity: WEEK, horizon: 8, levels: [80, 95]) {
    currency model historyStartTime historyEndTime historyCount
    points { startTime value intervals { level lower upper } }
    backtest { originCount accuracy { wape mase coverage { level share } } seasonalNaive { wape mase } }
  }
}"""


@pytest.mark.parametrize(("granularity", "period"), [("DAY", "D"), ("WEEK", "W-SUN")])
def test_sales_in_total_are_exact_to_the_cent(
    client: Client, retailer: Retailer, granularity: str, period: str
) -> None:
    answer = client.ask(SERIES, granularity=granularity, dimension="TOTAL")["series"]
    (total,) = answer["series"]
    assert answer["currency"] == "USD"
    assert _sold(total["points"]) == retailer.sales(period)
    _assert_without_gaps(total["points"], granularity)


@pytest.mark.parametrize(("granularity", "period"), [("DAY", "D"), ("WEEK", "W-SUN")])
def test_sales_of_every_department_are_exact_to_the_cent(
    client: Client, retailer: Retailer, granularity: str, period: str
) -> None:
    answer = client.ask(SERIES, granularity=granularity, dimension="CATEGORY")["series"]
    departments = set(retailer.lines["department"])
    assert {series["value"] for series in answer["series"]} == departments
    for series in answer["series"]:
        sold = retailer.sales(period, series["value"])
        assert _sold(series["points"]) == {begin: cents for begin, cents in sold.items() if cents}


def test_every_order_line_was_counted(client: Client, retailer: Retailer) -> None:
    status = client.call("forecasting", "GetStatus")
    assert (status.order_count, status.line_count) == (155_848, 1_469_307)
    listed = client.call("forecasting", "ListCategories").categories
    assert {category.value: category.line_count for category in listed} == dict(
        retailer.lines["department"].value_counts()
    )


def test_the_forecast_covers_eight_weeks_with_nested_intervals(client: Client, retailer: Retailer) -> None:
    forecast = client.ask(FORECAST)["forecast"]
    begins = [datetime.fromisoformat(point["startTime"]) for point in forecast["points"]]
    assert begins[0] == datetime.fromisoformat(forecast["historyEndTime"])
    assert [later - earlier for earlier, later in pairwise(begins)] == [timedelta(weeks=1)] * 7
    weekly = [cents for _, cents in sorted(retailer.sales("W-SUN").items())]
    for point in forecast["points"]:
        inner, outer = point["intervals"]
        assert (inner["level"], outer["level"]) == (80, 95)
        assert outer["lower"] <= inner["lower"] <= point["value"] <= inner["upper"] <= outer["upper"]
        assert min(weekly[1:-1]) / 2 < point["value"] < max(weekly) * 2
    assert forecast["currency"] == "USD"


def test_the_history_of_the_forecast_is_the_complete_weeks(client: Client, retailer: Retailer) -> None:
    forecast = client.ask(FORECAST)["forecast"]
    weeks = sorted(retailer.sales("W-SUN"))
    begin, end = (_second(forecast[f"history{which}Time"]) for which in ("Start", "End"))
    assert begin in weeks[:2]
    assert end <= max(retailer.orders["time"]) < end + WEEK
    assert forecast["historyCount"] == (end - begin) // WEEK


def test_the_backtest_stands_beside_the_seasonal_naive_one(client: Client, retailer: Retailer) -> None:
    backtest = client.ask(FORECAST)["forecast"]["backtest"]
    assert backtest["originCount"] >= 3
    assert 0 < backtest["accuracy"]["wape"] < 0.5
    assert backtest["accuracy"]["mase"] > 0
    assert backtest["seasonalNaive"]["wape"] > 0
    assert [coverage["level"] for coverage in backtest["accuracy"]["coverage"]] == [80, 95]
    assert all(0 <= coverage["share"] <= 1 for coverage in backtest["accuracy"]["coverage"])


def test_departments_are_forecast_too(client: Client, retailer: Retailer) -> None:
    listed = list(client.pages("forecasting", "ListForecasts", "forecasts", page_size=200))
    weekly = {
        forecast.key.value: forecast for forecast in listed if forecast.key.granularity == series_pb2.GRANULARITY_WEEK
    }
    assert "GROCERY" in weekly
    assert set(weekly) - {""} <= set(retailer.lines["department"])
    assert all(len(forecast.points) == 8 for forecast in weekly.values())


def _sold(points: list[dict[str, Any]]) -> dict[int, int]:
    """What was sold in the periods that had sales."""
    assert all(float(point["value"]).is_integer() for point in points)
    return {_second(point["startTime"]): int(point["value"]) for point in points if point["value"]}


def _assert_without_gaps(points: list[dict[str, Any]], granularity: str) -> None:
    begins = [_second(point["startTime"]) for point in points]
    assert begins == list(range(begins[0], begins[-1] + 1, 86400 if granularity == "DAY" else WEEK))


def _second(written: str) -> int:
    return int(datetime.fromisoformat(written).astimezone(UTC).timestamp())
