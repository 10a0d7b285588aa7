"""Lists page by page: the pages are one list, of any scenario, and stay so whatever happens in between."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tessera.recommendation.v1 import exploration_pb2, feedback_pb2
from tessera.recommendation.v1 import item_pb2 as item_pb
from tessera.recommendation.v1 import next_items_pb2 as pb
from tessera.recommendation.v1 import placement_pb2 as placement_pb
from tessera.recommendation.v1 import recommendation_list_pb2 as list_pb

from services.common.clock import to_micros
from services.common.store import open_store
from services.recommendation.adapters.open_lists import COLLECTIONS, LISTS, StoredOpenLists
from services.recommendation.app import Settings
from services.recommendation.domain.control import Matched, Situation, controlled
from services.recommendation.domain.feedback import origin_of
from services.recommendation.domain.item import Facets, ItemFilter
from services.recommendation.domain.open_list import LIST_MAX, OpenList
from services.recommendation.domain.placement import Effect, Placement, Quota, QuotaField, Scenario, Weights
from services.recommendation.domain.recommendation import Reason, ReasonKind, Recommendation
from services.recommendation.servicer.messages import timestamp
from tests.recommendation.client import Client, ids, new_id, reason_of
from tests.recommendation.conftest import Start
from tests.recommendation.making import TENANT, catalogue
from tests.recommendation.test_personal_data import exported

TODAY = datetime(2026, 3, 1, 12, tzinfo=UTC)
Pages = list[list_pb.RecommendationList]


async def following(client: Client, page: list_pb.RecommendationList, count: int = 0) -> list_pb.RecommendationList:
    request = pb.RecommendNextItemsRequest(recommendation_id=page.recommendation_id, count=count)
    return (await client.stub.RecommendNextItems(request, metadata=client.metadata)).recommendations


async def read(client: Client, **wish: Any) -> Pages:
    """All pages of a list."""
    pages = [await client.recommend(resumable=True, **wish)]
    while pages[-1].HasField("resumable_until_time"):
        pages.append(await following(client, pages[-1]))
    return pages


def together(pages: Pages) -> list[str]:
    return [item_id for page in pages for item_id in ids(page)]


async def save(client: Client, placement: placement_pb.Placement, version: int = 0) -> None:
    request = placement_pb.SavePlacementRequest(request_id=new_id(), placement=placement, expected_version=version)
    await client.stub.SavePlacement(request, metadata=client.metadata)


async def refused(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await call
    return reason_of(refusal.value)


@pytest.mark.parametrize(
    "wish",
    [{"customer_id": "c1"}, {"session_item_ids": ["i2", "i4"]}, {"customer_id": "c1", "exclude_bought": True}, {}],
)
async def test_the_pages_of_a_list_are_the_list(trained: Client, wish: dict[str, Any]) -> None:
    even = item_pb.ItemFilter(categories=["KIND 0"])
    for wanted in (item_pb.ItemFilter(), even):
        whole = await trained.recommend(count=100, filter=wanted, **wish)
        pages = await read(trained, count=4, filter=wanted, **wish)
        assert together(pages) == ids(whole)
        assert [item.score for page in pages for item in page.items] == pytest.approx(
            [item.score for item in whole.items]
        )
        assert len({page.recommendation_id for page in pages}) == len(pages)
        assert {page.first_recommendation_id for page in pages} == {pages[0].recommendation_id}
        assert all(len(page.items) == 4 for page in pages[:-1])
        assert len(pages[-1].items) < 4


SCENARIOS: dict[Any, dict[str, Any]] = {
    placement_pb.SCENARIO_FOR_YOU: {"customer_id": "c1"},
    placement_pb.SCENARIO_SIMILAR: {"item_ids": ["i2"]},
    placement_pb.SCENARIO_BOUGHT_TOGETHER: {"item_ids": ["i2"]},
    placement_pb.SCENARIO_COMPLEMENTS: {"item_ids": ["i2", "i4"]},
    placement_pb.SCENARIO_POPULAR: {},
    placement_pb.SCENARIO_TRENDING: {"visitor_id": "v1"},
    placement_pb.SCENARIO_REPLENISHMENTS: {"customer_id": "c1"},
    placement_pb.SCENARIO_NEWEST: {},
}


async def test_every_scenario_goes_on_by_its_own_rules(trained: Client) -> None:
    assert set(SCENARIOS) == set(placement_pb.Scenario.values()) - {0}
    pin = placement_pb.Control(
        control_id="own", effect=placement_pb.CONTROL_EFFECT_PIN, position=7, items=item_pb.ItemFilter(item_ids=["i9"])
    )
    out = placement_pb.Control(
        control_id="out", effect=placement_pb.CONTROL_EFFECT_EXCLUDE, items=item_pb.ItemFilter(item_ids=["i3"])
    )
    weights = placement_pb.Weights(diversity_bp=3_000)
    exploring = exploration_pb2.Exploration(slot_count=1, share_bp=10_000, impression_goal=5)
    for scenario, wish in SCENARIOS.items():
        name = placement_pb.Scenario.Name(scenario).lower()
        kept: dict[str, Any] = {} if scenario != placement_pb.SCENARIO_FOR_YOU else {"exploration": exploring}
        await save(trained, placement_pb.Placement(placement_id=name, scenario=scenario, controls=[pin, out],
                                                   weights=weights, **kept))  # fmt: skip
        pages = await read(trained, placement_id=name, count=5, **wish)
        found = together(pages)
        assert len(pages) > 2
        assert len(found) == len(set(found)) >= 20
        assert not {"i3", *wish.get("item_ids", ())} & set(found)
        assert found[6] == "i9"
        assert [each.value for each in pages[1].items[1].applied if each.control_id == "own"] == [7]
        origins = {origin_of(page.recommendation_id) for page in pages}
        assert [(each.placement_id, each.placement_version) for each in origins if each] == [(name, 1)]
        later = {reason.kind for page in pages[1:] for item in page.items for reason in item.reasons}
        assert list_pb.REASON_KIND_EXPLORING not in later


async def test_a_list_goes_on_by_the_version_and_the_variant_that_it_began_with(trained: Client) -> None:
    def home(*categories: str) -> placement_pb.Placement:
        return placement_pb.Placement(
            placement_id="home",
            scenario=placement_pb.SCENARIO_FOR_YOU,
            filter=item_pb.ItemFilter(categories=categories),
        )

    await save(trained, home("KIND 0"))
    await save(trained, home("KIND 1"), 1)
    variants = [
        feedback_pb2.Variant(name="even", share_bp=9_999, placement_version=1),
        feedback_pb2.Variant(name="odd", share_bp=1, placement_version=2),
    ]
    trial = feedback_pb2.Experiment(experiment_id="t", placement_id="home", variants=variants)
    start = feedback_pb2.StartExperimentRequest(request_id=new_id(), experiment=trial)
    await trained.stub.StartExperiment(start, metadata=trained.metadata)
    first = await trained.recommend("c1", placement_id="home", count=3, resumable=True)
    stop = feedback_pb2.StopExperimentRequest(request_id=new_id(), experiment_id="t")
    await trained.stub.StopExperiment(stop, metadata=trained.metadata)
    second = await following(trained, first)
    assert [page.variant for page in (first, second)] == ["even", "even"]
    assert {int(each[1:]) % 2 for each in together([first, second])} == {0}
    assert origin_of(first.recommendation_id) == origin_of(second.recommendation_id)
    event = feedback_pb2.FeedbackEvent(
        event_id="e", recommendation_id=second.recommendation_id, item_id=ids(second)[0],
        kind=feedback_pb2.FEEDBACK_KIND_CLICK, event_time=timestamp(to_micros(datetime.now(UTC))),
    )  # fmt: skip
    told = feedback_pb2.RecordFeedbackRequest(request_id=new_id(), events=[event])
    await trained.stub.RecordFeedback(told, metadata=trained.metadata)
    ask = feedback_pb2.GetRecommendationReportRequest()
    rows = (await trained.stub.GetRecommendationReport(ask, metadata=trained.metadata)).rows
    assert [(row.placement_id, row.variant, row.click_count) for row in rows] == [("home", "even", 1)]


async def test_nothing_comes_twice_when_the_catalogue_changes_between_pages(trained: Client) -> None:
    first = await trained.recommend("c1", count=6, resumable=True)
    again = await following(trained, first)
    assert ids(await following(trained, first)) == ids(again)  # whoever lost the answer asks again
    await trained.delete(ids(first)[0])
    await trained.delete(ids(again)[0])
    second = await following(trained, first, count=3)
    third = await following(trained, second)
    assert ids(second)[:2] == ids(again)[1:3]
    assert len(third.items) == 3
    assert len(set(together([first, second, third]))) == 12


async def test_a_batch_of_lists_can_be_gone_on_with(trained: Client) -> None:
    lists = await trained.batch_recommend("c1", "c2", count=5, resumable=True)
    for page in lists:
        whole = await trained.recommend(page.customer_id, count=10)
        assert ids(page) + ids(await following(trained, page)) == ids(whole)


async def test_what_nobody_asked_to_keep_what_is_over_and_what_is_anothers_is_not_gone_on_with(
    trained_settings: Settings, start: Start
) -> None:
    now = [TODAY]
    async with start(lambda: now[0]) as client:
        plain = await client.recommend("c1", count=2)
        assert not plain.HasField("resumable_until_time")
        assert await refused(following(client, plain)) == "LIST_NOT_KEPT"
        first = await client.recommend("c1", count=2, resumable=True)
        assert first.resumable_until_time == timestamp(to_micros(TODAY + timedelta(minutes=30)))
        assert await refused(following(client.of("other"), first)) == "LIST_NOT_KEPT"
        now[0] += timedelta(minutes=29)
        second = await following(client, first)
        now[0] += timedelta(minutes=2)
        assert await refused(following(client, first)) == "LIST_NOT_KEPT"
        assert (await following(client, second)).items
        many = item_pb.ItemFilter(excluded_item_ids=[f"x{each}" for each in range(1_001)])
        assert await refused(client.recommend("c1", filter=many, resumable=True)) == "FILTER_TOO_LARGE"


async def test_a_list_ends_after_so_many_items(settings: Settings, start: Start) -> None:
    async with start() as client:
        await client.upsert(catalogue(LIST_MAX + 50))
        pages = await read(client, count=100)
        assert [len(page.items) for page in pages] == [100] * 5
        assert len(set(together(pages))) == LIST_MAX
        page = await client.recommend(count=60, resumable=True, filter=item_pb.ItemFilter(categories=["KIND 1"]))
        for _ in range(3):
            page = await following(client, page)
        assert (len(page.items), page.HasField("resumable_until_time")) == (60, True)
        last = await following(client, page)
        assert (len(last.items), last.HasField("resumable_until_time")) == (35, False)


async def test_kept_pages_are_removed_when_they_are_over_and_with_the_person(settings: Settings) -> None:
    def page(name: str, customer: str, expire: int) -> OpenList:
        return OpenList(customer, recommendation_id=name, expire_time=expire)

    moment = to_micros(TODAY)
    async with open_store(settings, COLLECTIONS) as store:
        lists = StoredOpenLists(store, lambda: TODAY)
        await lists.put(TENANT, [page("over", "ann", moment), page("open", "ann", moment + 1)])
        await lists.put("other", [page("over", "ann", moment - 1)])
        await lists.remove_expired()
        assert await lists.get("other", "over") is None
        assert await lists.of_person(TENANT, ["ann", "bob"]) == [page("open", "ann", moment + 1)]
        await lists.put(TENANT, [page("bobs", "bob", moment + 1)])
        await lists.forget(TENANT, "ann")
        assert await store.count(TENANT, LISTS) == 1


async def test_an_export_tells_of_lists_that_are_kept(trained: Client) -> None:
    page = await trained.recommend("c1", count=2, resumable=True)
    told = [record for kind, record in await exported(trained, "c1") if kind == "recommendation_list"]
    assert [record["products"] for record in told] == [ids(page)]


def _likeness(names: list[str]) -> Callable[[Any], Any]:
    return lambda ids: np.array([[((names.index(a) * 7 + names.index(b) * 7) % 5) / 5 for b in ids] for a in ids])


@given(
    st.lists(st.floats(0.01, 1), min_size=1, max_size=10),
    st.floats(0, 0.9),
    st.integers(1, 4),
    st.lists(st.integers(1, 4), min_size=1, max_size=6),
    st.integers(1, 9),
    st.data(),
)
def test_pages_made_one_after_the_other_are_the_list_that_is_made_at_once(
    scores: list[float], diversity: float, most: int, sizes: list[int], position: int, data: st.DataObject
) -> None:
    names = "abcdefghij"[: len(scores)]
    facets = {name: Facets(brand=data.draw(st.sampled_from(["x", "y", ""]))) for name in names}
    pins = [Matched("pin", Effect.PIN, 1, position, (data.draw(st.sampled_from([*names, "z"])),))]
    here = Situation(facets, _likeness([*names, "z"]), pins, 0)
    wanted = Placement(
        "home", "", Scenario.FOR_YOU, ItemFilter(), quotas=(Quota(QuotaField.BRAND, most),),
        weights=Weights(diversity=diversity),
    )  # fmt: skip
    found = [
        Recommendation(name, (Reason(ReasonKind.POPULAR, score),)) for name, score in zip(names, scores, strict=True)
    ]
    found.sort(key=lambda item: (-item.score, item.item_id))
    whole = [item.item_id for item in controlled(found, wanted, here, sum(sizes))]
    pages: list[str] = []
    for size in sizes:
        page = [item.item_id for item in controlled(found, wanted, here, size, pages)]
        pages += page
        if len(page) < size:
            break
    assert pages == whole
