"""Drivers, explanations and what-if through the gateway."""

from tessera.forecasting.v1 import drivers_pb2 as pb
from tessera.forecasting.v1 import forecasting_service_pb2 as service_pb

from tests.gateway.platform import Backend, Client


async def test_drivers_values_and_holidays_are_recorded(client: Client, backend: Backend) -> None:
    backend.on("forecasting.PutDriver", lambda asked: pb.PutDriverResponse(driver=pb.Driver(name=asked.name)))
    backend.on(
        "forecasting.RecordDriverValues", lambda asked: pb.RecordDriverValuesResponse(recorded_count=len(asked.values))
    )
    backend.on("forecasting.PutHolidayCalendar", lambda asked: pb.PutHolidayCalendarResponse(calendar=asked.calendar))
    data = await client.data(
        """mutation { putDriver(input: {name: "promotion", defaultValue: 0}) { driver { name defaultValue firstDate } }
           recordDriverValues(input: {values: [{driver: "promotion", dimension: CATEGORY, value: "FOOD",
             firstDate: "2026-12-01", lastDate: "2026-12-06", number: 1}]}) { recordedCount }
           putHolidayCalendar(input: {calendar: {regions: [{country: "DE"}]}})
             { calendar { regions { country subdivision } days { name } } } }"""
    )
    assert data["recordDriverValues"] == {"recordedCount": 1}
    assert data["putHolidayCalendar"]["calendar"]["regions"][0]["country"] == "DE"
    assert backend.requests("forecasting.PutDriver")[-1].HasField("default_value")
    assert data["putDriver"]["driver"]["defaultValue"] is None


async def test_a_forecast_says_what_makes_it_up_and_what_it_would_be(client: Client, backend: Backend) -> None:
    part = service_pb.Contribution(name="promotion", value=2.5)
    point = service_pb.ForecastPoint(value=10, contributions=[part])
    forecast = service_pb.Forecast(points=[point], drivers=["promotion"])
    backend.on("forecasting.GetForecast", lambda _: service_pb.GetForecastResponse(forecast=forecast))
    interval = service_pb.Interval(level=80, lower=-2, upper=-1)
    backend.on(
        "forecasting.WhatIf",
        lambda _: service_pb.WhatIfResponse(
            points=[service_pb.WhatIfPoint(baseline=10, value=8.5, difference=-1.5, difference_intervals=[interval])],
            difference=-1.5,
        ),
    )
    data = await client.data(
        """{ forecast(measure: UNITS, granularity: WEEK, horizon: 1)
               { drivers points { value contributions { name value } } }
             whatIf(input: {key: {measure: UNITS, dimension: TOTAL, granularity: WEEK, horizon: 1},
               changes: [{driver: "promotion", firstDate: "2026-12-07", lastDate: "2026-12-13", multiplyBy: 0.9}]})
               { difference points { baseline value differenceIntervals { level lower upper } } } }"""
    )
    assert data["forecast"] == {
        "drivers": ["promotion"],
        "points": [{"value": 10.0, "contributions": [{"name": "promotion", "value": 2.5}]}],
    }
    assert data["whatIf"]["points"][0]["differenceIntervals"] == [{"level": 80, "lower": -2.0, "upper": -1.0}]
    change = backend.requests("forecasting.WhatIf")[-1].changes[0]
    assert (change.WhichOneof("change"), change.multiply_by) == ("multiply_by", 0.9)
