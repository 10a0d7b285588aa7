"""The six services as the gateway reaches them: one channel and one stub each."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tessera.crm.v1.crm_service_pb2_grpc import CrmServiceStub
from tessera.forecasting.v1.forecasting_service_pb2_grpc import ForecastingServiceStub
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceStub
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub
from tessera.recommendation.v1.recommendation_service_pb2_grpc import RecommendationServiceStub
from tessera.segmentation.v1.segmentation_service_pb2_grpc import SegmentationServiceStub

from services.common.channels import connect
from services.common.settings import ProcessSettings

if TYPE_CHECKING:  # these classes exist in the stubs only
    from tessera.crm.v1.crm_service_pb2_grpc import CrmServiceAsyncStub
    from tessera.forecasting.v1.forecasting_service_pb2_grpc import ForecastingServiceAsyncStub
    from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceAsyncStub
    from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceAsyncStub
    from tessera.recommendation.v1.recommendation_service_pb2_grpc import RecommendationServiceAsyncStub
    from tessera.segmentation.v1.segmentation_service_pb2_grpc import SegmentationServiceAsyncStub

HEALTH_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Backends:
    """A stub for each service."""

    profiles: "ProfilesServiceAsyncStub"
    segmentation: "SegmentationServiceAsyncStub"
    recommendation: "RecommendationServiceAsyncStub"
    forecasting: "ForecastingServiceAsyncStub"
    loyalty: "LoyaltyServiceAsyncStub"
    crm: "CrmServiceAsyncStub"
    health: Mapping[str, "health_pb2_grpc.HealthStub"]

    async def unreachable(self) -> list[str]:
        """The services that do not say that they serve."""
        names = list(self.health)
        answers = await asyncio.gather(*(self._serves(name) for name in names))
        return [name for name, serves in zip(names, answers, strict=True) if not serves]

    async def _serves(self, name: str) -> bool:
        try:
            answer = await self.health[name].Check(health_pb2.HealthCheckRequest(), timeout=HEALTH_SECONDS)
        except grpc.aio.AioRpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)


@asynccontextmanager
async def connected(settings: ProcessSettings) -> AsyncIterator[Backends]:
    """Channels to all services, made at once and connected when first used; closed when the block is left."""
    addresses = {
        "profiles": settings.profiles_addr,
        "segmentation": settings.segmentation_addr,
        "recommendation": settings.recommendation_addr,
        "forecasting": settings.forecasting_addr,
        "loyalty": settings.loyalty_addr,
        "crm": settings.crm_addr,
    }
    async with AsyncExitStack() as stack:
        channels = {
            name: await stack.enter_async_context(connect(address, settings)) for name, address in addresses.items()
        }
        yield Backends(
            profiles=ProfilesServiceStub(channels["profiles"]),
            segmentation=SegmentationServiceStub(channels["segmentation"]),
            recommendation=RecommendationServiceStub(channels["recommendation"]),
            forecasting=ForecastingServiceStub(channels["forecasting"]),
            loyalty=LoyaltyServiceStub(channels["loyalty"]),
            crm=CrmServiceStub(channels["crm"]),
            health={name: health_pb2_grpc.HealthStub(channel) for name, channel in channels.items()},
        )
