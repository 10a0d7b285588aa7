"""What is new, and demand that is made of views, carts, clicks and purchases, over gRPC and in placements."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from tessera.recommendation.v1 import demand_pb2 as pb
from tessera.recommendation.v1 import feedback_pb2 as feedback_pb
from tessera.recommendation.v1 import item_pb2 as item_pb
from tessera.recommendation.v1 import placement_pb2 as placement_pb
from tessera.recommendation.v1 import recommendation_list_pb2 as list_pb
from tessera.recommendation.v1 import scenario_pb2

from services.common.clock import to_micros
from services.common.columnar import open_columnar
from services.common.store import open_store
from services.recommendation.adapters import memberships
from services.recommendation.adapters.interactions import TABLES, ColumnarInteractions, Lines, Shows
from services.recommendation.adapters.memberships import Move, StoredMemberships
from services.recommendation.app import Settings
from services.recommendation.domain.item import Item
from services.recommendation.domain.signals import SignalKind
from services.recommendation.servicer.messages import timestamp
from tests.recommendation.client import Client, ids, new_id, reason_of
from tests.recommendation.conftest import Start

TENANT, DAY = "acme", 86_400_000_000
TODAY = datetime(2026, 3, 1, 12, tzinfo=UTC)
NOW = to_micros(TODAY)
PURCHASE, CART, VIEW, CLICK = (
    list_pb.INTERACTION_KIND_PURCHASE,
    list_pb.INTERACTION_KIND_CART,
    list_pb.INTERACTION_KIND_VIEW,
    list_pb.INTERACTION_KIND_CLICK,
)


@dataclass
class Wall:
    """A clock that tests move."""

    time: datetime = TODAY

    def __call__(self) -> datetime:
        return self.time


def days(count: float) -> Duration:
    return Duration(seconds=round(count * 86_400))


def counts(**weights: float) -> list[pb.InteractionWeight]:
    kinds = {"purchase": PURCHASE, "cart": CART, "view": VIEW, "click": CLICK}
    return [pb.InteractionWeight(kind=kinds[name], weight=weight) for name, weight in weights.items()]


async def newest(client: Client, **wish: Any) -> list_pb.RecommendationList:
    request = pb.FindNewestRequest(**wish)
    return (await client.stub.FindNewest(request, metadata=client.metadata)).recommendations


async def popular(client: Client, **wish: Any) -> dict[str, float]:
    request = scenario_pb2.FindPopularRequest(half_life_duration=days(3_650), **wish)
    found = (await client.stub.FindPopular(request, metadata=client.metadata)).recommendations
    assert all(item.score == pytest.approx(sum(reason.score for reason in item.reasons)) for item in found.items)
    return {item.item_id: round(item.score, 2) for item in found.items}


async def placed(client: Client, placement: placement_pb.Placement, **wish: Any) -> list_pb.RecommendationList:
    save = placement_pb.SavePlacementRequest(request_id=new_id(), placement=placement)
    saved = (await client.stub.SavePlacement(save, metadata=client.metadata)).placement
    assert saved.demand == placement.demand
    return await client.recommend(placement_id=placement.placement_id, **wish)


async def test_the_newest_items_are_those_that_became_available_last(start: Start) -> None:
    clock = Wall()
    async with start(clock) as client:
        dated = [
            Item("week", "", ("A",), publish_time=NOW - 7 * DAY),
            Item("today", "", ("A",), publish_time=NOW),
            Item("coming", "", ("A",), publish_time=NOW + DAY),
            Item("hidden", "", ("A",), publish_time=NOW, hidden=True),
        ]
        await client.upsert([*dated, Item("undated", "", ("B",))])
        clock.time += timedelta(days=14)
        await client.upsert([Item("later", "", ("B",)), Item("undated", "has a title now", ("B",))])
        found = await newest(client)
        assert ids(found) == ["later", "coming", "undated", "today", "week"]
        assert [round(item.score, 3) for item in found.items] == [1.0, round(14 / 27, 3), 0.5, 0.5, 0.4]
        (reason,) = found.items[2].reasons
        assert (reason.kind, reason.available_time) == (list_pb.REASON_KIND_NEW, timestamp(NOW))
        assert ids(await newest(client, filter=item_pb.ItemFilter(categories=["A"]))) == ["coming", "today", "week"]
        assert ids(await newest(client, max_age_duration=days(13.5), count=1)) == ["later"]
        assert ids(await newest(client, max_age_duration=days(13.5))) == ["later", "coming"]
        with pytest.raises(grpc.aio.AioRpcError) as refusal:
            await newest(client, max_age_duration=Duration())
        assert reason_of(refusal.value) == "MAX_AGE_INVALID"
    async with start(
        Wall()
    ) as client:  # since when items are here is known after a restart, and what is to come is left out
        assert ids(await newest(client)) == ["undated", "today", "week"]


async def test_a_placement_of_new_items_follows_its_rules_and_says_why(start: Start) -> None:
    async with start(Wall()) as client:
        await client.upsert([Item(f"i{age}", "", (f"K{age % 2}",), publish_time=NOW - age * DAY) for age in range(9)])
        pin = placement_pb.Control(
            control_id="own",
            effect=placement_pb.CONTROL_EFFECT_PIN,
            position=1,
            items=item_pb.ItemFilter(item_ids=["i8"]),
        )
        placement = placement_pb.Placement(
            placement_id="new",
            scenario=placement_pb.SCENARIO_NEWEST,
            filter=item_pb.ItemFilter(categories=["K0"]),
            controls=[pin],
            demand=pb.DemandOptions(max_age_duration=days(5)),
        )
        found = await placed(client, placement)
        assert ids(found) == ["i8", "i0", "i2", "i4"]
        assert found.items[1].reasons[0].kind == list_pb.REASON_KIND_NEW
        assert found.recommendation_id


def bought(*lines: tuple[str, str, float]) -> Lines:
    """Customers, items and ages in days."""
    count = len(lines)
    return Lines(
        tenant=[TENANT] * count,
        customer_id=[customer for customer, _, _ in lines],
        basket_id=[f"b{place}" for place in range(count)],
        item_id=[item for _, item, _ in lines],
        time=[NOW - int(age * DAY) for _, _, age in lines],
        quantity=[1.0] * count,
        amount_minor=[100] * count,
        currency=["USD"] * count,
    )


def shows(*rows: tuple[str, str, SignalKind, float]) -> Shows:
    customers = [customer for customer, *_ in rows]
    times = [NOW - int(age * DAY) for *_, age in rows]
    kinds = [int(kind) for _, _, kind, _ in rows]
    return Shows([TENANT] * len(rows), customers, customers, [item for _, item, *_ in rows], kinds, times)


def interest() -> Iterator[tuple[str, str, SignalKind, float]]:
    """Ten who look at `seen`, one who reloads `reloaded` all day, two who put `carted` into their carts, one of them
    long ago."""
    yield from ((f"v{who}", "seen", SignalKind.VIEW, 1.0) for who in range(10))
    yield from (("robot", "reloaded", SignalKind.VIEW, 1 + minute / 10_000) for minute in range(50))
    yield "c1", "carted", SignalKind.CART, 1.0
    yield "c2", "carted", SignalKind.CART, 40.0


@pytest.fixture
async def visited(settings: Settings) -> Settings:
    """The settings of a server with purchases, views and carts, of which c1 is in a segment."""
    async with open_columnar(settings, TABLES) as columnar:
        lines = bought(("c1", "bought", 1.0), ("c2", "bought", 2.0), ("c2", "carted", 3.0))
        await ColumnarInteractions(columnar).record(lines, "1", None, shows(*interest()))
    async with open_store(settings, memberships.COLLECTIONS) as store:
        await StoredMemberships(store).apply([Move(TENANT, "gold", "c1", entered=True)], "1")
    return settings


async def test_views_carts_and_clicks_count_as_the_request_says(visited: Settings, start: Start) -> None:
    async with start(Wall()) as client:
        items = ("seen", "reloaded", "carted", "bought", "clicked")
        await client.upsert([Item(item, "", (item,)) for item in items])
        assert await popular(client) == {"bought": 2.0, "carted": 1.0}
        mixed = counts(purchase=1, cart=0.5, view=0.3)
        everything = {"seen": 3.0, "bought": 2.0, "carted": 2.0, "reloaded": 0.3}
        assert await popular(client, interactions=mixed) == pytest.approx(everything, abs=0.02)
        assert list(await popular(client, interactions=counts(view=1))) == ["seen", "reloaded"]
        assert list(await popular(client, interactions=mixed, segment_id="gold")) == ["bought", "carted"]
        only = await popular(client, interactions=mixed, filter=item_pb.ItemFilter(categories=["carted", "reloaded"]))
        assert list(only) == ["carted", "reloaded"]
        recent = [pb.InteractionWeight(kind=CART, weight=1, window_duration=days(30))]
        assert await popular(client, interactions=recent) == {"carted": 1.0}
        faded = [pb.InteractionWeight(kind=CART, weight=1, half_life_duration=days(39))]
        assert await popular(client, interactions=faded) == {"carted": 1.5}
        listed = await client.recommend("c9")
        clicks = [
            feedback_pb.FeedbackEvent(
                event_id=f"e{place}",
                recommendation_id=listed.recommendation_id,
                item_id="clicked",
                kind=feedback_pb.FEEDBACK_KIND_CLICK,
                visitor_id=visitor,
                event_time=timestamp(NOW - place),
            )
            for place, visitor in enumerate(("x", "x", "y"))
        ]
        request = feedback_pb.RecordFeedbackRequest(request_id=new_id(), events=clicks)
        await client.stub.RecordFeedback(request, metadata=client.metadata)
        assert await popular(client, interactions=counts(click=1)) == {"clicked": 2.0}


async def test_what_is_looked_at_more_than_usual_trends_if_views_count(visited: Settings, start: Start) -> None:
    usual = ((f"u{day}-{who}", "carted", SignalKind.VIEW, float(day)) for day in range(1, 60) for who in range(2))
    async with open_columnar(visited, TABLES) as columnar:
        await ColumnarInteractions(columnar).record(Lines(), "2", None, shows(*usual))
    async with start(Wall()) as client:
        await client.upsert([Item(item) for item in ("seen", "carted", "bought", "reloaded")])
        request = scenario_pb2.FindTrendingRequest(interactions=counts(view=1))
        found = await client.stub.FindTrending(request, metadata=client.metadata)
        assert found.item_count == 3
        assert ids(found.recommendations) == ["seen"]
        (reason,) = found.recommendations.items[0].reasons
        assert (reason.kind, reason.interaction) == (list_pb.REASON_KIND_TRENDING, VIEW)


async def test_a_placement_says_what_counts_in_its_lists_and_whose(visited: Settings, start: Start) -> None:
    async with start(Wall()) as client:
        await client.upsert([Item(item) for item in ("seen", "carted", "bought")])
        weights = pb.InteractionWeight(kind=VIEW, weight=2, half_life_duration=days(5), window_duration=days(30))
        placement = placement_pb.Placement(
            placement_id="seen",
            scenario=placement_pb.SCENARIO_POPULAR,
            demand=pb.DemandOptions(interactions=[weights], half_life_duration=days(9)),
        )
        assert ids(await placed(client, placement, count=1)) == ["seen"]
        gold = placement_pb.Placement(
            placement_id="gold",
            scenario=placement_pb.SCENARIO_POPULAR,
            demand=pb.DemandOptions(interactions=counts(cart=1), segment_id="gold"),
        )
        assert ids(await placed(client, gold, count=1)) == ["carted"]
        wrong = {
            placement_pb.SCENARIO_FOR_YOU: pb.DemandOptions(half_life_duration=days(3)),
            placement_pb.SCENARIO_POPULAR: pb.DemandOptions(max_age_duration=days(3)),
            placement_pb.SCENARIO_TRENDING: pb.DemandOptions(half_life_duration=days(400)),
            placement_pb.SCENARIO_NEWEST: pb.DemandOptions(max_age_duration=days(0.01)),
        }
        for scenario, demand in wrong.items():
            with pytest.raises(grpc.aio.AioRpcError) as refusal:
                await placed(client, placement_pb.Placement(placement_id="wrong", scenario=scenario, demand=demand))
            assert reason_of(refusal.value) == "PLACEMENT_INVALID"


async def test_weights_that_contradict_each_other_are_refused(start: Start) -> None:
    async with start() as client:
        for weights in ([*counts(view=1), *counts(view=2)], counts(view=-1), counts(view=float("nan"))):
            with pytest.raises(grpc.aio.AioRpcError) as refusal:
                await popular(client, interactions=weights)
            assert reason_of(refusal.value) == "INTERACTIONS_INVALID"
