"""A client of recommendation as tests speak of it."""

import asyncio
import itertools
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import grpc
from tessera.common.v1 import job_pb2
from tessera.recommendation.v1 import item_pb2 as item_pb
from tessera.recommendation.v1 import recommendation_list_pb2 as list_pb
from tessera.recommendation.v1 import recommendation_service_pb2 as pb

from services.common.grpc_errors import error_info
from services.recommendation.domain.item import Item
from services.recommendation.servicer.messages import timestamp
from tests.conftest import Keyring

if TYPE_CHECKING:
    from tessera.recommendation.v1.recommendation_service_pb2_grpc import RecommendationServiceAsyncStub

NOBODY = "127.0.0.1:1"
"""An address where no profiles answers: the follower waits, everything else works."""
UNFINISHED = (job_pb2.JOB_STATE_PENDING, job_pb2.JOB_STATE_RUNNING)
_numbers = itertools.count()


def new_id() -> str:
    return f"r{next(_numbers)}"


def item_message(item: Item) -> item_pb.Item:
    return item_pb.Item(
        item_id=item.item_id,
        title=item.title,
        categories=item.categories,
        brand=item.brand,
        attributes=item.attributes,
        out_of_stock=item.out_of_stock,
        hidden=item.hidden,
        publish_time=timestamp(item.publish_time) if item.publish_time else None,
        expire_time=timestamp(item.expire_time) if item.expire_time else None,
    )


class Client:
    """Calls recommendation as one tenant."""

    def __init__(self, stub: "RecommendationServiceAsyncStub", keyring: Keyring, tenant: str = "acme") -> None:
        self.stub, self._keyring = stub, keyring
        self.metadata = keyring.header(tenant)

    def of(self, tenant: str) -> "Client":
        """The same server, called by another tenant."""
        return Client(self.stub, self._keyring, tenant)

    async def upsert(self, items: Iterable[Item], request_id: str = "") -> pb.UpsertItemsResponse:
        request = pb.UpsertItemsRequest(request_id=request_id or new_id(), items=map(item_message, items))
        return await self.stub.UpsertItems(request, metadata=self.metadata)

    async def delete(self, item_id: str, request_id: str = "") -> None:
        request = pb.DeleteItemRequest(request_id=request_id or new_id(), item_id=item_id)
        await self.stub.DeleteItem(request, metadata=self.metadata)

    async def get(self, item_id: str) -> item_pb.Item:
        return (await self.stub.GetItem(pb.GetItemRequest(item_id=item_id), metadata=self.metadata)).item

    async def recommend(self, customer_id: str = "", **wish: Any) -> list_pb.RecommendationList:
        request = pb.RecommendRequest(customer_id=customer_id, **wish)
        return (await self.stub.Recommend(request, metadata=self.metadata)).recommendations

    async def batch_recommend(self, *customer_ids: str, **wish: Any) -> list[list_pb.RecommendationList]:
        request = pb.BatchRecommendRequest(customer_ids=customer_ids, **wish)
        return list((await self.stub.BatchRecommend(request, metadata=self.metadata)).recommendations)

    async def similar(self, item_id: str, **wish: Any) -> list_pb.RecommendationList:
        request = pb.FindSimilarItemsRequest(item_id=item_id, **wish)
        return (await self.stub.FindSimilarItems(request, metadata=self.metadata)).recommendations

    async def together(self, item_id: str, **wish: Any) -> list_pb.RecommendationList:
        request = pb.FindBoughtTogetherRequest(item_id=item_id, **wish)
        return (await self.stub.FindBoughtTogether(request, metadata=self.metadata)).recommendations

    async def start_training(self, request_id: str = "", **values: Any) -> job_pb2.Job:
        request = pb.TrainModelRequest(request_id=request_id or new_id(), **values)
        return (await self.stub.TrainModel(request, metadata=self.metadata)).job

    async def train(self, **values: Any) -> job_pb2.Job:
        """Train, and wait for the end."""
        return await self.ended((await self.start_training(**values)).job_id)

    async def ended(self, job_id: str) -> job_pb2.Job:
        while True:
            job = (await self.stub.GetJob(pb.GetJobRequest(job_id=job_id), metadata=self.metadata)).job
            if job.state not in UNFINISHED:
                return job
            await asyncio.sleep(0.05)

    async def status(self) -> pb.GetStatusResponse:
        return await self.stub.GetStatus(pb.GetStatusRequest(), metadata=self.metadata)


def ids(answer: list_pb.RecommendationList) -> list[str]:
    return [item.item_id for item in answer.items]


def kinds(answer: list_pb.RecommendationList) -> set["list_pb.ReasonKind.ValueType"]:
    return {reason.kind for item in answer.items for reason in item.reasons}


def reason_of(error: grpc.aio.AioRpcError) -> str:
    """Why a call was refused."""
    info = error_info(error)
    assert info is not None
    return str(info.reason)
