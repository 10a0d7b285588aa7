"""The composition root of forecasting: everything is wired here, and nowhere else."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar, Self

from pydantic import Field, model_validator
from pydantic_settings import SettingsConfigDict
from tessera.forecasting.v1 import forecasting_service_pb2, forecasting_service_pb2_grpc
from tessera.profiles.v1.erasure_pb2 import AcknowledgeErasureRequest
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.common.app import Exposed, Serving, background, serving
from services.common.channels import connect
from services.common.clock import system_clock
from services.common.columnar import open_columnar
from services.common.erasure import ACKNOWLEDGEMENTS, Acknowledgements
from services.common.jobs import Jobs
from services.common.settings import Port, ServiceSettings
from services.common.store import open_store
from services.forecasting.adapters import customer_models, media_mixes, preferences, propensities, store, uplifts
from services.forecasting.adapters import drivers as stored_drivers
from services.forecasting.adapters import goals as stored_goals
from services.forecasting.adapters.activities import ColumnarActivities
from services.forecasting.adapters.customer_models import StoredCustomerModels
from services.forecasting.adapters.drivers import DRIVER_VALUES, StoredDrivers
from services.forecasting.adapters.erasures import Erasures
from services.forecasting.adapters.events import follow_events
from services.forecasting.adapters.events.campaigns import follow_campaigns
from services.forecasting.adapters.events.memberships import follow_memberships
from services.forecasting.adapters.events.sends import follow_sends
from services.forecasting.adapters.goals import StoredGoals
from services.forecasting.adapters.lines import SERIES_TABLES, ColumnarLines
from services.forecasting.adapters.media_mixes import StoredMediaMixes
from services.forecasting.adapters.memberships import ColumnarMemberships
from services.forecasting.adapters.moved import MOVED, MovedCustomers
from services.forecasting.adapters.preferences import StoredPreferenceModels
from services.forecasting.adapters.propensities import StoredPropensityModels
from services.forecasting.adapters.sends import ColumnarSends
from services.forecasting.adapters.spend import SPEND, ColumnarSpend
from services.forecasting.adapters.store import StoredForecasts, StoredRequests
from services.forecasting.adapters.treatments import ERASED, TREATMENTS, ColumnarTreatments
from services.forecasting.adapters.uplifts import StoredUpliftModels
from services.forecasting.domain.propensity import EXAMPLES_MIN
from services.forecasting.handlers.drivers import DriverKeeping
from services.forecasting.handlers.fit_customer_model import CustomerFitting
from services.forecasting.handlers.fit_forecasts import Fitting
from services.forecasting.handlers.fit_preferences import PreferenceFitting
from services.forecasting.handlers.fit_propensity import PropensityFitting
from services.forecasting.handlers.fit_uplift import UpliftFitting
from services.forecasting.handlers.goals import GoalKeeping
from services.forecasting.handlers.media_mix import MediaMixing
from services.forecasting.handlers.predict_again import PredictingAgain
from services.forecasting.handlers.tell_predictions import PredictionTelling
from services.forecasting.learning.known_ahead import Learners
from services.forecasting.learning.network import SECONDS_MAX, NetworkFitting
from services.forecasting.servicer import ForecastingServicer

COLLECTIONS = (
    *store.COLLECTIONS,
    *customer_models.COLLECTIONS,
    *propensities.COLLECTIONS,
    *preferences.COLLECTIONS,
    *uplifts.COLLECTIONS,
    *media_mixes.COLLECTIONS,
    *stored_goals.COLLECTIONS,
    *stored_drivers.COLLECTIONS,
    ACKNOWLEDGEMENTS,
    ERASED,
    MOVED,
)


class Settings(ServiceSettings):
    """The environment of forecasting."""

    model_config = SettingsConfigDict(env_prefix="FORECASTING_")
    service: ClassVar[str] = "forecasting"
    port: Port = 50054
    propensity_examples_min: int = Field(EXAMPLES_MIN, ge=5, le=100_000)
    """Below how many customers who reached a goal, or did not, within a horizon no propensity model is fitted, and
    below how many in a group of an experiment no uplift model, and below how many purchases of categories
    no preferences."""
    network_seconds: float = Field(SECONDS_MAX, ge=0, le=3_600)
    """Of processor time for a neural network over the series of a panel, at most, of which a fit makes up to four; one
    that takes longer is left out. 0: no networks."""
    spread: bool = False
    """Whether methods of single series run on the Spark of ``ANALYTICS_URL``, whose workers need numpy and the
    service's version of Python."""

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if self.spread and not self.analytics_url:
            raise ValueError("FORECASTING_SPREAD needs a Spark: set ANALYTICS_URL, or leave it out")
        return self


METHODS = ("services", "services/forecasting", "services/forecasting/learning")
"""What travels to a cluster that runs methods of single series."""


def _learners(settings: Settings) -> Learners:
    network = NetworkFitting(settings.network_seconds) if settings.network_seconds else None
    if not settings.spread or settings.analytics_url is None:
        return Learners(network=network)
    from services.common.columnar.spark import connect as spark
    from services.common.columnar.spark_spread import SparkSpread

    return Learners(network=network, spread=SparkSpread(spark(settings.analytics_url), METHODS))


@asynccontextmanager
async def serve(settings: Settings) -> AsyncIterator[Serving]:
    """Serve until the block is left."""
    async with (
        open_store(settings, COLLECTIONS) as documents,
        open_columnar(settings, [*SERIES_TABLES, SPEND, DRIVER_VALUES, TREATMENTS]) as columnar,
        connect(settings.profiles_addr, settings) as profiles,
        connect(settings.segmentation_addr, settings) as segmentation,
        connect(settings.crm_addr, settings) as crm,
    ):
        activities, memberships = ColumnarActivities(columnar), ColumnarMemberships(columnar)
        lines, jobs = ColumnarLines(columnar), Jobs(documents, system_clock)
        await jobs.recover(alone=not settings.store_url)
        requests, drivers = StoredRequests(documents), StoredDrivers(documents, columnar)
        learners = await asyncio.to_thread(_learners, settings)
        fitting = Fitting(lines, StoredForecasts(documents), drivers, requests, jobs, system_clock, learners)
        likely = StoredPropensityModels(documents)
        liked = StoredPreferenceModels(documents, likely.turn)
        answers = StoredUpliftModels(documents, likely.turn)
        models = StoredCustomerModels(documents, likely, liked, answers)
        telling = PredictionTelling(models, likely.settle, liked.settle, answers.settle)
        customers = CustomerFitting(
            lines, lines, models, requests, jobs, system_clock, telling.wake, settings.propensity_examples_min
        )
        learning = (requests, jobs, system_clock, settings.propensity_examples_min)
        propensity = PropensityFitting(lines, lines, likely, *learning)
        preference = PreferenceFitting(lines, lines, liked, *learning)
        treatments = ColumnarTreatments(columnar, documents)
        uplift = UpliftFitting(lines, lines, treatments, answers, *learning)
        spend, mixes = ColumnarSpend(columnar), StoredMediaMixes(documents)
        mixing = MediaMixing(lines, spend, mixes, requests, jobs, system_clock)
        goals = GoalKeeping(lines, drivers, StoredGoals(documents), requests, system_clock)
        exposed = Exposed(
            forecasting_service_pb2.DESCRIPTOR.services_by_name["ForecastingService"],
            forecasting_service_pb2_grpc.add_ForecastingServiceServicer_to_server,
            ForecastingServicer(
                fitting,
                customers,
                propensity,
                preference,
                uplift,
                mixing,
                goals,
                DriverKeeping(drivers, requests),
                lines,
                models,
                activities,
                memberships,
            ),
        )
        acknowledge = ProfilesServiceStub(profiles).AcknowledgeErasure
        acknowledgements = Acknowledgements(
            documents, settings.service, acknowledge, AcknowledgeErasureRequest, system_clock
        )
        erasures = Erasures(
            documents, lines, activities, memberships, models, likely, liked, answers, treatments, acknowledgements
        )
        moved = MovedCustomers(documents, PredictingAgain(lines, lines, models, likely, answers, lines, liked))
        async with (
            background(follow_events(profiles, lines, erasures.carry_out, moved), "forecasting.events"),
            background(follow_memberships(segmentation, memberships), "forecasting.memberships"),
            background(follow_campaigns(crm, treatments), "forecasting.campaigns"),
            background(follow_sends(crm, ColumnarSends(columnar)), "forecasting.sends"),
            background(telling.run(), "forecasting.predictions"),
            background(acknowledgements.run(), "forecasting.acknowledgements"),
            serving(settings, exposed) as up,
        ):
            try:
                yield up
            finally:
                await jobs.close()
