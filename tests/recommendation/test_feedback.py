"""Feedback, reports and experiments over gRPC."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.recommendation.v1 import feedback_pb2 as pb
from tessera.recommendation.v1 import item_pb2 as item_pb
from tessera.recommendation.v1 import placement_pb2 as placement_pb
from tessera.recommendation.v1 import position_bias_pb2 as bias_pb
from tessera.recommendation.v1 import recommendation_list_pb2 as list_pb

from services.common.columnar import open_columnar
from services.recommendation.adapters.interactions import TABLES, ColumnarInteractions, Lines, Moved
from services.recommendation.app import Settings
from tests.recommendation.client import Client, ids, new_id, reason_of
from tests.recommendation.conftest import Start

IMPRESSION, CLICK, CART = pb.FEEDBACK_KIND_IMPRESSION, pb.FEEDBACK_KIND_CLICK, pb.FEEDBACK_KIND_CART
HOUR = 3600


async def save(client: Client, version: int = 0, **values: Any) -> None:
    placement = placement_pb.Placement(placement_id="home", scenario=placement_pb.SCENARIO_FOR_YOU, **values)
    request = placement_pb.SavePlacementRequest(request_id=new_id(), placement=placement, expected_version=version)
    await client.stub.SavePlacement(request, metadata=client.metadata)


def event(
    listed: list_pb.RecommendationList, item_id: str, kind: Any, who: str = "c1", ago: int = 0, position: int = 0
) -> pb.FeedbackEvent:
    time = Timestamp(seconds=int(datetime.now(UTC).timestamp()) - ago)
    return pb.FeedbackEvent(
        event_id=new_id(),
        recommendation_id=listed.recommendation_id,
        item_id=item_id,
        kind=kind,
        customer_id=who,
        event_time=time,
        position=position,
    )


async def tell(client: Client, events: Sequence[pb.FeedbackEvent], request_id: str = "") -> int:
    request = pb.RecordFeedbackRequest(request_id=request_id or new_id(), events=events)
    return (await client.stub.RecordFeedback(request, metadata=client.metadata)).accepted_count


async def report(client: Client, **values: Any) -> pb.GetRecommendationReportResponse:
    request = pb.GetRecommendationReportRequest(**values)
    return await client.stub.GetRecommendationReport(request, metadata=client.metadata)


async def bought(
    settings: Settings, who: str, item_ids: Sequence[str], ago: int = 0, moved: Moved | None = None
) -> None:
    """An order of now (or of ``ago`` seconds before) with lines of 500 minor units, as the follower records it."""
    now, count = int(datetime.now(UTC).timestamp() - ago) * 1_000_000, len(item_ids)
    lines = Lines(["acme"] * count, [who] * count, [], [new_id()] * count, list(item_ids), [now] * count,
                  [1.0] * count, [500] * count, ["USD"] * count)  # fmt: skip
    async with open_columnar(settings, TABLES) as columnar:
        await ColumnarInteractions(columnar).record(lines, new_id(), moved)


async def test_what_is_told_twice_counts_once_and_a_report_adds_up(trained: Client) -> None:
    await save(trained)
    listed = await trained.recommend("c1", placement_id="home", count=4)
    plain = await trained.recommend("c1", count=2)
    assert listed.recommendation_id != plain.recommendation_id
    events = [event(listed, item_id, IMPRESSION) for item_id in ids(listed)]
    events += [event(listed, ids(listed)[0], CLICK), event(listed, ids(listed)[0], CART)]
    assert await tell(trained, events, "told") == await tell(trained, events, "told") == 6
    await tell(trained, [*events[:3], event(plain, ids(plain)[0], IMPRESSION)])
    found = await report(trained)
    assert (found.total.impression_count, found.total.click_count, found.total.cart_count) == (5, 1, 1)
    assert [(row.placement_id, row.placement_version, row.impression_count) for row in found.rows] == [
        ("", 0, 1),
        ("home", 1, 4),
    ]
    assert found.rows[1].click_rate == pytest.approx(1 / 4)
    assert found.rows[1].day == f"{datetime.now(UTC):%Y-%m-%d}"
    shown = {each.item_id for each in events} | {ids(plain)[0]}
    assert found.coverage == pytest.approx(len(shown) / 25)
    assert found.novelty > 0
    assert (await report(trained, placement_id="home")).total.impression_count == 4


async def test_click_rates_are_corrected_for_places_and_it_is_said_where_they_cannot_be(trained: Client) -> None:
    await save(trained)
    listed = await trained.recommend("c1", placement_id="home", count=4)
    one, two = ids(listed)[:2]

    def seen(item: str, position: int, impressions: int, clicks: int) -> list[pb.FeedbackEvent]:
        kinds = [IMPRESSION] * impressions + [CLICK] * clicks
        return [event(listed, item, kind, position=position) for kind in kinds]

    # Nothing is known of the places of another tenant, nor of lists whose positions nobody tells.
    rival = trained.of("rival")
    await tell(rival, [event(listed, one, IMPRESSION), event(listed, one, CLICK)])
    unknown = await report(rival)
    assert unknown.position_bias.problem == bias_pb.POSITION_BIAS_PROBLEM_FEW_CLICKS
    assert (unknown.total.click_rate, unknown.total.corrected_click_rate, unknown.total.examined_count) == (1, 0, 0)

    # Both are clicked half as often in the second place; the one that attracts stands mostly in front.
    await tell(trained, seen(one, 1, 160, 80) + seen(one, 2, 40, 10) + seen(two, 1, 80, 16) + seen(two, 2, 160, 16))
    await tell(trained, [event(listed, two, IMPRESSION), event(listed, two, CLICK), *seen(two, 90, 1, 1)])
    found = await report(trained)
    first, second = found.position_bias.places
    assert (first.first_position, first.examination) == (1, 1)
    assert second.examination == pytest.approx(0.5, rel=0.01)
    assert second.low < 0.5 < second.high
    assert (second.impression_count, second.click_count) == (200, 26)
    # What has no known place, or one of which too little is known, counts in the plain rate alone.
    assert found.total.impression_count == 442
    assert found.total.click_rate == pytest.approx(124 / 442)
    assert found.total.examined_count == pytest.approx(240 + 200 * second.examination)
    assert found.total.corrected_click_rate == pytest.approx(122 / found.total.examined_count)
    assert not found.position_bias.pooled
    assert (await report(trained, placement_id="elsewhere")).position_bias.pooled


async def test_an_order_belongs_to_the_newest_click_on_its_item_within_the_window(
    trained_settings: Settings, start: Start
) -> None:
    async with start() as client:
        await save(client)
        old, new = await client.recommend("c1", placement_id="home"), await client.recommend("c1")
        first, second, third = ids(old)[:3]
        await tell(client, [
            event(old, first, CLICK, ago=3 * HOUR), event(new, first, CLICK, ago=2 * HOUR),
            event(old, second, CLICK, ago=10 * 24 * HOUR), event(old, third, CLICK, who="c3", ago=HOUR),
            event(old, first, CLICK, ago=-30),
        ])  # fmt: skip
    await bought(trained_settings, "c1", [first, second, third])
    async with start() as client:
        found = await report(client)
        assert found.total.order_item_count == 1
        (row,) = [row for row in found.rows if row.order_item_count]
        assert (row.placement_id, [(it.currency, it.amount_minor) for it in row.revenue]) == ("", [("USD", 500)])
        longer = await report(client, window_days=30)
        assert longer.total.order_item_count == 2


async def test_who_is_erased_goes_from_reports_and_who_is_merged_counts_as_one(
    trained_settings: Settings, start: Start
) -> None:
    async with start() as client:
        listed = await client.recommend("c1")
        item = ids(listed)[0]
        await tell(client, [event(listed, item, CLICK, who=who, ago=HOUR) for who in ("c1", "c3", "c5")])
        exported = [each async for each in export(client, "c3")]
        assert [record.kind for record in exported if record.kind == "recommendation_feedback"]
    moved = Moved({("acme", "c5"): "c7"}, {("acme", "c5"), ("acme", "c7")}, {("acme", "c3")})
    await bought(trained_settings, "c7", [item], moved=moved)
    async with start() as client:
        found = await report(client)
        assert (found.total.click_count, found.total.order_item_count) == (2, 1)
        assert not [each async for each in export(client, "c3") if each.kind == "recommendation_feedback"]


async def export(client: Client, customer_id: str) -> AsyncIterator[Any]:
    from tessera.recommendation.v1 import personal_data_pb2

    request = personal_data_pb2.ExportCustomerDataRequest(customer_id=customer_id)
    async for answer in client.stub.ExportCustomerData(request, metadata=client.metadata):
        for record in answer.records:
            yield record


@pytest.mark.parametrize("wrong", ["twice", "unknown list", "future"])
async def test_what_cannot_be_is_refused_and_nothing_of_it_is_recorded(trained: Client, wrong: str) -> None:
    listed = await trained.recommend("c1")
    good = event(listed, "i1", CLICK)
    bad = event(listed, "i1", CLICK, ago=-2 * HOUR if wrong == "future" else 0)
    if wrong == "twice":
        bad = good
    elif wrong == "unknown list":
        bad.recommendation_id = "nonsense"
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await tell(trained, [good, bad])
    assert reason_of(refusal.value) == "FEEDBACK_INVALID"
    assert (await report(trained)).total.click_count == 0


async def test_a_period_that_is_empty_is_refused(trained: Client) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await report(trained, end_time=Timestamp(seconds=1), start_time=Timestamp(seconds=10**6))
    assert reason_of(refusal.value) == "PERIOD_INVALID"


async def test_what_was_shown_and_not_clicked_sinks(trained: Client) -> None:
    await save(trained, weights=placement_pb.Weights(rotation_bp=9000, rotation_half_life=Duration(seconds=86_400)))
    before = await trained.recommend("c1", placement_id="home", count=6)
    ignored, clicked = ids(before)[:2]
    events = [event(before, item, IMPRESSION) for item in (ignored, clicked)] + [event(before, clicked, CLICK)]
    await tell(trained, events)
    after = await trained.recommend("c1", placement_id="home", count=6)
    assert ids(after)[0] == clicked
    assert ignored not in ids(after)[:3]
    for item in after.items:
        rotated = [each.value for each in item.applied if each.kind == list_pb.APPLIED_KIND_ROTATION]
        assert rotated == (pytest.approx([0.1], rel=0.01) if item.item_id == ignored else [])
    assert ids(await trained.recommend("c3", placement_id="home", count=6))


def trial(**values: Any) -> pb.Experiment:
    sides = [pb.Variant(name=name, share_bp=5000, placement_version=at) for at, name in enumerate("ab", 1)]
    return pb.Experiment(experiment_id="trial", placement_id="home", variants=sides)


async def begin(client: Client, experiment: pb.Experiment) -> pb.Experiment:
    request = pb.StartExperimentRequest(request_id=new_id(), experiment=experiment)
    return (await client.stub.StartExperiment(request, metadata=client.metadata)).experiment


async def test_an_experiment_divides_people_and_tells_what_they_did(trained_settings: Settings, start: Start) -> None:
    kinds = {"a": "KIND 0", "b": "KIND 1"}
    seen: dict[str, str] = {}
    async with start() as client:
        for version, category in enumerate(kinds.values()):
            await save(client, version, filter=item_pb.ItemFilter(categories=[category]))
        await begin(client, trial())
        for who in [f"c{code}" for code in range(40)] * 2:
            listed = await client.recommend(who, placement_id="home", count=3)
            assert seen.setdefault(who, listed.variant) == listed.variant
            assert {int(each[1:]) % 2 for each in ids(listed) if each != "unsold"} == {"ab".index(listed.variant)}
            if listed.variant == "b":
                await tell(client, [event(listed, ids(listed)[0], CLICK, who=who)])
        visitor = [await client.recommend(placement_id="home", visitor_id="cookie") for _ in range(2)]
        assert visitor[0].variant == visitor[1].variant != ""
        assert (await client.recommend(placement_id="home")).variant == ""
    buyers = sorted(who for who, variant in seen.items() if variant == "b")[:5]
    for who in buyers:
        await bought(trained_settings, who, ["i1"], ago=-5)
    async with start() as client:
        request = pb.GetExperimentReportRequest(experiment_id="trial")
        found = await client.stub.GetExperimentReport(request, metadata=client.metadata)
        sides = {each.name: each for each in found.variants}
        people = {name: sum(it == name for it in [*seen.values(), visitor[0].variant]) for name in "ab"}
        assert {name: each.subject_count for name, each in sides.items()} == people
        clickers = sum(variant == "b" for variant in seen.values())
        assert (sides["a"].clicker_count, sides["b"].clicker_count) == (0, clickers)
        assert (sides["a"].buyer_count, sides["b"].buyer_count, found.currency) == (0, 5, "USD")
        assert sides["b"].mean_revenue_minor == pytest.approx(5 * 500 / people["b"])
        assert sides["b"].click_rate_difference.significant
        assert not sides["a"].HasField("click_rate_difference")


async def test_an_experiment_is_refused_where_it_cannot_be_and_ends_when_it_is_stopped(trained: Client) -> None:
    async def refused(experiment: pb.Experiment) -> str:
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await begin(trained, experiment)
        return reason_of(refusal.value)

    await save(trained)
    assert await refused(trial()) == "PLACEMENT_NOT_FOUND"
    await save(trained, 1)
    alone = trial()
    del alone.variants[1]
    assert await refused(alone) == "EXPERIMENT_INVALID"
    await begin(trained, trial())
    second = trial()
    second.experiment_id = "second"
    assert await refused(second) == "EXPERIMENT_EXISTS"
    stop = pb.StopExperimentRequest(request_id=new_id(), experiment_id="trial")
    ended = (await trained.stub.StopExperiment(stop, metadata=trained.metadata)).experiment
    assert ended.HasField("end_time")
    assert (await trained.recommend("c1", placement_id="home")).variant == ""
    await begin(trained, second)
    listed = await trained.stub.ListExperiments(pb.ListExperimentsRequest(), metadata=trained.metadata)
    assert [each.experiment_id for each in listed.experiments] == ["second", "trial"]
