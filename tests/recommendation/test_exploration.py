"""New items get places in lists: which ones, how often, with which probability, and until when."""

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tessera.recommendation.v1 import exploration_pb2 as exploration_pb
from tessera.recommendation.v1 import feedback_pb2 as pb
from tessera.recommendation.v1 import item_pb2 as item_pb
from tessera.recommendation.v1 import placement_pb2 as placement_pb
from tessera.recommendation.v1 import recommendation_list_pb2 as list_pb

from services.recommendation.adapters import feedback as feedback_adapter
from services.recommendation.domain.exploration import Exploration, Explored, Shown, explore, placed
from services.recommendation.domain.feedback import Origin, explored_in, origin_of
from services.recommendation.domain.item import Item
from services.recommendation.domain.recommendation import Applied, AppliedKind, Reason, ReasonKind, Recommendation
from tests.recommendation.client import Client, ids, new_id, reason_of
from tests.recommendation.making import catalogue

ALWAYS = Exploration(slots=1, share=1.0, impression_goal=10)
NEW, BOUGHT = list_pb.REASON_KIND_EXPLORING, list_pb.REASON_KIND_BOUGHT_BEFORE


def test_a_choice_has_the_probability_that_is_told_of_it() -> None:
    shown = {"a": Shown(50, 20), "b": Shown(50, 10), "c": Shown()}
    told: dict[str, list[float]] = {"a": [], "b": [], "c": []}
    for seed in range(1500):
        (found,) = explore(ALWAYS, ["a", "b", "c"], shown, Shown(1000, 200), seed)
        told[found.item_id].append(found.probability)
        assert found.pool == 3
    for item_id, chances in told.items():
        # The probability is estimated anew in each draw: a mean over all is within the error of 1,500 lists.
        assert len(chances) / 1500 == pytest.approx(np.mean(chances), abs=0.06), item_id
    assert len(told["a"]) > len(told["b"])
    assert len(told["b"]) > 0


def test_an_item_is_not_taken_for_a_dull_one_because_it_stood_where_few_look() -> None:
    overall = Shown(4000, 400, 4000.0)
    # Both were clicked as often for each look; only the impressions of the second say otherwise.
    alike = {"a": Shown(100, 20, 100.0), "b": Shown(400, 20, 100.0)}
    blind = {"a": Shown(100, 20), "b": Shown(400, 20)}
    for shown, least in ((alike, 0.4), (blind, 0.0)):
        found = [explore(ALWAYS, ["a", "b"], shown, overall, seed)[0].item_id for seed in range(400)]
        share = found.count("b") / 400
        assert share > least
        assert (share < 0.2) is (shown is blind)


def test_an_item_that_is_clicked_is_shown_ever_more_and_none_is_given_up() -> None:
    rates = {"good": 0.3, "poor": 0.02, "bad": 0.0}
    shown: dict[str, Shown] = {}
    random, chosen = np.random.default_rng(1), Counter[str]()
    for seed in range(600):
        overall = Shown(sum(each.impressions for each in shown.values()), sum(each.clicks for each in shown.values()))
        (found,) = explore(ALWAYS, list(rates), shown, overall, seed)
        before = shown.get(found.item_id, Shown())
        clicked = int(random.random() < rates[found.item_id])
        shown[found.item_id] = Shown(before.impressions + 1, before.clicks + clicked)
        chosen[found.item_id] += seed >= 300
    assert chosen["good"] > 200
    assert min(chosen.values()) > 0


@given(
    st.integers(0, 2**32), st.integers(0, 3), st.floats(0, 1), st.lists(st.text(max_size=3), unique=True, max_size=6)
)
def test_equal_seeds_draw_equal_items_each_once_with_probabilities(
    seed: int, slots: int, share: float, pool: list[str]
) -> None:
    wanted = Exploration(slots, share, 5)
    found = explore(wanted, pool, {}, Shown(), seed)
    assert found == explore(wanted, pool, {}, Shown(), seed)
    assert len(found) <= min(slots, len(pool))
    assert len({each.item_id for each in found}) == len(found)
    assert all(each.item_id in pool and 0 < each.probability <= 1 + 1e-9 for each in found)
    named = Origin(1, "home", 3, "", "").named("nonce", found)
    assert origin_of(named) == Origin(1, "home", 3, "", "")
    assert explored_in(named) == found


def test_ids_that_are_not_ours_hold_no_choice() -> None:
    for text in ("", "x.", "x.e30", "x.W10", "garbage", "x.W10=", Origin().named("n")):
        assert explored_in(text) == []
    assert origin_of("x.W10") is None


def listed(*names: str, pinned: Sequence[str] = ()) -> list[Recommendation]:
    pin = (Applied(AppliedKind.PIN, 1.0),)
    return [
        Recommendation(name, (Reason(ReasonKind.POPULAR, 1.0),), applied=pin if name in pinned else ())
        for name in names
    ]


@pytest.mark.parametrize(
    ("position", "count", "pinned", "expected"),
    [
        (0, 4, "", "abcN"), (1, 4, "", "Nbcd"), (2, 4, "", "aNcd"), (9, 4, "", "abcN"), (4, 4, "d", "abNd"),
        (0, 4, "abcd", "abcd"), (0, 6, "", "abcdN"), (2, 6, "", "aNcd"), (5, 6, "", "abcdN"),
    ],
)  # fmt: skip
def test_a_new_item_takes_a_place_that_no_pin_holds(position: int, count: int, pinned: str, expected: str) -> None:
    found = placed(listed(*"abcd", pinned=pinned), [Explored("N", 0.25, 4)], position, count)
    assert "".join(item.item_id for item in found) == expected
    for item in found:
        assert (item.item_id == "N") == any(each.kind is AppliedKind.EXPLORATION for each in item.applied)


async def save(client: Client, version: int = 0, **values: Any) -> None:
    exploration = exploration_pb.Exploration(slot_count=1, share_bp=10_000, impression_goal=3)
    placement = placement_pb.Placement(
        placement_id="home", scenario=placement_pb.SCENARIO_FOR_YOU, exploration=exploration, **values
    )
    request = placement_pb.SavePlacementRequest(request_id=new_id(), placement=placement, expected_version=version)
    saved = (await client.stub.SavePlacement(request, metadata=client.metadata)).placement
    assert saved.exploration == exploration


def new_in(answer: list_pb.RecommendationList) -> list[str]:
    return [item.item_id for item in answer.items if any(reason.kind == NEW for reason in item.reasons)]


async def tell(client: Client, answer: list_pb.RecommendationList, kind: Any) -> None:
    events = [
        pb.FeedbackEvent(event_id=new_id(), recommendation_id=answer.recommendation_id, item_id=item_id, kind=kind)
        for item_id in ids(answer)
    ]
    request = pb.RecordFeedbackRequest(request_id=new_id(), events=events)
    await client.stub.RecordFeedback(request, metadata=client.metadata)


async def test_new_items_are_shown_until_they_are_known_and_the_report_says_what_it_brought(
    trained: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feedback_adapter, "SHOWN_SECONDS", -1.0)
    await trained.upsert(
        [*(Item(f"new{number}", categories=("ALL", "NEW")) for number in range(2)), Item("off", hidden=True)]
    )
    await save(
        trained, filter=item_pb.ItemFilter(excluded_item_ids=["unsold", *(it.item_id for it in catalogue()[6:])])
    )
    plain = ids(await trained.recommend("c1", count=3, placement_id="home"))
    assert len(plain) == 3
    shown = Counter[str]()
    for _ in range(40):
        answer = await trained.recommend("c1", count=3, placement_id="home")
        (found,) = new_in(answer) or ("",)
        if not found:
            break
        assert found in {f"new{number}" for number in range(2)} | {f"i{code}" for code in range(6)}
        (item,) = [each for each in answer.items if each.item_id == found]
        assert item.item_id == ids(answer)[-1]
        (applied,) = item.applied
        assert 0 < applied.value <= 1
        shown[found] += 1
        await tell(trained, answer, pb.FEEDBACK_KIND_IMPRESSION)
        if found == "new1":
            await tell(trained, answer, pb.FEEDBACK_KIND_CLICK)
    assert {"new0", "new1"} <= set(shown)
    assert max(shown.values()) <= 3
    assert not new_in(await trained.recommend("c1", count=3, placement_id="home"))
    report = await trained.stub.GetRecommendationReport(pb.GetRecommendationReportRequest(), metadata=trained.metadata)
    explored = report.exploration
    assert {item.item_id: item.impression_count for item in explored.items} == dict(shown)
    assert explored.impression_count == sum(shown.values())
    assert explored.click_count == shown["new1"]
    assert explored.impression_share == pytest.approx(sum(shown.values()) / report.total.impression_count)
    assert 0 <= explored.uniform_snips.value <= 1
    assert explored.uniform_snips.low < explored.uniform_snips.high


async def test_what_the_filter_forbids_or_the_customer_has_is_not_explored(trained: Client) -> None:
    await trained.upsert([Item("sold-out", out_of_stock=True), Item("hidden", hidden=True)])
    await save(trained, exclude_bought=True)
    known = (await trained.recommend("c1", count=100)).items
    bought = {item.item_id for item in known if any(reason.kind == BOUGHT for reason in item.reasons)}
    for _ in range(12):
        wanted = item_pb.ItemFilter(categories=["KIND 0"])
        answer = await trained.recommend("c1", count=5, placement_id="home", filter=wanted)
        for item_id in new_in(answer):
            assert item_id == "unsold" or int(item_id[1:]) % 2 == 0
            assert item_id not in bought


async def test_exploration_without_a_goal_is_refused(trained: Client) -> None:
    placement = placement_pb.Placement(
        placement_id="home", scenario=placement_pb.SCENARIO_FOR_YOU,
        exploration=exploration_pb.Exploration(slot_count=1, share_bp=1),
    )  # fmt: skip
    request = placement_pb.SavePlacementRequest(request_id=new_id(), placement=placement)
    with pytest.raises(Exception, match="impressions") as refused:
        await trained.stub.SavePlacement(request, metadata=trained.metadata)
    assert reason_of(refused.value) == "PLACEMENT_INVALID"  # type: ignore[arg-type]
