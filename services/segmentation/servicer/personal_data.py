"""The rpc of a person's own records."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from tessera.common.v1 import privacy_pb2
from tessera.segmentation.v1 import personal_data_pb2 as pb
from tessera.segmentation.v1.segmentation_service_pb2_grpc import SegmentationServiceServicer

from services.common import json
from services.common.auth import principal
from services.segmentation.handlers.export_customer_data import export_customer_data
from services.segmentation.ports import Analytics, Lists, Memberships, Segments
from services.segmentation.ports.predictions import Predictions
from services.segmentation.servicer.context import Context


@dataclass(frozen=True, kw_only=True)
class PersonalDataRpcs(SegmentationServiceServicer):
    """What is held about a person."""

    segments: Segments
    memberships: Memberships
    lists: Lists
    analytics: Analytics
    predictions: Predictions

    async def ExportCustomerData(
        self, request: pb.ExportCustomerDataRequest, context: Context
    ) -> AsyncIterator[pb.ExportCustomerDataResponse]:
        async for page in export_customer_data(
            self.segments,
            self.memberships,
            self.lists,
            self.analytics,
            self.predictions,
            principal().tenant,
            request.customer_id,
            request.origin_customer_ids,
        ):
            records = [privacy_pb2.PersonalRecord(kind=each.kind, json=json.write(each.content)) for each in page]
            yield pb.ExportCustomerDataResponse(records=records)
