"""What nobody expects: a fallback with its reason, or a refusal that says what is wrong."""

import math
from typing import Any

import grpc
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from scipy import sparse
from tessera.common.v1 import money_pb2
from tessera.recommendation.v1 import item_pb2 as item_pb
from tessera.recommendation.v1 import placement_pb2 as placement_pb
from tessera.recommendation.v1 import recommendation_list_pb2 as list_pb
from tessera.recommendation.v1 import recommendation_service_pb2 as pb
from tessera.recommendation.v1 import scenario_pb2 as scenario_pb

from services.recommendation.learning.algorithm import Embedding
from services.recommendation.learning.content import content_vectors
from services.recommendation.learning.spectral import Spectral
from tests.recommendation.client import Client, ids, kinds, new_id, reason_of
from tests.recommendation.making import shop

NOWHERE = item_pb.ItemFilter(categories=["NOWHERE"])
EMPTY, NOTHING = list_pb.EMPTY_REASON_CATALOGUE_EMPTY, list_pb.EMPTY_REASON_NOTHING_ALLOWED


async def refusal(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call
    return reason_of(refused.value)


async def every_list(client: Client, filter: item_pb.ItemFilter) -> dict[str, list_pb.RecommendationList]:
    """Every list that needs no item of the catalogue."""
    stub, metadata = client.stub, client.metadata
    answers: dict[str, Any] = {
        "popular": await stub.FindPopular(scenario_pb.FindPopularRequest(filter=filter), metadata=metadata),
        "trending": await stub.FindTrending(scenario_pb.FindTrendingRequest(filter=filter), metadata=metadata),
        "cart": await stub.FindComplements(
            scenario_pb.FindComplementsRequest(cart_item_ids=["i1"], filter=filter), metadata=metadata
        ),
        "rerank": await stub.RerankItems(
            scenario_pb.RerankItemsRequest(item_ids=["i1"], filter=filter), metadata=metadata
        ),
        "due": await stub.FindReplenishments(
            scenario_pb.FindReplenishmentsRequest(customer_id="c1", filter=filter), metadata=metadata
        ),
    }
    return {name: answer.recommendations for name, answer in answers.items()} | {
        "customer": await client.recommend("c1", filter=filter),
        "nobody": await client.recommend("nobody at all", filter=filter),
        "session": await client.recommend(session_item_ids=["i1", "no such item"], filter=filter),
        "batch": (await client.batch_recommend("c1", filter=filter))[0],
    }


async def test_an_empty_catalogue_is_told_by_every_list(empty: Client) -> None:
    for name, answer in (await every_list(empty, item_pb.ItemFilter())).items():
        assert (list(answer.items), answer.empty_reason) == ([], EMPTY), name


async def test_a_filter_that_leaves_nothing_is_told_by_every_list(trained: Client) -> None:
    for name, answer in (await every_list(trained, NOWHERE)).items():
        assert (list(answer.items), answer.empty_reason) == ([], NOTHING), name
    for answer in (await trained.similar("i1", filter=NOWHERE), await trained.together("i1", filter=NOWHERE)):
        assert (list(answer.items), answer.empty_reason) == ([], NOTHING)


async def test_unknown_items_are_refused_where_a_list_is_about_them_and_ignored_elsewhere(trained: Client) -> None:
    assert await refusal(trained.similar("no such item")) == "ITEM_NOT_FOUND"
    assert await refusal(trained.together("no such item")) == "ITEM_NOT_FOUND"
    assert await refusal(trained.get("no such item")) == "ITEM_NOT_FOUND"
    assert await refusal(trained.delete("no such item")) == "ITEM_NOT_FOUND"
    popular = [list_pb.REASON_KIND_POPULAR]
    assert list(kinds(await trained.recommend(session_item_ids=["no such item"], count=3))) == popular
    assert list(kinds(await trained.recommend("nobody at all", count=3))) == popular
    named = item_pb.ItemFilter(item_ids=["no such item", "i3"], excluded_item_ids=["another"])
    assert ids(await trained.recommend("c1", filter=named)) == ["i3"]


async def test_a_placement_falls_back_and_says_why_where_it_must(trained: Client) -> None:
    home = placement_pb.Placement(placement_id="home", scenario=placement_pb.SCENARIO_REPLENISHMENTS)
    save = placement_pb.SavePlacementRequest(request_id=new_id(), placement=home)
    await trained.stub.SavePlacement(save, metadata=trained.metadata)
    unknown = await trained.recommend("nobody at all", placement_id="home", count=4)
    assert (len(unknown.items), kinds(unknown)) == (4, {list_pb.REASON_KIND_POPULAR})
    nothing = await trained.recommend("c1", placement_id="home", filter=NOWHERE)
    assert (list(nothing.items), nothing.empty_reason) == ([], NOTHING)


PIN, EXCLUDE = placement_pb.CONTROL_EFFECT_PIN, placement_pb.CONTROL_EFFECT_EXCLUDE
BOOST, BURY = placement_pb.CONTROL_EFFECT_BOOST, placement_pb.CONTROL_EFFECT_BURY


def control(name: str, effect: Any, **values: Any) -> placement_pb.Control:
    return placement_pb.Control(control_id=name, effect=effect, items=item_pb.ItemFilter(item_ids=["i1"]), **values)


@pytest.mark.parametrize(
    "controls",
    [
        [control("same", BOOST, factor=2.0), control("same", BOOST, factor=3.0)],
        [control("a", PIN, position=1), control("b", EXCLUDE)],
        [control("a", BOOST, factor=2.0), control("b", BURY, factor=0.5)],
        [control("a", BOOST, factor=math.nan)],
        [control("a", BOOST, factor=math.inf)],
        [control("a", BURY, factor=math.nan)],
        [control("a", BURY, factor=-1.0)],
    ],
)
async def test_rules_that_repeat_or_contradict_each_other_or_are_no_number_are_refused(
    empty: Client, controls: list[placement_pb.Control]
) -> None:
    home = placement_pb.Placement(placement_id="home", scenario=placement_pb.SCENARIO_FOR_YOU, controls=controls)
    save = placement_pb.SavePlacementRequest(request_id=new_id(), placement=home)
    assert await refusal(empty.stub.SavePlacement(save, metadata=empty.metadata)) == "PLACEMENT_INVALID"


async def test_a_request_that_is_out_of_bounds_is_refused(trained: Client) -> None:
    assert await refusal(trained.recommend("c1", count=101)) == "FIELD_INVALID"
    assert await refusal(trained.recommend("c1", count=-1)) == "FIELD_INVALID"
    assert await refusal(trained.recommend(session_item_ids=["i1"] * 101)) == "FIELD_INVALID"
    assert await refusal(trained.batch_recommend()) == "FIELD_INVALID"
    early = pb.TrainModelRequest(request_id=new_id(), half_life_duration=Duration(seconds=-5))
    assert await refusal(trained.stub.TrainModel(early, metadata=trained.metadata)) == "HALF_LIFE_INVALID"


async def test_the_same_customer_and_item_twice_in_a_request_count_once(trained: Client) -> None:
    twice = await trained.batch_recommend("c1", "c1", count=3)
    assert ids(twice[0]) == ids(twice[1])
    once = await trained.recommend(session_item_ids=["i3"], count=5)
    assert ids(await trained.recommend(session_item_ids=["i3", "i3", "i3"], count=5)) == ids(once)


BELOW_ZERO = money_pb2.Money(currency="USD", amount_minor=-1)


@pytest.mark.parametrize(
    "odd", [item_pb.Item(item_id="odd", price=BELOW_ZERO), item_pb.Item(item_id="odd", cost=BELOW_ZERO)]
)
async def test_amounts_below_zero_are_refused_and_nothing_is_stored(empty: Client, odd: item_pb.Item) -> None:
    request = pb.UpsertItemsRequest(request_id=new_id(), items=[item_pb.Item(item_id="fine"), odd])
    assert await refusal(empty.stub.UpsertItems(request, metadata=empty.metadata)) == "ITEM_INVALID"
    assert await refusal(empty.get("fine")) == "ITEM_NOT_FOUND"


@pytest.mark.parametrize("odd", [math.nan, math.inf, -math.inf])
def test_features_that_are_no_numbers_count_as_nothing_written(odd: float) -> None:
    """A foreign encoder is code of others: what it gives is not believed."""
    bought = shop().purchases.distinct()
    embedding = Spectral(2).fit(bought, 1)
    # What is written tells the kind, which is what the vectors tell.
    kinds_of = np.arange(27) % 2
    features = np.stack([kinds_of, 1 - kinds_of], axis=1).astype(np.float64)
    whole, blank = features.copy(), features.copy()
    blank[[2, 25]] = 0.0
    whole[2, 0] = whole[25, 1] = odd
    odd_ones, plain = (
        content_vectors(
            sparse.csr_array(np.tile(each[:24], (10, 1))),
            Embedding(*(np.tile(it, (10, 1)) for it in (embedding.context, embedding.target, embedding.likeness))),
            np.tile(bought.buyers(), 10),
            sparse.csr_array(each[24:]),
        )
        for each in (whole, blank)
    )
    assert plain.explained > 0
    assert len(plain.embedding.target) == 3
    assert np.isfinite(odd_ones.embedding.context).all()
    assert np.array_equal(odd_ones.embedding.target, plain.embedding.target)
