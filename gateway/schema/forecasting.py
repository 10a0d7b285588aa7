"""Series of sales and their forecasts in the schema."""

from collections.abc import Sequence
from typing import Annotated

import strawberry
from tessera.common.v1 import job_pb2
from tessera.forecasting.v1 import forecasting_service_pb2 as pb
from tessera.forecasting.v1 import series_pb2

from gateway.context import Info
from gateway.schema.absence import none_if_not_found
from gateway.schema.access import by_rpc
from gateway.schema.connections import After, First, Page, page
from gateway.schema.registry import from_proto, input_from_proto, mutation, query
from gateway.schema.scalars import DateTime

Measure = Annotated[series_pb2.Measure.ValueType, series_pb2.Measure]
Dimension = Annotated[series_pb2.Dimension.ValueType, series_pb2.Dimension]
Hierarchy = Annotated[series_pb2.Hierarchy.ValueType, series_pb2.Hierarchy]
TimeHierarchy = Annotated[series_pb2.TimeHierarchy.ValueType, series_pb2.TimeHierarchy]
Granularity = Annotated[series_pb2.Granularity.ValueType, series_pb2.Granularity]
Zone = Annotated[
    str | None, strawberry.argument(description="IANA name of the zone whose days and weeks are meant; null: UTC.")
]
Currency = Annotated[
    str | None, strawberry.argument(description="ISO 4217; null: all orders, which for sales must be of one currency.")
]
EventName = Annotated[
    str | None,
    strawberry.argument(description="Of which events, for the measure EVENTS, for example `Email Opened`; else null."),
]


@from_proto(pb.SeriesPoint, "start_time", "value", "incomplete")
class SeriesPoint: ...


@from_proto(pb.Series, "value", "points")
class Series: ...


@from_proto(pb.GetSeriesResponse, "series", "currency")
class SeriesSet: ...


@from_proto(pb.Category, "value", "line_count")
class SalesCategory: ...


@from_proto(
    pb.ForecastKey,
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
class ForecastKey: ...


@from_proto(
    pb.Forecast,
    "key",
    "currency",
    "points",
    "model",
    "version",
    "fit_time",
    "history_start_time",
    "history_end_time",
    "history_count",
    "backtest",
    "warnings",
    "drivers",
)
class Forecast: ...


@from_proto(pb.ForecastPoint, "start_time", "value", "intervals", "contributions", "quantiles")
class ForecastPoint: ...


@from_proto(pb.Contribution, "name", "value")
class Contribution: ...


@from_proto(pb.Quantile, "probability", "value")
class Quantile: ...


@from_proto(pb.Interval, "level", "lower", "upper")
class Interval: ...


@from_proto(pb.Backtest, "origin_count", "accuracy", "seasonal_naive", "unreconciled")
class Backtest: ...


@from_proto(pb.Accuracy, "wape", "mase", "smape", "rmse", "bias", "coverage", "wql")
class Accuracy: ...


@from_proto(pb.Coverage, "level", "share")
class Coverage: ...


@from_proto(pb.GetStatusResponse, "order_count", "line_count", "last_order_time", "event_count")
class ForecastingStatus: ...


@input_from_proto(pb.DriverChoice, "names")
class DriverChoiceInput: ...


@input_from_proto(
    pb.ForecastSpec,
    "measure",
    "dimension",
    "values",
    "granularity",
    "horizon",
    "currency",
    "time_zone",
    "hierarchy",
    "drivers",
    "event_name",
    "time_hierarchy",
    "as_of_time",
)
class ForecastSpecInput: ...


@input_from_proto(pb.FitForecastsRequest, "request_id", "specs")
class FitForecastsInput: ...


@from_proto(pb.FitForecastsResponse, "job")
class FitForecastsPayload: ...


@query(by_rpc("forecasting.GetSeries"))
async def series(
    info: Info,
    measure: Measure,
    granularity: Granularity,
    dimension: Dimension = series_pb2.DIMENSION_TOTAL,
    values: Annotated[list[str] | None, strawberry.argument(description="Only these categories; null: all.")] = None,
    start_time: DateTime | None = None,
    end_time: DateTime | None = None,
    time_zone: Zone = None,
    currency: Currency = None,
    event_name: EventName = None,
) -> pb.GetSeriesResponse:
    request = pb.GetSeriesRequest(
        measure=measure,
        dimension=dimension,
        values=values,
        granularity=granularity,
        start_time=start_time,
        end_time=end_time,
        time_zone=time_zone or "",
        currency=currency or "",
        event_name=event_name or "",
    )
    return await info.context.backends.forecasting.GetSeries(request, metadata=info.context.metadata)


@query(by_rpc("forecasting.GetForecast"))
async def forecast(
    info: Info,
    measure: Measure,
    granularity: Granularity,
    horizon: Annotated[int, strawberry.argument(description="How many periods ahead, from 1 to 366.")],
    dimension: Dimension = series_pb2.DIMENSION_TOTAL,
    value: Annotated[str | None, strawberry.argument(description="The category; null for the total.")] = None,
    time_zone: Zone = None,
    currency: Currency = None,
    hierarchy: Annotated[
        Hierarchy | None, strawberry.argument(description="What it adds up with; null: nothing.")
    ] = None,
    event_name: EventName = None,
    time_hierarchy: Annotated[
        TimeHierarchy | None,
        strawberry.argument(description="With which lengths of periods it agrees; null: with none."),
    ] = None,
    as_of_time: Annotated[
        DateTime | None,
        strawberry.argument(description="Replay: the forecast of this moment; null: from all that is known."),
    ] = None,
    levels: Annotated[
        list[int] | None, strawberry.argument(description="Of the intervals, in per cent; null: 80 and 95.")
    ] = None,
    quantiles: Annotated[
        list[float] | None, strawberry.argument(description="From .005 to .995, for example .1, .5 and .9; null: none.")
    ] = None,
) -> pb.Forecast:
    key = pb.ForecastKey(
        measure=measure,
        dimension=dimension,
        value=value or "",
        granularity=granularity,
        horizon=horizon,
        currency=currency or "",
        time_zone=time_zone or "",
        hierarchy=hierarchy or series_pb2.HIERARCHY_UNSPECIFIED,
        event_name=event_name or "",
        time_hierarchy=time_hierarchy or series_pb2.TIME_HIERARCHY_UNSPECIFIED,
        as_of_time=as_of_time,
    )
    request = pb.GetForecastRequest(key=key, levels=levels, quantiles=quantiles)
    answer = await info.context.backends.forecasting.GetForecast(request, metadata=info.context.metadata)
    return answer.forecast


@query(by_rpc("forecasting.ListForecasts"))
async def forecasts(
    info: Info, first: First = 20, after: After = None, measure: Measure | None = None
) -> Page[pb.Forecast]:
    """The forecasts that were fitted, without fitting any."""

    async def fetch(size: int, token: str) -> tuple[Sequence[pb.Forecast], str]:
        request = pb.ListForecastsRequest(
            measure=measure or series_pb2.MEASURE_UNSPECIFIED, page_size=size, page_token=token
        )
        answer = await info.context.backends.forecasting.ListForecasts(request, metadata=info.context.metadata)
        return answer.forecasts, answer.next_page_token

    return await page(fetch, first, after)


@query(by_rpc("forecasting.ListCategories"))
async def sales_categories(info: Info) -> list[pb.Category]:
    request = pb.ListCategoriesRequest()
    answer = await info.context.backends.forecasting.ListCategories(request, metadata=info.context.metadata)
    return list(answer.categories)


@query(by_rpc("forecasting.GetJob"))
async def forecasting_job(info: Info, id: strawberry.ID) -> job_pb2.Job | None:
    """One job of the forecasting service; null if there is none."""
    request = pb.GetJobRequest(job_id=id)
    answer = await none_if_not_found(info.context.backends.forecasting.GetJob(request, metadata=info.context.metadata))
    return answer.job if answer else None


@query(by_rpc("forecasting.ListJobs"))
async def forecasting_jobs(info: Info, first: First = 20, after: After = None) -> Page[job_pb2.Job]:
    """The jobs of the forecasting service, newest first."""

    async def fetch(size: int, token: str) -> tuple[Sequence[job_pb2.Job], str]:
        request = pb.ListJobsRequest(page_size=size, page_token=token)
        answer = await info.context.backends.forecasting.ListJobs(request, metadata=info.context.metadata)
        return answer.jobs, answer.next_page_token

    return await page(fetch, first, after)


@query(by_rpc("forecasting.GetStatus"))
async def forecasting_status(info: Info) -> pb.GetStatusResponse:
    request = pb.GetStatusRequest()
    return await info.context.backends.forecasting.GetStatus(request, metadata=info.context.metadata)


@mutation(by_rpc("forecasting.FitForecasts"))
async def fit_forecasts(info: Info, input: pb.FitForecastsRequest) -> pb.FitForecastsResponse:
    return await info.context.backends.forecasting.FitForecasts(input, metadata=info.context.metadata)
