"""gRPC in, use case, gRPC out."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.forecasting.v1 import forecasting_service_pb2 as pb
from tessera.forecasting.v1.forecasting_service_pb2_grpc import ForecastingServiceServicer

from services.common.auth import principal
from services.common.errors import Refusal
from services.common.idempotency import fingerprint
from services.common.job_messages import to_proto
from services.forecasting.domain.customers import FitOptions, ModelName, PredictionOrder, ValueMethod
from services.forecasting.domain.measures import Dimension, Granularity, Measure
from services.forecasting.domain.series import Panel, Selection
from services.forecasting.handlers.drivers import DriverKeeping
from services.forecasting.handlers.fit_customer_model import CustomerFitting, fit_customer_model
from services.forecasting.handlers.fit_forecasts import Fitting, Spec, fit_forecasts
from services.forecasting.handlers.fit_preferences import PreferenceFitting
from services.forecasting.handlers.fit_propensity import PropensityFitting
from services.forecasting.handlers.fit_uplift import UpliftFitting
from services.forecasting.handlers.get_customers import get_customer_model, get_customer_prediction
from services.forecasting.handlers.get_forecasts import GetForecasts
from services.forecasting.handlers.get_series import get_series
from services.forecasting.handlers.goals import GoalKeeping
from services.forecasting.handlers.media_mix import MediaMixing
from services.forecasting.ports import Activities, BoughtLines, Memberships, PredictionFeed
from services.forecasting.servicer.customers import (
    MonitorRpcs,
    PredictionFeedRpcs,
    customer_model_message,
    prediction_message,
)
from services.forecasting.servicer.demand import DemandRpcs
from services.forecasting.servicer.drivers import DriverRpcs
from services.forecasting.servicer.elasticity import ElasticityRpcs
from services.forecasting.servicer.enums import known
from services.forecasting.servicer.forecast_messages import (
    forecast_key,
    forecast_message,
    interval_levels,
    panel_key,
    quantiles_asked,
)
from services.forecasting.servicer.media_mix import MediaMixRpcs
from services.forecasting.servicer.personal_data import PersonalDataRpcs
from services.forecasting.servicer.preference import PreferenceRpcs
from services.forecasting.servicer.propensity import PropensityRpcs
from services.forecasting.servicer.uplift import UpliftRpcs

Context = grpc.aio.ServicerContext[Any, Any]
CATEGORIES_MAX = 1000
FORECASTS_PAGE_SIZE_DEFAULT = 50
JOBS_PAGE_SIZE_DEFAULT = 100
PREDICTIONS_PAGE_SIZE_DEFAULT = 100
FIT_DEFAULT = FitOptions()


class ForecastingServicer(
    DemandRpcs,
    DriverRpcs,
    ElasticityRpcs,
    MediaMixRpcs,
    MonitorRpcs,
    PersonalDataRpcs,
    PredictionFeedRpcs,
    PreferenceRpcs,
    PropensityRpcs,
    UpliftRpcs,
    ForecastingServiceServicer,
):
    """Answers ``tessera.forecasting.v1.ForecastingService``."""

    def __init__(
        self,
        fitting: Fitting,
        customers: CustomerFitting,
        propensity: PropensityFitting,
        preference: PreferenceFitting,
        uplift: UpliftFitting,
        mixing: MediaMixing,
        goals: GoalKeeping,
        drivers: DriverKeeping,
        bought: BoughtLines,
        predictions: PredictionFeed,
        activities: Activities,
        memberships: Memberships,
    ) -> None:
        self._fitting, self._customers, self._propensity, self._mixing = fitting, customers, propensity, mixing
        self._goals, self._drivers, self._bought, self._feed = goals, drivers, bought, predictions
        self._uplift, self._preference = uplift, preference
        self._activities, self._memberships = activities, memberships
        self._get_forecasts, self._forecasts = GetForecasts(fitting.of_panels), fitting.forecasts

    async def GetStatus(self, request: pb.GetStatusRequest, context: Context) -> pb.GetStatusResponse:
        status = await self._fitting.lines.status(principal().tenant)
        return pb.GetStatusResponse(
            applied_cursor=status.applied_cursor,
            order_count=status.order_count,
            line_count=status.line_count,
            last_order_time=_timestamp(status.last_time) if status.last_time is not None else None,
            event_count=await self._activities.count(principal().tenant),
            memberships_cursor=await self._memberships.cursor(),
            messages_cursor=await self._uplift.treatments.cursor(),
            sends_cursor=status.sends_cursor,
        )

    async def GetSeries(self, request: pb.GetSeriesRequest, context: Context) -> pb.GetSeriesResponse:
        selection = Selection(
            known(Measure, request.measure, "measure"),
            known(Dimension, request.dimension, "dimension"),
            known(Granularity, request.granularity, "granularity"),
            tuple(request.values),
            request.currency,
            request.time_zone,
            request.event_name,
        )
        first = _micros(request.start_time) if request.HasField("start_time") else None
        end = _micros(request.end_time) if request.HasField("end_time") else None
        panel = await get_series(self._fitting.lines, principal().tenant, selection, first, end)
        return _series(panel) if panel else pb.GetSeriesResponse()

    async def ListCategories(self, request: pb.ListCategoriesRequest, context: Context) -> pb.ListCategoriesResponse:
        found = await self._fitting.lines.values(principal().tenant, Dimension.CATEGORY, CATEGORIES_MAX)
        return pb.ListCategoriesResponse(
            categories=[pb.Category(value=value, line_count=count) for value, count in found]
        )

    async def FitForecasts(self, request: pb.FitForecastsRequest, context: Context) -> pb.FitForecastsResponse:
        specs = [_spec(it) for it in request.specs]
        tenant, content = principal().tenant, fingerprint(request)
        job = await fit_forecasts(self._fitting, tenant, request.request_id, content, specs)
        return pb.FitForecastsResponse(job=to_proto(job))

    async def GetJob(self, request: pb.GetJobRequest, context: Context) -> pb.GetJobResponse:
        return pb.GetJobResponse(job=to_proto(await self._fitting.jobs.get(principal().tenant, request.job_id)))

    async def FollowJob(self, request: pb.FollowJobRequest, context: Context) -> AsyncIterator[pb.FollowJobResponse]:
        async for job in self._fitting.jobs.follow(principal().tenant, request.job_id):
            yield pb.FollowJobResponse(job=to_proto(job))

    async def ListJobs(self, request: pb.ListJobsRequest, context: Context) -> pb.ListJobsResponse:
        size = request.page_size or JOBS_PAGE_SIZE_DEFAULT
        jobs, token = await self._fitting.jobs.list(principal().tenant, size, request.page_token)
        return pb.ListJobsResponse(jobs=map(to_proto, jobs), next_page_token=token)

    async def GetForecast(self, request: pb.GetForecastRequest, context: Context) -> pb.GetForecastResponse:
        levels, quantiles = interval_levels(request.levels), quantiles_asked(request.quantiles)
        [found] = await self._get_forecasts(principal().tenant, [forecast_key(request.key)])
        if isinstance(found, Refusal):
            raise found
        return pb.GetForecastResponse(forecast=forecast_message(found, levels, quantiles))

    async def BatchGetForecasts(
        self, request: pb.BatchGetForecastsRequest, context: Context
    ) -> pb.BatchGetForecastsResponse:
        levels, quantiles = interval_levels(request.levels), quantiles_asked(request.quantiles)
        found = await self._get_forecasts(principal().tenant, [forecast_key(key) for key in request.keys])
        answers = [
            pb.ForecastAnswer(key=key, error=it.message)
            if isinstance(it, Refusal)
            else pb.ForecastAnswer(key=key, forecast=forecast_message(it, levels, quantiles))
            for key, it in zip(request.keys, found, strict=True)
        ]
        return pb.BatchGetForecastsResponse(answers=answers)

    async def ListForecasts(self, request: pb.ListForecastsRequest, context: Context) -> pb.ListForecastsResponse:
        measure = known(Measure, request.measure, "measure") if request.measure else None
        size = request.page_size or FORECASTS_PAGE_SIZE_DEFAULT
        found, token = await self._fitting.forecasts.page(principal().tenant, measure, size, request.page_token)
        return pb.ListForecastsResponse(
            forecasts=[forecast_message(it, interval_levels(())) for it in found], next_page_token=token
        )

    async def FitCustomerModel(
        self, request: pb.FitCustomerModelRequest, context: Context
    ) -> pb.FitCustomerModelResponse:
        tenant, content, options = principal().tenant, fingerprint(request), _options(request)
        job = await fit_customer_model(self._customers, tenant, request.request_id, content, options)
        return pb.FitCustomerModelResponse(job=to_proto(job))

    async def GetCustomerModel(
        self, request: pb.GetCustomerModelRequest, context: Context
    ) -> pb.GetCustomerModelResponse:
        model = await get_customer_model(self._customers.models, principal().tenant, request.version)
        return pb.GetCustomerModelResponse(customer_model=customer_model_message(model))

    async def GetCustomerPrediction(
        self, request: pb.GetCustomerPredictionRequest, context: Context
    ) -> pb.GetCustomerPredictionResponse:
        found = await get_customer_prediction(self._customers.models, principal().tenant, request.customer_id)
        return pb.GetCustomerPredictionResponse(prediction=prediction_message(found))

    async def BatchGetCustomerPredictions(
        self, request: pb.BatchGetCustomerPredictionsRequest, context: Context
    ) -> pb.BatchGetCustomerPredictionsResponse:
        found = await self._customers.models.predictions(principal().tenant, request.customer_ids)
        return pb.BatchGetCustomerPredictionsResponse(predictions=map(prediction_message, found))

    async def ListCustomerPredictions(
        self, request: pb.ListCustomerPredictionsRequest, context: Context
    ) -> pb.ListCustomerPredictionsResponse:
        order = known(PredictionOrder, request.order or PredictionOrder.EXPECTED_REVENUE, "order")
        size = request.page_size or PREDICTIONS_PAGE_SIZE_DEFAULT
        found, token = await self._customers.models.page(principal().tenant, order, size, request.page_token)
        return pb.ListCustomerPredictionsResponse(predictions=map(prediction_message, found), next_page_token=token)


def _series(panel: Panel) -> pb.GetSeriesResponse:
    starts = [_timestamp(start) for start in panel.periods.starts[:-1]]
    complete = panel.complete_count()
    return pb.GetSeriesResponse(
        currency=panel.currency,
        series=[
            pb.Series(
                value=value,
                points=[
                    pb.SeriesPoint(start_time=start, value=figure, incomplete=index >= complete)
                    for index, (start, figure) in enumerate(zip(starts, figures, strict=True))
                ],
            )
            for value, figures in zip(panel.values, panel.figures.tolist(), strict=True)
        ],
    )


def _spec(it: pb.ForecastSpec) -> Spec:
    chosen = tuple(dict.fromkeys(it.drivers.names)) if it.HasField("drivers") else None
    return Spec(panel_key(it), tuple(it.values), chosen)


def _options(request: pb.FitCustomerModelRequest) -> FitOptions:
    horizon = request.horizon_days or FIT_DEFAULT.horizon_days
    return FitOptions(
        horizon_days=horizon,
        holdout_days=request.holdout_days or horizon,
        lifetime_days=request.lifetime_days or FIT_DEFAULT.lifetime_days,
        discount_rate=request.discount_rate if request.HasField("discount_rate") else FIT_DEFAULT.discount_rate,
        currency=request.currency,
        as_of=_micros(request.as_of_time) if request.HasField("as_of_time") else None,
        model=known(ModelName, request.purchase_model, "purchase_model"),
        method=known(ValueMethod, request.value_method, "value_method"),
    )


def _timestamp(micros: int) -> Timestamp:
    seconds, rest = divmod(micros, 1_000_000)
    return Timestamp(seconds=seconds, nanos=rest * 1000)


def _micros(time: Timestamp) -> int:
    return time.seconds * 1_000_000 + time.nanos // 1000
