"""The composition root of segmentation: everything is wired here, and nowhere else."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import ClassVar

from pydantic import Field
from pydantic_settings import SettingsConfigDict
from tessera.segmentation.v1 import segmentation_service_pb2, segmentation_service_pb2_grpc

from services.common.app import Exposed, Serving, background, every, serving
from services.common.channels import connect
from services.common.clock import Clock, system_clock
from services.common.columnar import open_columnar
from services.common.settings import Port, ServiceSettings
from services.common.store import open_store
from services.segmentation.adapters.analytics import ColumnarAnalytics
from services.segmentation.adapters.events import Follower, profiles_stream
from services.segmentation.adapters.insights import ColumnarInsights
from services.segmentation.adapters.memberships import StoredMemberships
from services.segmentation.adapters.store import COLLECTIONS, StoredSegments
from services.segmentation.adapters.tables import TABLES
from services.segmentation.handlers.evaluation import Evaluation
from services.segmentation.servicer import SegmentationServicer


class Settings(ServiceSettings):
    """The environment of segmentation."""

    model_config = SettingsConfigDict(env_prefix="SEGMENTATION_")
    service: ClassVar[str] = "segmentation"
    port: Port = 50052
    clock_seconds: float = Field(30.0, gt=0, le=50)
    """How often the moments are looked up at which time changes something; each is then kept to the moment."""


@asynccontextmanager
async def serve(settings: Settings, clock: Clock = system_clock) -> AsyncIterator[Serving]:
    """Serve until the block is left."""
    async with (
        open_store(settings, COLLECTIONS) as store,
        open_columnar(settings, TABLES) as columnar,
        connect(settings.profiles_addr, settings) as profiles,
    ):
        analytics = ColumnarAnalytics(columnar, clock)
        segments, memberships = StoredSegments(store), StoredMemberships(store)
        evaluation = Evaluation(segments, memberships, analytics, clock)
        follower = Follower(profiles_stream(profiles), analytics, evaluation.touch)
        servicer = SegmentationServicer(
            segments=segments,
            memberships=memberships,
            analytics=analytics,
            insights=ColumnarInsights(columnar),
            evaluation=evaluation,
            clock=clock,
            settled=lambda: follower.settled,
        )
        exposed = Exposed(
            segmentation_service_pb2.DESCRIPTOR.services_by_name["SegmentationService"],
            segmentation_service_pb2_grpc.add_SegmentationServiceServicer_to_server,
            servicer,
        )
        async with (
            background(follower.run(), "segmentation-follower"),
            background(evaluation.run(lambda: follower.caught_up), "segmentation-evaluation"),
            background(evaluation.keep_time(), "segmentation-schedule"),
            background(every(settings.clock_seconds, evaluation.tick), "segmentation-clock"),
            serving(settings, exposed) as up,
        ):
            yield up
