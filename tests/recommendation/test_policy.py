"""What another choice of new items would have earned: right where the truth is known, refused where nothing is."""

import math
from collections.abc import Mapping

import grpc
import numpy as np
import pandas as pd
import pytest
from tessera.recommendation.v1 import exploration_pb2 as exploration_pb
from tessera.recommendation.v1 import feedback_pb2 as feedback_pb
from tessera.recommendation.v1 import placement_pb2 as placement_pb
from tessera.recommendation.v1 import policy_pb2 as pb

from services.recommendation.domain.exploration import Exploration, Shown, explore
from services.recommendation.domain.feedback import FeedbackKind, Origin, explored_in
from services.recommendation.domain.item import Item
from services.recommendation.domain.policy import (
    Draw,
    NoSupport,
    Policy,
    PolicyInvalid,
    PolicyKind,
    chances,
    check_policy,
    members_of,
)
from services.recommendation.handlers.estimate_policy import Wish, estimates, rates_of
from tests.evaluation_data import evaluation_data
from tests.recommendation.client import Client, new_id, reason_of

POOL = ("a", "b", "c", "d")
RATES = {"a": 0.05, "b": 0.1, "c": 0.2, "d": 0.4}
SHOWN = {"a": Shown(400, 40), "b": Shown(400, 35), "c": Shown(400, 30), "d": Shown(400, 30)}
CHANCE = Policy(PolicyKind.CHANCE)


def weighted(weights: Mapping[str, float], other: float = 0.0) -> Policy:
    return Policy(PolicyKind.WEIGHTED, weights=weights, other_weight=other)


def wish(policy: Policy, bound: float = math.inf) -> Wish:
    return Wish(policy, FeedbackKind.CLICK, bound)


def draw(item_id: str, pool: tuple[str, ...] = POOL, probability: float = 0.5, reward: float = 0.0) -> Draw:
    return Draw(item_id, probability, members_of(pool), reward)


@pytest.fixture(scope="module")
def log() -> list[Draw]:
    """Lists as exploration draws them, of items with known click rates, read back from their ids."""
    random, found = np.random.default_rng(11), []
    wanted = Exploration(slots=1, share=1.0, impression_goal=1000)
    for seed in range(3000):
        drawn = explore(wanted, POOL, SHOWN, Shown(1600, 135), seed)
        (told,) = explored_in(Origin(1, "home", 1).named(str(seed), drawn))
        reward = float(random.random() < RATES[told.item_id])
        found.append(Draw(told.item_id, told.probability, told.members, reward))
    return found


@pytest.mark.parametrize(
    ("policy", "truth"),
    [
        (CHANCE, 0.1875),
        (weighted({"d": 3.0, "c": 1.0}), 0.35),
        (weighted({"a": 1.0}, other=1.0), 0.1875),
        (Policy(PolicyKind.BEST_KNOWN, chance_share=0.2), 0.8 * 0.4 + 0.2 * 0.1875),
    ],
)
def test_the_truth_lies_in_the_intervals_and_a_model_narrows_them(
    log: list[Draw], policy: Policy, truth: float
) -> None:
    found = estimates(log, wish(policy), {"d": 0.4, "c": 0.2})
    for each in (found.ips, found.snips, found.doubly_robust):
        assert each.low <= truth <= each.high
    assert found.doubly_robust.high - found.doubly_robust.low <= found.ips.high - found.ips.low
    assert found.logged.value == pytest.approx(np.mean([each.reward for each in log]))
    assert (found.line_count, found.clipped_share) == (3000, 0.0)


def test_a_bound_on_weights_is_told(log: list[Draw]) -> None:
    found = estimates(log, wish(weighted({"d": 1.0}), bound=2.0), {})
    assert 0 < found.clipped_share < 1
    assert found.ips.value < estimates(log, wish(weighted({"d": 1.0})), {}).ips.value


def test_how_a_candidate_chooses_draw_by_draw() -> None:
    draws = [draw("a"), draw("d", ("c", "d")), draw("c", ("a", "b", "c"))]
    assert chances(CHANCE, draws, {}).of_drawn.tolist() == pytest.approx([1 / 4, 1 / 2, 1 / 3])
    # Where none of the items has a weight it is left to chance.
    assert chances(weighted({"d": 2.0, "a": 1.0}), draws, {}).of_drawn.tolist() == pytest.approx([1 / 3, 1.0, 0.0])
    assert chances(weighted({"x": 1.0}), draws, {}).of_drawn.tolist() == pytest.approx([1 / 4, 1 / 2, 1 / 3])
    best = Policy(PolicyKind.BEST_KNOWN, chance_share=0.1)
    assert chances(best, draws, {"a": 0.1, "c": 0.3}).of_drawn.tolist() == pytest.approx(
        [0.1 / 4, 0.1 / 2, 0.9 + 0.1 / 3]
    )
    for policy in (CHANCE, best, weighted({"a": 5.0}, 0.5)):
        assert chances(policy, draws, {"b": 0.2}).target.sum(axis=1).tolist() == pytest.approx([1.0, 1.0, 1.0])


def test_where_the_log_says_nothing_of_a_candidate_nothing_is_estimated(log: list[Draw]) -> None:
    with pytest.raises(NoSupport, match="99 drawn items"):
        estimates(log[:99], wish(CHANCE), {})
    never = [draw("a") for _ in range(500)]
    with pytest.raises(NoSupport, match=r"worth 0\.0 choices"):
        estimates(never, wish(weighted({"b": 1.0})), {})
    one_matters = [*never, draw("b", probability=0.01, reward=1.0)]
    with pytest.raises(NoSupport, match=r"worth 1\.0 choices"):
        estimates(one_matters, wish(weighted({"b": 1.0})), {})


@pytest.mark.parametrize(
    "policy",
    [weighted({}), weighted({"a": 0.0}), weighted({"a": -1.0}), weighted({"a": math.nan}), weighted({"a": math.inf}),
     Policy(PolicyKind.BEST_KNOWN, chance_share=1.5)],
)  # fmt: skip
def test_what_is_no_candidate_is_refused(policy: Policy) -> None:
    with pytest.raises(PolicyInvalid):
        check_policy(policy)


def test_rates_of_items_with_few_impressions_are_those_of_all() -> None:
    rates = rates_of(
        [{"item_id": "a", "examined": 980.0, "clicks": 98}, {"item_id": "b", "examined": 20.0, "clicks": 2}]
    )
    assert rates["a"] == pytest.approx(0.1)
    assert rates["b"] == pytest.approx(0.1)
    assert rates_of([]) == {}


@pytest.mark.parametrize("campaign", ["all", "men", "women"])
def test_on_real_logs_the_other_policy_is_worth_what_it_earned(campaign: str) -> None:
    """Thompson sampling from the log of chance alone, which chose at each of three places by weights of items."""
    folder, columns = evaluation_data("open_bandit"), ["item_id", "position", "click", "propensity_score"]
    random, other = (
        pd.read_parquet(folder / f"{name}_{campaign}.parquet", columns=columns) for name in ("random", "bts")
    )
    members = members_of(sorted({f"i{item}" for item in [*random.item_id, *other.item_id]}))
    found = []
    for place in (1, 2, 3):
        here, there = random[random.position == place], other[other.position == place]
        draws = [
            Draw(f"i{item}", chance, members, float(click))
            for item, chance, click in zip(here.item_id, here.propensity_score, here.click, strict=True)
        ]
        counts = {f"i{item}": float(count) for item, count in there.item_id.value_counts().items()}
        found.append((estimates(draws, wish(weighted(counts)), {}), len(there)))
    for name in ("ips", "snips", "doubly_robust"):
        each = [getattr(estimate, name) for estimate, _ in found]
        value = np.average([it.value for it in each], weights=[lines for _, lines in found])
        margin = math.hypot(*(it.high - it.value for it in each)) / 3
        assert abs(value - other.click.mean()) <= margin, name
        assert all(it.effective_size > 500 for it in each)


async def estimated(client: Client, **asked: object) -> pb.EstimatePolicyResponse:
    request = pb.EstimatePolicyRequest(**asked)  # type: ignore[arg-type]  # fields of the contract
    return await client.stub.EstimatePolicy(request, metadata=client.metadata)


async def refusal(client: Client, **asked: object) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await estimated(client, **asked)
    return reason_of(refused.value)


async def test_served_lists_with_their_feedback_are_what_is_estimated_from(empty: Client) -> None:
    await empty.upsert([Item(f"n{number}") for number in range(6)])
    exploration = exploration_pb.Exploration(slot_count=2, share_bp=10_000, impression_goal=10_000)
    home = placement_pb.Placement(placement_id="home", scenario=placement_pb.SCENARIO_POPULAR, exploration=exploration)
    save = placement_pb.SavePlacementRequest(request_id=new_id(), placement=home)
    await empty.stub.SavePlacement(save, metadata=empty.metadata)
    chance = pb.Policy(kind=pb.POLICY_KIND_CHANCE)
    assert await refusal(empty, policy=chance) == "NO_SUPPORT"
    events = []
    for number in range(80):
        listed = await empty.recommend(count=2, placement_id="home")
        for position, item in enumerate(listed.items, start=1):
            kinds = [feedback_pb.FEEDBACK_KIND_IMPRESSION]
            kinds += [feedback_pb.FEEDBACK_KIND_CLICK] if position == 1 or number % 3 else []
            kinds += [feedback_pb.FEEDBACK_KIND_CART] if item.item_id == "n3" else []
            events += [
                feedback_pb.FeedbackEvent(
                    event_id=new_id(),
                    recommendation_id=listed.recommendation_id,
                    item_id=item.item_id,
                    kind=kind,
                    position=position,
                )
                for kind in kinds
            ]
    told = feedback_pb.RecordFeedbackRequest(request_id=new_id(), events=events)
    await empty.stub.RecordFeedback(told, metadata=empty.metadata)
    cart = feedback_pb.FEEDBACK_KIND_CART
    found = await estimated(empty, policy=chance, placement_id="home", reward=cart)
    assert found.line_count >= 100
    carts = sum(event.kind == cart for event in events)
    assert found.logged.value == pytest.approx(carts / found.line_count)
    # The service draws by its own chance: five deviations, where the interval is of two.
    assert abs(found.ips.value - 1 / 6) < 2.5 * (found.ips.high - found.ips.low) / 2
    plain = await estimated(empty, policy=chance)
    assert (plain.corrected_share, plain.HasField("position_bias")) == (0, False)
    # In the second place two of three were clicked: each click there counts as one and a half.
    corrected = await estimated(empty, policy=chance, placement_id="home", correct_positions=True)
    first, second = corrected.position_bias.places
    assert (first.examination, corrected.corrected_share) == (1, 1)
    assert second.examination == pytest.approx(second.click_count / second.impression_count, rel=0.1)
    earned = (first.click_count + second.click_count / second.examination) / corrected.line_count
    assert corrected.logged.value == pytest.approx(earned)
    assert corrected.logged.value > plain.logged.value
    assert await refusal(empty, policy=chance, placement_id="another") == "NO_SUPPORT"
    assert await refusal(empty.of("rival"), policy=chance) == "NO_SUPPORT"


@pytest.mark.parametrize(
    ("asked", "reason"),
    [
        ({"policy": pb.Policy()}, "FIELD_INVALID"),
        ({"policy": pb.Policy(kind=pb.POLICY_KIND_WEIGHTED)}, "POLICY_INVALID"),
        ({"policy": pb.Policy(kind=pb.POLICY_KIND_CHANCE), "weight_max": math.nan}, "POLICY_INVALID"),
        ({"policy": pb.Policy(kind=pb.POLICY_KIND_CHANCE), "weight_max": 0.5}, "POLICY_INVALID"),
        ({"policy": pb.Policy(kind=pb.POLICY_KIND_CHANCE), "reward": 1}, "POLICY_INVALID"),
        (
            {
                "policy": pb.Policy(
                    kind=pb.POLICY_KIND_WEIGHTED, item_weights=[pb.ItemWeight(item_id="a", weight=1)] * 2
                )
            },
            "POLICY_INVALID",
        ),
    ],
)
async def test_what_cannot_be_estimated_is_refused_with_its_reason(
    empty: Client, asked: dict[str, object], reason: str
) -> None:
    assert await refusal(empty, **asked) == reason
