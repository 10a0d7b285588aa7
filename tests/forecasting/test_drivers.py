"""Drivers and holidays in, forecasts that answer to them out, over gRPC."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import numpy as np
import pytest
from tessera.forecasting.v1 import drivers_pb2, series_pb2
from tessera.forecasting.v1 import forecasting_service_pb2 as pb

from services.common.grpc_errors import error_info
from tests.forecasting.conftest import Shop, line, order

FIRST = datetime(2026, 1, 5, 12, tzinfo=UTC)
DAYS, HORIZON = 140, 14
KEY = pb.ForecastKey(
    measure=series_pb2.MEASURE_UNITS,
    dimension=series_pb2.DIMENSION_TOTAL,
    granularity=series_pb2.GRANULARITY_DAY,
    horizon=HORIZON,
)


def day(number: int) -> str:
    return (FIRST + timedelta(days=number)).date().isoformat()


def promoted(number: int) -> bool:
    return bool(np.random.default_rng(number).random() < 0.3)


async def sell(shop: Shop, uplift: float = 0.5) -> None:
    """Units that follow the week, and a promotion on some days; the price of a unit is 2.00, on such days 1.50."""
    random = np.random.default_rng(8)
    events = []
    for number in range(DAYS + 1):
        on = promoted(number)
        units = round(float(random.normal(200 + 40 * (number % 7 == 5), 6)) * (1 + uplift * on))
        price = 1.5 if on else 2.0
        events.append(
            order(f"o{number}", FIRST + timedelta(days=number), [line("1", units * price, "FOOD", quantity=units)])
        )
    await shop.sell(events)


async def put(shop: Shop, name: str = "promotion", request_id: str = "", **fields: Any) -> drivers_pb2.Driver:
    request = drivers_pb2.PutDriverRequest(request_id=request_id or f"put-{name}", name=name, **fields)
    return (await shop.forecasting.PutDriver(request, metadata=shop.header())).driver


def value(first: str, number: float | None = 1.0, **fields: Any) -> drivers_pb2.DriverValue:
    given: dict[str, Any] = {"driver": "promotion", "dimension": series_pb2.DIMENSION_TOTAL} | fields
    return drivers_pb2.DriverValue(first_date=first, number=number, **given)


async def record(shop: Shop, values: Sequence[drivers_pb2.DriverValue], request_id: str = "values") -> int:
    request = drivers_pb2.RecordDriverValuesRequest(request_id=request_id, values=values)
    return (await shop.forecasting.RecordDriverValues(request, metadata=shop.header())).recorded_count


async def promote(shop: Shop, until: int = DAYS + HORIZON) -> None:
    await put(shop, default_value=0)
    await record(shop, [value(day(number)) for number in range(until) if promoted(number)])


async def forecast(shop: Shop, key: pb.ForecastKey = KEY) -> pb.Forecast:
    answer = await shop.forecasting.GetForecast(pb.GetForecastRequest(key=key), metadata=shop.header())
    return answer.forecast


async def what_if(shop: Shop, *changes: drivers_pb2.DriverChange) -> pb.WhatIfResponse:
    request = pb.WhatIfRequest(key=KEY, changes=changes)
    return await shop.forecasting.WhatIf(request, metadata=shop.header())


async def refusal(call: Any) -> tuple[str, dict[str, str]]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    info = error_info(caught.value)
    assert info is not None
    return info.reason, dict(info.metadata)


async def test_a_forecast_knows_the_promotions_to_come_and_says_what_they_add(shop: Shop) -> None:
    await sell(shop)
    await promote(shop)
    found = await forecast(shop)
    assert list(found.drivers) == ["promotion"]
    assert "driver_regression" in found.model or "gradient_boosting" in found.model
    adds: dict[bool, list[float]] = {True: [], False: []}
    for step, point in enumerate(found.points):
        parts = {it.name: it.value for it in point.contributions}
        assert sum(parts.values()) == pytest.approx(point.value, rel=1e-12)
        adds[promoted(DAYS + step)].append(parts["promotion"])
    assert np.mean(adds[True]) - np.mean(adds[False]) == pytest.approx(105, abs=15)
    read = await forecast(shop)
    assert read == found


async def test_what_if_answers_what_another_promotion_would_bring_and_how_sure_that_is(shop: Shop) -> None:
    await sell(shop)
    await promote(shop)
    free = next(step for step in range(HORIZON) if not promoted(DAYS + step))
    one = drivers_pb2.DriverChange(
        driver="promotion", first_date=day(DAYS + free), last_date=day(DAYS + free), set_to=1
    )
    found = await what_if(shop, one)
    assert [bool(point.difference) for point in found.points].index(True) in (free - 1, free)
    changed = found.points[free]
    assert changed.difference == pytest.approx(105, abs=15)
    assert changed.value - changed.baseline == pytest.approx(changed.difference)
    [at_80, at_95] = changed.difference_intervals
    assert at_95.lower <= at_80.lower < changed.difference < at_80.upper <= at_95.upper
    weekend = (DAYS + free) % 7 == 5
    assert at_95.lower < (120 if weekend else 100) < at_95.upper
    assert found.difference == pytest.approx(sum(point.difference for point in found.points))
    assert found.value - found.baseline == pytest.approx(found.difference)
    same = await what_if(shop, drivers_pb2.DriverChange(driver="promotion", multiply_by=1))
    assert same.difference == 0
    far = await what_if(shop, drivers_pb2.DriverChange(driver="promotion", add=5))
    assert "between 0 and 1 in the history" in far.warnings[0]


async def test_the_price_of_orders_is_a_driver_that_need_not_be_recorded(shop: Shop) -> None:
    await sell(shop, uplift=0.8)
    await put(shop, "price", source=drivers_pb2.DRIVER_SOURCE_AVERAGE_PRICE)
    found = await forecast(shop)
    assert list(found.drivers) == ["price"]
    cheaper = await what_if(shop, drivers_pb2.DriverChange(driver="price", set_to=150))
    dearer = await what_if(shop, drivers_pb2.DriverChange(driver="price", set_to=200))
    assert cheaper.value - dearer.value == pytest.approx(HORIZON * 165, rel=0.2)


async def test_missing_future_values_are_repeated_with_a_warning_or_refused_as_the_driver_says(shop: Shop) -> None:
    await sell(shop)
    await put(shop, "temperature", "a")
    await record(shop, [value(day(number), float(number % 9), driver="temperature") for number in range(DAYS)])
    [warning] = [it for it in (await forecast(shop)).warnings if "temperature" in it]
    assert warning == f"temperature is not known on {day(DAYS)}: the last value before was repeated."
    await put(shop, "temperature", "b", required_ahead=True)
    fresh = pb.ForecastKey()
    fresh.CopyFrom(KEY)
    fresh.horizon = 7
    reason, metadata = await refusal(forecast(shop, fresh))
    assert (reason, metadata["driver"]) == ("DRIVER_UNKNOWN_AHEAD", "temperature")
    await record(shop, [value(day(DAYS), 4.0, driver="temperature", last_date=day(DAYS + HORIZON))], "the future")
    assert (await forecast(shop, fresh)).drivers == ["temperature"]


async def test_drivers_are_kept_replaced_and_forgotten(shop: Shop) -> None:
    await put(shop, "price", default_value=9.5)
    await promote(shop, 40)
    listed = (await shop.forecasting.ListDrivers(drivers_pb2.ListDriversRequest(), metadata=shop.header())).drivers
    days = [number for number in range(40) if promoted(number)]
    assert [(it.name, it.first_date, it.last_date) for it in listed] == [
        ("price", "", ""), ("promotion", day(days[0]), day(days[-1]))
    ]  # fmt: skip
    assert (listed[0].default_value, listed[1].default_value) == (9.5, 0)
    span = value(day(100), 0.5, last_date=day(109))
    assert await record(shop, [span], "span") == 10
    assert await record(shop, [span], "span") == 10
    assert await record(shop, [value(day(105), None)], "withdrawn") == 1
    request = drivers_pb2.ListDriverValuesRequest(
        driver="promotion", dimension=series_pb2.DIMENSION_TOTAL, first_date=day(99), last_date=day(200)
    )
    found = await shop.forecasting.ListDriverValues(request, metadata=shop.header())
    assert [it.date for it in found.days] == [day(number) for number in range(100, 110) if number != 105]
    gone = drivers_pb2.DeleteDriverRequest(name="promotion")
    await shop.forecasting.DeleteDriver(gone, metadata=shop.header())
    await shop.forecasting.DeleteDriver(gone, metadata=shop.header())
    assert (await refusal(shop.forecasting.ListDriverValues(request, metadata=shop.header())))[0] == "DRIVER_NOT_FOUND"
    await put(shop, default_value=0, request_id="again")
    assert not (await shop.forecasting.ListDriverValues(request, metadata=shop.header())).days


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (value("2026-02-30"), "first_date"),
        (value("2026-02-20", last_date="2026-02-19"), "last_date"),
        (value("2026-02-20", last_date="2036-02-19"), "last_date"),
        (value("2026-02-20", float("nan")), "number"),
        (value("2026-02-20", float("inf")), "number"),
        (value("2026-02-20", value="FOOD"), "value"),
    ],
)
async def test_values_that_make_no_sense_are_refused_with_their_place(
    shop: Shop, bad: drivers_pb2.DriverValue, field: str
) -> None:
    await put(shop)
    reason, metadata = await refusal(record(shop, [value("2026-01-01"), bad]))
    assert (reason, metadata["index"], metadata["field"]) == ("DRIVER_VALUE_INVALID", "1", field)


async def test_drivers_and_changes_that_make_no_sense_are_refused(shop: Shop) -> None:
    assert (await refusal(put(shop, "season")))[0] == "DRIVER_INVALID"
    assert (await refusal(put(shop, "Price")))[0] == "FIELD_INVALID"
    assert (await refusal(put(shop, "price", default_value=float("nan"))))[0] == "DRIVER_INVALID"
    assert (await refusal(record(shop, [value("2026-01-01")])))[0] == "DRIVER_NOT_FOUND"
    await sell(shop)
    change = drivers_pb2.DriverChange(driver="promotion", set_to=1)
    assert (await refusal(what_if(shop, change)))[0] == "NO_DRIVERS"
    await promote(shop)
    spec = pb.ForecastSpec(
        measure=KEY.measure, dimension=KEY.dimension, granularity=KEY.granularity, horizon=KEY.horizon
    )
    job = pb.FitForecastsRequest(request_id="fit", specs=[spec])
    started = await shop.forecasting.FitForecasts(job, metadata=shop.header())
    await shop.finished(started.job.job_id)
    for changes, reason in (
        ([drivers_pb2.DriverChange(driver="price", set_to=1)], "DRIVER_NOT_FOUND"),
        ([change, drivers_pb2.DriverChange(driver="promotion")], "DRIVER_CHANGE_INVALID"),
        ([drivers_pb2.DriverChange(driver="promotion", set_to=float("inf"))], "DRIVER_CHANGE_INVALID"),
        ([drivers_pb2.DriverChange(driver="promotion", set_to=1, first_date="2030-01-01")], "DRIVER_CHANGE_INVALID"),
        ([drivers_pb2.DriverChange(driver="promotion", set_to=1, last_date="2020-13-01")], "DRIVER_CHANGE_INVALID"),
    ):
        assert (await refusal(what_if(shop, *changes)))[0] == reason


async def test_holidays_are_those_of_the_regions_and_the_retailers_own(shop: Shop) -> None:
    async def kept(year: int) -> drivers_pb2.GetHolidayCalendarResponse:
        request = drivers_pb2.GetHolidayCalendarRequest(year=year)
        return await shop.forecasting.GetHolidayCalendar(request, metadata=shop.header())

    assert "thanksgiving" in {it.name for it in (await kept(2026)).holidays}
    calendar = drivers_pb2.HolidayCalendar(
        regions=[drivers_pb2.HolidayRegion(country="DE", subdivision="BY")],
        days=[drivers_pb2.CustomHoliday(name="Black Friday", dates=["2026-11-27", "2025-11-28"])],
    )

    async def keep(it: drivers_pb2.HolidayCalendar, request_id: str) -> None:
        request = drivers_pb2.PutHolidayCalendarRequest(request_id=request_id, calendar=it)
        await shop.forecasting.PutHolidayCalendar(request, metadata=shop.header())

    await keep(calendar, "first")
    dates = {it.date: it.name for it in (await kept(2026)).holidays}
    assert {"2026-01-06", "2026-10-03", "2026-11-27"} <= set(dates)
    assert dates["2026-11-27"] == "Black Friday"
    assert "2026-07-04" not in dates
    assert (await kept(0)).calendar.regions == calendar.regions
    for wrong in (
        drivers_pb2.HolidayCalendar(regions=[drivers_pb2.HolidayRegion(country="QQ")]),
        drivers_pb2.HolidayCalendar(regions=[drivers_pb2.HolidayRegion(country="DE", subdivision="TX")]),
        drivers_pb2.HolidayCalendar(days=[drivers_pb2.CustomHoliday(name="x", dates=["2026-02-30"])]),
    ):
        assert (await refusal(keep(wrong, f"wrong {wrong}")))[0] in ("HOLIDAYS_INVALID", "FIELD_INVALID")
    await keep(drivers_pb2.HolidayCalendar(), "back")
    assert "thanksgiving" in {it.name for it in (await kept(2026)).holidays}
