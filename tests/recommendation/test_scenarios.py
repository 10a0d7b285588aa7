"""Demand, bundles, carts, repeats, given lists and customers of an item, over gRPC."""

from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from tessera.recommendation.v1 import item_pb2 as item_pb
from tessera.recommendation.v1 import recommendation_list_pb2 as list_pb
from tessera.recommendation.v1 import scenario_pb2 as pb

from services.common.store import open_store
from services.recommendation.adapters import memberships
from services.recommendation.adapters.memberships import Move, StoredMemberships
from services.recommendation.app import Settings
from services.recommendation.domain.item import Item
from tests.recommendation.client import Client, ids, reason_of
from tests.recommendation.conftest import Start, record
from tests.recommendation.making import Shop, catalogue, shop

BASKETS: dict[int, set[str]] = {}
for _basket, _item in zip(shop().baskets.tolist(), shop().items.tolist(), strict=True):
    BASKETS.setdefault(_basket, set()).add(f"i{_item}")


def bought_by(kind: int) -> set[str]:
    return {f"c{code}" for code in range(Shop.customer_count) if code % 2 == kind}


async def popular(client: Client, **wish: object) -> list_pb.RecommendationList:
    request = pb.FindPopularRequest(**wish)  # type: ignore[arg-type]
    return (await client.stub.FindPopular(request, metadata=client.metadata)).recommendations


async def test_popular_items_are_those_that_lines_say_without_a_model(settings: Settings, start: Start) -> None:
    await record(settings, shop().lines)
    async with start() as client:
        await client.upsert(catalogue())
        found = await popular(client, count=50, half_life_duration=Duration(seconds=9 * 365 * 86_400))
        counts = Counter(f"i{item}" for item in shop().items.tolist())
        # In 100 days a purchase loses two hundredths of what it counts.
        assert {item.item_id: item.score for item in found.items} == pytest.approx(dict(counts), rel=0.03)


async def test_what_is_bought_later_is_taken_in_and_categories_narrow_the_list(
    trained_settings: Settings, start: Start
) -> None:
    more = replace(shop().lines)
    more.tenant, more.customer_id, more.basket_id = ["acme"] * 30, ["late"] * 30, [f"n{each}" for each in range(30)]
    more.item_id, more.time = ["i3"] * 30, [max(more.time)] * 30
    more.quantity, more.amount_minor, more.currency = [1.0] * 30, [100] * 30, ["USD"] * 30
    await record(trained_settings, more, cursor="2")
    async with start() as client:
        assert ids(await popular(client))[0] == "i3"
        even = await popular(client, filter=item_pb.ItemFilter(categories=["KIND 0"]))
        assert even.items
        assert all(int(each[1:]) % 2 == 0 for each in ids(even))
        request = pb.FindTrendingRequest()
        trending = (await client.stub.FindTrending(request, metadata=client.metadata)).recommendations
        assert ids(trending)[0] == "i3"
        assert trending.items[0].reasons[0].kind == list_pb.REASON_KIND_TRENDING


@pytest.fixture
async def segmented(trained_settings: Settings, start: Start) -> AsyncIterator[Client]:
    """A server that has followed segmentation: the customers of kind 1 are in `odd`, those of kind 0 were and left."""
    moves = [Move("acme", "odd", who, entered=True) for who in sorted(bought_by(0) | bought_by(1))]
    moves += [Move("acme", "odd", who, entered=False) for who in sorted(bought_by(0))]
    async with open_store(trained_settings, memberships.COLLECTIONS) as store:
        await StoredMemberships(store).apply(moves, "7")
    async with start() as client:
        yield client


async def test_a_segment_has_its_own_popular_items(segmented: Client) -> None:
    found = await popular(segmented, segment_id="odd", count=50)
    assert {int(each[1:]) % 2 for each in ids(found)} == {1}
    assert ids(await popular(segmented, segment_id="unknown")) == []
    named = await popular(segmented, customer_ids=sorted(bought_by(1)), count=50)
    assert [(it.item_id, it.score) for it in named.items] == [(it.item_id, it.score) for it in found.items]


async def test_a_segment_and_customers_at_once_are_refused(trained: Client) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await popular(trained, segment_id="odd", customer_ids=["c1"])
    assert reason_of(refusal.value) == "AUDIENCE_AMBIGUOUS"


@pytest.mark.parametrize("item_id", ["", "i4"])
async def test_bundles_have_the_figures_of_the_baskets(trained: Client, item_id: str) -> None:
    request = pb.FindBundlesRequest(item_id=item_id, min_basket_count=2, count=20)
    found = await trained.stub.FindBundles(request, metadata=trained.metadata)
    assert found.bundles
    assert found.basket_count == len(BASKETS)
    for bundle in found.bundles:
        assert bundle.basket_count == sum(set(bundle.item_ids) <= items for items in BASKETS.values())
        assert not item_id or item_id in bundle.item_ids
        assert bundle.lift > 1


async def test_bundles_hold_only_what_is_allowed_and_say_why_there_is_none(trained: Client) -> None:
    wanted = item_pb.ItemFilter(categories=["KIND 1"])
    request = pb.FindBundlesRequest(min_basket_count=2, filter=wanted)
    found = await trained.stub.FindBundles(request, metadata=trained.metadata)
    assert {int(each[1:]) % 2 for bundle in found.bundles for each in bundle.item_ids} == {1}
    request = pb.FindBundlesRequest(item_id="unsold")
    none = await trained.stub.FindBundles(request, metadata=trained.metadata)
    assert (list(none.bundles), none.empty_reason) == ([], list_pb.EMPTY_REASON_NOTHING_RELATED)
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await trained.stub.FindBundles(pb.FindBundlesRequest(item_id="gone"), metadata=trained.metadata)
    assert reason_of(refusal.value) == "ITEM_NOT_FOUND"


async def test_a_cart_is_completed_with_what_lies_beside_its_items(trained: Client) -> None:
    request = pb.FindComplementsRequest(cart_item_ids=["i2", "i4", "gone"])
    found = (await trained.stub.FindComplements(request, metadata=trained.metadata)).recommendations
    assert found.items
    assert not {"i2", "i4"} & set(ids(found))
    for item in found.items:
        (reason,) = item.reasons
        assert reason.kind == list_pb.REASON_KIND_COMPLEMENT
        assert set(reason.source_item_ids) <= {"i2", "i4"}
        assert any({item.item_id, source} <= basket for basket in BASKETS.values() for source in reason.source_item_ids)


async def test_a_cart_of_nothing_known_is_completed_with_what_is_popular(trained: Client) -> None:
    request = pb.FindComplementsRequest(cart_item_ids=["unsold"])
    found = (await trained.stub.FindComplements(request, metadata=trained.metadata)).recommendations
    assert {reason.kind for item in found.items for reason in item.reasons} == {list_pb.REASON_KIND_POPULAR}


async def test_what_is_due_was_bought_and_carries_its_rhythm(trained: Client) -> None:
    request = pb.FindReplenishmentsRequest(customer_id="c1", count=50, horizon_duration=Duration(seconds=366 * 86_400))
    found = (await trained.stub.FindReplenishments(request, metadata=trained.metadata)).recommendations
    own = {f"i{item}" for who, item in zip(shop().customers, shop().items, strict=True) if who == 1}
    assert set(ids(found)) <= own
    for item in found.items:
        (reason,) = item.reasons
        assert reason.kind == list_pb.REASON_KIND_DUE_AGAIN
        assert reason.repeat.probability == item.score
        assert reason.repeat.due_time.seconds > reason.repeat.last_purchase_time.seconds
        assert reason.purchase_count >= 1


async def test_a_horizon_out_of_range_is_refused(trained: Client) -> None:
    request = pb.FindReplenishmentsRequest(customer_id="c1", horizon_duration=Duration(seconds=60))
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await trained.stub.FindReplenishments(request, metadata=trained.metadata)
    assert reason_of(refusal.value) == "HORIZON_INVALID"


async def rerank(client: Client, **wish: object) -> list_pb.RecommendationList:
    request = pb.RerankItemsRequest(**wish)  # type: ignore[arg-type]
    return (await client.stub.RerankItems(request, metadata=client.metadata)).recommendations


async def test_a_given_list_is_put_into_the_order_of_a_persons_taste(trained: Client) -> None:
    given = [f"i{code}" for code in range(24)] + ["unsold", "gone"]
    for kind, who in ((0, "c2"), (1, "c1")):
        found = await rerank(trained, customer_id=who, item_ids=given)
        assert sorted(ids(found)) == sorted(set(given) - {"gone"})
        assert all(int(each[1:]) % 2 == kind for each in ids(found)[:9])
        assert [it.score for it in found.items] == sorted((it.score for it in found.items), reverse=True)


async def test_for_nobody_in_particular_a_list_stays_as_it_is(trained: Client) -> None:
    found = await rerank(trained, item_ids=["i5", "i2", "unsold", "i9"], filter=item_pb.ItemFilter(brands=["Own"]))
    assert ids(found) == ["i5", "i2", "unsold", "i9"]
    assert {it.reasons[0].kind for it in found.items} == {list_pb.REASON_KIND_GIVEN}


async def test_a_list_with_an_item_twice_is_refused(trained: Client) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await rerank(trained, item_ids=["i1", "i2", "i1"])
    assert reason_of(refusal.value) == "ITEM_REPEATED"


async def audience(client: Client, **wish: object) -> pb.FindCustomersForItemResponse:
    request = pb.FindCustomersForItemRequest(**wish)  # type: ignore[arg-type]
    return await client.stub.FindCustomersForItem(request, metadata=client.metadata)


async def test_an_item_finds_the_customers_of_its_kind_page_by_page(trained: Client) -> None:
    whole = await audience(trained, item_id="i3", page_size=1000)
    found = [customer.customer_id for customer in whole.customers]
    assert set(found[: len(bought_by(1))]) == bought_by(1)
    scores = [customer.score for customer in whole.customers]
    assert scores == sorted(scores, reverse=True)
    assert all(customer.last_purchase_time.seconds for customer in whole.customers)
    paged, token = [], ""
    while True:
        page = await audience(trained, item_id="i3", page_size=7, page_token=token)
        paged += [customer.customer_id for customer in page.customers]
        if not (token := page.next_page_token):
            break
    assert paged == found


async def test_who_has_the_item_can_be_left_out(trained: Client) -> None:
    owners = {f"c{who}" for who, item in zip(shop().customers, shop().items, strict=True) if item == 3}
    found = await audience(trained, item_id="i3", page_size=1000, exclude_buyers=True)
    assert found.customers
    assert not owners & {customer.customer_id for customer in found.customers}


async def test_a_token_of_another_question_is_refused(trained: Client) -> None:
    token = (await audience(trained, item_id="i3", page_size=1)).next_page_token
    for wish in ({"item_id": "i5", "page_token": token}, {"item_id": "i3", "page_token": "nonsense"}):
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await audience(trained, **wish)
        assert reason_of(refusal.value) == "INVALID_CURSOR"


async def test_nobody_is_found_for_what_nobody_bought_and_nothing_where_nothing_is(
    trained: Client, start: Start
) -> None:
    assert not (await audience(trained, item_id="unsold")).customers
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await audience(trained, item_id="gone")
    assert reason_of(refusal.value) == "ITEM_NOT_FOUND"


async def test_a_server_that_knows_nothing_answers_with_nothing(empty: Client) -> None:
    none = await popular(empty)
    assert (ids(none), none.empty_reason) == ([], list_pb.EMPTY_REASON_CATALOGUE_EMPTY)
    await empty.upsert([Item("new")])
    bundles = await empty.stub.FindBundles(pb.FindBundlesRequest(), metadata=empty.metadata)
    assert bundles.empty_reason == list_pb.EMPTY_REASON_NO_MODEL
    request = pb.FindComplementsRequest(cart_item_ids=["x"])
    cart = (await empty.stub.FindComplements(request, metadata=empty.metadata)).recommendations
    assert ids(cart) == ["new"]
    assert ids(await rerank(empty, item_ids=["new"])) == ["new"]
    due = pb.FindReplenishmentsRequest(customer_id="c1")
    assert not (await empty.stub.FindReplenishments(due, metadata=empty.metadata)).recommendations.items
