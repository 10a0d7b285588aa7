"""The rpc of a person's own records."""

from collections.abc import AsyncIterator
from typing import Any

import grpc
from tessera.common.v1 import privacy_pb2
from tessera.recommendation.v1 import personal_data_pb2 as pb
from tessera.recommendation.v1.recommendation_service_pb2_grpc import RecommendationServiceServicer

from services.common import json
from services.common.auth import principal
from services.recommendation.handlers.export_customer_data import export_customer_data
from services.recommendation.handlers.placements import Placing
from services.recommendation.handlers.recommend import Sources
from services.recommendation.ports import OpenLists


class PersonalDataRpcs(RecommendationServiceServicer):
    """What is held about a person."""

    _sources: Sources
    _placing: Placing
    _lists: OpenLists

    async def ExportCustomerData(
        self, request: pb.ExportCustomerDataRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> AsyncIterator[pb.ExportCustomerDataResponse]:
        sources = self._sources
        ids = list(dict.fromkeys([request.customer_id, *request.origin_customer_ids]))
        pages = export_customer_data(
            sources.catalogue,
            sources.interactions,
            sources.models,
            self._placing.log,
            self._lists,
            principal().tenant,
            ids,
        )
        async for page in pages:
            records = [privacy_pb2.PersonalRecord(kind=each.kind, json=json.write(each.content)) for each in page]
            yield pb.ExportCustomerDataResponse(records=records)
