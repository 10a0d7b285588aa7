"""What moves sales, in the schema: drivers, holidays, and forecasts under other drivers."""

from typing import Annotated

import strawberry
from tessera.forecasting.v1 import drivers_pb2 as pb
from tessera.forecasting.v1 import forecasting_service_pb2 as service_pb
from tessera.forecasting.v1 import series_pb2

from gateway.context import Info
from gateway.schema.access import by_rpc
from gateway.schema.registry import from_proto, input_from_proto, mutation, query

Dimension = Annotated[series_pb2.Dimension.ValueType, series_pb2.Dimension]
Day = Annotated[str, strawberry.argument(description="`YYYY-MM-DD`.")]


@from_proto(pb.Driver, "name", "source", "default_value", "required_ahead", "first_date", "last_date")
class Driver: ...


@from_proto(pb.DriverDay, "date", "number")
class DriverDay: ...


@from_proto(pb.HolidayRegion, "country", "subdivision")
class HolidayRegion: ...


@from_proto(pb.CustomHoliday, "name", "dates")
class CustomHoliday: ...


@from_proto(pb.HolidayCalendar, "regions", "days")
class HolidayCalendar: ...


@from_proto(pb.Holiday, "date", "name")
class Holiday: ...


@from_proto(pb.GetHolidayCalendarResponse, "calendar", "holidays")
class Holidays: ...


@from_proto(
    service_pb.WhatIfResponse,
    "points",
    "baseline",
    "value",
    "difference",
    "difference_intervals",
    "version",
    "warnings",
)
class WhatIf: ...


@from_proto(
    service_pb.WhatIfPoint, "start_time", "baseline", "value", "intervals", "difference", "difference_intervals"
)
class WhatIfPoint: ...


@from_proto(pb.PutDriverResponse, "driver")
class PutDriverPayload: ...


@from_proto(pb.RecordDriverValuesResponse, "recorded_count")
class RecordDriverValuesPayload: ...


@from_proto(pb.PutHolidayCalendarResponse, "calendar")
class PutHolidayCalendarPayload: ...


@input_from_proto(pb.PutDriverRequest, "request_id", "name", "source", "default_value", "required_ahead")
class PutDriverInput: ...


@input_from_proto(pb.DriverValue, "driver", "dimension", "value", "first_date", "last_date", "number")
class DriverValueInput: ...


@input_from_proto(pb.RecordDriverValuesRequest, "request_id", "values")
class RecordDriverValuesInput: ...


@input_from_proto(pb.HolidayRegion, "country", "subdivision")
class HolidayRegionInput: ...


@input_from_proto(pb.CustomHoliday, "name", "dates")
class CustomHolidayInput: ...


@input_from_proto(pb.HolidayCalendar, "regions", "days")
class HolidayCalendarInput: ...


@input_from_proto(pb.PutHolidayCalendarRequest, "request_id", "calendar")
class PutHolidayCalendarInput: ...


@input_from_proto(
    service_pb.ForecastKey,
    "measure",
    "dimension",
    "value",
    "granularity",
    "horizon",
    "currency",
    "time_zone",
    "hierarchy",
    "event_name",
    "time_hierarchy",
    "as_of_time",
)
class ForecastKeyInput: ...


@input_from_proto(pb.DriverChange, "driver", "first_date", "last_date", "set_to", "multiply_by", "add")
class DriverChangeInput: ...


@input_from_proto(service_pb.WhatIfRequest, "key", "changes", "levels")
class WhatIfInput: ...


@query(by_rpc("forecasting.ListDrivers"))
async def drivers(info: Info) -> list[pb.Driver]:
    answer = await info.context.backends.forecasting.ListDrivers(
        pb.ListDriversRequest(), metadata=info.context.metadata
    )
    return list(answer.drivers)


@query(by_rpc("forecasting.ListDriverValues"))
async def driver_values(
    info: Info,
    driver: str,
    first_date: Day,
    last_date: Day,
    dimension: Dimension = series_pb2.DIMENSION_TOTAL,
    value: str | None = None,
) -> list[pb.DriverDay]:
    request = pb.ListDriverValuesRequest(
        driver=driver, dimension=dimension, value=value or "", first_date=first_date, last_date=last_date
    )
    answer = await info.context.backends.forecasting.ListDriverValues(request, metadata=info.context.metadata)
    return list(answer.days)


@query(by_rpc("forecasting.GetHolidayCalendar"))
async def holidays(info: Info, year: int = 0) -> pb.GetHolidayCalendarResponse:
    request = pb.GetHolidayCalendarRequest(year=year)
    return await info.context.backends.forecasting.GetHolidayCalendar(request, metadata=info.context.metadata)


@query(by_rpc("forecasting.WhatIf"))
async def what_if(info: Info, input: service_pb.WhatIfRequest) -> service_pb.WhatIfResponse:
    return await info.context.backends.forecasting.WhatIf(input, metadata=info.context.metadata)


@mutation(by_rpc("forecasting.PutDriver"))
async def put_driver(info: Info, input: pb.PutDriverRequest) -> pb.PutDriverResponse:
    return await info.context.backends.forecasting.PutDriver(input, metadata=info.context.metadata)


@mutation(by_rpc("forecasting.DeleteDriver"))
async def delete_driver(info: Info, name: str) -> str:
    """Forget a driver: its name, also if it was not there."""
    request = pb.DeleteDriverRequest(name=name)
    await info.context.backends.forecasting.DeleteDriver(request, metadata=info.context.metadata)
    return name


@mutation(by_rpc("forecasting.RecordDriverValues"))
async def record_driver_values(info: Info, input: pb.RecordDriverValuesRequest) -> pb.RecordDriverValuesResponse:
    return await info.context.backends.forecasting.RecordDriverValues(input, metadata=info.context.metadata)


@mutation(by_rpc("forecasting.PutHolidayCalendar"))
async def put_holiday_calendar(info: Info, input: pb.PutHolidayCalendarRequest) -> pb.PutHolidayCalendarResponse:
    return await info.context.backends.forecasting.PutHolidayCalendar(input, metadata=info.context.metadata)
