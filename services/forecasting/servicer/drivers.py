"""Drivers, holidays and what-if in the contract."""

from collections.abc import Sequence
from datetime import date
from typing import Any

import grpc
from tessera.forecasting.v1 import drivers_pb2 as pb
from tessera.forecasting.v1 import forecasting_service_pb2 as service_pb

from services.common.auth import principal
from services.common.errors import Refusal
from services.common.idempotency import fingerprint
from services.forecasting.domain.drivers import (
    Driver,
    DriverChangeInvalid,
    DriverSource,
    DriverSpan,
    DriverValueInvalid,
)
from services.forecasting.domain.holidays import HolidayCalendar, HolidaysInvalid
from services.forecasting.domain.measures import Dimension
from services.forecasting.domain.mixes import Scope
from services.forecasting.handlers.drivers import (
    DriverKeeping,
    list_driver_values,
    list_drivers,
    put_driver,
    put_holiday_calendar,
    record_driver_values,
)
from services.forecasting.handlers.get_forecasts import GetForecasts
from services.forecasting.handlers.what_if import DriverChange, Scenario, what_if
from services.forecasting.ports import Forecasts
from services.forecasting.servicer.enums import known
from services.forecasting.servicer.forecast_messages import forecast_key, interval_levels, timestamp

Context = grpc.aio.ServicerContext[Any, Any]


class DriverRpcs:
    """The rpcs about what moves sales."""

    _drivers: DriverKeeping
    _forecasts: Forecasts
    _get_forecasts: GetForecasts

    async def PutDriver(self, request: pb.PutDriverRequest, context: Context) -> pb.PutDriverResponse:
        driver = Driver(
            driver_id="",
            name=request.name,
            source=known(DriverSource, request.source or DriverSource.RECORDED, "source"),
            default=request.default_value if request.HasField("default_value") else None,
            required_ahead=request.required_ahead,
        )
        content = fingerprint(request)
        kept = await put_driver(self._drivers, principal().tenant, request.request_id, content, driver)
        return pb.PutDriverResponse(driver=_driver(kept, None))

    async def DeleteDriver(self, request: pb.DeleteDriverRequest, context: Context) -> pb.DeleteDriverResponse:
        await self._drivers.drivers.delete(principal().tenant, request.name)
        return pb.DeleteDriverResponse()

    async def ListDrivers(self, request: pb.ListDriversRequest, context: Context) -> pb.ListDriversResponse:
        found = await list_drivers(self._drivers, principal().tenant)
        return pb.ListDriversResponse(drivers=[_driver(driver, span) for driver, span in found])

    async def RecordDriverValues(
        self, request: pb.RecordDriverValuesRequest, context: Context
    ) -> pb.RecordDriverValuesResponse:
        spans = [_span(index, it) for index, it in enumerate(request.values)]
        tenant, content = principal().tenant, fingerprint(request)
        count = await record_driver_values(self._drivers, tenant, request.request_id, content, spans)
        return pb.RecordDriverValuesResponse(recorded_count=count)

    async def ListDriverValues(
        self, request: pb.ListDriverValuesRequest, context: Context
    ) -> pb.ListDriverValuesResponse:
        scope: Scope = (known(Dimension, request.dimension, "dimension"), request.value)
        first, last = _day(request.first_date, "first_date"), _day(request.last_date, "last_date")
        found = await list_driver_values(self._drivers, principal().tenant, request.driver, scope, first, last)
        days = [pb.DriverDay(date=day.isoformat(), number=number) for day, number in found]
        return pb.ListDriverValuesResponse(days=days)

    async def PutHolidayCalendar(
        self, request: pb.PutHolidayCalendarRequest, context: Context
    ) -> pb.PutHolidayCalendarResponse:
        calendar, content = _calendar(request.calendar), fingerprint(request)
        kept = await put_holiday_calendar(self._drivers, principal().tenant, request.request_id, content, calendar)
        return pb.PutHolidayCalendarResponse(calendar=_calendar_message(kept))

    async def GetHolidayCalendar(
        self, request: pb.GetHolidayCalendarRequest, context: Context
    ) -> pb.GetHolidayCalendarResponse:
        calendar = await self._drivers.drivers.calendar(principal().tenant)
        days = calendar.of(request.year) if request.year else {}
        return pb.GetHolidayCalendarResponse(
            calendar=_calendar_message(calendar),
            holidays=[pb.Holiday(date=day.isoformat(), name=name) for day, name in sorted(days.items())],
        )

    async def WhatIf(self, request: service_pb.WhatIfRequest, context: Context) -> service_pb.WhatIfResponse:
        tenant, changes = principal().tenant, [_change(index, it) for index, it in enumerate(request.changes)]
        [forecast] = await self._get_forecasts(tenant, [forecast_key(request.key)])
        if isinstance(forecast, Refusal):
            raise forecast
        state = forecast.drivers
        model = await self._forecasts.model(tenant, state.model_id) if state and state.model_id else None
        return _what_if(await what_if(forecast, model, changes), interval_levels(request.levels))


def _driver(it: Driver, span: tuple[date, date] | None) -> pb.Driver:
    return pb.Driver(
        name=it.name,
        source=pb.DriverSource.ValueType(it.source),
        default_value=it.default,
        required_ahead=it.required_ahead,
        first_date=span[0].isoformat() if span else "",
        last_date=span[1].isoformat() if span else "",
    )


def _span(index: int, it: pb.DriverValue) -> DriverSpan:
    first = _day(it.first_date, "first_date", index)
    return DriverSpan(
        driver=it.driver,
        dimension=known(Dimension, it.dimension, "dimension"),
        value=it.value,
        first=first,
        last=_day(it.last_date, "last_date", index) if it.last_date else first,
        number=it.number if it.HasField("number") else None,
    )


def _day(text: str, field: str, index: int = 0) -> date:
    try:
        return date.fromisoformat(text)
    except ValueError as error:
        raise DriverValueInvalid(f"there is no day {text}", index=index, field=field) from error


def _change(index: int, it: pb.DriverChange) -> DriverChange:
    kind = it.WhichOneof("change")
    try:
        first, last = (date.fromisoformat(text) if text else None for text in (it.first_date, it.last_date))
    except ValueError as error:
        raise DriverChangeInvalid("a day is none", index=index, field="first_date") from error
    return DriverChange(it.driver, first, last, **({kind: getattr(it, kind)} if kind else {}))


def _calendar(it: pb.HolidayCalendar) -> HolidayCalendar:
    try:
        days = tuple((day.name, tuple(sorted(map(date.fromisoformat, day.dates)))) for day in it.days)
    except ValueError as error:
        raise HolidaysInvalid(f"a day is none: {error}", field="days") from error
    return HolidayCalendar(tuple((region.country, region.subdivision) for region in it.regions), days)


def _calendar_message(it: HolidayCalendar) -> pb.HolidayCalendar:
    return pb.HolidayCalendar(
        regions=[pb.HolidayRegion(country=country, subdivision=part) for country, part in it.regions],
        days=[pb.CustomHoliday(name=name, dates=[day.isoformat() for day in days]) for name, days in it.days],
    )


def _what_if(it: Scenario, levels: Sequence[int]) -> service_pb.WhatIfResponse:
    before, values, differences = it.forecast.values, it.values.tolist(), it.differences.tolist()
    points = [
        service_pb.WhatIfPoint(
            start_time=timestamp(start),
            baseline=before[step],
            value=values[step],
            intervals=[_interval(level, it.interval(step, level)) for level in levels],
            difference=differences[step],
            difference_intervals=[_interval(level, it.difference_interval(level, step)) for level in levels],
        )
        for step, start in enumerate(it.forecast.starts)
    ]
    return service_pb.WhatIfResponse(
        points=points,
        baseline=sum(before),
        value=sum(values),
        difference=sum(differences),
        difference_intervals=[_interval(level, it.difference_interval(level)) for level in levels],
        version=it.forecast.version,
        warnings=it.warnings,
    )


def _interval(level: int, ends: tuple[float, float]) -> service_pb.Interval:
    return service_pb.Interval(level=level, lower=ends[0], upper=ends[1])
