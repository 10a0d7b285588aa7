"""The composition root of segmentation: everything is wired here, and nowhere else."""

import os
import random
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import ClassVar

from grpc.aio import Channel
from pydantic import Field, IPvAnyNetwork, SecretStr
from pydantic_settings import SettingsConfigDict
from tessera.profiles.v1 import erasure_pb2
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub
from tessera.segmentation.v1 import segmentation_service_pb2, segmentation_service_pb2_grpc

from services.common import jobs as job_store
from services.common.app import Exposed, Serving, background, every, serving
from services.common.channels import connect
from services.common.clock import Clock, system_clock
from services.common.columnar import open_columnar
from services.common.erasure import ACKNOWLEDGEMENTS, Acknowledgements
from services.common.jobs import Jobs
from services.common.sealing import MasterKey, make_master_key, read_master_keys
from services.common.settings import Port, ServiceSettings
from services.common.store import Store, open_store
from services.segmentation.adapters import destinations as destination_store
from services.segmentation.adapters.analytics import ColumnarAnalytics
from services.segmentation.adapters.clients import ProfilesPeople
from services.segmentation.adapters.events import (
    Follower,
    MessageFollower,
    PredictionFollower,
    messages_stream,
    predictions_stream,
    profiles_stream,
)
from services.segmentation.adapters.forgetting import Forgetting
from services.segmentation.adapters.insights import ColumnarInsights
from services.segmentation.adapters.kept import ROWS_MAX, Kept
from services.segmentation.adapters.lists import COLLECTIONS as LIST_COLLECTIONS
from services.segmentation.adapters.lists import ListFollower, StoredLists
from services.segmentation.adapters.member_files import (
    AudienceTables,
    clusters_file,
    csv_members,
    lookalikes_file,
    members_file,
)
from services.segmentation.adapters.memberships import StoredMemberships
from services.segmentation.adapters.object_store import S3ObjectStore, SpooledBlobs
from services.segmentation.adapters.path_query import ColumnarPaths
from services.segmentation.adapters.predictions import ColumnarPredictions
from services.segmentation.adapters.store import COLLECTIONS, StoredSegments
from services.segmentation.adapters.studies import StoredClusterings, StoredLookalikes, StoredStarts
from services.segmentation.adapters.tables import TABLES
from services.segmentation.adapters.tastes import RecommendationTastes
from services.segmentation.adapters.trait_values import ColumnarTraitValues
from services.segmentation.adapters.web import CheckedWeb
from services.segmentation.adapters.webhooks import WebCourier
from services.segmentation.domain.delivery import SECOND, SECRET_BYTES, Patience
from services.segmentation.handlers.clustering import ClusteringWork
from services.segmentation.handlers.delivering import Dispatch
from services.segmentation.handlers.destinations import DestinationDesk
from services.segmentation.handlers.evaluate_predicted import evaluate_predicted
from services.segmentation.handlers.evaluation import Evaluation
from services.segmentation.handlers.lookalikes import LookalikeWork
from services.segmentation.handlers.object_pushes import ObjectPusher
from services.segmentation.handlers.studies import Desk
from services.segmentation.servicer import SegmentationServicer

ALL_COLLECTIONS = (
    *COLLECTIONS,
    *LIST_COLLECTIONS,
    *job_store.COLLECTIONS,
    *destination_store.COLLECTIONS,
    ACKNOWLEDGEMENTS,
)


class Settings(ServiceSettings):
    """The environment of segmentation."""

    model_config = SettingsConfigDict(env_prefix="SEGMENTATION_")
    service: ClassVar[str] = "segmentation"
    port: Port = 50052
    clock_seconds: float = Field(30.0, gt=0, le=50)
    """How often the moments are looked up at which time changes something; each is then kept to the moment."""
    kept_rows_max: int = Field(ROWS_MAX, ge=0)
    """How many rows of what rules count are kept in memory, of 12 to 28 bytes each, with the embedded engine. A tenant
    that needs more is evaluated by scans; 0: all are."""
    webhook_networks: tuple[IPvAnyNetwork, ...] = ()
    """Networks that are not public and may be sent segments to all the same, also without encryption; a JSON list."""
    webhook_seconds_max: float = Field(15.0, gt=0, le=60)
    """How long a destination may take to answer."""
    object_seconds_max: float = Field(900.0, gt=0, le=3600)
    """How long object storage may take for one file."""
    webhook_wait_seconds: float = Field(5.0, gt=0, le=3600)
    """How long after its first failure a delivery is tried again; from then on twice as long each time."""
    webhook_attempts_max: int = Field(20, ge=1, le=100)
    """After how many failures of one delivery a destination is disabled."""
    master_keys: SecretStr | None = None
    """The keys that seal the secrets of destinations: of 32 bytes each, in base64, the one in use first, a space
    between. Unset with the embedded store: a file beside the data, made at the start; with another: no destinations."""


@asynccontextmanager
async def serve(settings: Settings, clock: Clock = system_clock) -> AsyncIterator[Serving]:
    """Serve until the block is left."""
    async with (
        open_store(settings, ALL_COLLECTIONS) as store,
        open_columnar(settings, TABLES) as columnar,
        connect(settings.profiles_addr, settings) as profiles,
        connect(settings.forecasting_addr, settings) as forecasting,
        connect(settings.recommendation_addr, settings) as recommendation,
        connect(settings.crm_addr, settings) as crm,
    ):
        kept = None if settings.analytics_url else Kept(columnar, clock, settings.kept_rows_max)
        analytics = ColumnarAnalytics(columnar, clock, kept=kept)
        segments, memberships = StoredSegments(store), StoredMemberships(store)
        evaluation = Evaluation(segments, memberships, analytics, clock)
        acknowledgements = _acknowledgements(settings, store, profiles, clock)
        forgetting = Forgetting(store, columnar, acknowledgements, evaluation.standstill, analytics.forget)
        follower = Follower(profiles_stream(profiles), analytics, evaluation.touch, forgetting)
        lists = ListFollower(store, analytics, evaluation.touch)
        insights = ColumnarInsights(columnar)
        predictions = ColumnarPredictions(columnar)
        predicted = PredictionFollower(
            predictions_stream(forecasting), predictions, partial(evaluate_predicted, segments, evaluation)
        )
        jobs = Jobs(store, clock)
        await jobs.recover(alone=not settings.store_url)
        desk = Desk(jobs, StoredStarts(store), clock)
        tastes, clusterings = RecommendationTastes(recommendation), StoredClusterings(store, columnar)
        web = CheckedWeb(settings.webhook_networks)
        values = ColumnarTraitValues(columnar, clock)
        destinations, dispatch = _sending(settings, store, segments, memberships, values, web, clock)
        servicer = SegmentationServicer(
            segments=segments,
            memberships=memberships,
            analytics=analytics,
            lists=StoredLists(store),
            predictions=predictions,
            people=ProfilesPeople(profiles),
            insights=insights,
            path_finder=ColumnarPaths(columnar),
            clustering=ClusteringWork(insights, segments, tastes, clusterings, desk),
            lookalikes=LookalikeWork(insights, segments, memberships, StoredLookalikes(store, columnar), desk),
            trait_values=values,
            members_file=members_file,
            clusters_file=clusters_file,
            lookalikes_file=lookalikes_file,
            evaluation=evaluation,
            clock=clock,
            settled=lambda: follower.settled,
            destination_desk=destinations,
        )
        async with (
            background(follower.run(), "segmentation-follower"),
            background(lists.run(), "segmentation-lists"),
            background(acknowledgements.run(), "segmentation-erasures"),
            background(evaluation.run(lambda: follower.caught_up), "segmentation-evaluation"),
            background(evaluation.keep_time(), "segmentation-schedule"),
            background(every(settings.clock_seconds, evaluation.tick), "segmentation-clock"),
            background(dispatch.run(), "segmentation-destinations"),
            background(predicted.run(), "segmentation-predictions"),
            background(MessageFollower(messages_stream(crm), analytics).run(), "segmentation-messages"),
            serving(settings, _exposed(servicer)) as up,
        ):
            try:
                yield up
            finally:
                await jobs.close()
                await web.close()


def _exposed(servicer: SegmentationServicer) -> Exposed:
    return Exposed(
        segmentation_service_pb2.DESCRIPTOR.services_by_name["SegmentationService"],
        segmentation_service_pb2_grpc.add_SegmentationServiceServicer_to_server,
        servicer,
    )


def _acknowledgements(settings: Settings, store: Store, profiles: Channel, clock: Clock) -> Acknowledgements:
    acknowledge = ProfilesServiceStub(profiles).AcknowledgeErasure
    return Acknowledgements(store, settings.service, acknowledge, erasure_pb2.AcknowledgeErasureRequest, clock)


def _sending(
    settings: Settings,
    store: Store,
    segments: StoredSegments,
    memberships: StoredMemberships,
    values: ColumnarTraitValues,
    web: CheckedWeb,
    clock: Clock,
) -> tuple[DestinationDesk, Dispatch]:
    """What changes destinations, and what serves them."""
    destinations = destination_store.StoredDestinations(store, destination_store.Secrets(_master_keys(settings)))
    patience = Patience(round(settings.webhook_wait_seconds * SECOND), attempts_max=settings.webhook_attempts_max)
    courier = WebCourier(web, settings.webhook_seconds_max, clock)
    objects = S3ObjectStore(web, settings.object_seconds_max, clock)
    blobs = SpooledBlobs(settings.data_dir / "outgoing")
    pusher = ObjectPusher(memberships, objects, values, AudienceTables(), blobs, clock)
    dispatch = Dispatch(
        destinations, segments, memberships, courier, pusher, csv_members, clock, random.random, patience
    )
    desk = DestinationDesk(
        destinations,
        segments,
        memberships,
        courier,
        pusher,
        clock,
        settings.webhook_networks,
        lambda: uuid.uuid4().hex,
        lambda: os.urandom(SECRET_BYTES),
        dispatch.wake,
    )
    return desk, dispatch


def _master_keys(settings: Settings) -> tuple[MasterKey, ...]:
    if settings.master_keys is not None:
        return read_master_keys(settings.master_keys.get_secret_value(), "SEGMENTATION_MASTER_KEYS")
    if settings.store_url:
        return ()
    beside = settings.data_dir / "segmentation_master_key"
    make_master_key(beside)
    return read_master_keys(beside.read_text("ascii"), str(beside))
