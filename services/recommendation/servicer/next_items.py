"""The rpc of the next pages of lists."""

from collections.abc import Sequence
from uuid import uuid4

from tessera.recommendation.v1 import next_items_pb2 as pb
from tessera.recommendation.v1.recommendation_service_pb2_grpc import RecommendationServiceServicer

from services.common.auth import principal
from services.common.clock import Clock, to_micros
from services.recommendation.domain.open_list import OpenList
from services.recommendation.domain.recommendation import RecommendationList
from services.recommendation.handlers.next_items import keep_open, recommend_next_items
from services.recommendation.handlers.placements import Placing
from services.recommendation.handlers.recommend import Sources
from services.recommendation.ports import OpenLists
from services.recommendation.servicer.messages import Context, list_message


class NextItemsRpcs(RecommendationServiceServicer):
    """Lists page by page."""

    _sources: Sources
    _placing: Placing
    _lists: OpenLists
    _clock: Clock

    async def RecommendNextItems(
        self, request: pb.RecommendNextItemsRequest, context: Context
    ) -> pb.RecommendNextItemsResponse:
        found = await recommend_next_items(
            self._sources,
            self._placing,
            self._lists,
            principal().tenant,
            request.recommendation_id,
            request.count,
            to_micros(self._clock()),
            uuid4().hex,
        )
        return pb.RecommendNextItemsResponse(recommendations=list_message(found))

    async def _open(
        self, asked: Sequence[OpenList], made: Sequence[RecommendationList]
    ) -> Sequence[RecommendationList]:
        """The lists, kept so that they can be gone on with, where that was asked."""
        if not asked:
            return made
        return await keep_open(self._lists, principal().tenant, asked, made, to_micros(self._clock()))
