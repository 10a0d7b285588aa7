"""Computed traits over real gRPC: defined, kept, told, slid, changed and deleted."""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from tessera.common.v1 import job_pb2, rule_pb2
from tessera.profiles.v1 import computed_trait_pb2 as pb
from tessera.profiles.v1 import merge_pb2
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.profiles.app import Settings, serve
from tests.conftest import Keyring
from tests.profiles.client import Client, order, track

NOW = datetime(2026, 5, 1, tzinfo=UTC)
DAY = 24 * 60 * 60
ORDERS: dict[str, Any] = {
    "name": "orders",
    "kind": pb.COMPUTED_TRAIT_KIND_EVENT_COUNTER,
    "event_name": "Order Completed",
}
SPENT: dict[str, Any] = {
    "name": "spent",
    "kind": pb.COMPUTED_TRAIT_KIND_SUM,
    "event_name": "Order Completed",
    "property": "products.price",
}


class Watch:
    """A clock that is set."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def watch() -> Watch:
    return Watch()


@pytest.fixture
async def shop(configure: Callable[..., Any], keyring: Keyring, watch: Watch) -> AsyncIterator[Client]:
    settings = configure(Settings, computed_traits_reread_seconds=0)
    async with serve(settings, watch) as up, grpc.aio.insecure_channel(up.address) as channel:
        yield Client(ProfilesServiceStub(channel), keyring.header())


async def until(holds: Callable[[], Any]) -> None:
    deadline = time.monotonic() + 60
    while not await holds():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def finished(client: Client, job_id: str) -> None:
    async def done() -> bool:
        job = (await client.call("GetJob", pb.GetJobRequest(job_id=job_id))).job
        assert job.state != job_pb2.JOB_STATE_FAILED, job.message
        return bool(job.state == job_pb2.JOB_STATE_SUCCEEDED)

    await until(done)


async def define(client: Client, rpc: str = "Create", **content: Any) -> pb.ComputedTrait:
    """The trait, once history is in it."""
    request = getattr(pb, f"{rpc}ComputedTraitRequest")(computed_trait=pb.ComputedTrait(**content))
    made: pb.ComputedTrait = (await client.call(f"{rpc}ComputedTrait", request)).computed_trait
    await finished(client, made.job_id)
    return made


async def values(client: Client, user: str) -> dict[str, Any]:
    customer = await client.customer("user_id", user)
    return {it.name: json.loads(it.value_json) for it in customer.computed_traits}


async def told(client: Client, count: int) -> list[tuple[str, Any]]:
    """The first ``count`` changes on the feed."""
    found: list[tuple[str, Any]] = []
    async for batch in client.follow():
        for change in batch.changes:
            if change.WhichOneof("kind") == "computed_trait_changed":
                found.append((change.computed_trait_changed.name, json.loads(change.computed_trait_changed.value_json)))
        if len(found) >= count:
            break
    return found


def seconds(days: float) -> int:
    return int((NOW - timedelta(days=days)).timestamp())


async def test_a_trait_has_history_in_it_and_every_event_after(shop: Client) -> None:
    await shop.ingest(order("o1", "7", 5, at=seconds(3)), order("o2", "7", 2.5, at=seconds(2)), track("v", "8"))
    made = await define(shop, **SPENT)
    assert (made.version, made.status) == (1, pb.COMPUTED_TRAIT_STATUS_BACKFILLING)
    assert await values(shop, "7") == {"spent": 7.5}
    await shop.ingest(order("o3", "7", 0.1, at=seconds(9)), order("o3", "7", 0.1, at=seconds(9)), order("o4", "9", 1))
    assert (await values(shop, "7"), await values(shop, "8"), await values(shop, "9")) == (
        {"spent": 7.6},
        {},
        {"spent": 1},
    )
    assert sorted(await told(shop, 3)) == [("spent", 1), ("spent", 7.5), ("spent", 7.6)]
    found = (await shop.call("GetComputedTrait", pb.GetComputedTraitRequest(name="spent"))).computed_trait
    assert found.status == pb.COMPUTED_TRAIT_STATUS_ACTIVE


async def test_a_window_slides_without_any_event(shop: Client, watch: Watch) -> None:
    await define(shop, **ORDERS, window=Duration(seconds=7 * DAY))
    await shop.ingest(order("o1", "7", 5, at=seconds(5)), order("o2", "7", 5, at=seconds(1)))
    assert await values(shop, "7") == {"orders": 2}
    watch.now = NOW + timedelta(days=2)
    assert await values(shop, "7") == {"orders": 1}  # before anybody was told
    assert await told(shop, 2) == [("orders", 2), ("orders", 1)]
    watch.now = NOW + timedelta(days=30)
    assert await told(shop, 3) == [("orders", 2), ("orders", 1), ("orders", None)]
    assert await values(shop, "7") == {}


async def test_only_what_the_filter_lets_through_counts(shop: Client) -> None:
    cheap = rule_pb2.Comparison(
        field="products.price", operator=rule_pb2.OPERATOR_AT_MOST, values=[rule_pb2.Value(number_value=5)]
    )
    made = await define(shop, **ORDERS, where=[cheap])
    assert list(made.where) == [cheap]
    await shop.ingest(order("o1", "7", 5), order("o2", "7", 6), track("v", "7"))
    assert await values(shop, "7") == {"orders": 1}


async def test_a_merged_customer_has_the_traits_of_all_its_events_and_gives_them_back(shop: Client) -> None:
    await define(shop, **ORDERS)
    await shop.ingest(order("o1", "ann", 5), order("o2", "ann", 5), order("o3", "bob", 5))
    ann, bob = await shop.customer("user_id", "ann"), await shop.customer("user_id", "bob")
    merge = merge_pb2.MergeCustomersRequest(
        customer_id=ann.customer_id, merged_customer_ids=[bob.customer_id], reason="same person", request_id="m"
    )
    merged = await shop.call("MergeCustomers", merge)
    assert await values(shop, "bob") == {"orders": 3}
    unmerge = merge_pb2.UnmergeCustomerRequest(merge_id=merged.merges[0].merge_id, reason="no", request_id="u")
    assert ("orders", 3) in await told(shop, 4)
    await shop.call("UnmergeCustomer", unmerge)
    assert (await values(shop, "ann"), await values(shop, "bob")) == ({"orders": 2}, {"orders": 1})
    assert sorted((await told(shop, 6))[4:]) == [("orders", 1), ("orders", 2)]


async def test_another_definition_is_another_version(shop: Client) -> None:
    await shop.ingest(order("o1", "7", 5), track("v", "7", name="Cart Viewed"))
    await define(shop, **ORDERS)
    changed = await define(shop, "Update", **{**ORDERS, "event_name": "Cart Viewed"})
    assert changed.version == 2
    await shop.ingest(track("w", "7", name="Cart Viewed"), order("o2", "7", 5))
    customer = await shop.customer("user_id", "7")
    assert [(it.name, it.value_json, it.version) for it in customer.computed_traits] == [("orders", "2", 2)]


async def test_a_deleted_trait_is_gone_and_the_feed_says_so(shop: Client) -> None:
    await shop.ingest(order("o1", "7", 5))
    await define(shop, **ORDERS)
    delete = pb.DeleteComputedTraitRequest(name="orders", request_id="d")
    job = (await shop.call("DeleteComputedTrait", delete)).job
    assert (await shop.call("DeleteComputedTrait", delete)).job.job_id == job.job_id
    assert await values(shop, "7") == {}
    assert await told(shop, 2) == [("orders", 1), ("orders", None)]
    missing = (grpc.StatusCode.NOT_FOUND, "COMPUTED_TRAIT_NOT_FOUND")
    assert await shop.refusal("GetComputedTrait", pb.GetComputedTraitRequest(name="orders")) == missing


async def test_a_backfill_again_changes_nothing(shop: Client) -> None:
    await shop.ingest(*(order(f"o{n}", f"u{n % 3}", 5) for n in range(9)))
    await define(shop, **ORDERS)
    again = pb.BackfillComputedTraitRequest(name="orders", request_id="b")
    await finished(shop, (await shop.call("BackfillComputedTrait", again)).job.job_id)
    await shop.ingest(order("last", "u0", 5))
    assert [await values(shop, f"u{user}") for user in range(3)] == [{"orders": 4}, {"orders": 3}, {"orders": 3}]
    assert len(await told(shop, 4)) == 4


async def test_events_that_come_while_history_is_read_count_once(shop: Client) -> None:
    await shop.ingest(*(order(f"a{n}", f"u{n % 20}", 1) for n in range(200)))
    request = pb.CreateComputedTraitRequest(computed_trait=pb.ComputedTrait(**ORDERS))
    made = (await shop.call("CreateComputedTrait", request)).computed_trait
    for batch in range(10):
        await shop.ingest(*(order(f"b{batch}-{n}", f"u{n}", 1) for n in range(20)))
    await finished(shop, made.job_id)
    assert [await values(shop, f"u{user}") for user in range(20)] == [{"orders": 20}] * 20


async def test_a_definition_is_checked_and_made_once(shop: Client) -> None:
    request = pb.CreateComputedTraitRequest(computed_trait=pb.ComputedTrait(**ORDERS), request_id="c")
    first = (await shop.call("CreateComputedTrait", request)).computed_trait
    assert (await shop.call("CreateComputedTrait", request)).computed_trait == first
    request.request_id = ""
    exists = (grpc.StatusCode.ALREADY_EXISTS, "COMPUTED_TRAIT_EXISTS")
    assert await shop.refusal("CreateComputedTrait", request) == exists
    for wrong, reason in (
        ({"property": "total"}, "COMPUTED_TRAIT_INVALID"),
        ({"window": Duration()}, "COMPUTED_TRAIT_INVALID"),
        ({"where": [rule_pb2.Comparison(field="a", operator=rule_pb2.OPERATOR_EQUALS)]}, "RULE_INVALID"),
        ({"name": "No Name"}, "FIELD_INVALID"),
        ({"kind": 77}, "FIELD_INVALID"),
    ):
        request = pb.CreateComputedTraitRequest(computed_trait=pb.ComputedTrait(**{**ORDERS, "name": "other", **wrong}))
        assert await shop.refusal("CreateComputedTrait", request) == (grpc.StatusCode.INVALID_ARGUMENT, reason)


async def test_a_backfill_that_was_cut_off_goes_on_after_a_restart(
    configure: Callable[..., Any], keyring: Keyring
) -> None:
    settings = configure(Settings, computed_traits_reread_seconds=0)
    slow = configure(Settings, computed_traits_reread_seconds=3600)
    async with serve(slow) as up, grpc.aio.insecure_channel(up.address) as channel:
        client = Client(ProfilesServiceStub(channel), keyring.header())
        await client.ingest(order("o1", "7", 5))
        await client.call(
            "CreateComputedTrait", pb.CreateComputedTraitRequest(computed_trait=pb.ComputedTrait(**ORDERS))
        )
        assert await values(client, "7") == {}
    async with serve(settings) as up, grpc.aio.insecure_channel(up.address) as channel:
        client = Client(ProfilesServiceStub(channel), keyring.header())

        async def there() -> bool:
            return await values(client, "7") == {"orders": 1}

        await until(there)
