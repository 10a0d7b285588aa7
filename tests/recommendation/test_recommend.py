"""Lists and their reasons, over gRPC, from a model with a known answer."""

from dataclasses import replace

import pandas as pd
import pytest
from tessera.recommendation.v1 import item_pb2 as item_pb
from tessera.recommendation.v1 import recommendation_list_pb2 as list_pb

from services.recommendation.app import Settings
from tests.recommendation.client import Client, ids, kinds
from tests.recommendation.conftest import Start, record
from tests.recommendation.making import NOW, Shop, catalogue, shop

LINES = pd.DataFrame(
    {
        "customer": [f"c{code}" for code in shop().customers],
        "basket": shop().baskets,
        "item": [f"i{code}" for code in shop().items],
    }
).drop_duplicates(["basket", "item"])


def bought_by(customer_id: str) -> dict[str, int]:
    """In how many baskets each item was, counted from the lines."""
    own = LINES[LINES.customer == customer_id]
    return {str(item): int(count) for item, count in own.groupby("item").size().items()}


def check_scores(answer: list_pb.RecommendationList) -> None:
    scores = [item.score for item in answer.items]
    assert scores == sorted(scores, reverse=True)
    assert len(set(ids(answer))) == len(answer.items)
    for item in answer.items:
        assert item.reasons
        assert all(reason.kind and reason.score >= 0 for reason in item.reasons)
        assert item.score == pytest.approx(sum(reason.score for reason in item.reasons))


async def test_a_customer_is_offered_what_they_buy_with_the_number_of_times(trained: Client) -> None:
    answer = await trained.recommend("c1", count=5)
    check_scores(answer)
    own = bought_by("c1")
    for item in answer.items:
        before = [reason for reason in item.reasons if reason.kind == list_pb.REASON_KIND_BOUGHT_BEFORE]
        assert [reason.purchase_count for reason in before] == [own[item.item_id]]
    assert answer.customer_id == "c1"
    assert answer.model_version == (await trained.status()).live_model.model_version


async def test_without_what_was_bought_new_items_of_the_same_kind_come_with_their_sources(trained: Client) -> None:
    answer = await trained.recommend("c1", count=3, exclude_bought=True)
    check_scores(answer)
    own = bought_by("c1")
    for item in answer.items:
        assert item.item_id not in own
        assert int(item.item_id[1:]) % 2 == 1
        (reason,) = item.reasons
        assert reason.kind == list_pb.REASON_KIND_SIMILAR_TO_BOUGHT
        assert 1 <= len(reason.source_item_ids) <= 3
        assert set(reason.source_item_ids) <= set(own)


async def test_a_visitor_is_served_by_what_they_look_at(trained: Client) -> None:
    answer = await trained.recommend(session_item_ids=["i2", "gone", "i6"], count=5)
    check_scores(answer)
    assert all(int(item_id[1:]) % 2 == 0 for item_id in ids(answer))
    assert not {"i2", "i6"} & set(ids(answer))
    assert kinds(answer) == {list_pb.REASON_KIND_SIMILAR_TO_VIEWED}
    assert {source for item in answer.items for source in item.reasons[0].source_item_ids} == {"i2", "i6"}


async def test_a_session_outweighs_what_the_customer_bought(trained: Client) -> None:
    answer = await trained.recommend("c1", session_item_ids=["i2", "i6"], count=3, exclude_bought=True)
    check_scores(answer)
    assert all(int(item_id[1:]) % 2 == 0 for item_id in ids(answer))


async def test_an_unknown_customer_is_offered_what_is_popular(trained: Client) -> None:
    stranger = await trained.recommend("stranger", count=8)
    check_scores(stranger)
    assert kinds(stranger) == {list_pb.REASON_KIND_POPULAR}
    lines = LINES.assign(age=shop().ages_days[LINES.index])
    buyers = lines[lines.age <= 28].groupby("item").customer.nunique()
    assert [item.reasons[0].purchase_count for item in stranger.items] == sorted(buyers, reverse=True)[:8]
    assert ids(await trained.recommend(count=8)) == ids(stranger)


async def test_a_list_is_filled_up_with_popular_items_below_the_rest(trained: Client) -> None:
    answer = await trained.recommend(
        "c1", count=24, filter=item_pb.ItemFilter(categories=["KIND 0"]), exclude_bought=True
    )
    check_scores(answer)
    assert all(int(item_id[1:]) % 2 == 0 for item_id in ids(answer))


async def test_a_batch_answers_for_each_what_one_call_answers(trained: Client) -> None:
    asked = ["c1", "c2", "stranger", "c1"]
    for wish in (
        {"count": 5},
        {"count": 5, "exclude_bought": True},
        {"filter": item_pb.ItemFilter(categories=["KIND 1"])},
    ):
        answers = await trained.batch_recommend(*asked, **wish)
        assert [answer.customer_id for answer in answers] == asked
        for customer_id, answer in zip(asked, answers, strict=True):
            alone = await trained.recommend(customer_id, **wish)
            assert ids(answer) == ids(alone)
            assert [item.score for item in answer.items] == pytest.approx([item.score for item in alone.items])


async def test_filters_hold_for_every_list(trained: Client) -> None:
    out, hidden = replace(catalogue()[3], out_of_stock=True), replace(catalogue()[5], hidden=True)
    await trained.upsert([out, hidden])
    for answer in (await trained.recommend("c1", count=100), await trained.similar("i1", count=100)):
        assert not {"i3", "i5"} & set(ids(answer))
    wanted = item_pb.ItemFilter(categories=["KIND 1"], excluded_item_ids=["i9"], include_out_of_stock=True)
    found = ids(await trained.recommend("c1", count=100, filter=wanted))
    assert set(found) == {f"i{code}" for code in range(1, Shop.item_count, 2)} - {"i5", "i9"}
    only = item_pb.ItemFilter(item_ids=["i1", "i2", "nothing"], brands=["Own"])
    assert set(ids(await trained.recommend("c1", filter=only))) == {"i1", "i2"}


async def test_a_filter_that_leaves_nothing_is_answered_with_the_reason(trained: Client) -> None:
    nothing = item_pb.ItemFilter(brands=["None"])
    for answer in (await trained.recommend("c1", filter=nothing), await trained.similar("i1", filter=nothing)):
        assert (ids(answer), answer.empty_reason) == ([], list_pb.EMPTY_REASON_NOTHING_ALLOWED)
    bought = item_pb.ItemFilter(item_ids=list(bought_by("c1")))
    answer = await trained.recommend("c1", filter=bought, exclude_bought=True)
    assert (ids(answer), answer.empty_reason) == ([], list_pb.EMPTY_REASON_NOTHING_ALLOWED)


async def test_similar_items_are_of_the_same_kind(trained: Client) -> None:
    answer = await trained.similar("i4", count=8)
    check_scores(answer)
    assert all(int(item_id[1:]) % 2 == 0 and item_id != "i4" for item_id in ids(answer))
    assert {tuple(item.reasons[0].source_item_ids) for item in answer.items} == {("i4",)}


async def test_an_item_that_nobody_bought_is_answered_with_what_is_popular_in_its_category(trained: Client) -> None:
    answer = await trained.similar("unsold", count=5)
    check_scores(answer)
    assert kinds(answer) == {list_pb.REASON_KIND_POPULAR}
    assert all(int(item_id[1:]) % 2 == 0 for item_id in ids(answer))
    together = await trained.together("unsold")
    assert (ids(together), together.empty_reason) == ([], list_pb.EMPTY_REASON_NOTHING_RELATED)


async def test_bought_together_has_the_figures_that_pandas_counts(trained: Client) -> None:
    answer = await trained.together("i4", count=100)
    check_scores(answer)
    baskets = LINES.groupby("item").basket.nunique()
    total = LINES.basket.nunique()
    own = LINES[LINES.item == "i4"].basket
    both = LINES[LINES.basket.isin(own) & (LINES.item != "i4")].groupby("item").size()
    assert set(ids(answer)) == set(both[both >= 2].index)
    for item in answer.items:
        (reason,) = item.reasons
        figures, count = reason.association, int(both[item.item_id])
        assert (reason.kind, list(reason.source_item_ids)) == (list_pb.REASON_KIND_BOUGHT_TOGETHER, ["i4"])
        assert figures.basket_count == count
        assert figures.support == count / total
        assert figures.confidence == count / baskets["i4"]
        assert figures.lift == pytest.approx(figures.confidence / (baskets[item.item_id] / total), rel=1e-12)
        assert figures.leverage == pytest.approx(figures.support * (1 - 1 / figures.lift))
    expected = sorted(ids(answer), key=lambda it: (-both[it] / (baskets["i4"] * baskets[it]) ** 0.5, -both[it], it))
    assert ids(answer) == expected


async def test_what_was_bought_after_the_training_counts_at_once(trained_settings: Settings, start: Start) -> None:
    fresh = shop().lines
    for column in ("tenant", "customer_id", "basket_id", "item_id", "time", "quantity", "amount_minor", "currency"):
        del getattr(fresh, column)[2:]
    fresh.customer_id[:], fresh.basket_id[:], fresh.time[:] = ["newcomer"] * 2, ["fresh"] * 2, [NOW] * 2
    fresh.item_id[:] = ["i2", "i6"]
    await record(trained_settings, fresh, "2")
    async with start() as client:
        answer = await client.recommend("newcomer", count=8, exclude_bought=True)
        check_scores(answer)
        assert not {"i2", "i6"} & set(ids(answer))
        assert all(int(item_id[1:]) % 2 == 0 for item_id in ids(answer))
        again = await client.recommend("newcomer", count=2)
        assert {reason.purchase_count for reason in again.items[0].reasons if reason.purchase_count} == {1}
        assert set(ids(again)) == {"i2", "i6"}


async def test_with_nothing_learnt_the_newest_items_are_answered(empty: Client) -> None:
    assert (await empty.recommend("c1")).empty_reason == list_pb.EMPTY_REASON_CATALOGUE_EMPTY
    await empty.upsert(catalogue())
    answer = await empty.recommend("c1", session_item_ids=["unsold"], count=3)
    check_scores(answer)
    assert kinds(answer) == {list_pb.REASON_KIND_NEW}
    assert ids(answer) == ["i23", "i22", "i21"]
    assert (await empty.together("i1")).empty_reason == list_pb.EMPTY_REASON_NO_MODEL


async def test_before_the_first_training_what_sells_is_answered(start: Start, settings: Settings) -> None:
    await record(settings, shop().lines)
    async with start() as client:
        await client.upsert(catalogue())
        answer = await client.recommend("c1", count=6)
        check_scores(answer)
        assert (kinds(answer), answer.model_version) == ({list_pb.REASON_KIND_POPULAR}, "")
        unbought = await client.recommend("c1", count=24, exclude_bought=True)
        assert not set(bought_by("c1")) & set(ids(unbought))
        assert all(int(item_id[1:]) % 2 == 0 for item_id in ids(await client.similar("i4", count=5)))
