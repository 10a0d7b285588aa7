"""Keeping the catalogue, over gRPC."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import grpc
import pytest
from tessera.common.v1 import money_pb2
from tessera.recommendation.v1 import item_pb2 as item_pb
from tessera.recommendation.v1 import recommendation_list_pb2 as list_pb
from tessera.recommendation.v1 import recommendation_service_pb2 as pb

from services.common.clock import to_micros
from services.common.grpc_errors import error_info
from services.recommendation.app import Settings
from services.recommendation.domain.item import Item
from tests.recommendation.client import Client, ids, new_id
from tests.recommendation.conftest import Start
from tests.recommendation.making import catalogue


def counts(answer: pb.UpsertItemsResponse) -> tuple[int, int, int]:
    return answer.created_count, answer.updated_count, answer.unchanged_count


async def test_what_is_stored_comes_back_whole(empty: Client) -> None:
    item = item_pb.Item(
        item_id="milk",
        title="Milk",
        categories=["FOOD", "DAIRY"],
        brand="Own",
        price=money_pb2.Money(currency="EUR", amount_minor=129),
        attributes={"size": "1 L"},
        out_of_stock=True,
        hidden=True,
    )
    await empty.stub.UpsertItems(pb.UpsertItemsRequest(request_id="r", items=[item]), metadata=empty.metadata)
    stored = await empty.get("milk")
    assert stored.HasField("update_time")
    stored.ClearField("update_time")
    assert stored == item


async def test_items_are_created_then_left_alone_then_updated(empty: Client) -> None:
    assert counts(await empty.upsert(catalogue())) == (25, 0, 0)
    assert counts(await empty.upsert(catalogue())) == (0, 0, 25)
    assert counts(await empty.upsert([replace(catalogue()[0], title="Other"), Item("fresh")])) == (1, 1, 0)


async def test_the_same_request_again_answers_as_it_did_before(empty: Client) -> None:
    first = await empty.upsert(catalogue(), "once")
    assert await empty.upsert(catalogue(), "once") == first
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await empty.upsert([Item("else")], "once")
    assert refused.value.code() is grpc.StatusCode.ALREADY_EXISTS


async def test_an_item_that_comes_twice_in_one_request_is_refused_and_nothing_is_stored(empty: Client) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await empty.upsert([Item("a"), Item("b"), Item("a")])
    info = error_info(refused.value)
    assert info is not None
    assert (refused.value.code(), info.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "ITEM_REPEATED")
    assert (await empty.status()).item_count == 0


async def test_pages_hold_every_item_once_by_id(empty: Client) -> None:
    await empty.upsert(catalogue())
    found: list[str] = []
    token = ""
    while True:
        request = pb.ListItemsRequest(page_size=7, page_token=token)
        page = await empty.stub.ListItems(request, metadata=empty.metadata)
        found += [item.item_id for item in page.items]
        if not (token := page.next_page_token):
            break
    assert found == sorted(item.item_id for item in catalogue())


async def test_a_batch_answers_in_the_order_asked_and_leaves_out_what_is_not_there(empty: Client) -> None:
    await empty.upsert(catalogue())
    request = pb.BatchGetItemsRequest(item_ids=["i7", "nothing", "i2", "i7"])
    found = await empty.stub.BatchGetItems(request, metadata=empty.metadata)
    assert [item.item_id for item in found.items] == ["i7", "i2"]


async def test_an_item_that_is_deleted_is_gone_from_everything(trained: Client) -> None:
    assert "i1" in ids(await trained.recommend("c1", count=100))
    await trained.delete("i1", "away")
    await trained.delete("i1", "away")
    assert "i1" not in ids(await trained.recommend("c1", count=100))
    assert "i1" not in ids(await trained.similar("i3", count=100))
    assert "i1" not in ids(await trained.together("i3", count=100))
    assert (await trained.status()).item_count == 24
    for call in (trained.get("i1"), trained.delete("i1"), trained.similar("i1"), trained.together("i1")):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call
        info = error_info(refused.value)
        assert info is not None
        assert (refused.value.code(), info.reason) == (grpc.StatusCode.NOT_FOUND, "ITEM_NOT_FOUND")
        assert info.metadata["item_id"] == "i1"


async def test_an_item_that_comes_back_is_recommended_again(trained: Client) -> None:
    before = await trained.recommend("c1", count=100)
    await trained.delete("i1")
    await trained.upsert([catalogue()[1]])
    assert (await trained.recommend("c1", count=100)).items == before.items


async def test_one_tenant_sees_nothing_of_anothers_catalogue_and_model(trained: Client) -> None:
    other = trained.of("rival")
    assert (await other.status()).item_count == 0
    assert not (await other.status()).HasField("live_model")
    assert (await other.recommend("c1")).empty_reason == list_pb.EMPTY_REASON_CATALOGUE_EMPTY
    await other.upsert([replace(catalogue()[1], title="Theirs")])
    assert (await trained.get("i1")).title == "Item 1"
    answer = await other.recommend("c1")
    assert (ids(answer), answer.model_version) == (["i1"], "")


async def test_the_catalogue_is_there_again_after_a_restart(start: Start) -> None:
    async with start() as client:
        await client.upsert(catalogue(), new_id())
        await client.delete("i3")
    async with start() as client:
        assert (await client.status()).item_count == 24
        assert "i3" not in ids(await client.recommend(count=100))
        assert len(ids(await client.recommend(count=100))) == 24


async def test_an_item_that_expires_leaves_every_list_by_itself_and_a_later_time_brings_it_back(
    start: Start, trained_settings: Settings
) -> None:
    now = datetime(2026, 1, 1, tzinfo=UTC)
    expires = replace(catalogue()[1], expire_time=to_micros(now + timedelta(days=1)))
    async with start(clock=lambda: now) as client:
        await client.upsert([expires])
        assert "i1" in ids(await client.recommend("c1", count=100))
        now += timedelta(days=1)
        for listed in (
            await client.recommend("c1", count=100),
            await client.similar("i3", count=100),
            await client.together("i3", count=100),
            await client.recommend(count=100, filter=item_pb.ItemFilter(include_out_of_stock=True)),
        ):
            assert "i1" not in ids(listed)
        assert (await client.get("i1")).HasField("expire_time")
        assert (await client.status()).item_count == 25
        await client.upsert([replace(expires, expire_time=to_micros(now + timedelta(days=1)))])
        assert "i1" in ids(await client.recommend("c1", count=100))
    now += timedelta(days=2)
    async with start(clock=lambda: now) as client:
        assert "i1" not in ids(await client.recommend("c1", count=100))
