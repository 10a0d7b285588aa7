"""What customers like as vectors, page by page, and as segmentation reads it."""

from typing import TYPE_CHECKING

import grpc
import numpy as np
import pytest
from tessera.recommendation.v1 import customer_vector_pb2 as pb

from services.common.channels import connect
from services.common.grpc_errors import error_info
from services.recommendation.app import Settings, serve
from services.segmentation.adapters.tastes import RecommendationTastes
from services.segmentation.domain.persona import TastesUnknown
from tests.recommendation.making import shop

if TYPE_CHECKING:
    from tests.recommendation.client import Client


async def listed(client: "Client", size: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    request = pb.ListCustomerVectorsRequest(page_size=size)
    while True:
        page = await client.stub.ListCustomerVectors(request, metadata=client.metadata)
        assert page.model_version
        assert not found.keys() & {each.customer_id for each in page.vectors}, "each customer once"
        found |= {each.customer_id: list(each.values) for each in page.vectors}
        if not page.next_page_token:
            return found
        request.page_token = page.next_page_token


async def test_every_customer_who_bought_has_a_vector(trained: "Client") -> None:
    found = await listed(trained, 7)
    assert found == await listed(trained, 1000)
    assert found.keys() == set(shop().lines.customer_id)
    assert {len(vector) for vector in found.values()} == {2}


async def test_a_token_of_another_model_is_refused(trained: "Client", empty: "Client") -> None:
    for client in (trained, empty):
        for token in ("other:7", "nothing"):
            request = pb.ListCustomerVectorsRequest(page_token=token)
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await client.stub.ListCustomerVectors(request, metadata=client.metadata)
            info = error_info(caught.value)
            assert info is not None
            assert info.reason == "INVALID_CURSOR"


async def test_segmentation_reads_all_vectors_and_says_so_where_there_are_none(trained_settings: Settings) -> None:
    async with serve(trained_settings) as up, connect(up.address, trained_settings) as channel:
        tastes = RecommendationTastes(channel)
        ids, vectors = await tastes.vectors("acme")
        assert set(ids) == set(shop().lines.customer_id)
        assert vectors.shape == (len(ids), 2)
        assert vectors.dtype == np.float32
        with pytest.raises(TastesUnknown, match="train one first"):
            await tastes.vectors("nobody")
