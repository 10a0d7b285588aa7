"""Orders in through profiles, series and forecasts out, over gRPC."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from tessera.forecasting.v1 import forecasting_service_pb2 as pb
from tessera.forecasting.v1 import series_pb2
from tessera.profiles.v1.profiles_service_pb2 import Event

from tests.forecasting.conftest import Shop, instant, line, order, timestamp

DAILY_TOTAL: dict[str, Any] = {
    "measure": series_pb2.MEASURE_SALES,
    "dimension": series_pb2.DIMENSION_TOTAL,
    "granularity": series_pb2.GRANULARITY_DAY,
    "horizon": 14,
}


def many_days(count: int, categories: Sequence[str] = ("FOOD", "DRINK")) -> list[Event]:
    """One order a day; more on Saturdays; a last one that completes the day before."""
    first = datetime(2026, 1, 5, 12, tzinfo=UTC)
    days = [first + timedelta(days=day) for day in range(count + 1)]
    return [
        order(
            f"o{number}",
            day,
            [
                line(f"p{rank}", 10.0 * (rank + 1) * (2 if day.weekday() == 5 else 1), it)
                for rank, it in enumerate(categories)
            ],
        )
        for number, day in enumerate(days)
    ]


async def series(shop: Shop, tenant: str = "acme", **fields: Any) -> pb.GetSeriesResponse:
    request = pb.GetSeriesRequest(**fields)
    return await shop.forecasting.GetSeries(request, metadata=shop.header(tenant))


async def refusal(call: object) -> grpc.aio.AioRpcError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call  # type: ignore[misc]
    return caught.value


async def test_sales_are_added_up_by_day_with_gaps_and_the_open_day_flagged(shop: Shop) -> None:
    await shop.sell(
        [
            order("a", instant("2026-03-02T10:00"), [line("1", 1.10, "FOOD"), line("2", 2.20, "DRINK")]),
            order("b", instant("2026-03-02T23:59:59.999999"), [line("1", 0.05, "FOOD")]),
            order("c", instant("2026-03-04T00:00"), [line("3", 7.00, None, quantity=3)]),
        ]
    )
    day: dict[str, Any] = {"dimension": series_pb2.DIMENSION_TOTAL, "granularity": series_pb2.GRANULARITY_DAY}
    total = await series(shop, measure=series_pb2.MEASURE_SALES, **day)
    assert total.currency == "USD"
    [one] = total.series
    assert [point.value for point in one.points] == [335.0, 0.0, 700.0]
    assert [point.incomplete for point in one.points] == [False, False, True]
    assert one.points[0].start_time == timestamp(instant("2026-03-02"))
    orders = await series(shop, measure=series_pb2.MEASURE_ORDERS, **day)
    assert [point.value for point in orders.series[0].points] == [2, 0, 1]
    units = await series(shop, measure=series_pb2.MEASURE_UNITS, **day)
    assert [point.value for point in units.series[0].points] == [3, 0, 3]


async def test_categories_share_their_periods_and_add_up_to_the_total(shop: Shop) -> None:
    await shop.sell(
        [
            order("a", instant("2026-03-02T10:00"), [line("1", 1.0, "FOOD"), line("2", 2.0, "FOOD")]),
            order("b", instant("2026-03-16T10:00"), [line("3", 4.0, "DRINK"), line("4", 0.5, None)]),
        ]
    )
    week: dict[str, Any] = {"dimension": series_pb2.DIMENSION_CATEGORY, "granularity": series_pb2.GRANULARITY_WEEK}
    sales = await series(shop, measure=series_pb2.MEASURE_SALES, **week)
    assert {one.value: [point.value for point in one.points] for one in sales.series} == {
        "": [0, 0, 50],
        "DRINK": [0, 0, 400],
        "FOOD": [300, 0, 0],
    }
    orders = await series(shop, measure=series_pb2.MEASURE_ORDERS, values=["FOOD", "TOYS"], **week)
    assert {one.value: [point.value for point in one.points] for one in orders.series} == {
        "FOOD": [1, 0, 0],
        "TOYS": [0, 0, 0],
    }
    listed = await shop.forecasting.ListCategories(pb.ListCategoriesRequest(), metadata=shop.header())
    assert [(it.value, it.line_count) for it in listed.categories] == [("FOOD", 2), ("", 1), ("DRINK", 1)]


async def test_days_are_those_of_the_zone_that_is_asked_for(shop: Shop) -> None:
    await shop.sell([order("a", instant("2026-03-29T23:30"), [line("1", 1.0, "FOOD")])])
    berlin = await series(
        shop,
        measure=series_pb2.MEASURE_ORDERS,
        dimension=series_pb2.DIMENSION_TOTAL,
        granularity=series_pb2.GRANULARITY_DAY,
        time_zone="Europe/Berlin",
        start_time=timestamp(instant("2026-03-28T23:00")),
        end_time=timestamp(instant("2026-03-30T22:00")),
    )
    points = berlin.series[0].points
    assert [(point.start_time.ToDatetime().isoformat(), point.value) for point in points] == [
        ("2026-03-28T23:00:00", 0),
        ("2026-03-29T22:00:00", 1),
    ]


async def test_what_is_wrong_with_a_series_is_said(shop: Shop) -> None:
    day: dict[str, Any] = {
        "measure": series_pb2.MEASURE_SALES,
        "dimension": series_pb2.DIMENSION_TOTAL,
        "granularity": series_pb2.GRANULARITY_DAY,
    }
    assert not (await series(shop, **day)).series
    await shop.sell(
        [
            order("a", instant("2026-03-02T10:00"), [line("1", 1.0, "FOOD")]),
            order("b", instant("2026-03-02T11:00"), [line("1", 500, "FOOD")], currency="JPY"),
        ]
    )
    for fields, reason in (
        ({"time_zone": "Mars/Olympus"}, "there is no time zone"),
        ({}, "choose one currency"),
        (
            {
                "currency": "USD",
                "start_time": timestamp(instant("2026-03-02")),
                "end_time": timestamp(instant("2026-03-01")),
            },
            "ends before",
        ),
    ):
        error = await refusal(series(shop, **day, **fields))
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert reason in (error.details() or "")
    yen = await series(shop, **day, currency="JPY")
    assert [point.value for point in yen.series[0].points] == [500]


async def test_an_order_that_is_sent_again_is_counted_once(shop: Shop) -> None:
    event = order("a", instant("2026-03-02T10:00"), [line("1", 1.0, "FOOD")])
    await shop.sell([event])
    await shop.sell([event])
    status = await shop.forecasting.GetStatus(pb.GetStatusRequest(), metadata=shop.header())
    assert (status.order_count, status.line_count) == (1, 1)
    assert status.last_order_time == timestamp(instant("2026-03-02T10:00"))


async def test_a_tenant_sees_only_its_own_orders_and_forecasts(shop: Shop) -> None:
    await shop.sell(many_days(30))
    other = await shop.forecasting.GetStatus(pb.GetStatusRequest(), metadata=shop.header("other"))
    assert (other.order_count, other.line_count) == (0, 0)
    request = pb.GetForecastRequest(key=pb.ForecastKey(**DAILY_TOTAL))
    assert (await shop.forecasting.GetForecast(request, metadata=shop.header())).forecast.points
    error = await refusal(shop.forecasting.GetForecast(request, metadata=shop.header("other")))
    assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
    listed = await shop.forecasting.ListForecasts(pb.ListForecastsRequest(), metadata=shop.header("other"))
    assert not listed.forecasts


async def test_a_job_fits_forecasts_once_for_one_request_id(shop: Shop) -> None:
    await shop.sell(many_days(60))
    specs = [
        pb.ForecastSpec(**DAILY_TOTAL),
        pb.ForecastSpec(
            **(DAILY_TOTAL | {"dimension": series_pb2.DIMENSION_CATEGORY, "measure": series_pb2.MEASURE_UNITS})
        ),
        pb.ForecastSpec(**(DAILY_TOTAL | {"dimension": series_pb2.DIMENSION_CATEGORY}), values=["TOYS"]),
    ]
    request = pb.FitForecastsRequest(request_id="fit-1", specs=specs)
    first = await shop.forecasting.FitForecasts(request, metadata=shop.header())
    job = await shop.finished(first.job.job_id)
    assert (job.state, job.message) == (3, "done")
    assert (job.results["fitted_count"], job.results["skipped_count"]) == ("3", "1")
    again = await shop.forecasting.FitForecasts(request, metadata=shop.header())
    assert again.job.job_id == first.job.job_id
    changed = pb.FitForecastsRequest(request_id="fit-1", specs=specs[:1])
    error = await refusal(shop.forecasting.FitForecasts(changed, metadata=shop.header()))
    assert error.code() == grpc.StatusCode.ALREADY_EXISTS
    listed = await shop.forecasting.ListForecasts(pb.ListForecastsRequest(page_size=2), metadata=shop.header())
    rest = await shop.forecasting.ListForecasts(
        pb.ListForecastsRequest(page_size=2, page_token=listed.next_page_token), metadata=shop.header()
    )
    assert sorted(it.key.value for it in [*listed.forecasts, *rest.forecasts]) == ["", "DRINK", "FOOD"]
    jobs = await shop.forecasting.ListJobs(pb.ListJobsRequest(), metadata=shop.header())
    assert [it.job_id for it in jobs.jobs] == [first.job.job_id]


async def test_a_forecast_has_the_weekly_pattern_its_intervals_and_its_errors(shop: Shop) -> None:
    await shop.sell(many_days(90))
    request = pb.GetForecastRequest(key=pb.ForecastKey(**DAILY_TOTAL), levels=[95, 50, 80])
    forecast = (await shop.forecasting.GetForecast(request, metadata=shop.header())).forecast
    assert (forecast.currency, forecast.version, forecast.history_count) == ("USD", 1, 90)
    assert forecast.history_end_time == forecast.points[0].start_time == timestamp(instant("2026-04-05"))
    saturdays = [it.value for it in forecast.points if it.start_time.ToDatetime().weekday() == 5]
    others = [it.value for it in forecast.points if it.start_time.ToDatetime().weekday() != 5]
    assert all(abs(value - 6000) < 600 for value in saturdays)
    assert all(abs(value - 3000) < 600 for value in others)
    for point in forecast.points:
        assert [it.level for it in point.intervals] == [50, 80, 95]
        lowers, uppers = [it.lower for it in point.intervals], [it.upper for it in point.intervals]
        assert lowers == sorted(lowers, reverse=True)
        assert uppers == sorted(uppers)
        assert lowers[0] <= point.value <= uppers[0]
    assert [it.level for it in forecast.backtest.accuracy.coverage] == [50, 80, 95]
    assert forecast.backtest.origin_count > 3
    for errors in (forecast.backtest.accuracy, forecast.backtest.seasonal_naive):
        assert errors.HasField("wape")
        assert errors.HasField("wql")
    asked = pb.GetForecastRequest(key=pb.ForecastKey(**DAILY_TOTAL), levels=[80], quantiles=[0.9, 0.5, 0.1, 0.333])
    for point in (await shop.forecasting.GetForecast(asked, metadata=shop.header())).forecast.points:
        [(lower, upper)] = [(it.lower, it.upper) for it in point.intervals]
        assert [it.probability for it in point.quantiles] == [0.1, 0.333, 0.5, 0.9]
        assert (point.quantiles[0].value, point.quantiles[3].value) == pytest.approx((lower, upper))
        assert point.quantiles[2].value == point.value
        assert lower <= point.quantiles[1].value <= point.value


async def test_a_forecast_of_the_past_begins_with_the_period_that_holds_its_moment(shop: Shop) -> None:
    await shop.sell(many_days(60))
    key = pb.ForecastKey(**DAILY_TOTAL, as_of_time=timestamp(instant("2026-02-16T15:00")), time_zone="Europe/Berlin")
    then = (await shop.forecasting.GetForecast(pb.GetForecastRequest(key=key), metadata=shop.header())).forecast
    assert then.key.as_of_time == then.history_end_time == timestamp(instant("2026-02-15T23:00"))
    assert (then.points[0].start_time, then.history_count) == (then.history_end_time, 42)
    spec = pb.ForecastSpec(**DAILY_TOTAL, as_of_time=then.key.as_of_time, time_zone="Europe/Berlin")
    request = pb.FitForecastsRequest(request_id="then", specs=[spec])
    job = (await shop.forecasting.FitForecasts(request, metadata=shop.header())).job
    assert (await shop.finished(job.job_id)).state == 3
    again = (await shop.forecasting.GetForecast(pb.GetForecastRequest(key=key), metadata=shop.header())).forecast
    assert (again.version, again.points) == (2, then.points)
    key.as_of_time.CopyFrom(timestamp(instant("2027-01-01")))
    error = await refusal(shop.forecasting.GetForecast(pb.GetForecastRequest(key=key), metadata=shop.header()))
    assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
    assert "leave the moment out" in (error.details() or "")


async def test_what_cannot_be_forecast_is_said_in_the_words_of_the_question(shop: Shop) -> None:
    await shop.sell(many_days(30))
    events = {"measure": series_pb2.MEASURE_EVENTS, "event_name": "Email Opened"}
    for changes, said in (
        ({"dimension": series_pb2.DIMENSION_STORE, "value": "9"}, "9 has no complete period with sales"),
        ({"dimension": series_pb2.DIMENSION_CATEGORY}, "name a category as the value"),
        (events, "the total has no complete period with events Email Opened"),
    ):
        key = pb.ForecastKey(**(DAILY_TOTAL | changes))
        error = await refusal(shop.forecasting.GetForecast(pb.GetForecastRequest(key=key), metadata=shop.header()))
        assert error.code() == grpc.StatusCode.FAILED_PRECONDITION
        assert said in (error.details() or "")


async def test_a_batch_answers_in_order_and_says_which_series_cannot_be_forecast(shop: Shop) -> None:
    await shop.sell(many_days(30))
    by_category = DAILY_TOTAL | {"dimension": series_pb2.DIMENSION_CATEGORY}
    keys = [pb.ForecastKey(**by_category, value=value) for value in ("FOOD", "TOYS", "DRINK")]
    request = pb.BatchGetForecastsRequest(keys=[*keys, pb.ForecastKey(**DAILY_TOTAL)])
    answers = (await shop.forecasting.BatchGetForecasts(request, metadata=shop.header())).answers
    assert [it.key.value for it in answers] == ["FOOD", "TOYS", "DRINK", ""]
    assert [it.HasField("forecast") for it in answers] == [True, False, True, True]
    assert "TOYS" in answers[1].error
    again = (await shop.forecasting.BatchGetForecasts(request, metadata=shop.header())).answers
    assert [it.forecast.version for it in again] == [1, 0, 1, 1]


async def test_keys_that_name_nothing_are_refused(shop: Shop) -> None:
    for quantile in (0.0, 1.0, float("nan")):
        asked = pb.GetForecastRequest(key=pb.ForecastKey(**DAILY_TOTAL), quantiles=[0.5, quantile])
        error = await refusal(shop.forecasting.GetForecast(asked, metadata=shop.header()))
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert "for example 0.9" in (error.details() or "")
    for changes in ({"value": "FOOD"}, {"granularity": 99}, {"horizon": 0}, {"horizon": 10_000}):
        key = pb.ForecastKey(**(DAILY_TOTAL | changes))
        error = await refusal(shop.forecasting.GetForecast(pb.GetForecastRequest(key=key), metadata=shop.header()))
        assert error.code() == grpc.StatusCode.INVALID_ARGUMENT
