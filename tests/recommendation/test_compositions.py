"""Categories and brands for a person, and whole pages of rows in which no item comes twice."""

from typing import Any

import grpc
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tessera.recommendation.v1 import composition_pb2 as pb
from tessera.recommendation.v1 import item_pb2 as item_pb
from tessera.recommendation.v1 import placement_pb2 as placement_pb
from tessera.recommendation.v1 import recommendation_list_pb2 as list_pb

from services.recommendation.domain.affinity import FacetKind, affinities
from services.recommendation.domain.feedback import origin_of
from services.recommendation.domain.item import Facets
from services.recommendation.domain.recommendation import Reason, ReasonKind, Recommendation
from tests.recommendation.client import Client, ids, new_id, reason_of

CATEGORY, BRAND = pb.FACET_KIND_CATEGORY, pb.FACET_KIND_BRAND


async def facets(client: Client, kind: Any = CATEGORY, **wish: Any) -> pb.RecommendFacetsResponse:
    request = pb.RecommendFacetsRequest(facet=kind, **wish)
    return await client.stub.RecommendFacets(request, metadata=client.metadata)


async def rows(client: Client, *sources: pb.RowSource, **wish: Any) -> list[pb.RecommendedRow]:
    request = pb.RecommendRowsRequest(rows=sources, **wish)
    return list((await client.stub.RecommendRows(request, metadata=client.metadata)).rows)


async def save(client: Client, placement: placement_pb.Placement) -> None:
    request = placement_pb.SavePlacementRequest(request_id=new_id(), placement=placement)
    await client.stub.SavePlacement(request, metadata=client.metadata)


async def refused(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await call
    return reason_of(refusal.value)


@pytest.mark.parametrize(
    ("wish", "kind"),
    [({"customer_id": "c1"}, 1), ({"customer_id": "c2"}, 0), ({"session_item_ids": ["i3", "i5"]}, 1)],
)
async def test_a_person_gets_the_categories_of_what_they_buy_or_look_at(
    trained: Client, wish: dict[str, Any], kind: int
) -> None:
    found = await facets(trained, **wish)
    best = found.facets[0]
    assert best.name == f"KIND {kind}"
    assert best.score > 0.9
    assert best.score == pytest.approx(sum(reason.score for reason in best.reasons))
    assert {int(item[1:]) % 2 for item in best.item_ids} == {kind}
    listed = await trained.recommend(count=100, **wish)
    assert list(best.item_ids) == [item for item in ids(listed) if int(item[1:]) % 2 == kind][:5]
    assert {reason.kind for reason in best.reasons} <= {reason.kind for it in listed.items for reason in it.reasons}
    assert all(reason.source_item_ids for reason in best.reasons)
    assert found.model_version == listed.model_version
    (broadest,) = (await facets(trained, category_level=1, **wish)).facets
    assert (broadest.name, round(broadest.score, 6)) == ("ALL", 1)
    (brand,) = (await facets(trained, BRAND, **wish)).facets
    assert brand.name == "Own"


async def test_a_stranger_gets_what_is_popular_and_nobody_gets_what_a_filter_forbids(trained: Client) -> None:
    found = await facets(trained, customer_id="nobody")
    assert {each.name for each in found.facets} == {"KIND 0", "KIND 1"}
    assert {reason.kind for each in found.facets for reason in each.reasons} == {list_pb.REASON_KIND_POPULAR}
    only = await facets(trained, filter=item_pb.ItemFilter(categories=["KIND 1"]))
    assert [each.name for each in only.facets] == ["KIND 1"]
    assert [each.name for each in (await facets(trained, customer_id="c1", count=1)).facets] == ["KIND 1"]
    none = await facets(trained, filter=item_pb.ItemFilter(categories=["nowhere"]))
    assert (list(none.facets), none.empty_reason) == ([], list_pb.EMPTY_REASON_NOTHING_ALLOWED)


async def test_a_page_has_rows_of_placements_and_of_the_best_categories_and_no_item_twice(trained: Client) -> None:
    # Who buys of kind 1 and looks at one of kind 0 now.
    asked: dict[str, Any] = {"customer_id": "c1", "session_item_ids": ["i2"]}
    best = [item for item in ids(await trained.recommend(**asked, count=5)) if item != "i5"][:4]
    pinned = next(f"i{at}" for at in range(6, 24) if f"i{at}" not in best)
    pin = placement_pb.Control(
        control_id="own",
        effect=placement_pb.CONTROL_EFFECT_PIN,
        position=1,
        items=item_pb.ItemFilter(item_ids=[pinned]),
    )
    popular = placement_pb.SCENARIO_POPULAR
    await save(trained, placement_pb.Placement(placement_id="top", title="Top", scenario=popular, controls=[pin]))
    sources = [
        pb.RowSource(title="For you"),
        pb.RowSource(placement_id="top"),
        pb.RowSource(facet=CATEGORY, row_count=2),
        pb.RowSource(title="Again", placement_id="top"),
    ]
    found = await rows(trained, *sources, **asked, count=4, item_ids=["i5"])
    assert [row.source_index for row in found] == [0, 1, 2, 2, 3]
    assert [found[at].title for at in (0, 1, 4)] == ["For you", "Top", "Again"]
    assert {row.title for row in found[2:4]} == {"KIND 0", "KIND 1"}
    items = [item for row in found for item in ids(row.recommendations)]
    assert len(items) == len(set(items)) == 20
    assert "i5" not in items
    assert ids(found[0].recommendations) == best
    assert ids(found[1].recommendations)[0] == pinned
    for row in found[2:4]:
        assert {f"KIND {int(item[1:]) % 2}" for item in ids(row.recommendations)} == {row.title}
    assert found[2].facet.reasons
    assert not found[1].HasField("facet")
    told = [row.recommendations.recommendation_id for row in found]
    assert len(set(told)) == len(told)
    assert [origin.placement_id for each in told if (origin := origin_of(each))] == ["", "top", "", "", "top"]


async def test_rows_with_too_few_items_are_left_out_and_leave_theirs_to_rows_below(trained: Client) -> None:
    few = placement_pb.Placement(
        placement_id="few",
        scenario=placement_pb.SCENARIO_POPULAR,
        filter=item_pb.ItemFilter(item_ids=["i1", "i3"]),
    )
    await save(trained, few)
    sources = pb.RowSource(placement_id="few"), pb.RowSource(title="All")
    found = await rows(trained, *sources, customer_id="c1", count=30, min_count=3)
    assert [row.title for row in found] == ["All"]
    assert {"i1", "i3"} <= set(ids(found[0].recommendations))
    facet = pb.RowSource(facet=CATEGORY, row_count=5)
    assert await rows(trained, facet, count=30, min_count=30) == []


async def test_rows_that_cannot_be_made_are_refused(trained: Client) -> None:
    both = pb.RowSource(placement_id="top", facet=BRAND)
    assert await refused(rows(trained, both)) == "ROW_INVALID"
    assert await refused(rows(trained, pb.RowSource(placement_id="gone"))) == "PLACEMENT_NOT_FOUND"
    number: Any = 9
    assert await refused(rows(trained, pb.RowSource(facet=number))) == "FIELD_INVALID"
    assert await refused(facets(trained, number)) == "FIELD_INVALID"


@given(
    st.lists(
        st.tuples(st.floats(0.01, 1), st.floats(0.01, 1), st.lists(st.sampled_from("AB"), max_size=3)),
        min_size=1,
        max_size=12,
    ),
    st.integers(0, 3),
)
def test_the_shares_of_all_categories_and_of_items_without_one_make_a_whole(
    told: list[tuple[float, float, list[str]]], level: int
) -> None:
    items = [
        Recommendation(f"i{at}", (Reason(ReasonKind.SIMILAR_TO_BOUGHT, one, ("x",)), Reason(ReasonKind.POPULAR, other)))
        for at, (one, other, _) in enumerate(told)
    ]
    known = {f"i{at}": Facets(tuple(path)) for at, (_, _, path) in enumerate(told)}
    found = affinities(items, known, FacetKind.CATEGORY, level)
    total = sum(one + other for one, other, _ in told)
    without = sum(one + other for one, other, path in told if not path)
    assert sum(each.score for each in found) + without / total == pytest.approx(1)
    assert [each.score for each in found] == sorted((each.score for each in found), reverse=True)
    assert all(each.score == pytest.approx(sum(reason.score for reason in each.reasons)) for each in found)
