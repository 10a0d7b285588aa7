"""What is bought together, strictly and with fewer data, over gRPC."""

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from tessera.recommendation.v1 import item_pb2 as item_pb
from tessera.recommendation.v1 import recommendation_list_pb2 as list_pb

from services.recommendation.adapters.interactions import Lines
from services.recommendation.app import Settings
from services.recommendation.domain.item import Item
from tests.recommendation.client import Client, ids, reason_of
from tests.recommendation.conftest import Start, record
from tests.recommendation.making import DAY, NOW

STRICT, RELAXED = list_pb.TOGETHER_VARIANT_STRICT, list_pb.TOGETHER_VARIANT_RELAXED
AUTOMATIC = list_pb.TOGETHER_VARIANT_AUTOMATIC


def variants(answer: list_pb.RecommendationList) -> list["list_pb.TogetherVariant.ValueType"]:
    return [item.reasons[0].association.variant for item in answer.items]


def apart() -> Lines:
    """Ten customers buy a tent and, two days later, a stove; twenty buy a pan alone; nobody has two in a basket."""
    pair = (("tent", 50), ("stove", 48))
    bought = [(f"c{who}", item, NOW - age * DAY) for who in range(10) for item, age in pair]
    bought += [(f"p{who}", "pan", NOW - 20 * DAY) for who in range(20)]
    customers, items, times = (list(column) for column in zip(*bought, strict=True))
    count = len(bought)
    baskets = [f"b{each}" for each in range(count)]
    return Lines(
        ["acme"] * count, customers, [], baskets, items, times, [1.0] * count, [100] * count, ["USD"] * count
    )  # fmt: skip


CAMP = [
    Item("tent", "Tent", ("OUTDOOR", "TENTS")),
    Item("dome", "Dome", ("OUTDOOR", "TENTS")),
    Item("stove", "Stove", ("OUTDOOR", "STOVES")),
    Item("pan", "Pan", ("KITCHEN",)),
]


async def test_the_relaxed_variant_needs_no_model_and_no_shared_basket(settings: Settings, start: Start) -> None:
    await record(settings, apart())
    async with start() as client:
        await client.upsert(CAMP)
        assert (await client.together("tent")).empty_reason == list_pb.EMPTY_REASON_NO_MODEL
        found = await client.together("tent", variant=RELAXED)
        assert ids(found) == ["stove"]
        assert found.relaxed_reason == list_pb.RELAXED_REASON_ASKED
        figures = found.items[0].reasons[0].association
        assert (figures.basket_count, figures.variant) == (10, RELAXED)
        assert (figures.support, figures.confidence, figures.lift) == pytest.approx((10 / 30, 1.0, 3.0))
        assert figures.leverage == pytest.approx(10 / 30 - 1 / 9)
        assert 1 < figures.smoothed_lift <= 3
        assert found.items[0].score == pytest.approx(found.items[0].reasons[0].score)

        automatic = await client.together("tent", variant=AUTOMATIC)
        assert (ids(automatic), automatic.relaxed_reason) == (["stove"], list_pb.RELAXED_REASON_NO_MODEL)
        # Nobody bought the dome: it is answered with what its category is bought with.
        assert ids(await client.together("dome", variant=AUTOMATIC)) == ["stove"]
        # Within a day of the tent nobody bought anything else.
        narrow = await client.together("tent", variant=RELAXED, window_duration=Duration(seconds=86_400))
        assert (ids(narrow), narrow.empty_reason) == ([], list_pb.EMPTY_REASON_NOTHING_RELATED)
        kitchen = item_pb.ItemFilter(categories=["KITCHEN"])
        assert ids(await client.together("tent", variant=RELAXED, filter=kitchen)) == []


async def test_what_the_strict_variant_lacks_is_filled_behind_it_and_the_answer_says_so(trained: Client) -> None:
    strict = await trained.together("i1", count=100)
    assert set(variants(strict)) == {STRICT}
    assert strict.relaxed_reason == list_pb.RELAXED_REASON_UNSPECIFIED
    filled = await trained.together("i1", count=100, variant=AUTOMATIC)
    assert ids(filled)[: len(strict.items)] == ids(strict)
    assert filled.relaxed_reason == list_pb.RELAXED_REASON_FEW_PARTNERS
    assert variants(filled) == sorted(variants(filled))
    scores = [item.score for item in filled.items]
    assert scores == sorted(scores, reverse=True)
    assert len(set(ids(filled))) == len(ids(filled))
    assert "i1" not in ids(filled)
    enough = await trained.together("i1", count=2, variant=AUTOMATIC)
    assert (variants(enough), enough.relaxed_reason) == ([STRICT, STRICT], list_pb.RELAXED_REASON_UNSPECIFIED)


async def test_an_item_without_strict_partners_is_answered_by_its_category(trained: Client) -> None:
    assert ids(await trained.together("unsold")) == []
    found = await trained.together("unsold", variant=AUTOMATIC)
    assert found.relaxed_reason == list_pb.RELAXED_REASON_NO_PARTNERS
    assert found.items
    assert set(variants(found)) == {RELAXED}
    # Items of one kind are bought by the same customers: those of the other kind are not bought with it.
    assert all(int(each[1:]) % 2 == 0 for each in ids(found))


async def test_bad_variants_windows_and_items_are_refused(trained: Client) -> None:
    for wish, reason in (
        ({"window_duration": Duration(seconds=60)}, "WINDOW_INVALID"),
        ({"window_duration": Duration(seconds=91 * 86_400)}, "WINDOW_INVALID"),
        ({"variant": 9}, "FIELD_INVALID"),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await trained.together("i1", **wish)
        assert reason_of(refused.value) == reason
    with pytest.raises(grpc.aio.AioRpcError) as missing:
        await trained.together("no such item", variant=RELAXED)
    assert reason_of(missing.value) == "ITEM_NOT_FOUND"
