"""Predictions, clusters, lookalikes and RFM's groups as conditions: what they mean, and what is refused."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from functools import partial

import pyarrow as pa
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tessera.forecasting.v1 import forecasting_service_pb2 as pb
from tessera.forecasting.v1 import uplift_pb2

from services.common.columnar import Columnar
from services.common.errors import Unavailable
from services.common.rules import (
    Aggregate,
    AllOf,
    EventCondition,
    Not,
    Operator,
    Rule,
    RuleInvalid,
    ScoreCondition,
    SegmentCondition,
    text,
)
from services.segmentation.adapters.analytics import ColumnarAnalytics
from services.segmentation.adapters.events import PredictionFollower
from services.segmentation.adapters.predictions import ColumnarPredictions, Told
from services.segmentation.adapters.tables import CLUSTERED, RESEMBLING
from services.segmentation.domain.rfm import group_of
from services.segmentation.domain.scores import GROUPS, cluster_score, lookalike_score
from services.segmentation.domain.scores import PREDICTIONS as NAMES
from services.segmentation.domain.segment import check
from services.segmentation.handlers.evaluate_predicted import TOUCHED_MAX, evaluate_predicted
from services.segmentation.ports.predictions import CategoryPreference, Prediction
from tests.segmentation.conftest import TENANT, House
from tests.segmentation.histories import DAY, NOW
from tests.segmentation.test_evaluation import at_work, create
from tests.segmentation.test_scores import CUSTOMERS, HISTORY, scores_of

_tenants = (f"found {number}" for number in itertools.count())


def predicted(customer: str, churn: float, *, due: int | None = None, time: int = NOW - DAY) -> Prediction:
    return Prediction(customer, time, 1 - churn / 2, churn, 2 * churn, "EUR", 1000, round(churn * 2000), 90_000, due)


def value_of(prediction: Prediction, score: str, at: int) -> float | None:
    """What a rule compares, by the words of the contract."""
    if prediction.time > at:
        return None
    if score == "prediction.days_to_next_order":
        return None if prediction.next_order_time is None else (prediction.next_order_time - at) / DAY
    return float(getattr(prediction, score.removeprefix("prediction.")))


_churn = st.sampled_from([0.0, 0.25, 0.5, 1.0])
_due = st.sampled_from([None, NOW - 3 * DAY, NOW, NOW + DAY // 2])
_predictions = st.lists(
    st.builds(predicted, st.sampled_from(CUSTOMERS), _churn, due=_due, time=st.sampled_from([NOW - DAY, NOW])),
    max_size=6,
    unique_by=lambda each: each.customer_id,
)


async def keep(analytics: ColumnarAnalytics, tenant: str, predictions: Sequence[Prediction]) -> None:
    await analytics.append([replace(event, tenant=tenant) for event in HISTORY], tenant)
    await predict(analytics._columnar, tenant, predictions)


async def predict(columnar: Columnar, tenant: str, predictions: Sequence[Prediction]) -> None:
    told = [Told(tenant, each.customer_id, each) for each in predictions]
    await ColumnarPredictions(columnar).apply(told, f"predictions of {tenant}")


@settings(
    max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)
@given(_predictions, st.sampled_from(NAMES), st.sampled_from([-1.0, 0.0, 0.5, 500.0, 1000.0]), st.integers(0, 1))
def test_conditions_on_predictions_agree_with_what_was_predicted(
    analytics: ColumnarAnalytics, predictions: list[Prediction], score: str, bound: float, days: int
) -> None:
    asyncio.run(assert_predictions(analytics, predictions, score, bound, NOW - days * DAY))


async def assert_predictions(
    analytics: ColumnarAnalytics, predictions: Sequence[Prediction], score: str, bound: float, at: int
) -> None:
    tenant = next(_tenants)
    await keep(analytics, tenant, predictions)
    values = {each.customer_id: value_of(each, score, at) for each in predictions}
    known = {who: value for who, value in values.items() if value is not None}
    at_least = ScoreCondition(score, Operator.AT_LEAST, (bound,))
    rules: dict[str, Rule] = {
        "least": at_least,
        "not": Not(at_least),
        "other": ScoreCondition(score, Operator.NOT_EQUALS, (bound,)),
    }
    seen = {event.customer_id for event in HISTORY if event.time <= at}
    least = {who for who, value in known.items() if value >= bound} & seen
    expected = {
        "least": least,
        "not": seen - least,
        "other": {who for who, value in known.items() if value != bound} & seen,
    }
    assert await analytics.matching(tenant, rules, rules, at) == expected


async def test_all_families_mean_the_same_on_both_engines(engine: ColumnarAnalytics) -> None:
    tenant = "families"
    await keep(engine, tenant, [predicted("c1", 0.5, due=NOW + DAY)])
    clustered = {"customer_id": ["c1", "c2", "c1"], "clustering_id": ["k", "k", "old"], "cluster": [0, 1, 1]}
    alike = {"customer_id": ["c3", "c1", "c4"], "lookalike_id": ["l", "l", "m"], "place": [0, 1, 0]}
    for table, found in ((CLUSTERED, clustered), (RESEMBLING, alike)):
        rows = pa.table({"tenant": [tenant] * 3, **found}, schema=table.schema)
        await engine._columnar.append({table: rows}, table.name, "1")
    groups = {who: GROUPS[group_of(it["recency_score"], it["frequency_score"])] for who, it in scored().items()}
    best = max(groups.values())
    rules: dict[str, Rule] = {
        "cluster": ScoreCondition(cluster_score("k"), Operator.EQUALS, (1,)),
        "old": ScoreCondition(cluster_score("old"), Operator.EQUALS, (1,)),
        "alike": ScoreCondition(lookalike_score("l"), Operator.AT_MOST, (1,)),
        "two alike": ScoreCondition(lookalike_score("l"), Operator.AT_MOST, (2,)),
        "group": ScoreCondition("rfm.group", Operator.EQUALS, (best,)),
        "other groups": ScoreCondition("rfm.group", Operator.NOT_ANY_OF, (best, "lost")),
        "soon": ScoreCondition("prediction.days_to_next_order", Operator.EQUALS, (1,)),
        "all": AllOf(
            (
                ScoreCondition("prediction.churn_probability", Operator.EQUALS, (0.5,)),
                ScoreCondition(lookalike_score("l"), Operator.AT_LEAST, (1,)),
                ScoreCondition("rfm.frequency", Operator.AT_LEAST, (1,)),
            )
        ),
    }
    assert await engine.matching(tenant, rules, rules, NOW) == {
        "cluster": {"c2"},
        "old": {"c1"},
        "alike": {"c3"},
        "two alike": {"c1", "c3"},
        "group": {who for who, group in groups.items() if group == best},
        "other groups": {who for who, group in groups.items() if group not in (best, "lost")},
        "soon": {"c1"},
        "all": {"c1"},
    }
    told = await engine.explained(tenant, "c1", rules, rules, NOW)
    assert told is not None
    shown = {name: list(it.found) for name, it in told.items()}
    assert (shown["cluster"], shown["two alike"], shown["soon"]) == ([0.0], [2.0], [1.0])
    assert shown["group"] == [groups["c1"]]


async def test_the_likeliest_categories_are_conditions_until_they_are_taken_back(analytics: ColumnarAnalytics) -> None:
    tenant = next(_tenants)
    await keep(analytics, tenant, [])
    kept = ColumnarPredictions(analytics._columnar)
    both = [CategoryPreference("FOOD", NOW - DAY, 0.9, 1), CategoryPreference("TOYS & more", NOW - DAY, 0.4, 2)]
    other = [CategoryPreference("TOYS & more", NOW - DAY, 0.6, 1)]
    await kept.apply([Told(tenant, "c1", None, (), both), Told(tenant, "c2", None, (), other)], "liked 1")
    rules: dict[str, Rule] = {
        "toys": ScoreCondition("category_preference.TOYS & more", Operator.AT_LEAST, (0.5,)),
        "any toys": ScoreCondition("category_preference.TOYS & more", Operator.AT_LEAST, (0.1,)),
        "first toys": ScoreCondition("category_place.TOYS & more", Operator.EQUALS, (1,)),
        "food": ScoreCondition("category_place.FOOD", Operator.EQUALS, (1,)),
    }
    for rule in rules.values():
        check(rule, "", {}, lambda _: None, (), ())
    toys = {"toys": {"c2"}, "any toys": {"c1", "c2"}, "first toys": {"c2"}}
    assert await analytics.matching(tenant, rules, rules, NOW) == {**toys, "food": {"c1"}}
    assert await analytics.matching(tenant, rules, rules, NOW - 2 * DAY) == {name: set() for name in rules}
    assert [it for _, it in await kept.liked(tenant, ["c1"])] == both
    again = ColumnarPredictions(analytics._columnar)
    await again.apply([Told(tenant, "c1", None, (), both[1:]), Told(tenant, "c2", None)], "liked 2")
    nobody: set[str] = set()
    expected = {"toys": nobody, "any toys": {"c1"}, "first toys": nobody, "food": nobody}
    assert await analytics.matching(tenant, rules, rules, NOW) == expected


def scored() -> dict[str, dict[str, int]]:
    return scores_of(HISTORY, NOW)


@pytest.mark.parametrize(
    ("rule", "problem"),
    [
        (ScoreCondition("rfm.group", Operator.EQUALS, ("stars",)), "no group of RFM is called stars"),
        (ScoreCondition("rfm.group", Operator.EQUALS, (1,)), "no group of RFM is called 1.0"),
        (ScoreCondition("rfm.cell", Operator.EQUALS, ("555",)), "the figure is a number"),
        (ScoreCondition("prediction.luck", Operator.AT_LEAST, (1,)), "no score is called prediction.luck"),
        (ScoreCondition("category_place.", Operator.EQUALS, (1,)), "no score is called category_place"),
        (ScoreCondition("uplift_group.mail", Operator.EQUALS, ("treat",)), "no group of uplift is called treat"),
        (ScoreCondition("uplift_group.mail", Operator.AT_LEAST, ("persuadable",)), "the figure is a number"),
        (ScoreCondition("uplift.mail", Operator.EQUALS, ("persuadable",)), "the figure is a number"),
        (ScoreCondition("uplift.No Name", Operator.AT_LEAST, (1,)), "no score is called uplift.No Name"),
        (ScoreCondition("cluster.gone", Operator.EQUALS, (1,)), "no score is called cluster.gone"),
        (ScoreCondition("rfm.group", Operator.AT_LEAST, ("loyal",)), "the figure is a number"),
    ],
)
def test_scores_that_do_not_exist_are_refused(rule: Rule, problem: str) -> None:
    known = {"cluster.here"}
    check(ScoreCondition("cluster.here", Operator.EQUALS, (1,)), "", {}, lambda _: None, (), known)
    with pytest.raises(RuleInvalid, match=problem):
        check(rule, "", {}, lambda _: None, (), known)


def test_names_of_groups_can_be_written_and_read() -> None:
    rule = ScoreCondition("rfm.group", Operator.ANY_OF, ("champions", "loyal"))
    assert text.write(rule) == 'score("rfm.group") in ["champions", "loyal"]'
    assert text.parse(text.write(rule)) == rule


def told(cursor: str, changes: dict[str, float | None], *, caught_up: bool = True) -> pb.FollowPredictionsResponse:
    """A batch of forecasting's feed: churn by customer, ``None`` where it is taken back."""
    time = Timestamp(seconds=NOW // 1_000_000 - 9)
    return pb.FollowPredictionsResponse(
        changes=[
            pb.PredictionChange(
                tenant_id=TENANT,
                customer_id=who,
                prediction=None
                if churn is None
                else pb.CustomerPrediction(customer_id=who, version=1, as_of_time=time, churn_probability=churn),
            )
            for who, churn in changes.items()
        ],
        cursor=cursor,
        caught_up=caught_up,
    )


async def silence(cursor: str) -> AsyncIterator[pb.FollowPredictionsResponse]:
    return
    yield


async def test_what_is_told_moves_members_at_once(house: House) -> None:
    await create(house, "leaving", ScoreCondition("prediction.churn_probability", Operator.AT_LEAST, (0.6,)))
    async with at_work(house):
        for who in ("ann", "bob"):
            await house.order(who, NOW, 10)
    kept = ColumnarPredictions(house.columnar)
    changed = partial(evaluate_predicted, house.segments, house.evaluation)
    follower = PredictionFollower(silence, kept, changed)
    first = told("1", {"ann": 0.7, "bob": 0.1})
    members = []
    for batch in (first, first, told("2", {"ann": 0.2, "bob": 0.9}), told("3", {"bob": None})):
        async with at_work(house):
            await follower.apply(batch)
        members.append(await house.members("leaving"))
    assert members == [["ann"], ["ann"], ["bob"], []]
    assert await kept.cursor() == "3"
    assert [each.customer_id for each in await kept.of(TENANT, ["ann", "bob"])] == ["ann"]
    assert await kept.of("other", ["ann"]) == []


async def test_whom_a_treatment_moves_is_a_condition_until_it_is_taken_back(house: House) -> None:
    rules: dict[str, Rule] = {
        "treat": ScoreCondition("uplift_group.mail", Operator.EQUALS, ("persuadable",)),
        "others": ScoreCondition("uplift_group.mail", Operator.NOT_EQUALS, ("persuadable",)),
        "gains": ScoreCondition("uplift.mail", Operator.AT_LEAST, (0.25,)),
        "top": ScoreCondition("uplift_percentile.mail", Operator.AT_LEAST, (91,)),
    }
    for name, rule in rules.items():
        assert text.parse(text.write(rule)) == rule
        await create(house, name, rule)
    async with at_work(house):
        for who in ("ann", "bob"):
            await house.order(who, NOW, 10)
    kept = ColumnarPredictions(house.columnar)
    follower = PredictionFollower(silence, kept, partial(evaluate_predicted, house.segments, house.evaluation))
    batch = told("1", {"ann": None, "bob": 0.1})
    time = Timestamp(seconds=NOW // 1_000_000 - 9)
    for change, group, gain in zip(batch.changes, (1, 4), (0.25, -0.5), strict=True):
        figure = uplift_pb2.UpliftFigure(value=gain)
        change.uplifts.add(model_id="mail", uplift=figure, group=group, percentile=91 - group, as_of_time=time)
        change.uplifts.add(model_id="call", uplift=figure, group=1, percentile=100, as_of_time=time)
    batch.changes[0].uplifts[0].percentile = 95
    for _ in range(2):
        async with at_work(house):
            await follower.apply(batch)
        members = {name: await house.members(name) for name in rules}
        assert members == {"treat": ["ann"], "others": ["bob"], "gains": ["ann"], "top": ["ann"]}
    said = [(who, it.model_id, it.uplift, it.percentile, it.answer) for who, it in await kept.moved(TENANT, ["ann"])]
    assert said == [("ann", "call", 0.25, 100, "persuadable"), ("ann", "mail", 0.25, 95, "persuadable")]
    assert await kept.moved("other", ["ann"]) == []
    explained = await house.analytics.explained(TENANT, "bob", rules, rules, NOW)
    assert explained is not None
    assert {name: list(it.found) for name, it in explained.items()}["treat"] == ["do_not_disturb"]
    async with at_work(house):  # as when the model is deleted
        await PredictionFollower(silence, ColumnarPredictions(house.columnar), follower._changed).apply(
            told("2", {"ann": None, "bob": 0.1})
        )
    assert [await house.members(name) for name in rules] == [[], [], [], []]
    assert await kept.moved(TENANT, ["ann", "bob"]) == []


async def test_while_there_is_more_to_come_customers_are_gathered_and_none_is_lost(house: House) -> None:
    heard: list[set[str]] = []
    failing = [True]

    async def changed(tenant: str, customer_ids: set[str]) -> None:
        if failing:
            raise Unavailable("the store does not answer")
        heard.append(set(customer_ids))

    follower = PredictionFollower(silence, ColumnarPredictions(house.columnar), changed)
    await follower.apply(told("1", {"ann": 0.7}, caught_up=False))
    with pytest.raises(Unavailable):
        await follower.apply(told("2", {"bob": 0.7, "ann": 0.8}))
    failing.clear()
    await follower.apply(told("3", {"cyd": 0.1}))
    assert heard == [{"ann", "bob", "cyd"}]


async def test_for_many_only_segments_that_compare_predictions_are_evaluated(house: House) -> None:
    leaving = ScoreCondition("prediction.churn_probability", Operator.AT_LEAST, (0.6,))
    await create(house, "leaving", leaving)
    await create(house, "staying", Not(SegmentCondition("leaving")))
    await create(house, "buyers", EventCondition("Order Completed", Aggregate.COUNT, Operator.AT_LEAST, (1,)))
    many = {f"c{number}" for number in range(TOUCHED_MAX + 1)}
    for who, touched, renewed in (({"ann"}, {"ann"}, set[str]()), (many, set[str](), {"leaving", "staying"})):
        house.evaluation._touched.clear()
        house.evaluation._renewed.clear()
        await evaluate_predicted(house.segments, house.evaluation, TENANT, who)
        assert house.evaluation._touched.get(TENANT, set()) == touched
        assert house.evaluation._renewed.get(TENANT, set()) == renewed
