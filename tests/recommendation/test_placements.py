"""Placements over gRPC: kept in versions, refused where they are wrong, and followed by lists."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from tessera.common.v1 import money_pb2, rule_pb2
from tessera.recommendation.v1 import item_pb2 as item_pb
from tessera.recommendation.v1 import placement_pb2 as pb
from tessera.recommendation.v1 import recommendation_list_pb2 as list_pb
from tessera.recommendation.v1 import recommendation_service_pb2 as service_pb

from services.common.store import open_store
from services.recommendation.adapters import memberships
from services.recommendation.adapters.memberships import Move, StoredMemberships
from services.recommendation.app import Settings
from tests.recommendation.client import Client, ids, new_id, reason_of
from tests.recommendation.conftest import Start
from tests.recommendation.making import NOW, shop

PIN, BOOST, EXCLUDE = pb.CONTROL_EFFECT_PIN, pb.CONTROL_EFFECT_BOOST, pb.CONTROL_EFFECT_EXCLUDE


def home(scenario: Any = pb.SCENARIO_FOR_YOU, **values: Any) -> pb.Placement:
    return pb.Placement(placement_id="home", scenario=scenario, **values)


def named(*item_ids: str) -> item_pb.ItemFilter:
    return item_pb.ItemFilter(item_ids=item_ids)


async def save(client: Client, placement: pb.Placement, expected: int = 0, request_id: str = "") -> pb.Placement:
    request = pb.SavePlacementRequest(request_id=request_id or new_id(), placement=placement, expected_version=expected)
    return (await client.stub.SavePlacement(request, metadata=client.metadata)).placement


async def refused(call: Any) -> str:
    with pytest.raises(grpc.aio.AioRpcError) as refusal:
        await call
    return reason_of(refusal.value)


async def test_a_placement_is_kept_in_versions_and_an_earlier_one_comes_back(trained: Client) -> None:
    first = await save(trained, home(title="first"), request_id="first")
    assert (first.version, first.title) == (1, "first")
    assert await save(trained, home(title="first"), request_id="first") == first
    second = await save(trained, home(title="second"), expected=1)
    assert second.version == 2
    assert await refused(save(trained, home(title="late"), expected=1)) == "PLACEMENT_CHANGED"
    get = pb.GetPlacementRequest(placement_id="home", version=1)
    earlier = (await trained.stub.GetPlacement(get, metadata=trained.metadata)).placement
    assert earlier == first
    assert (await save(trained, earlier, expected=2)).version == 3
    listed = await trained.stub.ListPlacements(pb.ListPlacementsRequest(), metadata=trained.metadata)
    assert [(each.placement_id, each.title) for each in listed.placements] == [("home", "first")]


async def test_a_deleted_placement_is_gone_and_its_numbers_are_not_given_again(trained: Client) -> None:
    await save(trained, home())
    delete = pb.DeletePlacementRequest(request_id=new_id(), placement_id="home")
    await trained.stub.DeletePlacement(delete, metadata=trained.metadata)
    await trained.stub.DeletePlacement(delete, metadata=trained.metadata)
    assert await refused(trained.recommend("c1", placement_id="home")) == "PLACEMENT_NOT_FOUND"
    again = pb.DeletePlacementRequest(request_id=new_id(), placement_id="home")
    assert await refused(trained.stub.DeletePlacement(again, metadata=trained.metadata)) == "PLACEMENT_NOT_FOUND"
    assert (await save(trained, home())).version == 2


async def test_contradictions_are_refused_with_their_path(trained: Client) -> None:
    controls = [
        pb.Control(control_id="pin", effect=PIN, items=named("i1"), position=1),
        pb.Control(control_id="out", effect=EXCLUDE, items=named("i1")),
    ]
    assert await refused(save(trained, home(controls=controls))) == "PLACEMENT_INVALID"
    rule = rule_pb2.Rule(score=rule_pb2.ScoreCondition(score="churn", operator=rule_pb2.OPERATOR_AT_LEAST,
                                                       values=[rule_pb2.Value(number_value=1)]))  # fmt: skip
    number: Any = 99
    assert await refused(save(trained, home(number))) == "FIELD_INVALID"
    unknown = pb.Control(control_id="x", effect=BOOST, factor=2, items=named("i1"), when=rule)
    assert await refused(save(trained, home(controls=[unknown]))) == "RULE_UNSUPPORTED"


async def test_controls_make_the_list_and_are_named_in_it(trained: Client) -> None:
    before = await trained.recommend("c1", count=5)
    worst = ids(before)[-1]
    controls = [
        pb.Control(control_id="push", effect=BOOST, items=named(worst), factor=50),
        pb.Control(control_id="own", effect=PIN, items=named("i0"), position=2),
        pb.Control(control_id="never", effect=EXCLUDE, items=named(ids(before)[0])),
    ]
    await save(trained, home(controls=controls))
    found = await trained.recommend("c1", count=5, placement_id="home")
    assert found.placement_version == 1
    assert ids(found)[:2] == [worst, "i0"]
    assert ids(before)[0] not in ids(found)
    applied = {item.item_id: [(each.kind, each.control_id) for each in item.applied] for item in found.items}
    assert applied[worst] == [(list_pb.APPLIED_KIND_BOOST, "push")]
    assert applied["i0"] == [(list_pb.APPLIED_KIND_PIN, "own")]
    assert all(item.reasons for item in found.items)


async def test_a_batch_follows_the_placement_as_each_customers_own_request_does(trained: Client) -> None:
    pin = pb.Control(control_id="own", effect=PIN, position=1, items=named("unsold"))
    equals, text = rule_pb2.OPERATOR_EQUALS, [rule_pb2.Value(string_value="mobile")]
    mobile = rule_pb2.Rule(field=rule_pb2.Comparison(field="context.device", operator=equals, values=text))
    hidden = pb.Control(control_id="small", effect=EXCLUDE, items=named("i1"), when=mobile)
    await save(trained, home(controls=[pin, hidden]))
    wish: dict[str, Any] = {"count": 6, "placement_id": "home", "context": {"device": "mobile"}}
    lists = await trained.batch_recommend("c1", "c2", "nobody", **wish)
    assert [each.customer_id for each in lists] == ["c1", "c2", "nobody"]
    assert len({each.recommendation_id for each in lists}) == 3
    for each in lists:
        assert (each.items[0].item_id, each.placement_version) == ("unsold", 1)
        assert "i1" not in ids(each)
        assert ids(each) == ids(await trained.recommend(each.customer_id, **wish))
    assert await refused(trained.batch_recommend("c1", placement_id="gone")) == "PLACEMENT_NOT_FOUND"


async def test_what_was_bought_lately_is_left_out_and_what_was_bought_long_ago_may_come(trained: Client) -> None:
    seconds = int(datetime.now(UTC).timestamp() - NOW / 1_000_000)
    bought = {f"i{code}" for code, who in zip(shop().items, shop().customers, strict=True) if who == 1}
    lately = Duration(seconds=seconds + 30 * 86_400)
    recent = {
        f"i{code}"
        for code, who, age in zip(shop().items, shop().customers, shop().ages_days, strict=True)
        if who == 1 and age < 29
    }
    saved = await save(trained, home(exclude_bought_within=lately))
    assert saved.exclude_bought_within == lately
    shown = set(ids(await trained.recommend("c1", placement_id="home", count=24)))
    assert recent
    assert not shown & recent
    assert shown & (bought - recent)
    assert set(ids(await trained.recommend("c2", placement_id="home", count=24))) & recent
    for odd in (Duration(seconds=-1), Duration(seconds=86_400 * 4_000)):
        assert await refused(save(trained, home(exclude_bought_within=odd), expected=1)) == "PLACEMENT_INVALID"


async def test_a_change_is_followed_by_the_next_list(trained: Client) -> None:
    await save(trained, home(filter=item_pb.ItemFilter(categories=["KIND 0"])))
    even = await trained.recommend("c1", placement_id="home")
    assert {int(each[1:]) % 2 for each in ids(even) if each != "unsold"} == {0}
    await save(trained, home(filter=item_pb.ItemFilter(categories=["KIND 1"])), expected=1)
    odd = await trained.recommend("c1", placement_id="home")
    assert {int(each[1:]) % 2 for each in ids(odd)} == {1}
    narrower = await trained.recommend("c1", placement_id="home", filter=named("i1", "i2", "i3"))
    assert set(ids(narrower)) <= {"i1", "i3"}


@pytest.fixture
async def with_vips(trained_settings: Settings, start: Start) -> AsyncIterator[Client]:
    async with open_store(trained_settings, memberships.COLLECTIONS) as store:
        await StoredMemberships(store).apply([Move("acme", "vip", "c1", entered=True)], "1")
    async with start() as client:
        yield client


async def test_conditions_ask_for_segment_and_context_and_traits_that_nobody_tells_are_none(with_vips: Client) -> None:
    vip = rule_pb2.Rule(segment=rule_pb2.SegmentCondition(segment_id="vip"))
    equals, text = rule_pb2.OPERATOR_EQUALS, [rule_pb2.Value(string_value="phone")]
    phone = rule_pb2.Rule(field=rule_pb2.Comparison(field="context.device", operator=equals, values=text))
    trait = rule_pb2.Rule(field=rule_pb2.Comparison(field="traits.device", operator=equals, values=text))
    controls = [
        pb.Control(control_id=name, effect=PIN, items=named(item), position=place, when=when)
        for name, item, place, when in (("v", "i0", 1, vip), ("p", "i2", 2, phone), ("t", "i4", 3, trait))
    ]
    await save(with_vips, home(controls=controls))

    async def pinned(who: str, **context: str) -> set[str]:
        found = await with_vips.recommend(who, placement_id="home", context=context)
        return {each.control_id for item in found.items for each in item.applied}

    assert await pinned("c1") == {"v"}
    assert await pinned("c3") == set()
    assert await pinned("c3", device="phone") == {"p"}
    assert await pinned("c1", device="phone") == {"v", "p"}


@pytest.mark.parametrize(
    ("scenario", "wish"),
    [
        (pb.SCENARIO_FOR_YOU, {"customer_id": "c1"}),
        (pb.SCENARIO_SIMILAR, {"item_ids": ["i3"]}),
        (pb.SCENARIO_BOUGHT_TOGETHER, {"item_ids": ["i3"]}),
        (pb.SCENARIO_COMPLEMENTS, {"item_ids": ["i3", "i5"]}),
        (pb.SCENARIO_POPULAR, {}),
        (pb.SCENARIO_TRENDING, {}),
        (pb.SCENARIO_REPLENISHMENTS, {"customer_id": "c1"}),
    ],
)
async def test_every_scenario_fills_a_list_without_what_was_asked_about(
    trained: Client, scenario: Any, wish: dict[str, Any]
) -> None:
    await save(trained, home(scenario))
    found = await trained.recommend(placement_id="home", count=8, **wish)
    assert len(set(ids(found))) == 8
    assert not set(ids(found)) & set(wish.get("item_ids", ()))
    assert all(item.reasons for item in found.items)


@pytest.mark.parametrize("scenario", [pb.SCENARIO_SIMILAR, pb.SCENARIO_COMPLEMENTS, pb.SCENARIO_REPLENISHMENTS])
async def test_a_list_about_something_that_is_not_named_is_refused(trained: Client, scenario: Any) -> None:
    await save(trained, home(scenario))
    assert await refused(trained.recommend(placement_id="home")) == "ITEM_NEEDED"


async def test_prices_and_attributes_filter_and_margins_lift(trained: Client) -> None:
    def priced(code: int, price: int, cost: int) -> item_pb.Item:
        return item_pb.Item(
            item_id=f"i{code}",
            price=money_pb2.Money(currency="USD", amount_minor=price),
            cost=money_pb2.Money(currency="USD", amount_minor=cost),
            attributes={"colour": "red" if code % 4 == 1 else "blue"},
        )

    items = [priced(code, 100 * code + 100, 10 if code == 9 else 100 * code + 100) for code in range(1, 24, 2)]
    upsert = service_pb.UpsertItemsRequest(request_id=new_id(), items=items)
    await trained.stub.UpsertItems(upsert, metadata=trained.metadata)
    price = item_pb.PriceRange(currency="USD", min_minor=400, max_minor=1600)
    red = [item_pb.AttributeValues(name="colour", values=["red", "green"])]
    wanted = item_pb.ItemFilter(price=price, attributes=red)
    await save(trained, home(filter=wanted, weights=pb.Weights(margin_bp=100_000)))
    found = await trained.recommend("c1", placement_id="home")
    assert ids(found)[0] == "i9"
    assert set(ids(found)) == {"i5", "i9", "i13"}
    other = item_pb.ItemFilter(price=item_pb.PriceRange(currency="EUR"))
    nothing = await trained.recommend("c1", filter=other)
    assert (ids(nothing), nothing.empty_reason) == ([], list_pb.EMPTY_REASON_NOTHING_ALLOWED)
