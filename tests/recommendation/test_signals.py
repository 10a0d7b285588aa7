"""Views and carts beside purchases: recorded, weighed, learnt from, and gone with the person."""

import asyncio
import json
from dataclasses import replace
from datetime import UTC, datetime

import grpc
import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from google.protobuf.timestamp_pb2 import Timestamp
from tessera.profiles.v1 import profiles_service_pb2 as profiles_pb
from tessera.recommendation.v1 import personal_data_pb2 as personal_pb
from tessera.recommendation.v1 import recommendation_list_pb2 as list_pb
from tessera.recommendation.v1 import training_settings_pb2 as pb

from services.common.columnar import open_columnar
from services.recommendation.adapters.events import told_of
from services.recommendation.adapters.interactions import TABLES, ColumnarInteractions, Lines, Moved, Shows
from services.recommendation.app import Settings
from services.recommendation.domain.history import History
from services.recommendation.domain.signals import PURCHASES_ALONE, FeedbackWeights, SignalKind
from services.recommendation.domain.taste import taste_of
from services.recommendation.domain.training_settings import TrainingSettings
from services.recommendation.handlers.retention import forget_old_signals
from services.recommendation.learning.purchases import Purchases
from services.recommendation.learning.selection import Wanted, select
from services.recommendation.learning.signals import Signals
from services.recommendation.ports import Request
from tests.recommendation.client import Client, kinds, reason_of
from tests.recommendation.conftest import Start
from tests.recommendation.making import DAY, NOW, TENANT, shop

HALF = FeedbackWeights(0.5, 1.0, 10.0)


def told(name: str, properties: str, customer: str = "ann") -> profiles_pb.FollowChangesResponse:
    event = profiles_pb.RecordedEvent(
        message_id="m",
        name=name,
        customer_id=customer,
        event_time=Timestamp(seconds=7, nanos=9_000),
        properties_json=properties,
    )
    return profiles_pb.FollowChangesResponse(
        cursor="5", changes=[profiles_pb.Change(tenant_id=TENANT, event_recorded=event)]
    )


@pytest.mark.parametrize(
    ("name", "kind"),
    [("Product Viewed", 1), ("Product Clicked", 1), ("Product Added", 2), ("Product Added to Wishlist", 2)],
)
def test_what_is_looked_at_or_put_into_a_cart_is_a_signal(name: str, kind: int) -> None:
    shows = told_of(told(name, '{"product_id": "tea", "price": 3}')).shows
    assert (shows.customer_id, shows.item_id, shows.kind, shows.time) == (["ann"], ["tea"], [kind], [7_000_009])


@pytest.mark.parametrize("properties", ["{", "[]", '{"sku": "t-1"}', '{"product_id": 7}', '{"product_id": ""}'])
def test_what_names_no_product_says_nothing_and_holds_up_nothing(properties: str) -> None:
    assert told_of(told("Product Viewed", properties)).shows == Shows()


def signals(*rows: tuple[int, int, SignalKind, float]) -> Signals:
    """Of (customer, item, kind, days ago)."""
    customers, items, kinds, ages = zip(*rows, strict=True)
    return Signals(
        np.array(customers, np.int32), np.array(items, np.int32), np.array(kinds, np.int8), np.array(ages, np.float32)
    )


def test_a_signal_counts_by_its_kind_and_half_after_its_half_life() -> None:
    given = signals((0, 1, SignalKind.VIEW, 0.0), (0, 1, SignalKind.VIEW, 10.0), (1, 0, SignalKind.CART, 20.0))
    assert given.weighed(HALF, (2, 2)).toarray().tolist() == [[0.0, 0.75], [0.25, 0.0]]
    assert not given.weighed(PURCHASES_ALONE, (2, 2)).nnz
    # As it looked five days ago: what came since had not happened yet.
    assert given.before(5.0).weighed(HALF, (2, 2)).toarray() == pytest.approx(
        np.array([[0, 0.5 * 2**-0.5], [0.3535534, 0]])
    )


def undecided(views_tell: bool) -> Purchases:
    """A shop where nobody's purchases say of which kind they are: what they look at does, or does not either."""
    random = np.random.default_rng(3)
    customers, items, ages, rows = [], [], [], []
    for customer in range(120):
        for age in (80.0, 70.0, 60.0, 50.0):
            customers.append(customer)
            items.append(int(random.integers(0, 40)))
            ages.append(age)
        looked = np.arange(customer % 4, 40, 4) if views_tell else np.arange(40)
        for item in random.permutation(looked)[:6]:
            rows.append((customer, int(item), SignalKind.VIEW, 45.0))
        for item in random.permutation(np.arange(customer % 4, 40, 4))[:3]:
            customers.append(customer)
            items.append(int(item))
            ages.append(5.0)
    count = len(items)
    codes = (np.array(customers, np.int32), np.arange(count, dtype=np.int32), np.array(items, np.int32))
    return Purchases(*codes, np.array(ages, np.float32), 120, count, 40, signals=signals(*rows))


def test_views_that_tell_what_is_bought_next_are_weighed_and_lists_get_better() -> None:
    purchases, wanted = undecided(views_tell=True), Wanted(dimensions=8, half_life_days=180.0)
    chosen = select(purchases, wanted, None, 1, lambda share, step: None)
    alone = select(purchases, replace(wanted, feedback=PURCHASES_ALONE), None, 1, lambda share, step: None)
    assert chosen.recipe.feedback.any
    assert alone.recipe.feedback == PURCHASES_ALONE
    assert chosen.metrics["model.new.ndcg_at_20"] > 1.2 * alone.metrics["model.new.ndcg_at_20"]


def test_views_are_left_out_where_lists_are_as_good_without_them() -> None:
    chosen = select(undecided(views_tell=False), Wanted(8, 180.0), None, 1, lambda *_: None)
    assert chosen.recipe.feedback == PURCHASES_ALONE


def test_what_is_fixed_by_the_tenant_is_kept() -> None:
    chosen = select(undecided(views_tell=False), Wanted(8, 180.0, feedback=HALF), None, 1, lambda share, step: None)
    assert chosen.recipe.feedback == HALF


def test_a_taste_holds_what_was_bought_and_what_was_only_looked_at() -> None:
    codes, ones = np.array([4, 2], np.int32), np.ones(2, np.float32)
    history = History(codes, ones, codes, interests=np.array([2, 9], np.int32), interest_weights=ones)
    taste = taste_of(history, (7,))
    assert taste is not None
    assert taste.rows.tolist() == [4, 2, 9, 7]
    assert taste.viewed.tolist() == [False, False, True, True]
    assert taste.shares.tolist() == pytest.approx(
        [0.3 * each / np.log(12) for each in np.log([2, 3, 2])] + [0.7], rel=1e-5
    )


def shows(customer: str, *items: str, age_days: float = 1.0) -> Shows:
    count = len(items)
    return Shows(
        [TENANT] * count, [customer] * count, [customer] * count, list(items), [1] * count,
        [NOW - int(age_days * DAY)] * count,
    )  # fmt: skip


async def save(client: Client, request_id: str, **settings: object) -> pb.TrainingSettings:
    request = pb.SaveTrainingSettingsRequest(request_id=request_id, settings=pb.TrainingSettings(**settings))  # type: ignore[arg-type]
    return (await client.stub.SaveTrainingSettings(request, metadata=client.metadata)).settings


async def get(client: Client) -> pb.TrainingSettings:
    request = pb.GetTrainingSettingsRequest()
    return (await client.stub.GetTrainingSettings(request, metadata=client.metadata)).settings


async def exported(client: Client, customer: str) -> list[dict[str, object]]:
    request = personal_pb.ExportCustomerDataRequest(customer_id=customer)
    return [
        {"kind": each.kind, **json.loads(each.json)}
        async for page in client.stub.ExportCustomerData(request, metadata=client.metadata)
        for each in page.records
    ]


async def test_whoever_only_looked_gets_a_list_of_their_own_from_the_next_training_on(
    trained_settings: Settings, start: Start
) -> None:
    async with open_columnar(trained_settings, TABLES) as columnar:
        interactions = ColumnarInteractions(columnar)
        await interactions.record(Lines(), "2", None, shows("visitor", "i2", "i4", "i6", "nothing we sell"))
    async with start() as client:
        assert kinds(await client.recommend("visitor", count=4)) == {list_pb.REASON_KIND_POPULAR}
        weights = pb.FeedbackWeights(view_bp=5_000, cart_bp=8_000, half_life_duration=Duration(seconds=20 * 86_400))
        await save(client, "weights", feedback_weights=weights)
        await client.train(dimensions=2, min_basket_count=2, accept_worse=True)
        model = (await client.status()).live_model
        assert (model.feedback_weights, model.signal_count) == (weights, 3)
        assert model.customer_count == shop().purchases.customer_count  # of those who bought
        answer = await client.recommend("visitor", count=4)
        assert kinds(answer) == {list_pb.REASON_KIND_SIMILAR_TO_VIEWED}
        assert all(int(item.item_id[1:]) % 2 == 0 for item in answer.items)
        assert {source for item in answer.items for source in item.reasons[0].source_item_ids} <= {"i2", "i4", "i6"}
        records = await exported(client, "visitor")
        assert [record["kind"] for record in records] == ["interest"] * 4 + ["model_history"]
        assert {"kind": "interest", "product": "i2", "what": "view"}.items() <= records[0].items()


async def test_signals_follow_merges_and_go_with_the_person(settings: Settings) -> None:
    async with open_columnar(settings, TABLES) as columnar:
        interactions = ColumnarInteractions(columnar)
        for _ in range(2):  # the same batch again changes nothing
            await interactions.record(Lines(), "1", None, shows("ann", "tea", "milk"))
        await interactions.record(Lines(), "2", Moved(owners={(TENANT, "ann"): "bob"}))
        assert (await interactions.signals(TENANT))["customer_id"].to_pylist() == ["bob", "bob"]
        assert await interactions.signal_count_of(TENANT, ["ann"]) == 2
        await interactions.record(Lines(), "3", Moved(erased={(TENANT, "ann")}))
        assert await interactions.signal_count_of(TENANT, ["ann", "bob"]) == 0


async def test_a_day_of_looking_at_an_item_counts_once(settings: Settings) -> None:
    async with open_columnar(settings, TABLES) as columnar:
        interactions = ColumnarInteractions(columnar)
        await interactions.record(Lines(), "1", None, shows("ann", *["tea"] * 50))
        await interactions.record(Lines(), "2", None, shows("ann", "tea", age_days=3))
        assert (await interactions.signals(TENANT)).num_rows == 2
        assert (await interactions.signals("another")).num_rows == 0


class Wishes:
    """What tenants want, in memory."""

    def __init__(self, **days: float) -> None:
        self._days = days

    async def get(self, tenant: str) -> TrainingSettings:
        return TrainingSettings(signal_retention_days=self._days.get(tenant, 0.0))

    async def put(self, request: Request, settings: TrainingSettings) -> None:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("longest", "wanted", "left"),
    [(0, 0, [1, 30, 90]), (40, 0, [1, 30]), (40, 7, [1]), (40, 400, [1, 30]), (0, 40, [1, 30])],
)
async def test_views_and_carts_are_kept_as_long_as_the_tenant_and_the_service_want(
    settings: Settings, longest: float, wanted: float, left: list[int]
) -> None:
    async with open_columnar(settings, TABLES) as columnar:
        interactions = ColumnarInteractions(columnar)
        for age in (1, 30, 90):
            rows = shows("ann", *(f"i{item}" for item in range(5)), age_days=age)
            rows.time = [time + at for at, time in enumerate(rows.time)]
            await interactions.record(Lines(), str(age), None, rows)
        await interactions.record(Lines(), "rival", None, replace(shows("ann", "tea", age_days=90), tenant=["rival"]))
        wishes = Wishes(**{TENANT: wanted, "rival": 0.0})
        # Two rows at once: more than one batch, bounded.
        gone = await forget_old_signals(interactions, wishes, longest, NOW, at_once=2)
        kept = await interactions.signals(TENANT)
        assert sorted({round((NOW - time) / DAY) for time in kept["time"].to_pylist()}) == left
        assert gone.get(TENANT, 0) == 15 - 5 * len(left)
        assert (await interactions.signals("rival")).num_rows == (0 if longest else 1)
        assert await forget_old_signals(interactions, wishes, longest, NOW) == {}


async def test_a_server_deletes_what_its_tenant_wants_to_keep_no_longer(settings: Settings, start: Start) -> None:
    now = datetime.fromtimestamp(NOW / 1_000_000, UTC)
    async with open_columnar(settings, TABLES) as columnar:
        interactions = ColumnarInteractions(columnar)
        await interactions.record(Lines(), "1", None, shows("ann", "tea", age_days=20))
        await interactions.record(Lines(), "2", None, shows("ann", "milk", age_days=2))
    async with start(lambda: now) as client:
        saved = await save(client, "short", signal_retention_duration=Duration(seconds=10 * 86_400))
        assert saved.signal_retention_duration.seconds == 10 * 86_400
    async with start(lambda: now) as client, asyncio.timeout(60):
        while True:
            if [each["product"] for each in await exported(client, "ann")] == ["milk"]:
                break
            await asyncio.sleep(0.05)


async def test_settings_are_kept_each_tenants_own_and_a_replay_answers_as_before(empty: Client) -> None:
    assert await get(empty) == pb.TrainingSettings()
    first = await save(empty, "one", half_life_duration=Duration(seconds=40 * 86_400))
    assert first.half_life_duration.seconds == 40 * 86_400
    assert not first.HasField("feedback_weights")
    second = await save(empty, "two", feedback_weights=pb.FeedbackWeights(cart_bp=2_000))
    assert second.feedback_weights.half_life_duration.seconds == 30 * 86_400
    assert await save(empty, "one", half_life_duration=Duration(seconds=40 * 86_400)) == first
    assert await get(empty) == second
    assert await get(empty.of("another")) == pb.TrainingSettings()


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"half_life_duration": Duration(seconds=5)}, "HALF_LIFE_INVALID"),
        ({"signal_retention_duration": Duration(seconds=5)}, "RETENTION_INVALID"),
        ({"signal_retention_duration": Duration()}, "RETENTION_INVALID"),
        ({"feedback_weights": pb.FeedbackWeights(half_life_duration=Duration(seconds=5))}, "FEEDBACK_WEIGHTS_INVALID"),
        ({"feedback_weights": pb.FeedbackWeights(view_bp=10_001)}, "FIELD_INVALID"),
    ],
)
async def test_settings_that_no_model_can_be_made_with_are_refused(
    empty: Client, settings: dict[str, object], reason: str
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await save(empty, "bad", **settings)
    assert reason_of(refused.value) == reason
    assert await get(empty) == pb.TrainingSettings()
