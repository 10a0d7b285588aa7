"""The rpc of customers' vectors."""

from typing import Any

import grpc
from tessera.recommendation.v1 import customer_vector_pb2 as pb
from tessera.recommendation.v1.recommendation_service_pb2_grpc import RecommendationServiceServicer

from services.common.auth import principal
from services.recommendation.handlers.customer_vectors import list_customer_vectors
from services.recommendation.handlers.recommend import Sources

PAGE_SIZE_DEFAULT = 500


class CustomerVectorRpcs(RecommendationServiceServicer):
    """What customers like as vectors."""

    _sources: Sources

    async def ListCustomerVectors(
        self, request: pb.ListCustomerVectorsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> pb.ListCustomerVectorsResponse:
        size = request.page_size or PAGE_SIZE_DEFAULT
        found, version, token = await list_customer_vectors(
            self._sources.models, self._sources.interactions, principal().tenant, size, request.page_token
        )
        vectors = [pb.CustomerVector(customer_id=who, values=vector.tolist()) for who, vector in found]
        return pb.ListCustomerVectorsResponse(vectors=vectors, model_version=version, next_page_token=token)
