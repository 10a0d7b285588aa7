"""The composition root of recommendation: everything is wired here, and nowhere else."""

import logging
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict
from tessera.profiles.v1 import erasure_pb2
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub
from tessera.recommendation.v1 import recommendation_service_pb2, recommendation_service_pb2_grpc

from services.common import erasure, telemetry
from services.common import jobs as job_store
from services.common.app import Exposed, Serving, background, every, serving
from services.common.channels import connect
from services.common.clock import Clock, system_clock, to_micros
from services.common.columnar import open_columnar
from services.common.erasure import Acknowledgements
from services.common.settings import Port, ServiceSettings
from services.common.store import open_store
from services.recommendation.adapters import experiments as experiment_store
from services.recommendation.adapters import memberships as memberships_store
from services.recommendation.adapters import models as model_store
from services.recommendation.adapters import open_lists as open_lists_store
from services.recommendation.adapters import placements as placement_store
from services.recommendation.adapters import store as document_store
from services.recommendation.adapters.clients import ProfilesTraits
from services.recommendation.adapters.demand import ColumnarDemand
from services.recommendation.adapters.drift_settings import COLLECTIONS as DRIFT_COLLECTIONS
from services.recommendation.adapters.drift_settings import StoredDriftSettings
from services.recommendation.adapters.events import follow_memberships, follow_orders
from services.recommendation.adapters.experiments import StoredExperiments
from services.recommendation.adapters.feedback import ColumnarFeedback
from services.recommendation.adapters.forgetting import Forgetting
from services.recommendation.adapters.interactions import TABLES, ColumnarInteractions
from services.recommendation.adapters.jobs import StoredTrainingJobs
from services.recommendation.adapters.memberships import StoredMemberships
from services.recommendation.adapters.models import StoredModels
from services.recommendation.adapters.open_lists import StoredOpenLists
from services.recommendation.adapters.placements import StoredPlacements
from services.recommendation.adapters.store import StoredCatalogue, StoredRequests
from services.recommendation.adapters.training_settings import COLLECTIONS as SETTINGS_COLLECTIONS
from services.recommendation.adapters.training_settings import StoredTrainingSettings
from services.recommendation.domain.drift_settings import DriftSettings
from services.recommendation.handlers.drift import measure_drift, measure_list_drift
from services.recommendation.handlers.placements import Placing
from services.recommendation.handlers.recommend import Sources
from services.recommendation.handlers.retention import forget_old_signals
from services.recommendation.handlers.training import train_again, train_if_due
from services.recommendation.ports import Period
from services.recommendation.servicer import Keeping, RecommendationServicer

log = logging.getLogger(__name__)

DRIFT_SECONDS = 600.0
"""How often drift is measured for the metrics."""
EXPOSURE_SECONDS = 1.0
"""How often it is written who is in an experiment."""
OPEN_LISTS_SECONDS = 60.0
"""How often what is over is removed of lists that could be gone on with."""
RETENTION_SECONDS = 3600.0
"""How often views and carts that are too old are deleted."""
SCHEDULE_SECONDS = 60.0
"""How often it is looked whether a training is due."""
THREAD_SWITCH_SECONDS = 0.0005
"""How long a thread keeps the interpreter while the loop waits for it. Lists for many people are made on threads; with
the usual 5 ms, single calls would wait as long at each of their turns."""

COLLECTIONS = (
    erasure.ACKNOWLEDGEMENTS,
    *document_store.COLLECTIONS,
    *model_store.COLLECTIONS,
    *job_store.COLLECTIONS,
    *memberships_store.COLLECTIONS,
    *placement_store.COLLECTIONS,
    *experiment_store.COLLECTIONS,
    *SETTINGS_COLLECTIONS,
    *open_lists_store.COLLECTIONS,
    *DRIFT_COLLECTIONS,
)


class Settings(ServiceSettings):
    """The environment of recommendation."""

    model_config = SettingsConfigDict(env_prefix="RECOMMENDATION_")
    service: ClassVar[str] = "recommendation"
    port: Port = 50053
    training_interval_hours: float = Field(24.0, ge=0)
    """How old a live model may become before it is trained again, if something happened since; 0 for never."""
    signal_retention_days: float = Field(400.0, ge=0)
    """How long views and carts are kept, at most: a tenant may want less; 0 for no limit."""
    content_encoder: str = ""
    """What turns texts of items into features: ``module:class`` of a ``learning.content.Encoder``; empty: our own."""


@asynccontextmanager
async def _quick_turns() -> AsyncIterator[None]:
    """Threads let the loop in soon; the process is left as it was, whatever else it serves."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(THREAD_SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)


@asynccontextmanager
async def serve(settings: Settings, clock: Clock = system_clock) -> AsyncIterator[Serving]:
    """Serve until the block is left."""
    async with (
        _quick_turns(),
        open_store(settings, COLLECTIONS) as store,
        open_columnar(settings, TABLES) as columnar,
        connect(settings.profiles_addr, settings) as profiles,
        connect(settings.segmentation_addr, settings) as segmentation,
    ):
        interactions = ColumnarInteractions(columnar)
        models = StoredModels(
            store, interactions, settings.data_dir / "recommendation-models", clock, settings.content_encoder
        )
        models.clear_scratch()
        acknowledge = ProfilesServiceStub(profiles).AcknowledgeErasure
        told = Acknowledgements(store, settings.service, acknowledge, erasure_pb2.AcknowledgeErasureRequest, clock)
        memberships, feedback = StoredMemberships(store), ColumnarFeedback(columnar)
        open_lists = StoredOpenLists(store, clock)
        forgetting = Forgetting(store, interactions, models, memberships, feedback, open_lists, told)
        demand = ColumnarDemand(columnar, interactions, memberships)
        sources = Sources(StoredCatalogue(store, clock), interactions, models, demand)
        placing = Placing(
            StoredPlacements(store), memberships, ProfilesTraits(profiles), StoredExperiments(store), feedback
        )
        jobs, drift_settings = job_store.Jobs(store, clock), StoredDriftSettings(store)
        wishes = StoredTrainingSettings(store)
        await jobs.recover(alone=not settings.store_url)
        training_jobs = StoredTrainingJobs(jobs)

        async def keep_fresh() -> None:
            oldest = to_micros(clock() - timedelta(hours=settings.training_interval_hours))
            for tenant in await models.tenants() if settings.training_interval_hours else ():
                again = await models.parameters(tenant)
                job_id = await train_if_due(models, interactions, training_jobs, tenant, again, oldest)
                if job_id:
                    log.info("the model of tenant %s is trained again by job %s, as scheduled", tenant, job_id)

        async def forget_old() -> None:
            await _forget_old(interactions, wishes, settings.signal_retention_days, to_micros(clock()))

        async def watch_drift() -> None:
            await _watch_drift(sources, feedback, await models.tenants(), drift_settings, to_micros(clock()))

        keeping = Keeping(StoredRequests(store), training_jobs, jobs, wishes, open_lists, drift_settings)
        exposed = Exposed(
            recommendation_service_pb2.DESCRIPTOR.services_by_name["RecommendationService"],
            recommendation_service_pb2_grpc.add_RecommendationServiceServicer_to_server,
            RecommendationServicer(sources, keeping, placing, clock),
        )
        try:
            async with (
                background(follow_orders(profiles, interactions, forgetting), "recommendation-orders"),
                background(follow_memberships(segmentation, memberships), "recommendation-memberships"),
                background(told.run(), "recommendation-erasures"),
                background(every(DRIFT_SECONDS, watch_drift), "recommendation-drift"),
                background(every(EXPOSURE_SECONDS, feedback.flush), "recommendation-exposures"),
                background(every(SCHEDULE_SECONDS, keep_fresh), "recommendation-schedule"),
                background(every(OPEN_LISTS_SECONDS, open_lists.remove_expired), "recommendation-open-lists"),
                background(every(RETENTION_SECONDS, forget_old), "recommendation-retention"),
                background(_warm_up(sources, models, training_jobs), "recommendation-warm-up"),
                serving(settings, exposed) as up,
            ):
                yield up
        finally:
            await feedback.flush()
            await jobs.close()


async def _warm_up(sources: Sources, models: StoredModels, jobs: StoredTrainingJobs) -> None:
    """Load every tenant's model and shelf, so that the first request finds them; a model that is damaged is trained
    again, and popular items are answered until then."""
    for tenant in await models.tenants():
        await sources.catalogue.shelf(tenant)
        if await models.live(tenant) is None:
            job_id = await train_again(models, jobs, tenant, await models.parameters(tenant))
            log.warning("the model of tenant %s is trained again by job %s", tenant, job_id)


async def _forget_old(
    interactions: ColumnarInteractions, wishes: StoredTrainingSettings, longest_days: float, now: int
) -> None:
    """Delete views and carts that were kept long enough."""
    for tenant, count in (await forget_old_signals(interactions, wishes, longest_days, now)).items():
        log.info("%d views and carts of tenant %s were kept long enough and are deleted", count, tenant)


async def _watch_drift(
    sources: Sources, feedback: ColumnarFeedback, tenants: Sequence[str], drift_settings: StoredDriftSettings, now: int
) -> None:
    """Tell how far purchases and lists of tenants are from what they were."""
    for tenant in tenants:
        wanted = await drift_settings.get(tenant)
        await _watch_purchases(sources, tenant, wanted)
        await _watch_lists(sources, feedback, tenant, now, wanted)


async def _watch_purchases(sources: Sources, tenant: str, settings: DriftSettings) -> None:
    """Tell the metrics, and the log where it must, how far what is bought is from what the model learnt from."""
    drift = await measure_drift(sources.models, sources.interactions, sources.catalogue, tenant, settings)
    if drift is None:
        return
    labels = {"tenant": tenant}
    telemetry.gauge("recommendation.drift.unknown_items").set(drift.unknown_item_share, labels)
    indexes = {"categories": drift.category_psi, "demand": drift.demand_psi, "prices": drift.price_psi}
    for name, value in (indexes | {"scores": drift.score_psi}).items():
        telemetry.gauge("recommendation.drift.psi").set(value, labels | {"of": name})
    if drift.alarms:
        log.warning("what is bought by customers of tenant %s drifts: %s", tenant, ", ".join(drift.alarms))


async def _watch_lists(
    sources: Sources, feedback: ColumnarFeedback, tenant: str, now: int, settings: DriftSettings
) -> None:
    """Tell how lists of the last week, or what the tenant wants, do against those of the time before."""
    lately = Period(now - settings.list_window, now, "", 0)
    lists = await measure_list_drift(feedback, sources.catalogue, tenant, lately, settings)
    labels = {"tenant": tenant}
    telemetry.gauge("recommendation.drift.click_rate").set(lists.click_rate.value, labels)
    telemetry.gauge("recommendation.drift.coverage").set(lists.coverage_change, labels)
    telemetry.gauge("recommendation.drift.psi").set(lists.shown_psi, labels | {"of": "shown_categories"})
    if lists.alarms:
        log.warning("lists of tenant %s drift from those before: %s", tenant, ", ".join(lists.alarms))
