"""Drift: nothing where purchases go on as before, an alarm where they do not."""

from datetime import UTC, datetime, timedelta

import grpc
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st
from tessera.recommendation.v1 import drift_settings_pb2 as drift_pb
from tessera.recommendation.v1 import feedback_pb2 as feedback_pb

from services.recommendation.adapters import snapshots
from services.recommendation.adapters.interactions import Lines
from services.recommendation.app import Settings
from services.recommendation.domain.drift import Lists, drift_of, list_drift, psi
from services.recommendation.domain.drift_settings import DriftSettings
from services.recommendation.domain.model import Model
from tests.recommendation.client import Client, new_id, reason_of
from tests.recommendation.conftest import Start, record
from tests.recommendation.making import NOW, catalogue

PATHS = {item.item_id: item.categories for item in catalogue()}


@pytest.fixture
def model(trained_settings: Settings) -> Model:
    (folder,) = (trained_settings.data_dir / "recommendation-models" / "tenant-acme").iterdir()
    return snapshots.read_model(folder)


def path(item_id: str) -> tuple[str, ...]:
    return PATHS.get(item_id, ())


COUNTS = st.lists(st.integers(0, 1000), min_size=4, max_size=4)


@given(COUNTS, COUNTS)
def test_an_index_is_never_negative_and_nothing_between_equals(one: list[int], other: list[int]) -> None:
    assert psi(np.array(one, float), np.array(other, float)) >= -1e-12
    assert psi(np.array(one, float), np.array(one, float)) == pytest.approx(0, abs=1e-12)


def test_an_index_is_that_of_the_textbook() -> None:
    # (.3 - .5) ln(.3 / .5) + (.7 - .5) ln(.7 / .5)
    assert psi(np.array([5000.0, 5000.0]), np.array([3000.0, 7000.0])) == pytest.approx(0.16946, abs=1e-3)


def test_who_buys_as_before_does_not_drift(model: Model) -> None:
    as_before = {item: int(count) for item, count in zip(model.item_ids, model.item_baskets.tolist(), strict=True)}
    drift = drift_of(model, as_before, path)
    assert (drift.unknown_item_share, drift.alarms) == (0, ())
    assert drift.category_psi < 0.01
    assert drift.demand_psi < 0.01


def test_other_categories_and_unknown_items_raise_an_alarm_once_there_are_enough_lines(model: Model) -> None:
    odd = {item: 40 for item in model.item_ids if int(item[1:]) % 2}
    assert set(drift_of(model, odd, path).alarms) == {"categories", "demand"}
    assert drift_of(model, odd | {"new": 300}, path).alarms[:2] == ("unknown_items", "categories")
    few = drift_of(model, {"new": 100}, path)
    assert (few.unknown_item_share, few.alarms) == (1.0, ())


async def test_the_status_tells_of_drift(trained_settings: Settings, start: Start) -> None:
    async with start() as client:
        assert (await client.status()).drift.line_count == 0
    count = 250
    late = Lines(["acme"] * count, ["late"] * count, [], [new_id() for _ in range(count)], ["novelty"] * count,
                 [NOW] * count, [1.0] * count, [100] * count, ["USD"] * count)  # fmt: skip
    await record(trained_settings, late, cursor="late")
    async with start() as client:
        drift = (await client.status()).drift
        assert (drift.line_count, drift.unknown_item_share) == (count, 1.0)
        assert "unknown_items" in drift.alarms


async def test_without_a_model_there_is_no_drift(empty: Client) -> None:
    assert not (await empty.status()).HasField("drift")


def test_other_prices_raise_an_alarm_and_equal_ones_do_not(model: Model) -> None:
    lines = dict.fromkeys(model.item_ids, 40)
    as_before = {item: int(count) for item, count in zip(model.item_ids, model.item_baskets.tolist(), strict=True)}

    def price(item_id: str) -> int:
        return 100 * (int(item_id[1:]) + 1)

    assert drift_of(model, as_before, path, price).price_psi == pytest.approx(0, abs=1e-3)
    dear = drift_of(model, {item: 40 for item in lines if price(item) > 1800}, path, price)
    assert dear.price_psi > 1
    assert "prices" in dear.alarms
    assert drift_of(model, as_before, path).price_psi == 0  # no price is known


def test_scores_that_fall_raise_an_alarm_from_a_hundred_customers_on(model: Model) -> None:
    random = np.random.default_rng(1)
    before = random.normal(1.0, 0.1, 400)
    as_before = dict.fromkeys(model.item_ids, 40)
    same = drift_of(model, as_before, path, scores=(before, random.permutation(before)))
    assert same.score_psi == pytest.approx(0)
    fallen = drift_of(model, as_before, path, scores=(before, before - 0.2))
    assert fallen.score_psi > 0.25
    assert "scores" in fallen.alarms
    assert "scores" not in drift_of(model, as_before, path, scores=(before[:99], before[:99] - 0.2)).alarms


LISTS = Lists(2000, 200, {f"i{code}": 100 for code in range(20)})


@pytest.mark.parametrize(
    ("now", "alarms"),
    [
        (LISTS, ()),
        (Lists(2000, 180, LISTS.shown), ()),  # a tenth less: within the bound
        (Lists(2000, 120, LISTS.shown), ("click_rate",)),
        (Lists(2000, 280, LISTS.shown), ("click_rate",)),
        (Lists(2000, 200, {f"i{code}": 200 for code in range(10)}), ("coverage",)),
        (Lists(2000, 200, {f"i{code}": 200 for code in range(0, 20, 2)}), ("coverage", "shown_categories")),
        (Lists(999, 10, LISTS.shown), ()),  # too few to say
        (Lists(), ()),
        (Lists(2000, 3000, LISTS.shown), ("click_rate",)),  # clicks of lists whose impressions nobody told
    ],
)
def test_lists_are_compared_with_those_of_the_period_before(now: Lists, alarms: tuple[str, ...]) -> None:
    found = list_drift(LISTS, now, 24, path)
    assert found.alarms == alarms
    assert (found.click_rate_before, found.coverage_before) == (0.1, 20 / 24)
    assert list_drift(Lists(), now, 0, path).alarms == ()


async def test_the_status_compares_the_scores_of_those_who_bought_since(
    trained_settings: Settings, start: Start
) -> None:
    count = 20
    late = Lines(["acme"] * count, [f"c{code}" for code in range(count)], [], [new_id() for _ in range(count)],
                 [f"i{(code + 1) % 2}" for code in range(count)], [NOW] * count, [1.0] * count, [100] * count,
                 ["USD"] * count)  # fmt: skip
    await record(trained_settings, late, cursor="late")
    async with start() as client:
        assert (await client.status()).drift.scored_count == 0  # of 20 customers, where 100 are wanted
        few = drift_pb.DriftSettings(customer_count_min=10, line_count_min=20)
        await save(client, "few", few)
        drift = (await client.status()).drift
        await save(client, "lenient", drift_pb.DriftSettings(customer_count_min=10, line_count_min=20, psi=9.5))
        lenient = (await client.status()).drift
    assert drift.scored_count == count
    assert drift.score_psi > 0.25  # everybody bought of the other kind
    assert "scores" in drift.alarms
    assert (lenient.score_psi, lenient.alarms) == (drift.score_psi, [])


async def save(client: Client, request_id: str, settings: drift_pb.DriftSettings) -> drift_pb.DriftSettings:
    request = drift_pb.SaveDriftSettingsRequest(request_id=request_id, settings=settings)
    return (await client.stub.SaveDriftSettings(request, metadata=client.metadata)).settings


async def test_bounds_are_each_tenants_own_with_usual_ones_for_what_is_open(empty: Client) -> None:
    async def bounds(client: Client) -> drift_pb.DriftSettings:
        request = drift_pb.GetDriftSettingsRequest()
        return (await client.stub.GetDriftSettings(request, metadata=client.metadata)).settings

    usual = drift_pb.DriftSettings(
        unknown_item_bp=2000, psi=0.25, change_bp=2000, line_count_min=200, customer_count_min=100,
        impression_count_min=1000, list_window_duration=Duration(seconds=7 * 86_400),
    )  # fmt: skip
    assert await bounds(empty) == usual
    first = await save(empty, "one", drift_pb.DriftSettings(unknown_item_bp=0, psi=0.1))
    assert (first.unknown_item_bp, first.psi, first.change_bp) == (0, 0.1, 2000)
    second = await save(empty, "two", drift_pb.DriftSettings(list_window_duration=Duration(seconds=86_400)))
    assert await save(empty, "one", drift_pb.DriftSettings(unknown_item_bp=0, psi=0.1)) == first
    assert await bounds(empty) == second
    assert await bounds(empty.of("another")) == usual
    for wrong, reason in (
        (drift_pb.DriftSettings(psi=0), "DRIFT_SETTINGS_INVALID"),
        (drift_pb.DriftSettings(psi=float("nan")), "DRIFT_SETTINGS_INVALID"),
        (drift_pb.DriftSettings(list_window_duration=Duration(seconds=5)), "DRIFT_SETTINGS_INVALID"),
        (drift_pb.DriftSettings(line_count_min=0), "FIELD_INVALID"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await save(empty, "wrong", wrong)
        assert reason_of(refused.value) == reason
    assert await bounds(empty) == second


@pytest.mark.parametrize(
    ("settings", "alarms"),
    [
        (DriftSettings(impressions=3000), ()),
        (DriftSettings(change=0.6), ()),
        (DriftSettings(change=0.4), ("click_rate",)),
    ],
)
def test_lists_alarm_at_the_bounds_of_the_tenant(settings: DriftSettings, alarms: tuple[str, ...]) -> None:
    now = Lists(2000, LISTS.clicks * 2000 * 3 // (LISTS.impressions * 2), LISTS.shown)  # half as much again
    assert list_drift(LISTS, now, 24, path, settings).alarms == alarms


async def test_the_report_compares_with_the_period_before(trained: Client) -> None:
    listed = await trained.recommend("c1", count=2)
    now = datetime.now(UTC)

    def told(item: int, kind: "feedback_pb.FeedbackKind.ValueType", days: int) -> feedback_pb.FeedbackEvent:
        time = Timestamp()
        time.FromDatetime(now - timedelta(days=days))
        return feedback_pb.FeedbackEvent(
            event_id=new_id(),
            recommendation_id=listed.recommendation_id,
            item_id=listed.items[item].item_id,
            kind=kind,
            event_time=time,
        )

    seen, clicked = feedback_pb.FEEDBACK_KIND_IMPRESSION, feedback_pb.FEEDBACK_KIND_CLICK
    events = [told(0, seen, 40), told(1, seen, 40), told(0, clicked, 40), told(0, seen, 1)]
    request = feedback_pb.RecordFeedbackRequest(request_id=new_id(), events=events)
    await trained.stub.RecordFeedback(request, metadata=trained.metadata)
    asked = feedback_pb.GetRecommendationReportRequest()
    drift = (await trained.stub.GetRecommendationReport(asked, metadata=trained.metadata)).drift
    assert (drift.click_rate_before, drift.click_rate_difference.value) == (0.5, -0.5)
    assert drift.coverage_before == pytest.approx(2 / 25)
    assert drift.coverage_change == pytest.approx(-1 / 25)
    assert not drift.alarms
