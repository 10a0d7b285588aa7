"""Merges, their undoing and erasures: what is held of a person follows the person, and goes when it must."""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from tessera.profiles.v1 import erasure_pb2
from tessera.profiles.v1 import profiles_service_pb2 as profiles_pb
from tessera.recommendation.v1 import personal_data_pb2 as pb

from services.common.clock import system_clock
from services.common.columnar import Columnar, open_columnar
from services.common.erasure import ACKNOWLEDGEMENTS, Acknowledgements
from services.common.store import Store, open_store
from services.recommendation.adapters import memberships, open_lists
from services.recommendation.adapters import models as model_store
from services.recommendation.adapters.events import told_of
from services.recommendation.adapters.feedback import ColumnarFeedback
from services.recommendation.adapters.forgetting import Forgetting
from services.recommendation.adapters.interactions import TABLES, ColumnarInteractions, Moved
from services.recommendation.adapters.memberships import StoredMemberships
from services.recommendation.adapters.models import StoredModels
from services.recommendation.adapters.open_lists import StoredOpenLists
from services.recommendation.app import Settings
from tests.recommendation.client import Client, ids
from tests.recommendation.conftest import Start
from tests.recommendation.making import TENANT, shop
from tests.recommendation.test_interactions import batch, order


def merged(into: str, gone: str, *origins: str) -> profiles_pb.Change:
    told = profiles_pb.CustomersMerged(customer_id=into, merged_customer_id=gone, origin_customer_ids=[gone, *origins])
    return profiles_pb.Change(tenant_id=TENANT, customers_merged=told)


def parted(of: str, restored: str) -> profiles_pb.Change:
    told = profiles_pb.CustomersUnmerged(customer_id=of, restored_customer_id=restored, origin_customer_ids=[restored])
    return profiles_pb.Change(tenant_id=TENANT, customers_unmerged=told)


def erased(customer: str, *origins: str) -> profiles_pb.Change:
    told = profiles_pb.CustomerErased(
        erasure_id="e1", customer_id=customer, origin_customer_ids=[customer, *origins], pseudonym="p"
    )
    return profiles_pb.Change(tenant_id=TENANT, customer_erased=told)


def change(cursor: str, *changes: profiles_pb.Change) -> profiles_pb.FollowChangesResponse:
    return profiles_pb.FollowChangesResponse(cursor=cursor, changes=changes)


def bought(cursor: str, customer: str, item: str) -> profiles_pb.FollowChangesResponse:
    return batch(cursor, (customer, order(f"o{cursor}", {"product_id": item, "price": 2.0})))


class Follower:
    """Applies batches as the service does."""

    def __init__(self, interactions: ColumnarInteractions, erase: Any) -> None:
        self.interactions, self._erase = interactions, erase

    async def apply(self, *batches: profiles_pb.FollowChangesResponse) -> None:
        for told in map(told_of, batches):
            for each in told.erased:
                await self._erase(each)
        for given in batches:
            told = told_of(given)
            await self.interactions.record(told.lines, given.cursor, told.moved)

    async def items(self, customer: str, position: int = 0) -> list[str]:
        found = await self.interactions.bought_since(TENANT, position, [customer])
        return sorted(line.item_id for line in found.get(customer, []))


@pytest.fixture
async def columnar(settings: Settings) -> AsyncIterator[Columnar]:
    async with open_columnar(settings, TABLES) as opened:
        yield opened


@pytest.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    collections = (ACKNOWLEDGEMENTS, *model_store.COLLECTIONS, *memberships.COLLECTIONS, *open_lists.COLLECTIONS)
    async with open_store(settings, collections) as opened:
        yield opened


@pytest.fixture
def follower(settings: Settings, columnar: Columnar, store: Store) -> Follower:
    interactions, clock = ColumnarInteractions(columnar), system_clock
    models = StoredModels(store, interactions, settings.data_dir / "recommendation-models", clock)

    async def unheard(*_: object, **__: object) -> None:
        raise AssertionError("nobody sends in this test")

    told = Acknowledgements(store, "recommendation", unheard, erasure_pb2.AcknowledgeErasureRequest, clock)
    return Follower(
        interactions,
        Forgetting(
            store,
            interactions,
            models,
            StoredMemberships(store),
            ColumnarFeedback(columnar),
            StoredOpenLists(store, system_clock),
            told,
        ),
    )


async def test_purchases_move_with_a_merge_and_back_with_its_undoing(follower: Follower) -> None:
    await follower.apply(bought("1", "ann", "milk"), bought("2", "bob", "tea"))
    await follower.apply(change("3", merged("ann", "bob")))
    assert (await follower.items("ann"), await follower.items("bob")) == (["milk", "tea"], [])
    # Those who learnt before the merge are told all that is the customer's now.
    assert await follower.items("ann", position=2) == ["milk", "tea"]
    assert await follower.interactions.moved_since(TENANT, 2) == {"ann", "bob"}
    assert await follower.interactions.moved_since(TENANT, 3) == set()
    await follower.apply(change("4", parted("ann", "bob")))
    assert (await follower.items("ann"), await follower.items("bob")) == (["milk"], ["tea"])


async def test_purchases_under_the_name_of_a_merged_customer_go_back_too(follower: Follower) -> None:
    later = bought("2", "ann", "tea")
    later.changes[0].event_recorded.origin_customer_id = "bob"
    await follower.apply(change("1", merged("ann", "bob")), later, change("3", parted("ann", "bob")))
    assert (await follower.items("ann"), await follower.items("bob")) == ([], ["tea"])


async def test_nothing_of_an_erased_person_stays_and_that_is_acknowledged(follower: Follower, store: Store) -> None:
    await follower.apply(bought("1", "ann", "milk"), bought("2", "bob", "tea"), bought("3", "cat", "hat"))
    await follower.apply(change("4", merged("ann", "bob")))
    last = change("5", *bought("5", "ann", "gin").changes, erased("ann", "bob"))
    for _ in range(2):  # delivered again, it changes nothing
        await follower.apply(last)
    assert await follower.interactions.count(TENANT) == 1
    assert await follower.items("cat") == ["hat"]
    (kept,) = (await store.get_many("*", ACKNOWLEDGEMENTS, [f"{TENANT}:e1"])).values()
    assert kept.body["removed"] == [["purchase", 2, 1]]
    assert kept.body["due"] is not None


async def test_a_customer_who_is_erased_is_a_stranger_to_the_live_model(
    trained_settings: Settings, start: Start
) -> None:
    async with start() as client:
        before = ids(await client.recommend("c1", count=5))
        stranger = ids(await client.recommend("nobody", count=5))
        assert before != stranger
    async with open_columnar(trained_settings, TABLES) as columnar:
        interactions = ColumnarInteractions(columnar)
        told = told_of(change("2", erased("c1")))
        await interactions.record(told.lines, "2", told.moved)
    async with start() as client:
        assert ids(await client.recommend("c1", count=5)) == stranger


async def test_a_merged_customer_is_recommended_by_all_that_both_bought(
    trained_settings: Settings, start: Start
) -> None:
    async with open_columnar(trained_settings, TABLES) as columnar:
        told = told_of(change("2", merged("c0", "c1")))
        await ColumnarInteractions(columnar).record(told.lines, "2", told.moved)
    async with start() as client:
        answer = await client.recommend("c0", count=24)
        kinds = {int(item.item_id[1:]) % 2 for item in answer.items for reason in item.reasons if reason.purchase_count}
        assert kinds == {0, 1}
        assert ids(await client.recommend("c1", count=5)) == ids(await client.recommend("nobody", count=5))


async def exported(client: Client, customer: str, *origins: str) -> list[tuple[str, dict[str, Any]]]:
    request = pb.ExportCustomerDataRequest(customer_id=customer, origin_customer_ids=origins)
    stream = client.stub.ExportCustomerData(request, metadata=client.metadata)
    return [(each.kind, json.loads(each.json)) async for page in stream for each in page.records]


async def test_a_person_reads_every_purchase_and_what_the_model_remembers(trained: Client) -> None:
    records = await exported(trained, "c3")
    lines = shop().lines
    own = [item for item, customer in zip(lines.item_id, lines.customer_id, strict=True) if customer == "c3"]
    purchases = [content for kind, content in records if kind == "purchase"]
    assert sorted(content["product"] for content in purchases) == sorted(own)
    assert purchases[0]["title"].startswith("Item ")
    assert [content["products"] for kind, content in records if kind == "model_history"] == [len(set(own))]
    assert len(await exported(trained, "nobody", "c3")) == len(records)
    assert await exported(trained, "nobody") == []
    assert await exported(trained.of("rival"), "c3") == []


def test_what_moves_is_the_last_that_was_said() -> None:
    told = told_of(change("1", merged("ann", "bob"), parted("ann", "bob")))
    assert told.moved == Moved(owners={(TENANT, "bob"): "bob"}, touched={(TENANT, "ann"), (TENANT, "bob")})
