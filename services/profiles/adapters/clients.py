"""The other services, as exports of a person ask them."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from typing import Any

import grpc
from tessera.crm.v1 import privacy_pb2 as crm
from tessera.crm.v1.crm_service_pb2_grpc import CrmServiceStub
from tessera.forecasting.v1 import personal_data_pb2 as forecasting
from tessera.forecasting.v1.forecasting_service_pb2_grpc import ForecastingServiceStub
from tessera.loyalty.v1 import personal_data_pb2 as loyalty
from tessera.loyalty.v1.loyalty_service_pb2_grpc import LoyaltyServiceStub
from tessera.recommendation.v1 import personal_data_pb2 as recommendation
from tessera.recommendation.v1.recommendation_service_pb2_grpc import RecommendationServiceStub
from tessera.segmentation.v1 import personal_data_pb2 as segmentation
from tessera.segmentation.v1.segmentation_service_pb2_grpc import SegmentationServiceStub

from services.common.channels import on_behalf_of
from services.common.errors import Unavailable
from services.profiles.ports.customer_exports import PersonalRecord

ASKED: Mapping[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "crm": (CrmServiceStub, crm.ExportCustomerDataRequest),
    "forecasting": (ForecastingServiceStub, forecasting.ExportCustomerDataRequest),
    "loyalty": (LoyaltyServiceStub, loyalty.ExportCustomerDataRequest),
    "recommendation": (RecommendationServiceStub, recommendation.ExportCustomerDataRequest),
    "segmentation": (SegmentationServiceStub, segmentation.ExportCustomerDataRequest),
}
"""Of each service its stub, and how it is asked."""


class ServicesPersonalData:
    """The port ``PersonalData``."""

    def __init__(self, channels: Mapping[str, grpc.aio.Channel]) -> None:
        self._stubs = {name: ASKED[name][0](channel) for name, channel in channels.items()}

    @property
    def services(self) -> Sequence[str]:
        return sorted(self._stubs)

    async def records(
        self, service: str, tenant: str, customer_id: str, origins: Sequence[str]
    ) -> AsyncIterator[list[PersonalRecord]]:
        request = ASKED[service][1](customer_id=customer_id, origin_customer_ids=origins)
        call = self._stubs[service].ExportCustomerData(request, metadata=on_behalf_of(tenant))
        try:
            async for page in call:
                yield [(record.kind, record.json) for record in page.records]
        except grpc.aio.AioRpcError as error:
            raise Unavailable(f"{error.code().name}: {error.details()}", service=service) from error
        finally:
            call.cancel()
