"""Profiles, asked who is who; forecasting, what customers will do; and recommendation, what they like."""

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence

import grpc
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.forecasting.v1 import forecasting_service_pb2 as forecasting
from tessera.forecasting.v1.forecasting_service_pb2_grpc import ForecastingServiceStub
from tessera.profiles.v1 import profiles_service_pb2 as pb
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub
from tessera.recommendation.v1 import customer_vector_pb2
from tessera.recommendation.v1.recommendation_service_pb2_grpc import RecommendationServiceStub

from services.common.channels import on_behalf_of
from services.segmentation.domain.customer_list import CUSTOMER_ID, Named
from services.segmentation.ports.predictions import Prediction

log = logging.getLogger(__name__)

CALLS_AT_ONCE = 32
PREDICTIONS_A_PAGE = VECTORS_A_PAGE = 1000


class ProfilesPeople:
    """The port ``People`` over profiles."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = ProfilesServiceStub(channel)

    async def resolve(self, tenant: str, named: Sequence[Named]) -> list[str | None]:
        turns = asyncio.Semaphore(CALLS_AT_ONCE)
        found: dict[Named, str | None] = {}

        async def find(each: Named) -> None:
            async with turns:
                found[each] = await self._one(tenant, each)

        async with asyncio.TaskGroup() as group:
            for each in dict.fromkeys(named):
                group.create_task(find(each))
        return [found[each] for each in named]

    async def _one(self, tenant: str, named: Named) -> str | None:
        request = (
            pb.GetCustomerRequest(customer_id=named.value)
            if named.type == CUSTOMER_ID
            else pb.GetCustomerRequest(identifier=pb.Identifier(type=named.type, value=named.value))
        )
        try:
            answer = await self._stub.GetCustomer(request, metadata=on_behalf_of(tenant))
        except grpc.aio.AioRpcError as error:
            if error.code() is grpc.StatusCode.NOT_FOUND:
                return None
            raise
        return answer.customer.customer_id


class ForecastingOracle:
    """The port ``Oracle`` over forecasting. While that does not answer there is nothing new."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._stub = ForecastingServiceStub(channel)

    async def version(self, tenant: str) -> int:
        try:
            request = forecasting.GetCustomerModelRequest()
            return int(
                (await self._stub.GetCustomerModel(request, metadata=on_behalf_of(tenant))).customer_model.version
            )
        except grpc.aio.AioRpcError as error:
            if error.code() is not grpc.StatusCode.NOT_FOUND:
                log.info("forecasting was not asked for predictions: %s: %s", error.code().name, error.details())
            return 0

    async def predictions(self, tenant: str, version: int) -> list[Prediction] | None:
        found: list[Prediction] = []
        token = ""
        while True:
            request = forecasting.ListCustomerPredictionsRequest(page_size=PREDICTIONS_A_PAGE, page_token=token)
            try:
                page = await self._stub.ListCustomerPredictions(request, metadata=on_behalf_of(tenant))
            except grpc.aio.AioRpcError as error:
                log.info("predictions were not read to their end: %s: %s", error.code().name, error.details())
                return None
            if any(each.version != version for each in page.predictions):
                return None
            found += map(_prediction, page.predictions)
            token = page.next_page_token
            if not token:
                return found


def _prediction(told: forecasting.CustomerPrediction) -> Prediction:
    due = told.expected_next_order_time
    return Prediction(
        customer_id=told.customer_id,
        time=_micros(told.as_of_time),
        alive=told.probability_alive,
        churn_probability=told.churn_probability,
        expected_orders=told.expected_orders,
        currency=told.expected_revenue.currency,
        expected_order_value_minor=told.expected_order_value.amount_minor,
        expected_revenue_minor=told.expected_revenue.amount_minor,
        lifetime_value_minor=told.lifetime_value.amount_minor,
        next_order_time=_micros(due) if told.HasField("expected_next_order_time") else None,
    )


def _micros(time: Timestamp) -> int:
    return time.seconds * 1_000_000 + time.nanos // 1000


async def customer_vectors(
    channel: grpc.aio.Channel, tenant: str
) -> AsyncIterator[customer_vector_pb2.ListCustomerVectorsResponse]:
    """Every page of customers' vectors; fails with the status of recommendation."""
    stub, token = RecommendationServiceStub(channel), ""
    while True:
        request = customer_vector_pb2.ListCustomerVectorsRequest(page_size=VECTORS_A_PAGE, page_token=token)
        page = await stub.ListCustomerVectors(request, metadata=on_behalf_of(tenant))
        yield page
        token = page.next_page_token
        if not token:
            return
