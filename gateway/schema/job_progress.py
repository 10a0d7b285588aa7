"""How far a job is, live, whichever service does it."""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from enum import Enum
from typing import Any

import strawberry
from tessera.common.v1 import job_pb2
from tessera.forecasting.v1 import forecasting_service_pb2 as forecasting_pb
from tessera.loyalty.v1 import coupon_pb2
from tessera.profiles.v1 import computed_trait_pb2
from tessera.recommendation.v1 import recommendation_service_pb2 as recommendation_pb
from tessera.segmentation.v1 import cluster_pb2

from gateway.backends import Backends
from gateway.context import Info
from gateway.schema.access import ANY_TOKEN
from gateway.schema.following import reopened
from gateway.schema.registry import subscription


@strawberry.enum(description="A service that does long work in jobs.")
class JobService(Enum):
    """Whose job it is."""

    PROFILES = "profiles"
    SEGMENTATION = "segmentation"
    RECOMMENDATION = "recommendation"
    FORECASTING = "forecasting"
    LOYALTY = "loyalty"


def _follow(backends: Backends, service: JobService, job_id: str) -> tuple[Any, Any]:
    """The rpc, and what it is asked."""
    match service:
        case JobService.PROFILES:
            return backends.profiles.FollowJob, computed_trait_pb2.FollowJobRequest(job_id=job_id)
        case JobService.SEGMENTATION:
            return backends.segmentation.FollowStudyJob, cluster_pb2.FollowStudyJobRequest(job_id=job_id)
        case JobService.RECOMMENDATION:
            return backends.recommendation.FollowJob, recommendation_pb.FollowJobRequest(job_id=job_id)
        case JobService.FORECASTING:
            return backends.forecasting.FollowJob, forecasting_pb.FollowJobRequest(job_id=job_id)
        case JobService.LOYALTY:
            return backends.loyalty.FollowCouponJob, coupon_pb2.FollowCouponJobRequest(job_id=job_id)


@subscription(ANY_TOKEN)
async def job_progress(info: Info, service: JobService, id: strawberry.ID) -> AsyncGenerator[job_pb2.Job, None]:
    """A job as it stands, then each time that it has changed; ends once the job has succeeded or failed. Needs the
    scope with which the service lets its jobs be read, `forecasting:read` for those of forecasting."""
    rpc, request = _follow(info.context.backends, service, id)
    async with aclosing(reopened(lambda: rpc(request, metadata=info.context.metadata))) as answers:
        async for answer in answers:
            yield answer.job
