"""Profiles over real gRPC and a real SQLite file."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import pytest
from tessera.profiles.v1 import profiles_service_pb2 as pb
from tessera.profiles.v1.profiles_service_pb2_grpc import ProfilesServiceStub

from services.common.grpc_errors import error_info
from services.profiles.app import Settings, serve
from tests.conftest import Keyring
from tests.profiles.client import Client, identify, order, track


async def test_orders_make_lifetime_figures(acme: Client) -> None:
    await acme.ingest(identify("i", "7", city="Lyon"), order("o1", "7", 12.34, at=50), order("o2", "7", 0.66, at=90))
    customer = await acme.customer("user_id", "7")
    assert customer.lifetime.order_count == 2
    assert [(money.currency, money.amount_minor) for money in customer.lifetime.spend] == [("USD", 1300)]
    assert (customer.lifetime.first_order_time.seconds, customer.lifetime.last_order_time.seconds) == (50, 90)
    assert {trait.name: json.loads(trait.value_json) for trait in customer.traits} == {"city": "Lyon"}


async def test_the_same_batch_again_changes_nothing(acme: Client) -> None:
    batch = [order("o1", "7", 5), order("o2", "8", 5), order("o1", "7", 5)]
    first, again = await acme.ingest(*batch), await acme.ingest(*batch)
    assert (first.recorded_count, first.duplicate_count) == (2, 1)
    assert (again.recorded_count, again.duplicate_count) == (0, 3)
    assert (await acme.customer("user_id", "7")).lifetime.order_count == 1


async def test_batches_at_once_are_all_applied(acme: Client) -> None:
    await asyncio.gather(*(acme.ingest(order(f"o{n}", "7", 1), order(f"p{n}", str(n), 1)) for n in range(40)))
    assert (await acme.customer("user_id", "7")).lifetime.order_count == 40 + 1


async def test_a_wrong_event_is_rejected_alone(acme: Client) -> None:
    broken = track("bad", "7")
    broken.properties_json = "{"
    deep = track("deep", "7")
    deep.properties_json = "[" * 10_000 + "]" * 10_000
    wrong = order("wrong", "7", 1)
    wrong.properties_json = '{"order_id": "x", "currency": "USD", "products": {}}'
    answer = await acme.ingest(track("good", "7"), broken, deep, wrong, track("", "7"))
    assert answer.recorded_count == 1
    assert [(it.index, it.reason) for it in answer.rejections] == [
        (1, "JSON_INVALID"),
        (2, "JSON_INVALID"),
        (3, "ORDER_INVALID"),
        (4, "MESSAGE_ID_MISSING"),
    ]
    assert "products must be a list" in answer.rejections[2].message


@pytest.mark.parametrize("name", ["{'$ne': null}", "' OR 1=1 --", "a.b$c", "a:b", "😀" * 20])
async def test_identifiers_that_look_like_operators_are_only_text(acme: Client, name: str) -> None:
    await acme.ingest(track("m1", name), track("m2", "other"))
    customer = await acme.customer("user_id", name)
    assert customer.lifetime.event_count == 1


async def test_an_anonymous_visitor_becomes_known_with_their_history(acme: Client) -> None:
    await acme.ingest(track("v1", anonymous="device"))
    await acme.ingest(identify("i", "7", anonymous="device"))
    customer = await acme.customer("user_id", "7")
    assert customer.customer_id == (await acme.customer("anonymous_id", "device")).customer_id
    assert [event.message_id for event in (await acme.events(customer.customer_id)).events] == ["v1", "i"]


async def test_two_people_on_one_device_stay_two(acme: Client) -> None:
    await acme.ingest(identify("i1", "ann", anonymous="tablet"), identify("i2", "bob", anonymous="tablet"))
    ann, bob = await acme.customer("user_id", "ann"), await acme.customer("user_id", "bob")
    assert ann.customer_id != bob.customer_id
    assert (await acme.customer("anonymous_id", "tablet")).customer_id == ann.customer_id


async def test_a_timeline_is_newest_first_and_paged(acme: Client) -> None:
    await acme.ingest(*(track(f"m{n}", "7", at=n) for n in range(1, 6)), track("x", "7", name="Cart Viewed", at=3))
    customer_id = (await acme.customer("user_id", "7")).customer_id
    first = await acme.events(customer_id, name="Product Viewed", page_size=3)
    rest = await acme.events(customer_id, name="Product Viewed", page_size=3, page_token=first.next_page_token)
    assert [event.message_id for event in (*first.events, *rest.events)] == ["m5", "m4", "m3", "m2", "m1"]
    assert not rest.next_page_token


async def test_another_tenant_sees_nothing(acme: Client, rival: Client) -> None:
    await acme.ingest(order("o1", "7", 5))
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await rival.customer("user_id", "7")
    assert refused.value.code() == grpc.StatusCode.NOT_FOUND
    info = error_info(refused.value)
    assert info is not None
    assert (info.reason, info.domain) == ("CUSTOMER_NOT_FOUND", "profiles.tessera")
    assert (await rival.ingest(order("o1", "7", 5))).recorded_count == 1


async def test_the_feed_tells_every_event_in_order_then_goes_on_live(acme: Client) -> None:
    await acme.ingest(*(track(f"m{n}", "7") for n in range(3)))
    stream = acme.follow()
    first = await anext(stream)
    await acme.ingest(track("later", "7"))
    live = await anext(stream)
    told = [change.event_recorded.message_id for batch in (first, live) for change in batch.changes]
    assert told == ["m0", "m1", "m2", "later"]
    assert live.caught_up


async def test_a_follower_resumes_after_its_cursor_and_hears_only_names_it_asked_for(acme: Client) -> None:
    await acme.ingest(track("v1", "7"), order("o1", "7", 5))
    cursor = (await anext(acme.follow())).cursor
    await acme.ingest(track("v2", "7"), order("o2", "7", 5))
    batch = await anext(acme.follow(cursor, "Order Completed"))
    assert [change.event_recorded.message_id for change in batch.changes] == ["o2"]


async def test_a_tenants_feed_holds_only_its_own_events(acme: Client, rival: Client, keyring: Keyring) -> None:
    await acme.ingest(track("a", "7"))
    await rival.ingest(track("b", "7"))
    assert [change.tenant_id for change in (await anext(rival.follow())).changes] == ["rival"]
    platform = Client(acme.stub, keyring.header("*"))
    everyone = [change.tenant_id async for batch in _until_caught_up(platform) for change in batch.changes]
    assert everyone == ["acme", "rival"]


async def _until_caught_up(client: Client) -> AsyncIterator[pb.FollowChangesResponse]:
    async for batch in client.follow():
        yield batch
        if batch.caught_up:
            return


async def test_a_cursor_that_is_not_ours_is_refused(acme: Client) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await anext(acme.follow("nonsense"))
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    info = error_info(refused.value)
    assert info is not None
    assert info.reason == "INVALID_CURSOR"


async def test_everything_is_there_after_a_restart(configure: Callable[..., Any], keyring: Keyring) -> None:
    settings = configure(Settings)
    for expected in (1, 0):
        async with serve(settings) as up, grpc.aio.insecure_channel(up.address) as channel:
            client = Client(ProfilesServiceStub(channel), keyring.header())
            assert (await client.ingest(order("o1", "7", 5))).recorded_count == expected
            assert (await client.customer("user_id", "7")).lifetime.order_count == 1
